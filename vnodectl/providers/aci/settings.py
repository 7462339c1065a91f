"""Where a connector puts its container groups, and what it may spend on looking at them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.clouds.azure.tags import Owner
from vnodectl.errors import UsageError


@dataclass(frozen=True, slots=True)
class AciSettings:
    """`region` as in `eastus`; `subnet_id` is the ARM id of a subnet delegated to container groups, or "".

    `cluster_dns` is the cluster's DNS service address, reachable only from a subnet. Without a subnet a
    group gets a public address when one of its containers names a port, unless `public_ip` is false.
    """

    resource_group: str
    region: str
    subnet_id: str = ""
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"
    public_ip: bool = True
    gpu_sku: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> AciSettings:
        """From VNODECTL_ACI_* and VNODECTL_CLUSTER_*. Raises `UsageError` for what is missing or wrong."""
        env = os.environ if environ is None else environ
        for name in ("VNODECTL_ACI_RESOURCE_GROUP", "VNODECTL_ACI_REGION"):
            if not env.get(name):
                raise UsageError(
                    f"{name} is not set", hint="the chart sets it from azure.resourceGroup and azure.region"
                )
        public = env.get("VNODECTL_ACI_PUBLIC_IP", "true").lower()
        if public not in {"true", "false"}:
            raise UsageError(f"VNODECTL_ACI_PUBLIC_IP must be true or false, not {public!r}")
        return cls(
            resource_group=env["VNODECTL_ACI_RESOURCE_GROUP"],
            region=env["VNODECTL_ACI_REGION"].replace(" ", "").lower(),
            subnet_id=env.get("VNODECTL_ACI_SUBNET_ID", ""),
            cluster_dns=env.get("VNODECTL_CLUSTER_DNS", ""),
            cluster_domain=env.get("VNODECTL_CLUSTER_DOMAIN", "cluster.local"),
            public_ip=public == "true",
            gpu_sku=env.get("VNODECTL_ACI_GPU_SKU", ""),
        )


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
    rest, whatever their number. Below `reserve` remaining reads the rates fall to a quarter.
    """

    urgent_rate: float = 10.0
    steady_rate: float = 2.0
    burst: int = 30
    reserve: int = 60
    concurrency: int = 8
    list_interval: float = 30.0
    settling_interval: float = 2.0
    finishing_interval: float = 15.0
    steady_interval: float = 60.0
