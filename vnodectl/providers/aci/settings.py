"""Where a connector puts its container groups, and what it may spend on looking at them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from vnodectl.clouds.azure.tags import Owner
from vnodectl.errors import UsageError
from vnodectl.providers.aci.annotations import parse_tags


@dataclass(frozen=True, slots=True)
class LogAnalytics:
    """The workspace that containers' output and events go to."""

    workspace_id: str
    workspace_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KubeProxy:
    """What ACI's kube-proxy side-car needs; `kubeconfig` is a document, with the token of this moment."""

    kubeconfig: str = field(repr=False)
    cluster_cidr: str
    version: str = "v1.9.10"
    """The only one that the service is known to take (azure-aci 1.6)."""


@dataclass(frozen=True, slots=True)
class AciSettings:
    """`region` as in `eastus`; `subnet_id` is the ARM id of a subnet delegated to container groups, or "".

    `cluster_dns` is the cluster's DNS service address, reachable only from a subnet. Without a subnet a
    group gets a public address when one of its containers names a port, unless `public_ip` is false.

    A node offers `gpus` GPUs where `gpu_sku` names their model. `zone`, `tags`, `identities` (resource IDs,
    or "system") and `registry_identity` are what pods get that do not say otherwise. `direct_probes`: the
    connector reaches pods in subnets, and probes them itself.
    `cluster_cidr`: pods in subnets get a kube-proxy side-car, and this is the cluster's pod network;
    `kube_proxy_account` is a directory with the `token` and `ca.crt` of the side-cars' service account.
    `api_server` is the API server's URL as pods reach it. `creates` and `deletes` are how many ACI allows
    an hour (300 each unless raised); a third of that may come within five minutes. `insecure_registries` are
    hosts that are asked about images by plain HTTP.
    """

    resource_group: str
    region: str
    subnet_id: str = ""
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"
    public_ip: bool = True
    gpu_sku: str = ""
    gpus: int = 100
    zone: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    registry_identity: str = ""
    log_analytics: LogAnalytics | None = None
    direct_probes: bool = True
    cluster_cidr: str = ""
    kube_proxy_account: str = ""
    api_server: str = ""
    creates: int = 300
    deletes: int = 300
    insecure_registries: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> AciSettings:
        """From VNODECTL_ACI_* and VNODECTL_CLUSTER_*. Raises `UsageError` for what is missing or wrong."""
        env = os.environ if environ is None else environ
        for name in ("VNODECTL_ACI_RESOURCE_GROUP", "VNODECTL_ACI_REGION"):
            if not env.get(name):
                raise UsageError(
                    f"{name} is not set", hint="the chart sets it from azure.resourceGroup and azure.region"
                )
        try:
            tags = parse_tags(env.get("VNODECTL_ACI_TAGS", ""))
        except ValueError as error:
            raise UsageError(f"VNODECTL_ACI_TAGS: {error}") from None
        workspace = env.get("VNODECTL_ACI_LOG_ANALYTICS_ID", "")
        key = env.get("VNODECTL_ACI_LOG_ANALYTICS_KEY", "")
        if bool(workspace) != bool(key):
            raise UsageError(
                "VNODECTL_ACI_LOG_ANALYTICS_ID and VNODECTL_ACI_LOG_ANALYTICS_KEY are needed together"
            )
        return cls(
            resource_group=env["VNODECTL_ACI_RESOURCE_GROUP"],
            region=env["VNODECTL_ACI_REGION"].replace(" ", "").lower(),
            subnet_id=env.get("VNODECTL_ACI_SUBNET_ID", ""),
            cluster_dns=env.get("VNODECTL_CLUSTER_DNS", ""),
            cluster_domain=env.get("VNODECTL_CLUSTER_DOMAIN", "cluster.local"),
            public_ip=_yes(env, "VNODECTL_ACI_PUBLIC_IP", default=True),
            gpu_sku=env.get("VNODECTL_ACI_GPU_SKU", ""),
            gpus=_number(env, "VNODECTL_ACI_GPUS", 100),
            zone=env.get("VNODECTL_ACI_ZONE", ""),
            tags=tags,
            identities=tuple(_words(env, "VNODECTL_ACI_IDENTITIES")),
            registry_identity=env.get("VNODECTL_ACI_REGISTRY_IDENTITY", ""),
            log_analytics=LogAnalytics(workspace, key) if workspace else None,
            direct_probes=_yes(env, "VNODECTL_ACI_DIRECT_PROBES", default=True),
            cluster_cidr=env.get("VNODECTL_ACI_KUBE_PROXY_CIDR", ""),
            kube_proxy_account=env.get("VNODECTL_ACI_KUBE_PROXY_ACCOUNT", ""),
            api_server=env.get("VNODECTL_API_SERVER", ""),
            creates=_number(env, "VNODECTL_ACI_CREATES_PER_HOUR", 300),
            deletes=_number(env, "VNODECTL_ACI_DELETES_PER_HOUR", 300),
            insecure_registries=frozenset(_words(env, "VNODECTL_INSECURE_REGISTRIES")),
        )


def _words(env: Mapping[str, str], name: str) -> list[str]:
    return [one.strip() for one in env.get(name, "").replace(";", ",").split(",") if one.strip()]


def _yes(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = (env.get(name) or str(default)).lower()
    if value not in {"true", "false"}:
        raise UsageError(f"{name} must be true or false, not {value!r}")
    return value == "true"


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdigit() or int(value) < 1:
        raise UsageError(f"{name} must be a number above 0, not {value!r}")
    return int(value)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The virtual node a group is for. `os_type` is Linux or Windows."""

    node: str
    connector: str
    os_type: str = "Linux"

    @property
    def owner(self) -> Owner:
        return Owner(self.node, self.connector)

    @property
    def windows(self) -> bool:
        return self.os_type == "Windows"


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """What observation may spend of ARM's 250 reads + 25 per second (per subscription and principal).

    Rates in reads per second, intervals in seconds. `urgent_rate` bounds GETs of groups that are being
    created, started or deleted, or that changed a moment ago; `steady_rate` bounds the rotation over the
    rest, whatever their number, `stats_rate` those of usage where it has to be read group by group. While
    more than a `crowd` of groups are urgent, lists come every `crowd_list_interval` and say who of them is
    worth a GET. Below `reserve` remaining reads the rates fall in proportion.
    """

    urgent_rate: float = 10.0
    steady_rate: float = 2.0
    stats_rate: float = 1.0
    burst: int = 30
    reserve: int = 100
    concurrency: int = 8
    list_interval: float = 30.0
    crowd: int = 20
    crowd_list_interval: float = 5.0
    settling_interval: float = 2.0
    finishing_interval: float = 15.0
    steady_interval: float = 60.0
