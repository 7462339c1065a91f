"""What a connector left behind: labelled objects in the cluster, container groups in the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vnodectl.connector.names import Connector, region_in_release
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    NODE_LEASE_NAMESPACE,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
)

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

ROLES = Resource("/apis/rbac.authorization.k8s.io/v1", "roles")
ROLE_BINDINGS = Resource("/apis/rbac.authorization.k8s.io/v1", "rolebindings")
BUDGETS = Resource("/apis/policy/v1", "poddisruptionbudgets")


async def sweep(kube: KubeClient, connector: Connector, namespace: str) -> list[str]:
    """Delete whatever carries the release's labels; what it was, e.g. `secrets/x`.

    After a `helm uninstall` that is the Secret of the service principal, or the parts of an interrupted
    run or test.
    """
    places: tuple[tuple[Resource, str | None], ...] = (
        (DEPLOYMENTS, namespace),
        (BUDGETS, namespace),
        (SECRETS, namespace),
        (CONFIG_MAPS, namespace),
        (SERVICE_ACCOUNTS, namespace),
        (PODS, namespace),
        (ROLES, namespace),
        (ROLE_BINDINGS, namespace),
        (ROLES, NODE_LEASE_NAMESPACE),
        (ROLE_BINDINGS, NODE_LEASE_NAMESPACE),
        (ROLE_BINDINGS, "kube-system"),
        (CLUSTER_ROLE_BINDINGS, None),
        (CLUSTER_ROLES, None),
    )
    swept: list[str] = []
    for resource, where in places:
        found, _ = await kube.list(resource.path(where), {"labelSelector": _mine(connector.release)})
        for one in found:
            name = one["metadata"]["name"]
            try:
                await kube.delete(resource.path(where, name), propagation="Background")
            except NotFound:
                continue
            swept.append(f"{resource.plural}/{name}")
    return swept


def _mine(release: str) -> str:
    return f"app.kubernetes.io/instance={release},app.kubernetes.io/part-of=vnodectl"


async def container_groups(azure: AzureSession, resource_group: str, connector: Connector) -> list[JSON]:
    """The container groups that carry this connector's tags, as ARM JSON."""
    return [group for group in await _groups(azure, resource_group) if owned(group, connector)]


async def groups_of(
    azure: AzureSession, resource_group: str, name: str, os_types: Sequence[str], region: str | None
) -> list[JSON]:
    """The container groups of any connector of this name, for these OS types, in the region or in all."""
    from vnodectl.clouds.azure import tags

    def wanted(group: JSON) -> bool:
        release = str((group.get("tags") or {}).get(tags.CONNECTOR) or "")
        regions = {region_in_release(release, name, os_type) for os_type in os_types} - {None}
        return bool(regions) and (region is None or region in regions)

    return [group for group in await _groups(azure, resource_group) if wanted(group)]


def owned(group: JSON, connector: Connector) -> bool:
    """Whether a group (ARM JSON) says that it is this connector's, on whichever of its nodes."""
    from vnodectl.clouds.azure import tags

    found = group.get("tags") or {}
    return found.get(tags.CONNECTOR) == connector.release and connector.owns(str(found.get(tags.NODE)))


async def _groups(azure: AzureSession, resource_group: str) -> list[JSON]:
    from vnodectl.clouds.azure import AzureNotFound

    try:
        return await azure.container_groups(resource_group)
    except AzureNotFound:
        return []


async def delete_group(azure: AzureSession, group: JSON) -> None:
    """Ask Azure to delete one container group. One that is gone already is fine."""
    from vnodectl.clouds.azure import AzureNotFound
    from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API

    try:
        await azure.arm("DELETE", group["id"], CONTAINER_INSTANCE_API)
    except AzureNotFound:
        return
