"""From the user's settings to a frozen plan. Nothing here reads a file or the network.

`precheck` refuses what is wrong in itself; `make_plan` adds what the cloud and the cluster know. What
differs between clouds is in `clouds`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vnodectl.connector import names
from vnodectl.connector.clouds import Cloud, cloud_of
from vnodectl.connector.clouds.alibaba import AlibabaTarget
from vnodectl.connector.clouds.azure import AksCluster, AzureTarget, aks_cluster
from vnodectl.connector.clouds.facts import Facts
from vnodectl.connector.identity import Identity
from vnodectl.connector.image import Image, image
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

__all__ = [
    "DEFAULT_NAMESPACE",
    "DEFAULT_TIMEOUT",
    "AksCluster",
    "AlibabaTarget",
    "AzureTarget",
    "Facts",
    "Plan",
    "aks_cluster",
    "make_plan",
    "precheck",
    "seconds",
]

DEFAULT_NAMESPACE = "vnode-system"
"""Azure's: see `Cloud.namespace`."""

DEFAULT_TIMEOUT = 300.0
"""Seconds."""

_SOME_REGION = "eastus"
"""Stands in for a region that is not known yet: none is shorter, so what is too long with it always is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an installation needs to know, decided. `timeout` in seconds, per connector.

    Exactly one of `azure` and `alibaba` is there, as `cloud` says. `replicas` are pods that share a
    connector's nodes. `webhook`: whether labels send pods to the nodes. `drain` and `force` say what
    becomes of pods on nodes that an upgrade to fewer nodes takes away; with neither, they stop it.
    """

    cloud: str
    connector_name: str
    namespace: str
    connectors: tuple[Connector, ...]
    identity: Identity
    azure: AzureTarget | None = None
    alibaba: AlibabaTarget | None = None
    image: Image = field(default_factory=Image)
    chart: str = ""
    api_server: str = ""
    cluster: AksCluster | None = None
    timeout: float = DEFAULT_TIMEOUT
    replicas: int = 1
    webhook: bool = False
    drain: bool = False
    force: bool = False

    @property
    def target(self) -> AzureTarget | AlibabaTarget:
        """Where container groups are made, in whichever cloud."""
        found = self.azure or self.alibaba
        if found is None:
            raise UsageError("a plan without a cloud")
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        return tuple(self.identity.secrets.values())


def precheck(settings: Settings) -> None:
    """Refuse (UsageError) whatever is wrong whatever the cloud says, before anybody is asked anything."""
    cloud = cloud_of(settings)
    os_types = cloud.os_types(settings.os_type or "Linux")
    names.namespace_name(settings.namespace or cloud.namespace)
    region = cloud.region(settings) or _SOME_REGION
    nodes = _nodes(settings)
    for os_type in os_types:
        cloud.connector(settings, os_type, region, nodes)
    _replicas(settings)
    _webhook(settings, cloud)
    cloud.precheck(settings)
    image(settings)
    seconds(settings.timeout)


def make_plan(settings: Settings, facts: Facts) -> Plan:
    """The plan. UsageError where something is missing or wrong; nothing has been changed by then."""
    precheck(settings)
    cloud = cloud_of(settings)
    who = cloud.identity(settings, facts)
    target = cloud.target(settings, facts, who)
    connectors = tuple(
        cloud.connector(settings, os_type, target.region, _nodes(settings))
        for os_type in cloud.os_types(settings.os_type or "Linux")
    )
    return Plan(
        cloud=cloud.name,
        connector_name=connectors[0].name,
        namespace=names.namespace_name(settings.namespace or cloud.namespace),
        connectors=connectors,
        identity=who,
        azure=target if isinstance(target, AzureTarget) else None,
        alibaba=target if isinstance(target, AlibabaTarget) else None,
        image=image(settings),
        chart=settings.chart_url or "",
        api_server=facts.api_server or "",
        cluster=aks_cluster(settings),
        timeout=seconds(settings.timeout),
        replicas=_replicas(settings),
        webhook=_webhook(settings, cloud),
    )


def _nodes(settings: Settings) -> int:
    return names.count(settings.nodes, "--nodes", names.NODES_MAX)


def _replicas(settings: Settings) -> int:
    return names.count(settings.replicas, "--replicas", names.REPLICAS_MAX)


def _webhook(settings: Settings, cloud: Cloud) -> bool:
    said = (settings.webhook or "").lower()
    if said not in ("", "true", "false"):
        raise UsageError(f"bad webhook {settings.webhook!r}", hint="use true or false")
    return said == "true" if said else cloud.webhook


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float:
    """`90`, `90s`, `5m` or `1h` in seconds; the default for None. UsageError otherwise."""
    if text is None:
        return DEFAULT_TIMEOUT
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isdigit() or not int(number):
        raise UsageError(f"bad timeout {text!r}", hint="write it as 300, 300s or 5m")
    return int(number) * _UNITS[unit]
