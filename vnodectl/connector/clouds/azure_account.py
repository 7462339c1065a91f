"""What a connector's life asks of Azure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector.clouds.azure import AZURE, aks_cluster
from vnodectl.connector.clouds.facts import Facts, Group
from vnodectl.connector.names import Connector, region_in_release
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.connector.clouds import Cloud

JSON = dict[str, Any]

_SUBSCRIPTIONS_API = "2022-12-01"


@dataclass(frozen=True, slots=True)
class AzureAccount:
    """A signed-in subscription; a connector's place in it is a resource group."""

    session: AzureSession

    @property
    def cloud(self) -> Cloud:
        return AZURE

    async def cluster(self, settings: Settings) -> JSON:
        from vnodectl.clouds.azure import AzureNotFound

        wanted = aks_cluster(settings)
        if wanted is None:
            raise UsageError("no AKS cluster is named", hint="give -g and -n")
        try:
            return await self.session.aks_cluster(wanted.resource_group, wanted.name)
        except AzureNotFound as error:
            raise UsageError(
                f"no AKS cluster {wanted.name!r} in resource group {wanted.resource_group!r}: "
                f"{error.message}",
                hint="list clusters: az aks list --query '[].[resourceGroup,name]' -o tsv",
            ) from error

    async def kubeconfig(self, settings: Settings) -> bytes:
        wanted = aks_cluster(settings)
        if wanted is None:
            raise UsageError("no AKS cluster is named", hint="give -g and -n")
        return await self.session.aks_kubeconfig(wanted.resource_group, wanted.name)

    async def facts(self, settings: Settings, cluster: JSON | None) -> Facts:
        """UsageError for an unknown resource group."""
        node_group = self.place(cluster) or None
        group = settings.aci_resource_group or node_group
        location = await self._location(group) if group else None
        tenant: str | None = None
        regions = frozenset(await self.session.locations())
        if not settings.tenant:
            subscription = await self.session.arm("GET", self.session.subscription, _SUBSCRIPTIONS_API)
            tenant = subscription.get("tenantId")
        return Facts(
            subscription=self.session.subscription.rpartition("/")[2],
            node_resource_group=node_group,
            resource_group_location=location,
            regions=regions,
            tenant=tenant,
        )

    async def _location(self, group: str) -> str:
        from vnodectl.clouds.azure import AzureNotFound

        try:
            return str((await self.session.resource_group(group)).get("location") or "")
        except AzureNotFound as error:
            raise UsageError(
                f"no resource group {group!r}: {error.message}",
                hint=f"create it: az group create -n {group} -l <region>",
            ) from error

    def place(self, cluster: JSON | None) -> str:
        """The cluster's node resource group."""
        return str(((cluster or {}).get("properties") or {}).get("nodeResourceGroup") or "")

    async def groups(self, place: str, connector: Connector, owner: str) -> list[Group]:
        return await self._where(place, lambda group: owned(group, connector, owner))

    async def orphans(
        self, place: str, name: str, os_types: Sequence[str], region: str | None, owner: str
    ) -> list[Group]:
        from vnodectl.clouds.azure import tags

        def wanted(group: JSON) -> bool:
            release, _, cluster = str((group.get("tags") or {}).get(tags.CONNECTOR) or "").partition(".")
            regions = {region_in_release(release, name, os_type) for os_type in os_types} - {None}
            return cluster == owner and bool(regions) and (region is None or region in regions)

        return await self._where(place, wanted)

    async def _where(self, resource_group: str, wanted: Callable[[JSON], bool]) -> list[Group]:
        from vnodectl.clouds.azure import AzureNotFound

        try:
            found = await self.session.container_groups(resource_group)
        except AzureNotFound:
            return []
        return [Group(str(one["name"]), str(one["id"])) for one in found if wanted(one)]

    async def delete(self, group: Group) -> None:
        from vnodectl.clouds.azure import AzureNotFound
        from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API

        try:
            await self.session.arm("DELETE", group.id, CONTAINER_INSTANCE_API)
        except AzureNotFound:
            return


def owned(group: JSON, connector: Connector, owner: str) -> bool:
    """Whether a group (ARM JSON) says that it is this connector's, in this cluster, on whichever of its
    nodes."""
    from vnodectl.clouds.azure import tags
    from vnodectl.clouds.ownership import scoped

    found = group.get("tags") or {}
    return found.get(tags.CONNECTOR) == scoped(connector.release, owner) and connector.owns(
        str(found.get(tags.NODE))
    )
