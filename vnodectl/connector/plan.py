"""From the user's settings to a frozen plan. Nothing here reads a file or the network.

`precheck` refuses what is wrong in itself; `make_plan` adds what the cloud and the cluster know.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from vnodectl.connector import names
from vnodectl.connector.identity import Identity, ManagedIdentity, ServicePrincipal, identity
from vnodectl.connector.image import Image, image
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError
from vnodectl.settings import DEFAULT_CONNECTOR_NAME

DEFAULT_NAMESPACE = "vnode-system"
"""A namespace of its own: install creates it with restricted pod security, removal deletes it again."""

DEFAULT_TIMEOUT = 300.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the cloud and the cluster know. None: not asked, or there was nobody to ask.

    `regions` are names such as `eastus`; `api_server` is the URL that pods on the virtual node can reach;
    `ca_bundle` is PEM text.
    """

    node_resource_group: str | None = None
    resource_group_location: str | None = None
    regions: frozenset[str] | None = None
    tenant: str | None = None
    api_server: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class AzureTarget:
    """Where container groups are made. `ca_bundle` is PEM text trusted besides the system's roots."""

    subscription_id: str
    tenant_id: str
    resource_group: str
    region: str
    subnet_id: str = ""
    arm_endpoint: str = ""
    authority_host: str = ""
    ca_bundle: str = ""


@dataclass(frozen=True, slots=True)
class AksCluster:
    """An AKS cluster by name."""

    resource_group: str
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an installation needs to know, decided. `timeout` in seconds, per connector.

    `replicas` are pods that share a connector's nodes. `drain` and `force` say what becomes of pods on
    nodes that an upgrade to fewer nodes takes away; with neither, they stop it.
    """

    cloud: str
    connector_name: str
    namespace: str
    connectors: tuple[Connector, ...]
    azure: AzureTarget
    identity: Identity
    image: Image = field(default_factory=Image)
    chart: str = ""
    api_server: str = ""
    cluster: AksCluster | None = None
    timeout: float = DEFAULT_TIMEOUT
    replicas: int = 1
    drain: bool = False
    force: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        return (self.identity.client_secret,) if isinstance(self.identity, ServicePrincipal) else ()


def precheck(settings: Settings) -> None:
    """Refuse (UsageError) whatever is wrong whatever the cloud says, before anybody is asked anything."""
    _cloud(settings)
    os_types = names.os_types(settings.os_type or "Linux")
    name = names.connector_name(settings.connector_name or DEFAULT_CONNECTOR_NAME)
    names.namespace_name(settings.namespace or DEFAULT_NAMESPACE)
    # Without a region the shortest one that exists stands in: what is too long with it always is.
    region = names.azure_region(settings.location) if settings.location else "eastus"
    nodes = _nodes(settings)
    for os_type in os_types:
        names.connector(name, os_type, region, nodes)
    _replicas(settings)
    identity(settings)
    image(settings)
    aks_cluster(settings)
    seconds(settings.timeout)


def make_plan(settings: Settings, facts: Facts) -> Plan:
    """The plan. UsageError where something is missing or wrong; nothing has been changed by then."""
    precheck(settings)
    resource_group = settings.aci_resource_group or facts.node_resource_group
    if not resource_group:
        raise UsageError(
            "no resource group for the container groups",
            hint="name it with --aci-resource-group, or the AKS cluster with -g and -n",
        )
    region = _region(settings, facts)
    chosen = identity(settings)
    subscription, tenant = settings.subscription, settings.tenant or facts.tenant
    if not subscription:
        raise UsageError(
            "no Azure subscription", hint="give --subscription or AZURE_SUBSCRIPTION_ID (az account show)"
        )
    if not tenant and not isinstance(chosen, ManagedIdentity):
        raise UsageError("no Azure tenant", hint="give --tenant or AZURE_TENANT_ID (az account show)")
    name = names.connector_name(settings.connector_name or DEFAULT_CONNECTOR_NAME)
    return Plan(
        cloud=_cloud(settings),
        connector_name=name,
        namespace=names.namespace_name(settings.namespace or DEFAULT_NAMESPACE),
        connectors=tuple(
            names.connector(name, os_type, region, _nodes(settings))
            for os_type in names.os_types(settings.os_type or "Linux")
        ),
        azure=AzureTarget(
            subscription_id=subscription,
            tenant_id=tenant or "",
            resource_group=resource_group,
            region=region,
            subnet_id=settings.subnet_id or "",
            arm_endpoint=settings.arm_endpoint or "",
            authority_host=settings.authority_host or "",
            ca_bundle=facts.ca_bundle or "",
        ),
        identity=chosen,
        image=image(settings),
        chart=settings.chart_url or "",
        api_server=facts.api_server or "",
        cluster=aks_cluster(settings),
        timeout=seconds(settings.timeout),
        replicas=_replicas(settings),
    )


def _nodes(settings: Settings) -> int:
    return names.count(settings.nodes, "--nodes", names.NODES_MAX)


def _replicas(settings: Settings) -> int:
    return names.count(settings.replicas, "--replicas", names.REPLICAS_MAX)


def _cloud(settings: Settings) -> str:
    cloud = (settings.cloud or "azure").lower()
    if cloud == "alibaba":
        raise UsageError("this version installs connectors for Azure only", hint="use --cloud azure")
    if cloud != "azure":
        raise UsageError(f"unknown cloud {settings.cloud!r}", hint="use --cloud azure")
    return cloud


def _region(settings: Settings, facts: Facts) -> str:
    found = settings.location or facts.resource_group_location
    if not found:
        raise UsageError(
            "no region: the location of the resource group is not known here",
            hint="name it with -l/--location, or give Azure credentials so that it can be looked up",
        )
    region = names.azure_region(found)
    if facts.regions is not None and region not in facts.regions:
        close = difflib.get_close_matches(region, facts.regions, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"unknown region {found!r}", hint=f"{hint}list them: az account list-locations --query [].name"
        )
    return region


def aks_cluster(settings: Settings) -> AksCluster | None:
    """The AKS cluster of -g and -n; None where neither is given. UsageError for one without the other."""
    group, name = settings.resource_group, settings.cluster_name
    if group and name:
        return AksCluster(group, name)
    if group or name:
        given, missing = ("-g", "-n") if group else ("-n", "-g")
        raise UsageError(
            f"{given} without {missing}",
            hint="give both to install into that AKS cluster, or neither to use the current context",
        )
    return None


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float:
    """`90`, `90s`, `5m` or `1h` in seconds; the default for None. UsageError otherwise."""
    if text is None:
        return DEFAULT_TIMEOUT
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isdigit() or not int(number):
        raise UsageError(f"bad timeout {text!r}", hint="write it as 300, 300s or 5m")
    return int(number) * _UNITS[unit]
