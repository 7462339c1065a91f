"""What a connector's life asks of Alibaba Cloud."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vnodectl.connector.clouds.alibaba import ALIBABA
from vnodectl.connector.clouds.facts import Facts, Group
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from vnodectl.clouds.alibaba import AlibabaSession, AlibabaSettings
    from vnodectl.connector.clouds import Cloud

JSON = dict[str, Any]

_KUBECONFIG_MINUTES = 60
"""How long the kubeconfig of a run is good for; CS gives none for less than 15 minutes."""


class AlibabaAccount:
    """A signed-in account; a connector's place in it is a region. Use as an async context manager.

    `settings.region` is the region of this run; groups may be in others, where a connector says so.
    """

    def __init__(self, settings: AlibabaSettings) -> None:
        self._settings = settings
        self._sessions: dict[str, AlibabaSession] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AlibabaAccount:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def cloud(self) -> Cloud:
        return ALIBABA

    async def session(self, region: str = "") -> AlibabaSession:
        """The session of a region, opened when it is first wanted. "" for this run's."""
        from vnodectl.clouds import alibaba

        wanted = region or self._settings.region
        if wanted not in self._sessions:
            session = alibaba.AlibabaSession(replace(self._settings, region=wanted))
            self._sessions[wanted] = await self._stack.enter_async_context(session)
        return self._sessions[wanted]

    async def cluster(self, settings: Settings) -> JSON:
        from vnodectl.clouds.alibaba import AlibabaNotFound

        wanted = settings.cluster_id or ""
        try:
            return await (await self.session()).cluster(wanted)
        except AlibabaNotFound as error:
            raise UsageError(
                f"no ACK cluster {wanted!r}: {error.message}",
                hint="list clusters and their ids: aliyun cs DescribeClustersV1",
            ) from error

    async def kubeconfig(self, settings: Settings) -> bytes:
        """A temporary one: nothing that outlives the run for long."""
        session = await self.session()
        return await session.cluster_kubeconfig(settings.cluster_id or "", minutes=_KUBECONFIG_MINUTES)

    async def facts(self, settings: Settings, cluster: JSON | None) -> Facts:
        from vnodectl.clouds.alibaba import AlibabaForbidden

        described = cluster or {}
        region = str(described.get("region_id") or self._settings.region)
        try:
            listed = await (await self.session(region)).regions() if region else []
        except AlibabaForbidden:
            listed = []  # whoever may not ask takes the user's word
        return Facts(
            regions=frozenset(str(one["RegionId"]) for one in listed) or None,
            cluster_region=region,
            vswitches=tuple(map(str, described.get("vswitch_ids") or ())),
            security_group=str(described.get("security_group_id") or ""),
            oidc_provider=str((described.get("rrsa_config") or {}).get("oidc_arn") or ""),
        )

    def place(self, cluster: JSON | None) -> str:
        """The cluster's region, else this run's."""
        return str((cluster or {}).get("region_id") or self._settings.region)

    async def groups(self, place: str, connector: Connector, owner: str) -> list[Group]:
        return await self._tagged(place, connector.release, owner)

    async def orphans(
        self, place: str, name: str, os_types: Sequence[str], region: str | None, owner: str
    ) -> list[Group]:
        """Those of the releases that a connector of this name has in the region."""
        where = region or place
        releases = [Connector(name, os_type, where).release for os_type in os_types]
        return [group for release in releases for group in await self._tagged(where, release, owner)]

    async def _tagged(self, region: str, release: str, owner: str) -> list[Group]:
        from vnodectl.clouds.alibaba import tags
        from vnodectl.clouds.ownership import scoped

        session = await self.session(region)
        found = await session.tagged_groups({tags.CONNECTOR: scoped(release, owner)})
        return [
            Group(str(one["ContainerGroupName"]), f"{session.region}/{one['ContainerGroupId']}")
            for one in found
        ]

    async def delete(self, group: Group) -> None:
        from vnodectl.clouds.alibaba import AlibabaNotFound
        from vnodectl.clouds.alibaba.session import ECI_API

        region, _, name = group.id.partition("/")
        session = await self.session(region)
        try:
            params = {"ContainerGroupId": name}
            await session.call("eci", "DeleteContainerGroup", ECI_API, params, retries=False)
        except AlibabaNotFound:
            return
