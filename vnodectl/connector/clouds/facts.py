"""What a cloud and a cluster tell about themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the cloud and the cluster know. None or empty: not asked, or there was nobody to ask.

    `regions` are names such as `eastus` or `cn-hangzhou`. Azure: the `subscription` (an id) that was asked;
    `node_resource_group` is the AKS cluster's, `resource_group_location` that of the group for container
    groups. Alibaba Cloud: the ACK cluster's `cluster_region`, `vswitches`, `security_group` and
    `oidc_provider` (an ARN, for RRSA).

    `api_server` is the URL that pods on the virtual node can reach, `ca_bundle` PEM text, `cluster_uid`
    the UID of the cluster's namespace kube-system, which tells it from all others.
    """

    subscription: str = ""
    node_resource_group: str | None = None
    resource_group_location: str | None = None
    regions: frozenset[str] | None = None
    tenant: str | None = None
    api_server: str | None = None
    ca_bundle: str | None = None
    cluster_region: str = ""
    vswitches: tuple[str, ...] = ()
    security_group: str = ""
    oidc_provider: str = ""
    cluster_uid: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A container group in a cloud; `id` is what deletes it."""

    name: str
    id: str


def owner(cluster_uid: str) -> str:
    """What tells a cluster's groups from others': clusters of an account share its regions, those of a
    subscription may share a resource group, and any of them may have a node of the same name."""
    return cluster_uid.partition("-")[0]
