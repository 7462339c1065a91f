"""Microsoft.ContainerService: seeded managed clusters, their agent pools and credentials; read only.

A kubeconfig is read from the file that the seed names at each request, so that it may appear or change
while the emulator runs.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page
from vnodectl.emulator.azure.config import SeededCluster
from vnodectl.emulator.azure.errors import ArmError, bad_request, resource_not_found
from vnodectl.emulator.azure.shapes import laid_over, resource_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

KIND = "Microsoft.ContainerService/managedClusters"
VERSIONS = tuple(
    f"{year}-{month:02}-{day:02}{suffix}"
    for year in range(2026, 2019, -1)
    for month in range(12, 0, -1)
    for day, suffix in ((1, ""), (2, "-preview"))
)
"""AKS publishes about one stable and one preview version a month; all of these shapes are accepted."""

_ALL = "/subscriptions/{subscriptionId}/providers/" + KIND
_IN_GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/" + KIND
_ONE = _IN_GROUP + "/{resourceName}"


class ManagedClusters:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[ArmRoute]:
        return [
            Route("GET", _ALL, "ManagedClusters_List", self.list_all, VERSIONS),
            Route("GET", _IN_GROUP, "ManagedClusters_ListByResourceGroup", self.list_in_group, VERSIONS),
            Route("GET", _ONE, "ManagedClusters_Get", self.get, VERSIONS),
            Route("GET", _ONE + "/agentPools", "AgentPools_List", self.list_pools, VERSIONS),
            Route("GET", _ONE + "/agentPools/{agentPoolName}", "AgentPools_Get", self.get_pool, VERSIONS),
            Route(
                "POST",
                _ONE + "/listClusterUserCredential",
                "ManagedClusters_ListClusterUserCredentials",
                self.user_credential,
                VERSIONS,
            ),
            Route(
                "POST",
                _ONE + "/listClusterAdminCredential",
                "ManagedClusters_ListClusterAdminCredentials",
                self.admin_credential,
                VERSIONS,
            ),
        ]

    async def list_all(self, call: Call) -> Answer:
        return self._list(call, "")

    async def list_in_group(self, call: Call) -> Answer:
        return self._list(call, self._world.resource_group(call.params["resourceGroupName"]).name)

    async def get(self, call: Call) -> Answer:
        return Answer(200, self._render(self._find(call)))

    async def list_pools(self, call: Call) -> Answer:
        return Answer(200, {"value": self._pools(self._find(call))})

    async def get_pool(self, call: Call) -> Answer:
        cluster, name = self._find(call), call.params["agentPoolName"]
        for pool in self._pools(cluster):
            if pool["name"].casefold() == name.casefold():
                return Answer(200, pool)
        raise resource_not_found(f"{KIND}/{cluster.name}/agentPools", name, cluster.resource_group)

    async def user_credential(self, call: Call) -> Answer:
        cluster = self._find(call)
        return Answer(200, _credential("clusterUser", cluster.kubeconfig))

    async def admin_credential(self, call: Call) -> Answer:
        cluster = self._find(call)
        if cluster.properties.get("disableLocalAccounts"):
            raise bad_request(
                "BadRequest",
                "Getting static credential is not allowed because this cluster is set to disable local "
                "accounts.",
            )
        return Answer(200, _credential("clusterAdmin", cluster.admin_kubeconfig))

    def resources(self, group: str = "") -> Iterator[JSON]:
        for cluster in self._clusters(group):
            shown = self._render(cluster)
            yield {name: shown[name] for name in ("id", "name", "type", "location", "tags")}

    async def remove_all(self, group: str) -> None:
        for cluster in self._clusters(group):
            del self._world.clusters[cluster.resource_group.casefold(), cluster.name.casefold()]

    def _list(self, call: Call, group: str) -> Answer:
        subscription = self._world.subscription
        clusters = {_cluster_id(subscription, one).casefold(): one for one in self._clusters(group)}
        return page(call, clusters, self._render, self._world.limits.page_size)

    def _clusters(self, group: str) -> list[SeededCluster]:
        return [
            cluster
            for cluster in self._world.clusters.values()
            if not group or cluster.resource_group.casefold() == group.casefold()
        ]

    def _find(self, call: Call) -> SeededCluster:
        group, name = call.params["resourceGroupName"], call.params["resourceName"]
        self._world.resource_group(group)
        cluster = self._world.clusters.get((group.casefold(), name.casefold()))
        if cluster is None:
            raise resource_not_found(KIND, name, group)
        return cluster

    def _render(self, cluster: SeededCluster) -> JSON:
        return {
            "id": _cluster_id(self._world.subscription, cluster),
            "name": cluster.name,
            "type": KIND,
            "location": cluster.location,
            "tags": dict(cluster.tags),
            "identity": cluster.identity
            or {
                "type": "SystemAssigned",
                "tenantId": self._world.tenant,
                "principalId": _guid(cluster, "control-plane"),
            },
            "sku": cluster.sku or {"name": "Base", "tier": "Free"},
            "properties": laid_over(_defaults(self._world.subscription, cluster), cluster.properties),
        }

    def _pools(self, cluster: SeededCluster) -> list[JSON]:
        base = f"{_cluster_id(self._world.subscription, cluster)}/agentPools"
        pools = self._render(cluster)["properties"]["agentPoolProfiles"]
        return [
            {
                "id": f"{base}/{pool['name']}",
                "name": pool["name"],
                "type": f"{KIND}/agentPools",
                "properties": {name: value for name, value in pool.items() if name != "name"},
            }
            for pool in pools
        ]


def _cluster_id(subscription: str, cluster: SeededCluster) -> str:
    return resource_id(subscription, cluster.resource_group, KIND, cluster.name)


def _guid(cluster: SeededCluster, what: str) -> str:
    """The same at each call."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{cluster.resource_group}/{cluster.name}/{what}".casefold()))


