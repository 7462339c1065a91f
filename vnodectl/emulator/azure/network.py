"""Microsoft.Network, as far as container groups need it: virtual networks and subnets, read only."""

from __future__ import annotations

from collections.abc import Iterator

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page
from vnodectl.emulator.azure.config import Subnet, VirtualNetwork
from vnodectl.emulator.azure.errors import resource_not_found
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

VERSIONS = tuple(
    f"{year}-{day}"
    for year in range(2025, 2017, -1)
    for day in ("11-01", "08-01", "07-01", "06-01", "05-01", "04-01", "03-01", "02-01", "01-01")
)
KIND = "Microsoft.Network/virtualNetworks"
_BASE = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/" + KIND


class Networks:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[ArmRoute]:
        one = _BASE + "/{virtualNetworkName}"
        return [
            Route("GET", _BASE, "VirtualNetworks_List", self.list_networks, VERSIONS),
            Route("GET", one, "VirtualNetworks_Get", self.get_network, VERSIONS),
            Route("GET", one + "/subnets", "Subnets_List", self.list_subnets, VERSIONS),
            Route("GET", one + "/subnets/{subnetName}", "Subnets_Get", self.get_subnet, VERSIONS),
        ]

    async def list_networks(self, call: Call) -> Answer:
        group = self._world.resource_group(call.params["resourceGroupName"])
        networks = {
            key[1]: network
            for key, network in self._world.networks.items()
            if key[0] == group.name.casefold()
        }
        return page(call, networks, self._network, self._world.limits.page_size)

    async def get_network(self, call: Call) -> Answer:
        return Answer(200, self._network(self._find(call)))

    async def list_subnets(self, call: Call) -> Answer:
        network = self._find(call)
        return Answer(200, {"value": [self._subnet(network, subnet) for subnet in network.subnets]})

    async def get_subnet(self, call: Call) -> Answer:
        network, name = self._find(call), call.params["subnetName"]
        for subnet in network.subnets:
            if subnet.name.casefold() == name.casefold():
                return Answer(200, self._subnet(network, subnet))
        raise resource_not_found(f"{KIND}/{network.name}/subnets", name, network.resource_group)

    def resources(self, group: str = "") -> Iterator[JSON]:
        for network in self._world.networks.values():
            if not group or network.resource_group.casefold() == group.casefold():
                shown = self._network(network)
                yield {name: shown[name] for name in ("id", "name", "type", "location")}

    async def remove_all(self, group: str) -> None:
        for key in [key for key in self._world.networks if key[0] == group.casefold()]:
            del self._world.networks[key]

    def _find(self, call: Call) -> VirtualNetwork:
        group, name = call.params["resourceGroupName"], call.params["virtualNetworkName"]
        self._world.resource_group(group)
        network = self._world.networks.get((group.casefold(), name.casefold()))
        if network is None:
            raise resource_not_found(KIND, name, group)
        return network

    def _network(self, network: VirtualNetwork) -> JSON:
        return {
            "id": network_id(self._world.subscription, network),
            "name": network.name,
            "type": KIND,
            "location": network.location,
            "properties": {
                "provisioningState": "Succeeded",
                "addressSpace": {"addressPrefixes": list(network.address_prefixes)},
                "subnets": [self._subnet(network, subnet) for subnet in network.subnets],
            },
        }

    def _subnet(self, network: VirtualNetwork, subnet: Subnet) -> JSON:
        base = f"{network_id(self._world.subscription, network)}/subnets/{subnet.name}"
        return {
            "id": base,
            "name": subnet.name,
            "type": f"{KIND}/subnets",
            "properties": {
                "provisioningState": "Succeeded",
                "addressPrefix": subnet.address_prefix,
                "delegations": [
                    {
                        "id": f"{base}/delegations/{service.rpartition('/')[2]}",
                        "name": service.rpartition("/")[2],
                        "properties": {"provisioningState": "Succeeded", "serviceName": service},
                    }
                    for service in subnet.delegations
                ],
            },
        }


def network_id(subscription: str, network: VirtualNetwork) -> str:
    group = f"/subscriptions/{subscription}/resourceGroups/{network.resource_group}"
    return f"{group}/providers/{KIND}/{network.name}"
