"""Container Service 2015-12-15, read only: clusters of ACK, their kubeconfigs and add-ons. ROA style."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vnodectl.emulator.alibaba.calls import CS, Call, Handler, Operation, numbered_page
from vnodectl.emulator.alibaba.config import Addon, Cluster
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

_CREATED = "2026-01-01T00:00:00+08:00"
_LONGEST_MINUTES = 3 * 24 * 60
_SHORTEST_MINUTES = 15
_KUBECONFIG_YEARS = 3 * 365 * 86400


class Clusters:
    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> list[Operation]:
        def operation(name: str, path: str, handler: Handler, note: str = "") -> Operation:
            return Operation(CS, name, handler, ("GET",), path, note=note)

        one = "/clusters/{clusterId}"
        return [
            operation("DescribeClustersV1", "/api/v1/clusters", self.list),
            operation("DescribeClusterDetail", one, self.detail),
            operation(
                "DescribeClusterUserKubeconfig",
                "/k8s/{clusterId}/user_config",
                self.kubeconfig,
                "the file that the seed names",
            ),
            operation("DescribeClusterAddonsVersion", f"{one}/components/version", self.addon_versions),
            operation("ListClusterAddonInstances", f"{one}/addon_instances", self.addons),
            operation("GetClusterAddonInstance", f"{one}/addon_instances/{{name}}", self.addon),
        ]

    async def list(self, call: Call) -> JSON:
        params = call.params
        found = [
            self._render(cluster)
            for cluster in self._world.clusters.values()
            if params.text("name") in ("", cluster.name)
            and params.text("cluster_id") in ("", cluster.id)
            and params.text("region_id") in ("", cluster.region)
        ]
        renamed = {"PageNumber": params.text("page_number"), "PageSize": params.text("page_size")}
        chosen, page = numbered_page(Params(renamed), found)
        return {
            "clusters": chosen,
            "page_info": {
                "page_number": page["PageNumber"],
                "page_size": page["PageSize"],
                "total_count": page["TotalCount"],
            },
        }

    async def detail(self, call: Call) -> JSON:
        return self._render(self._find(call))

    async def kubeconfig(self, call: Call) -> JSON:
        cluster = self._find(call)
        minutes = call.params.integer(
            "TemporaryDurationMinutes", 0, least=_SHORTEST_MINUTES, most=_LONGEST_MINUTES
        )
        try:
            content = Path(cluster.kubeconfig).read_text() if cluster.kubeconfig else ""
        except OSError:
            content = ""
        if not content:
            raise ApiError(
                400,
                "ErrorGetClusterUserConfig",
                "The kubeconfig of this emulated cluster is not there: its seed names none that can be read.",
            )
        expires = self._world.clock.now() + (minutes * 60 or _KUBECONFIG_YEARS)
        stamp = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"config": content, "expiration": stamp}

    async def addon_versions(self, call: Call) -> JSON:
        return {
            name: {
                "component_name": name,
                "version": one.version,
                "next_version": one.version,
                "can_upgrade": False,
                "exist": True,
                "required": False,
            }
            for name, one in self._find(call).addons.items()
        }

    async def addons(self, call: Call) -> JSON:
        return {"addons": [_addon(name, one) for name, one in self._find(call).addons.items()]}

    async def addon(self, call: Call) -> JSON:
        cluster, name = self._find(call), call.path["name"]
        if name not in cluster.addons:
            raise ApiError(404, "AddonNotFound", f"addon {name} is not installed")
        found = cluster.addons[name]
        return _addon(name, found) | {"config": found.config}

    def _find(self, call: Call) -> Cluster:
        identity = call.path["clusterId"]
        cluster = self._world.clusters.get(identity)
        if cluster is None:
            raise ApiError(404, "ErrorClusterNotFound", f"cluster not found: {identity}")
        return cluster

    def _render(self, cluster: Cluster) -> JSON:
        world = self._world
        zone = next(
            (world.vswitches[one].zone for one in cluster.vswitches if one in world.vswitches),
            "",
        )
        body: JSON = {
            "cluster_id": cluster.id,
            "name": cluster.name,
            "region_id": cluster.region,
            "zone_id": zone,
            "state": cluster.state,
            "cluster_type": "ManagedKubernetes",
            "cluster_spec": "ack.pro.small",
            "profile": "Default",
            "current_version": cluster.version,
            "init_version": cluster.version,
            "vpc_id": cluster.vpc,
            "vswitch_id": ",".join(cluster.vswitches),
            "vswitch_ids": list(cluster.vswitches),
            "security_group_id": cluster.security_group,
            "cluster_domain": "cluster.local",
            "service_cidr": "10.96.0.0/16",
            "container_cidr": "",
            "network_mode": "vpc",
            "proxy_mode": "ipvs",
            "deletion_protection": False,
            "size": 1,
            "created": _CREATED,
            "updated": _CREATED,
            "tags": [],
            "meta_data": json.dumps(
                {
                    "Addons": [{"name": name} for name in (cluster.network, *cluster.addons)],
                    "Capabilities": {"Network": cluster.network},
                }
            ),
            "master_url": "",
            "rrsa_config": self._rrsa(cluster),
        }
        return laid_over(body, cluster.properties)

    def _rrsa(self, cluster: Cluster) -> JSON:
        provider = self._world.oidc_providers.get(cluster.rrsa_provider)
        if provider is None:
            return {"enabled": False}
        return {
            "enabled": True,
            "issuer": provider.issuer,
            "audience": ",".join(provider.client_ids),
            "oidc_name": provider.name,
            "oidc_arn": f"acs:ram::{self._world.account}:oidc-provider/{provider.name}",
        }


def _addon(name: str, one: Addon) -> JSON:
    return {"name": name, "version": one.version, "state": one.state}


def laid_over(base: JSON, over: Mapping[str, Any]) -> JSON:
    """Objects are merged, everything else is replaced."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, dict) and isinstance(value, Mapping)
        merged[name] = laid_over(below, value) if both and below is not None else value
    return merged
