"""Whether a principal's roles allow a call."""

from __future__ import annotations

from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import ArmError

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


def authorize(principal: Principal, method: str, path: str, template: str) -> None:
    """Raises ArmError 403 AuthorizationFailed.

    Reader may read, Contributor and Owner may do everything, each within its scope. Whoever has a
    role anywhere in a subscription may read the subscription itself, and follow operations.
    """
    if not template.casefold().startswith("/subscriptions/"):
        return
    reading = method in ("GET", "HEAD")
    anywhere = template.casefold() == "/subscriptions/{subscriptionid}" or "{operationId}" in template
    if reading and anywhere and principal.roles:
        return
    for role in principal.roles:
        if _within(path, role.scope) and (reading or role.role != "Reader"):
            return
    raise ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have "
        f"authorization to perform action '{action(method, template)}' over scope '{path}' or the scope is "
        "invalid. If access was recently granted, please refresh your credentials.",
    )


def action(method: str, template: str) -> str:
    """E.g. Microsoft.ContainerInstance/containerGroups/write, …/containers/exec/action."""
    parts = [part for part in template.split("/") if part]
    if "providers" in parts:
        parts = parts[len(parts) - parts[::-1].index("providers") :]
    else:
        parts = ["Microsoft.Resources", *parts]
    kinds = "/".join(part for part in parts if not part.startswith("{"))
    return f"{kinds}/{_VERBS.get(method, 'action')}"


def _within(path: str, scope: str) -> bool:
    scope = scope.casefold().rstrip("/")
    return path.casefold() == scope or path.casefold().startswith(f"{scope}/")
