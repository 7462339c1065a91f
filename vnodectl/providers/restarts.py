"""Restart policies of single containers (Kubernetes 1.34), for clouds that have one for the whole group."""

from __future__ import annotations

from vnodectl.runtime.provider import JSON, Rejected


def check_restarts(container: JSON, spec: JSON, path: str) -> None:
    """That the container restarts as its pod does. Not for side-cars. Raises Rejected at the field."""
    policy = spec.get("restartPolicy") or "Always"
    if container.get("restartPolicyRules"):
        field = "restartPolicyRules"
    elif (container.get("restartPolicy") or policy) != policy:
        field = "restartPolicy"
    else:
        return
    raise Rejected(
        "UnsupportedRestartPolicy",
        f"all containers of a group restart as their pod says: {policy}",
        field=f"{path}.{field}",
    )
