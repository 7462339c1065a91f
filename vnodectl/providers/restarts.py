"""Restart policies of single containers (Kubernetes 1.34), for providers with one per group."""

from __future__ import annotations

from vnodectl.runtime.provider import JSON, Rejected


def check_restarts(container: JSON, spec: JSON, path: str, *, sidecar: bool = False) -> None:
    """That the container restarts as its pod has it. Raises Rejected at the field.

    An init container of a pod that restarts anything at all is run until it succeeds, so that its own
    OnFailure says nothing else. A `sidecar` always restarts, unless rules of its own say when not.
    """
    policy = spec.get("restartPolicy") or "Always"
    if path.startswith("spec.initContainers") and policy == "Always":
        policy = "OnFailure"
    if container.get("restartPolicyRules"):
        field = "restartPolicyRules"
    elif not sidecar and (container.get("restartPolicy") or policy) != policy:
        field = "restartPolicy"
    else:
        return
    message = (
        "a sidecar always restarts"
        if sidecar
        else f"all containers of a group restart as their pod says: {policy}"
    )
    raise Rejected("UnsupportedRestartPolicy", message, field=f"{path}.{field}")
