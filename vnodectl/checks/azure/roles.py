"""What the connector's identity must be allowed in Azure, and what roles allow. Pure.

Role definitions allow `actions` less `notActions`, both with `*` for any characters and in any case; an
assignment holds at its scope and below
(learn.microsoft.com/azure/role-based-access-control/role-definitions).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vnodectl.checks.readers import JSON

GROUP_ACTIONS = (
    "Microsoft.ContainerInstance/containerGroups/read",
    "Microsoft.ContainerInstance/containerGroups/write",
    "Microsoft.ContainerInstance/containerGroups/delete",
    "Microsoft.ContainerInstance/containerGroups/containers/logs/read",
    "Microsoft.ContainerInstance/containerGroups/containers/exec/action",
    "Microsoft.ContainerInstance/containerGroups/containers/attach/action",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
)
"""In the resource group of the container groups."""

SUBNET_ACTIONS = (
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
)
"""On the subnet of the container groups."""

CONTAINER_INSTANCES_CONTRIBUTOR = (
    "Azure Container Instances Contributor Role",
    "5d977122-f97e-4b4d-a52f-6b43003ddb4d",
)
NETWORK_CONTRIBUTOR = ("Network Contributor", "4d97b98b-1d4f-4787-a291-c67834d212e7")
"""Names and ids of built-in roles (learn.microsoft.com/azure/role-based-access-control/built-in-roles)."""

CUSTOM_ROLE = "vnodectl connector"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Actions at a scope, and the built-in role (name, id) that has them all."""

    scope: str
    actions: tuple[str, ...]
    role: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Permission:
    """One entry of a role definition's `permissions`."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: JSON) -> Permission:
        return cls(tuple(body.get("actions") or ()), tuple(body.get("notActions") or ()))

    def allows(self, action: str) -> bool:
        return _any(self.actions, action) and not _any(self.not_actions, action)


def missing(permissions: Sequence[Permission], actions: Iterable[str]) -> list[str]:
    """Those of `actions` that no permission allows. A notAction of one role takes nothing from another."""
    return [action for action in actions if not any(one.allows(action) for one in permissions)]


def holds_at(assigned: str, scope: str) -> bool:
    """Whether an assignment at the scope `assigned` holds at `scope`."""
    outer, inner = assigned.rstrip("/").lower(), scope.rstrip("/").lower()
    return inner == outer or inner.startswith(f"{outer}/")


def wanted(subscription: str, resource_group: str, subnet_id: str) -> list[Wanted]:
    """`subscription` as in `/subscriptions/<id>`."""
    found = [
        Wanted(
            f"{subscription}/resourceGroups/{resource_group}", GROUP_ACTIONS, CONTAINER_INSTANCES_CONTRIBUTOR
        )
    ]
    if subnet_id:
        found.append(Wanted(subnet_id, SUBNET_ACTIONS, NETWORK_CONTRIBUTOR))
    return found


def custom_role(subscription: str, name: str = CUSTOM_ROLE) -> JSON:
    """A role of least rights, as `az role definition create --role-definition` reads it."""
    return {
        "Name": name,
        "IsCustom": True,
        "Description": "What the virtual nodes of vnodectl do in Azure: container groups, and their subnet.",
        "Actions": [*GROUP_ACTIONS, *SUBNET_ACTIONS],
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": [subscription],
    }


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(_matches(pattern, action) for pattern in patterns)


def _matches(pattern: str, action: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, action, re.IGNORECASE) is not None
