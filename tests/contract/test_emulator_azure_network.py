"""Virtual networks, subnets and what goes with them, through azure-mgmt-network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from support.azure_clients import GROUP, LOCATION, Clients, clients, container_group, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import CONTAINER_GROUPS, AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

NETWORK = {
    "name": "vnet",
    "resourceGroup": GROUP,
    "addressPrefixes": ["10.0.0.0/8"],
    "subnets": [
        {"name": "aks", "addressPrefix": "10.1.0.0/24", "delegations": [], "usedAddresses": 3},
        {"name": "aci", "addressPrefix": "10.2.0.0/29"},
        {
            "name": "web",
            "addressPrefix": "10.3.0.0/24",
            "delegations": ["Microsoft.Web/serverFarms"],
            "networkSecurityGroup": "closed",
            "routeTable": "firewall",
            "serviceAssociationLinks": [
                {"name": "AppServiceLink", "linkedResourceType": "Microsoft.Web/serverFarms"}
            ],
        },
    ],
}
DELEGATED = [{"name": "aci", "properties": {"serviceName": CONTAINER_GROUPS}}]


@asynccontextmanager
async def azure(**changes: Any) -> AsyncIterator[tuple[AzureEmulator, Clients]]:
    config = AzureConfig.from_json(seed(virtualNetworks=[NETWORK], **changes))
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator, clients(emulator) as sdk:
        yield emulator, sdk


def subnet_id(emulator: AzureEmulator, name: str) -> str:
    group = f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}"
    return f"{group}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/{name}"


def in_subnet(emulator: AzureEmulator, name: str) -> dict[str, Any]:
    body = container_group(subnetIds=[{"id": subnet_id(emulator, name)}])
    del body["properties"]["ipAddress"]
    return body


async def put_subnet(sdk: Clients, name: str, prefix: str | None, delegations: Any = DELEGATED) -> Any:
    body = {"properties": {"addressPrefix": prefix, "delegations": delegations}}
    poller = await sdk.network.subnets.begin_create_or_update(GROUP, "vnet", name, body)
    return await poller.result()


async def test_a_network_shows_its_subnets_and_what_they_refer_to() -> None:
    async with azure() as (emulator, sdk):
        found = await sdk.network.virtual_networks.get(GROUP, "vnet")
        assert found.address_space.address_prefixes == ["10.0.0.0/8"]
        by_name = {one.name: one for one in found.subnets}
        assert len(by_name["aks"].ip_configurations) == 3
        assert by_name["aci"].delegations[0].service_name == CONTAINER_GROUPS
        web = by_name["web"]
        assert web.network_security_group.id.endswith("/networkSecurityGroups/closed")
        assert web.route_table.id.endswith("/routeTables/firewall")
        assert web.service_association_links[0].linked_resource_type == "Microsoft.Web/serverFarms"
        assert [one.id async for one in sdk.network.virtual_networks.list_all()] == [found.id]
        assert [one.name async for one in sdk.network.subnets.list(GROUP, "vnet")] == ["aks", "aci", "web"]
        with pytest.raises(ResourceNotFoundError):
            await sdk.network.subnets.get(GROUP, "vnet", "none")
        assert subnet_id(emulator, "aci") == by_name["aci"].id


async def test_a_subnet_is_made_over_time_and_reading_it_changes_nothing() -> None:
    async with azure(timings={"resource": 30, "retryAfter": 4}) as (emulator, sdk):
        emulator.clock.freeze()
        body = {"properties": {"addressPrefix": "10.9.0.0/24", "delegations": DELEGATED}}
        poller = await sdk.network.subnets.begin_create_or_update(
            GROUP,
            "vnet",
            "new",
            body,
            polling=False,
            cls=lambda response, _body, _headers: response.http_response.headers,
        )
        headers = await poller.result()
        assert headers["Retry-After"] == "4"
        assert "/providers/Microsoft.Network/locations/eastus/operations/" in headers["Azure-AsyncOperation"]
        for _ in range(3):
            made = await sdk.network.subnets.get(GROUP, "vnet", "new")
            assert made.provisioning_state == "Updating"
        emulator.clock.advance(30)
        made = await sdk.network.subnets.get(GROUP, "vnet", "new")
        assert made.provisioning_state == "Succeeded"
        assert made.delegations[0].actions == ["Microsoft.Network/virtualNetworks/subnets/action"]


async def test_the_sdk_waits_for_a_subnet_and_for_its_end() -> None:
    async with azure() as (_, sdk):
        assert (await put_subnet(sdk, "new", "10.9.0.0/24")).provisioning_state == "Succeeded"
        await (await sdk.network.subnets.begin_delete(GROUP, "vnet", "new")).result()
        await (await sdk.network.subnets.begin_delete(GROUP, "vnet", "new")).result()  # 204
        assert "new" not in [one.name async for one in sdk.network.subnets.list(GROUP, "vnet")]


@pytest.mark.parametrize(
    ("name", "prefix", "delegations", "code"),
    [
        ("new", "10.1.0.128/25", DELEGATED, "NetcfgSubnetRangesOverlap"),
        ("new", "192.168.0.0/24", DELEGATED, "NetcfgInvalidSubnet"),
        ("new", "10.9.0.0/30", DELEGATED, "NetcfgSubnetRangeTooSmall"),
        ("new", "10.9.0.1/24", DELEGATED, "InvalidAddressPrefixFormat"),
        ("new", None, DELEGATED, "NoAddressPrefixOrPoolProvided"),
        ("new", "10.9.0.0/24", [{"properties": {"serviceName": "Contoso.Nothing/x"}}], "InvalidServiceName"),
        ("aks", "10.1.0.0/24", DELEGATED, "SubnetDelegationsCannotChangeWhenSubnetUsedByResource"),
        ("aks", "10.1.0.0/25", [], "InUsePrefixCannotBeDeleted"),
        ("web", "10.3.0.0/24", DELEGATED, r"SubnetDelegationsCannotChange\b"),
    ],
)
async def test_what_a_network_refuses_as_a_subnet(
    name: str, prefix: str | None, delegations: Any, code: str
) -> None:
    async with azure() as (_, sdk):
        with pytest.raises(HttpResponseError, match=code) as caught:
            await put_subnet(sdk, name, prefix, delegations)
        assert caught.value.status_code == 400


async def test_container_groups_leave_a_link_that_holds_the_subnet() -> None:
    async with azure() as (emulator, sdk):
        groups, subnets = sdk.aci.container_groups, sdk.network.subnets
        assert (await subnets.get(GROUP, "vnet", "aci")).service_association_links is None
        await (await groups.begin_create_or_update(GROUP, "one", in_subnet(emulator, "aci"))).result()
        (link,) = (await subnets.get(GROUP, "vnet", "aci")).service_association_links
        assert link.name == "acisal"
        assert link.linked_resource_type == CONTAINER_GROUPS
        with pytest.raises(HttpResponseError, match=r"SubnetDelegationsCannotChange\b"):
            await put_subnet(sdk, "aci", "10.2.0.0/29", [])
        with pytest.raises(HttpResponseError, match="InUseSubnetCannotBeDeleted"):
            await subnets.begin_delete(GROUP, "vnet", "aci")
        with pytest.raises(HttpResponseError, match="InUseSubnetCannotBeDeleted"):
            await sdk.network.virtual_networks.begin_delete(GROUP, "vnet")
        unlink = sdk.aci.subnet_service_association_link
        with pytest.raises(HttpResponseError, match="ServiceAssociationLinkInUse"):
            await (await unlink.begin_delete(GROUP, "vnet", "aci")).result()

        await (await groups.begin_delete(GROUP, "one")).result()
        assert (await subnets.get(GROUP, "vnet", "aci")).service_association_links
        await (await unlink.begin_delete(GROUP, "vnet", "aci")).result()
        assert (await put_subnet(sdk, "aci", "10.2.0.0/29", [])).delegations == []


async def test_a_subnet_has_so_many_addresses_and_no_more() -> None:
    async with azure() as (emulator, sdk):
        groups, networks = sdk.aci.container_groups, sdk.network.virtual_networks
        usage = [one async for one in networks.list_usage(GROUP, "vnet")]
        assert [(one.current_value, one.limit) for one in usage] == [(3, 251), (0, 3), (0, 251)]
        taken = await networks.check_ip_address_availability(GROUP, "vnet", ip_address="10.1.0.5")
        assert (taken.available, taken.available_ip_addresses[0]) == (False, "10.1.0.7")
        assert (await networks.check_ip_address_availability(GROUP, "vnet", ip_address="10.1.0.7")).available
        with pytest.raises(HttpResponseError, match="PrivateIPAddressNotInAnySubnet"):
            await networks.check_ip_address_availability(GROUP, "vnet", ip_address="10.77.0.7")

        for name in ("a", "b", "c"):
            await (await groups.begin_create_or_update(GROUP, name, in_subnet(emulator, "aci"))).result()
        usage = [one async for one in networks.list_usage(GROUP, "vnet")]
        assert usage[1].current_value == 3
        with pytest.raises(HttpResponseError, match="SubnetIsFull"):
            await groups.begin_create_or_update(GROUP, "d", in_subnet(emulator, "aci"))
        await (await groups.begin_delete(GROUP, "a")).result()
        await (await groups.begin_create_or_update(GROUP, "d", in_subnet(emulator, "aci"))).result()


async def test_a_group_needs_a_subnet_of_its_own_region() -> None:
    far = NETWORK | {"name": "far", "location": "westeurope"}
    async with azure() as (emulator, sdk):
        emulator.seed({"virtualNetworks": [far]})
        body = in_subnet(emulator, "aci")
        body["properties"]["subnetIds"][0]["id"] = subnet_id(emulator, "aci").replace("/vnet/", "/far/")
        with pytest.raises(HttpResponseError, match="InvalidResourceReference"):
            await sdk.aci.container_groups.begin_create_or_update(GROUP, "one", body)


async def test_a_whole_network_is_put_and_keeps_subnets_that_it_does_not_name() -> None:
    async with azure() as (_, sdk):
        networks = sdk.network.virtual_networks

        async def put(name: str, **more: Any) -> Any:
            properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, **more}
            body = {"location": LOCATION, "tags": {"a": "b"}, "properties": properties}
            return await (await networks.begin_create_or_update(GROUP, name, body)).result()

        await put("vnet")
        found = await networks.get(GROUP, "vnet")
        assert found.tags == {"a": "b"}
        assert [one.name for one in found.subnets] == ["aks", "aci", "web"]
        subnets = [{"name": "only", "properties": {"addressPrefix": "10.200.0.0/16"}}]
        with pytest.raises(HttpResponseError, match="InUseSubnetCannotBeDeleted"):
            await put("vnet", subnets=subnets)
        made = await put("new", subnets=subnets)
        assert [one.name for one in made.subnets] == ["only"]
        await (await networks.begin_delete(GROUP, "new")).result()
        assert [one.name async for one in networks.list(GROUP)] == ["vnet"]


async def test_security_groups_routes_gateways_and_addresses() -> None:
    rule = {
        "name": "no-internet",
        "properties": {
            "access": "Deny",
            "direction": "Outbound",
            "priority": 100,
            "protocol": "*",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "Internet",
            "destinationPortRange": "*",
        },
    }
    changes = {
        "networkSecurityGroups": [
            {"name": "closed", "resourceGroup": GROUP, "properties": {"securityRules": [rule]}}
        ],
        "routeTables": [{"name": "firewall", "resourceGroup": GROUP}],
        "natGateways": [{"name": "nat", "resourceGroup": GROUP}],
        "publicIPAddresses": [
            {"name": "out", "resourceGroup": GROUP, "properties": {"ipAddress": "20.1.2.3"}}
        ],
    }
    async with azure(**changes) as (_, sdk):
        closed = await sdk.network.network_security_groups.get(GROUP, "closed")
        assert (closed.security_rules[0].access, closed.security_rules[0].priority) == ("Deny", 100)
        assert len(closed.default_security_rules) == 6
        assert [one.name async for one in sdk.network.network_security_groups.list_all()] == ["closed"]
        assert (await sdk.network.nat_gateways.get(GROUP, "nat")).sku.name == "Standard"
        assert (await sdk.network.public_ip_addresses.get(GROUP, "out")).ip_address == "20.1.2.3"

        tables = sdk.network.route_tables
        assert (await tables.get(GROUP, "firewall")).routes == []
        hop = {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance"}
        body = {"location": LOCATION, "properties": {"routes": [{"name": "all", "properties": hop}]}}
        made = await (await tables.begin_create_or_update(GROUP, "other", body)).result()
        assert made.routes[0].next_hop_type == "VirtualAppliance"
        await (await tables.begin_delete(GROUP, "other")).result()
        with pytest.raises(ResourceNotFoundError):
            await tables.get(GROUP, "other")