def _defaults(subscription: str, cluster: SeededCluster) -> JSON:
    """A new cluster with Azure CNI and one node pool. Pure."""
    kubelet = f"{cluster.name}-agentpool"
    return {
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "kubernetesVersion": "1.36",
        "currentKubernetesVersion": "1.36.3",
        "dnsPrefix": cluster.name,
        "fqdn": f"{cluster.name}-emulated.hcp.{cluster.location}.azmk8s.io",
        "enableRBAC": True,
        "disableLocalAccounts": False,
        "nodeResourceGroup": cluster.node_resource_group,
        "agentPoolProfiles": [
            {
                "name": "nodepool1",
                "count": 1,
                "vmSize": "Standard_D2s_v5",
                "osType": "Linux",
                "mode": "System",
                "type": "VirtualMachineScaleSets",
                "provisioningState": "Succeeded",
                "powerState": {"code": "Running"},
                "orchestratorVersion": "1.36",
            }
        ],
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPolicy": "none",
            "networkDataplane": "azure",
            "ipFamilies": ["IPv4"],
            "serviceCidr": "10.0.0.0/16",
            "serviceCidrs": ["10.0.0.0/16"],
            "dnsServiceIP": "10.0.0.10",
            "outboundType": "loadBalancer",
            "loadBalancerSku": "standard",
        },
        "addonProfiles": {},
        "identityProfile": {
            "kubeletidentity": {
                "resourceId": resource_id(
                    subscription,
                    cluster.node_resource_group,
                    "Microsoft.ManagedIdentity/userAssignedIdentities",
                    kubelet,
                ),
                "clientId": _guid(cluster, "kubelet-client"),
                "objectId": _guid(cluster, "kubelet"),
            }
        },
        "apiServerAccessProfile": {"enablePrivateCluster": False},
        "oidcIssuerProfile": {"enabled": False},
        "securityProfile": {},
    }


def _credential(name: str, file: str) -> JSON:
    try:
        content = Path(file).read_bytes() if file else b""
    except OSError:
        content = b""
    if not content:
        raise ArmError(
            409,
            "OperationNotAllowed",
            "The credentials of this emulated cluster are not there: its seed names no kubeconfig that can "
            "be read.",
        )
    return {"kubeconfigs": [{"name": name, "value": base64.b64encode(content).decode()}]}
