"""Whether a principal's role assignments allow a call."""

from __future__ import annotations

from collections.abc import Mapping

from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import ArmError
from vnodectl.emulator.azure.roles import allows
from vnodectl.emulator.azure.world import World

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
SCOPED = "/{+scope}/"
"""How the templates of operations begin that exist below any resource."""


class Access:
    """Role-based access as ARM does it: what a definition allows, at its assignment's scope and below."""

    def __init__(self, world: World) -> None:
        self._world = world

    def authorize(
        self, principal: Principal, method: str, path: str, template: str, params: Mapping[str, str]
    ) -> None:
        """Raises ArmError 403 AuthorizationFailed.

        Whoever has a role anywhere in a subscription may read the subscription, and follow operations.
        """
        if not template.casefold().startswith("/subscriptions/") and not template.startswith(SCOPED):
            return
        anywhere = template.casefold() == "/subscriptions/{subscriptionid}" or "{operationId}" in template
        if method in ("GET", "HEAD") and anywhere and self._world.assigned(principal):
            return
        wanted = action(method, template, params)
        if template.startswith(SCOPED) and wanted == "Microsoft.Authorization/permissions/read":
            return  # Everybody may ask what they may do.
        if not self.allowed(principal, wanted, path):
            raise ArmError(
                403,
                "AuthorizationFailed",
                f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have "
                f"authorization to perform action '{wanted}' over scope '{path}' or the scope is "
                "invalid. If access was recently granted, please refresh your credentials.",
            )

    def allowed(self, principal: Principal, wanted: str, path: str) -> bool:
        return any(
            within(path, one.scope) and allows(one.role, wanted) for one in self._world.assigned(principal)
        )

    def check_linked(self, principal: Principal, doing: str, path: str, wanted: str, linked: str) -> None:
        """`linked` is a resource that a call for `path` refers to. Raises ArmError 403."""
        if not self.allowed(principal, wanted, linked):
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{principal.client_id}' with object id '{principal.object_id}' has permission "
                f"to perform action '{doing}' on scope '{path}'; however, it does not have permission to "
                f"perform action(s) '{wanted}' on the linked scope(s) '{linked}' (respectively) or the "
                "linked scope(s) are invalid.",
            )


def action(method: str, template: str, params: Mapping[str, str]) -> str:
    """E.g. Microsoft.ContainerInstance/containerGroups/write, …/containers/exec/action."""
    parts = [part for part in template.split("/") if part]
    if parts[-1] == "providers":
        parts = ["Microsoft.Resources", "subscriptions", "providers"]
    elif "providers" in parts:
        parts = parts[len(parts) - parts[::-1].index("providers") :]
        if parts and parts[0] == "{resourceProviderNamespace}":
            if method != "POST":
                return "Microsoft.Resources/subscriptions/providers/read"
            parts[0] = params["resourceProviderNamespace"]
    else:
        parts = ["Microsoft.Resources", *parts]
    kinds = "/".join(part for part in parts if not part.startswith("{"))
    return f"{kinds}/{_VERBS.get(method, 'action')}"


def within(path: str, scope: str) -> bool:
    scope = scope.casefold().rstrip("/")
    return path.casefold() == scope or path.casefold().startswith(f"{scope}/")
