"""Microsoft.Network: virtual networks and their subnets. What a subnet may be is decided in `subnets`."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from vnodectl.emulator.azure import subnets
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page, tags_of
from vnodectl.emulator.azure.config import Subnet, VirtualNetwork
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content, resource_not_found
from vnodectl.emulator.azure.kinds import NETWORK_VERSIONS as VERSIONS
from vnodectl.emulator.azure.operations import Operations
from vnodectl.emulator.azure.subnets import KIND, network_id, subnet_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

_ALL = "/subscriptions/{subscriptionId}/providers/" + KIND
_BASE = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/" + KIND
_OFFERED = 5
"""So many free addresses are offered in the place of one that is taken."""


class Networks:
    """`groups_in` counts the container groups in a subnet by its id."""

    def __init__(self, world: World, operations: Operations, groups_in: Callable[[str], int]) -> None:
        self._world = world
        self._operations = operations
        self._groups_in = groups_in

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, operation, handler, VERSIONS)

        one = _BASE + "/{virtualNetworkName}"
        subnet = one + "/subnets/{subnetName}"
        return [
            route("GET", _ALL, "VirtualNetworks_ListAll", self.list_networks),
            route("GET", _BASE, "VirtualNetworks_List", self.list_networks),
            route("GET", one, "VirtualNetworks_Get", self.get_network),
            route("PUT", one, "VirtualNetworks_CreateOrUpdate", self.put_network),
            route("DELETE", one, "VirtualNetworks_Delete", self.delete_network),
            route("GET", one + "/usages", "VirtualNetworks_ListUsage", self.usages),
            route(
                "GET",
                one + "/CheckIPAddressAvailability",
                "VirtualNetworks_CheckIPAddressAvailability",
                self.check_address,
            ),
            route("GET", one + "/subnets", "Subnets_List", self.list_subnets),
            route("GET", subnet, "Subnets_Get", self.get_subnet),
            route("PUT", subnet, "Subnets_CreateOrUpdate", self.put_subnet),
            route("DELETE", subnet, "Subnets_Delete", self.delete_subnet),
            route(
                "GET",
                subnet + "/ServiceAssociationLinks",
                "ServiceAssociationLinks_List",
                self.list_links,
            ),
        ]

    # --- networks ---

    async def list_networks(self, call: Call) -> Answer:
        group = call.params.get("resourceGroupName", "")
        if group:
            self._world.resource_group(group)
        networks = {
            network_id(self._world.subscription, network).casefold(): network
            for key, network in self._world.networks.items()
            if not group or key[0] == group.casefold()
        }
        return page(call, networks, self._network, self._world.limits.page_size)

    async def get_network(self, call: Call) -> Answer:
        return Answer(200, self._network(self._find(call)))

    async def put_network(self, call: Call) -> Answer:
        group = self._world.group_for_writing(call.params["resourceGroupName"])
        name, document = call.params["virtualNetworkName"], call.document()
        location, properties = document.get("location"), document.get("properties")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        if not isinstance(properties, dict):
            raise invalid_content("'properties' is required.")
        old = self._world.networks.get((group.name.casefold(), name.casefold()))
        prefixes = (properties.get("addressSpace") or {}).get("addressPrefixes") or []
        if not prefixes:
            raise bad_request("InvalidRequestFormat", f"Virtual network {name} has no address space.")
        subnets.networks_of(prefixes)
        network = VirtualNetwork(
            name=old.name if old else name,
            resource_group=group.name,
            location=self._world.region(location, KIND).name,
            address_prefixes=tuple(prefixes),
            subnets=(),
            tags=tags_of(document),
            properties={
                key: value
                for key, value in properties.items()
                if key not in ("addressSpace", "subnets", "provisioningState")
            },
            ready_at=self._ready_at(),
        )
        before = {subnet.name.casefold(): subnet for subnet in (old.subnets if old else ())}
        if properties.get("subnets") is None:
            # One that does not speak of subnets leaves them as they are.
            network, before = replace(network, subnets=old.subnets if old else ()), {}
        for entry in properties.get("subnets") or ():
            subnet_name = str(entry.get("name"))
            known = before.pop(subnet_name.casefold(), None)
            made = subnets.parse(subnet_name, entry, network, known, self._ready_at())
            if known is not None:
                subnets.check_change(known, made, *self._use_of(network, known))
            network = replace(network, subnets=(*network.subnets, made))
        # Those that it does not name are deleted.
        for gone in before.values():
            subnets.check_unused(gone, *self._use_of(network, gone))
        self._keep(network)
        return Answer(201 if old is None else 200, self._network(network), self._follow(call, network))

    async def delete_network(self, call: Call) -> Answer:
        try:
            network = self._find(call)
        except ArmError as error:
            if error.code == "ResourceNotFound":
                return Answer(204)
            raise
        for subnet in network.subnets:
            subnets.check_unused(subnet, *self._use_of(network, subnet))
        del self._world.networks[network.resource_group.casefold(), network.name.casefold()]
        return Answer(202, None, self._follow(call, network, gone=True))

    async def usages(self, call: Call) -> Answer:
        network = self._find(call)
        return Answer(
            200,
            {
                "value": [
                    {
                        "id": subnet_id(self._world.subscription, network, subnet),
                        "currentValue": float(self._used(network, subnet)),
                        "limit": float(subnets.capacity(subnet)),
                        "name": {"value": "SubnetSpace", "localizedValue": "Subnet size and usage"},
                        "unit": "Count",
                    }
                    for subnet in network.subnets
                ]
            },
        )

    async def check_address(self, call: Call) -> Answer:
        network, text = self._find(call), call.query.get("ipaddress", "")
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise bad_request("InvalidIPAddress", f"IP address {text} is invalid.") from error
        for subnet in network.subnets:
            if any(address in block for block in subnets.networks_of(subnet.address_prefixes)):
                free = subnets.free_addresses(subnet, self._used(network, subnet))
                offered: list[str] = []
                for candidate in free:
                    if candidate == str(address):
                        return Answer(200, {"available": True})
                    if len(offered) < _OFFERED:
                        offered.append(candidate)
                return Answer(200, {"available": False, "availableIPAddresses": offered})
        raise bad_request(
            "PrivateIPAddressNotInAnySubnet",
            f"Private static IP address {text} does not belong to the range of any subnet in the virtual "
            f"network {network_id(self._world.subscription, network)}.",
        )

    # --- subnets ---

    async def list_subnets(self, call: Call) -> Answer:
        network = self._find(call)
        return Answer(200, {"value": [self._subnet(network, subnet) for subnet in network.subnets]})

    async def get_subnet(self, call: Call) -> Answer:
        network, subnet = self._find_subnet(call)
        return Answer(200, self._subnet(network, subnet))

    async def put_subnet(self, call: Call) -> Answer:
        network, name = self._find(call), call.params["subnetName"]
        self._world.group_for_writing(network.resource_group)
        old = next((one for one in network.subnets if one.name.casefold() == name.casefold()), None)
        made = subnets.parse(name, call.document(), network, old, self._ready_at())
        if old is not None:
            subnets.check_change(old, made, *self._use_of(network, old))
        others = tuple(made if one is old else one for one in network.subnets)
        changed = replace(network, subnets=others if old else (*others, made))
        self._keep(changed)
        status = 200 if old else 201
        return Answer(status, self._subnet(changed, made), self._follow(call, network))

    async def delete_subnet(self, call: Call) -> Answer:
        try:
            network, subnet = self._find_subnet(call)
        except ArmError as error:
            if error.code == "ResourceNotFound":
                return Answer(204)
            raise
        subnets.check_unused(subnet, *self._use_of(network, subnet))
        self._keep(replace(network, subnets=tuple(one for one in network.subnets if one is not subnet)))
        return Answer(202, None, self._follow(call, network, gone=True))

    async def list_links(self, call: Call) -> Answer:
        network, subnet = self._find_subnet(call)
        properties = self._subnet(network, subnet)["properties"]
        return Answer(200, {"value": properties.get("serviceAssociationLinks") or []})

    # --- what a resource group holds ---

    def resources(self, group: str = "") -> Iterator[JSON]:
        for network in self._world.networks.values():
            if not group or network.resource_group.casefold() == group.casefold():
                shown = self._network(network)
                yield {name: shown[name] for name in ("id", "name", "type", "location", "tags")}

    async def remove_all(self, group: str) -> None:
        for key, network in tuple(self._world.networks.items()):
            if key[0] == group.casefold():
                for subnet in network.subnets:
                    self._world.group_links.discard(self._use_of(network, subnet)[0].casefold())
                del self._world.networks[key]

    # --- ours ---

    def _find(self, call: Call) -> VirtualNetwork:
        group, name = call.params["resourceGroupName"], call.params["virtualNetworkName"]
        self._world.resource_group(group)
        network = self._world.networks.get((group.casefold(), name.casefold()))
        if network is None:
            raise resource_not_found(KIND, name, group)
        return network

    def _find_subnet(self, call: Call) -> tuple[VirtualNetwork, Subnet]:
        network, name = self._find(call), call.params["subnetName"]
        for subnet in network.subnets:
            if subnet.name.casefold() == name.casefold():
                return network, subnet
        raise resource_not_found(f"{KIND}/{network.name}/subnets", name, network.resource_group)

    def _keep(self, network: VirtualNetwork) -> None:
        self._world.networks[network.resource_group.casefold(), network.name.casefold()] = network

    def _ready_at(self) -> float:
        return self._world.clock.now() + self._world.timings.resource

    def _follow(self, call: Call, network: VirtualNetwork, *, gone: bool = False) -> dict[str, str]:
        provider = f"/subscriptions/{self._world.subscription}/providers/Microsoft.Network"
        lasts = self._world.timings.resource
        operation = self._operations.start(f"{provider}/locations/{network.location}", lasts=lasts)
        return self._operations.headers(operation, call, location=gone)

    def _use_of(self, network: VirtualNetwork, subnet: Subnet) -> tuple[str, bool]:
        """Its id, and whether container groups have left their link on it."""
        own = subnet_id(self._world.subscription, network, subnet)
        return own, own.casefold() in self._world.group_links

    def _used(self, network: VirtualNetwork, subnet: Subnet) -> int:
        return len(subnet.occupants) + self._groups_in(subnet_id(self._world.subscription, network, subnet))

    def _network(self, network: VirtualNetwork) -> JSON:
        return {
            "id": network_id(self._world.subscription, network),
            "name": network.name,
            "type": KIND,
            "location": network.location,
            "tags": dict(network.tags),
            "properties": {
                "provisioningState": (
                    "Succeeded" if self._world.clock.now() >= network.ready_at else "Updating"
                ),
                "addressSpace": {"addressPrefixes": list(network.address_prefixes)},
                "subnets": [self._subnet(network, subnet) for subnet in network.subnets],
                "virtualNetworkPeerings": [],
                "enableDdosProtection": False,
                **network.properties,
            },
        }

    def _subnet(self, network: VirtualNetwork, subnet: Subnet) -> JSON:
        _, linked = self._use_of(network, subnet)
        now = self._world.clock.now()
        return subnets.render(self._world.subscription, network, subnet, linked=linked, now=now)
