"""Where a connector puts its container groups, and how often it looks at them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.clouds.alibaba.tags import VALUE_MAX, Owner
from vnodectl.errors import UsageError

VSWITCHES_MAX = 10
"""vSwitches of one request (CreateContainerGroup)."""

SECURITY_GROUPS_MAX = 5


@dataclass(frozen=True, slots=True)
class EciSettings:
    """`vswitches` are tried in order or at random, see `schedule_strategy`; all are of one VPC.

    Without vSwitches here or in the profile no pod can be placed. `cluster_dns` is the address of the
    cluster's DNS service. `resource_group` is the id of the account's resource group, "" the default one.
    """

    vswitches: tuple[str, ...] = ()
    security_group: str = ""
    vpc: str = ""
    resource_group: str = ""
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> EciSettings:
        """From the add-on's ECI_* names and VNODECTL_CLUSTER_*. `UsageError` for too many vSwitches."""
        env = os.environ if environ is None else environ
        vswitches = split(env.get("ECI_VSWITCH", ""))
        if len(vswitches) > VSWITCHES_MAX:
            raise UsageError(f"ECI_VSWITCH names {len(vswitches)} vSwitches; ECI takes {VSWITCHES_MAX}")
        return cls(
            vswitches=vswitches,
            security_group=env.get("ECI_SECURITY_GROUP", "").strip(),
            vpc=env.get("ECI_VPC", "").strip(),
            resource_group=env.get("ECI_RESOURCE_GROUP_ID", "").strip(),
            cluster_dns=env.get("VNODECTL_CLUSTER_DNS", ""),
            cluster_domain=env.get("VNODECTL_CLUSTER_DOMAIN") or "cluster.local",
        )


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The virtual node a group is for. Raises `UsageError` where a name does not fit into a tag."""

    node: str
    connector: str

    def __post_init__(self) -> None:
        for what, name in (("node", self.node), ("connector", self.connector)):
            if not name or len(name) > VALUE_MAX:
                raise UsageError(f"the {what}'s name must have 1 to {VALUE_MAX} characters on Alibaba Cloud")

    @property
    def owner(self) -> Owner:
        return Owner(self.node, self.connector)


@dataclass(frozen=True, slots=True)
class Pacing:
    """How often to look, in seconds.

    What changed within the last minute is read every `busy_interval` while something is on its way, else
    every `calm_interval`; one page for 200 such groups. The whole list is read every `list_interval`, or
    less often where it has so many pages that there would be more than `list_pages` of them a minute: what
    groups at rest cost does not grow with their number. Sooner where a look shows what only it can explain.
    Events are read every `busy_events` and `calm_events`.
    `list_lag` is for how long after its creation a group may be missing from reads.
    """

    busy_interval: float = 2.0
    calm_interval: float = 10.0
    list_interval: float = 60.0
    list_pages: int = 1
    detail_interval: float = 5.0
    busy_events: float = 10.0
    calm_events: float = 60.0
    list_lag: float = 30.0
    retry_first: float = 10.0
    retry_most: float = 300.0


def split(value: str) -> tuple[str, ...]:
    """A comma-separated list, as the add-on writes it."""
    return tuple(part.strip() for part in value.split(",") if part.strip())
