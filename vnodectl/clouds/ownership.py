"""How a container group says whose it is, in any cloud. Written by the runtime, read by whoever cleans up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NODE = "vnodectl-node"
CONNECTOR = "vnodectl-connector"
NAMESPACE = "vnodectl-namespace"
POD = "vnodectl-pod"
UID = "vnodectl-uid"
CREATED = "vnodectl-created"


@dataclass(frozen=True, slots=True)
class Owner:
    """The virtual node (by name) and the connector (by release name) that a group belongs to."""

    node: str
    connector: str

    def owns(self, tags: Mapping[str, str] | None) -> bool:
        """Whether a group with these tags is this node's. Anything else in the resource group is foreign."""
        found = tags or {}
        return found.get(NODE) == self.node and found.get(CONNECTOR) == self.connector


def scoped(release: str, cluster: str) -> str:
    """The connector's tag where clusters may share a place for their groups, a region of Alibaba Cloud or a
    resource group of Azure: releases and nodes of two clusters may have the same names, and each would take
    the other's groups for its own lost ones. Without `cluster` the release alone.
    """
    return f"{release}.{cluster}" if cluster else release
