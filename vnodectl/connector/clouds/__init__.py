"""What differs between the clouds in a connector's life, and the one place that chooses.

A `Cloud` is pure: it reads settings and makes the cloud's part of a plan. An `Account` is somebody signed
in: it looks up what only the cloud knows, and finds what a connector left there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from vnodectl.connector.clouds.alibaba import ALIBABA
from vnodectl.connector.clouds.azure import AZURE
from vnodectl.connector.clouds.facts import Facts, Group
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from vnodectl.connector.clouds.alibaba import AlibabaTarget
    from vnodectl.connector.clouds.azure import AzureTarget
    from vnodectl.connector.identity import Identity
    from vnodectl.connector.names import Connector

JSON = dict[str, Any]

__all__ = ["CLOUDS", "Account", "Cloud", "Facts", "Group", "cloud_of"]


class Cloud(Protocol):
    """One cloud's rules. They raise UsageError and nothing else, and ask nobody."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For people."""

    @property
    def connector_name(self) -> str: ...

    @property
    def namespace(self) -> str:
        """Where connectors live that are not told otherwise."""

    @property
    def webhook(self) -> bool:
        """Whether pods are sent to the node by labels unless somebody says otherwise."""

    def os_types(self, text: str) -> tuple[str, ...]: ...

    def region(self, settings: Settings) -> str | None:
        """The region to install in, as far as settings say; None where none was named."""

    def named_region(self, settings: Settings) -> str | None:
        """The region of the connector that is meant; None for one wherever it is found."""

    def names_cluster(self, settings: Settings) -> bool:
        """Whether a cluster is named that this cloud can give credentials for."""

    def connector(self, settings: Settings, os_type: str, region: str, nodes: int) -> Connector: ...

    def identity(self, settings: Settings, facts: Facts) -> Identity: ...

    def precheck(self, settings: Settings) -> None:
        """Whatever is wrong whatever the cloud says."""

    def target(self, settings: Settings, facts: Facts, who: Identity) -> AzureTarget | AlibabaTarget: ...


class Account(Protocol):
    """Somebody who is signed in to a cloud."""

    @property
    def cloud(self) -> Cloud: ...

    async def cluster(self, settings: Settings) -> JSON:
        """The cluster that the settings name, as the cloud describes it. UsageError for an unknown one."""

    async def kubeconfig(self, settings: Settings) -> bytes: ...

    async def facts(self, settings: Settings, cluster: JSON | None) -> Facts: ...

    def place(self, cluster: JSON | None) -> str:
        """Where a connector of this cluster makes its groups if nobody says otherwise; "" for no idea."""

    async def groups(self, place: str, connector: Connector, owner: str) -> list[Group]:
        """The connector's container groups. `place` is what the connector's Deployment says of it."""

    async def orphans(
        self, place: str, name: str, os_types: Sequence[str], region: str | None, owner: str
    ) -> list[Group]:
        """Groups of any connector of this name, for these OS types, in the region or in all."""

    async def delete(self, group: Group) -> None:
        """Ask for a group's end. One that is gone already is fine."""


CLOUDS: Mapping[str, Cloud] = {cloud.name: cloud for cloud in (AZURE, ALIBABA)}


def cloud_of(settings: Settings) -> Cloud:
    """The cloud that was asked for; Azure where nobody did."""
    name = (settings.cloud or AZURE.name).lower()
    if name not in CLOUDS:
        raise UsageError(f"unknown cloud {settings.cloud!r}", hint=f"use --cloud {' or '.join(CLOUDS)}")
    return CLOUDS[name]
