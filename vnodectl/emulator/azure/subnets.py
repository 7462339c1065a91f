"""What a virtual network accepts as a subnet, and how a subnet looks. Pure.

Violations are raised as ArmError, with the codes and words that users of the service quote.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from vnodectl.emulator.azure.config import CONTAINER_GROUPS, Subnet, VirtualNetwork
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content
from vnodectl.emulator.azure.shapes import resource_id
from vnodectl.emulator.documents import JSON

KIND = "Microsoft.Network/virtualNetworks"
GROUP_LINK = "acisal"
RESERVED = 5
"""Azure keeps the first four addresses and the last one of each subnet."""
DELEGATIONS = {
    CONTAINER_GROUPS: ("Microsoft.Network/virtualNetworks/subnets/action",),
    "Microsoft.App/environments": ("Microsoft.Network/virtualNetworks/subnets/join/action",),
    "Microsoft.ContainerService/managedClusters": ("Microsoft.Network/virtualNetworks/subnets/join/action",),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("Microsoft.Network/virtualNetworks/subnets/join/action",),
    "Microsoft.Netapp/volumes": ("Microsoft.Network/networkinterfaces/*",),
    "Microsoft.Sql/managedInstances": ("Microsoft.Network/virtualNetworks/subnets/join/action",),
    "Microsoft.Web/serverFarms": ("Microsoft.Network/virtualNetworks/subnets/action",),
}
"""Services that subnets can be delegated to, as far as they are known here, with what they may then do."""
_OWN = (
    "provisioningState",
    "addressPrefix",
    "addressPrefixes",
    "delegations",
    "ipConfigurations",
    "serviceAssociationLinks",
    "purpose",
)
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._]{0,78}[A-Za-z0-9_])?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_id(subscription: str, network: VirtualNetwork) -> str:
    return resource_id(subscription, network.resource_group, KIND, network.name)


def subnet_id(subscription: str, network: VirtualNetwork, subnet: Subnet) -> str:
    return f"{network_id(subscription, network)}/subnets/{subnet.name}"


def parse(name: str, document: JSON, network: VirtualNetwork, old: Subnet | None, ready_at: float) -> Subnet:
    """The body of a PUT as a subnet of `network` that replaces `old`."""
    if not _NAME.fullmatch(name):
        raise bad_request("InvalidResourceName", f"Resource name {name} is invalid.")
    properties = document.get("properties")
    if not isinstance(properties, dict):
        raise invalid_content("'properties' is required.")
    prefixes = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    if not all(isinstance(prefix, str) for prefix in prefixes):
        raise bad_request(
            "NoAddressPrefixOrPoolProvided",
            f"A subnet must have an address prefix: {name} of virtual network {network.name} has none.",
        )
    subnet = Subnet(
        name=old.name if old else name,
        address_prefixes=tuple(prefixes),
        delegations=_delegations(properties),
        properties={key: value for key, value in properties.items() if key not in _OWN},
        occupants=old.occupants if old else (),
        links=old.links if old else (),
        ready_at=ready_at,
    )
    _check_space(subnet, network)
    return subnet


def _delegations(properties: JSON) -> tuple[str, ...]:
    services = []
    for entry in properties.get("delegations") or ():
        service = (entry.get("properties") or {}).get("serviceName") if isinstance(entry, dict) else None
        known = {one.casefold(): one for one in DELEGATIONS}.get(str(service).casefold())
        if known is None:
            raise bad_request(
                "InvalidServiceNameOnSubnetDelegation",
                f"Subnet delegation has an invalid service name: {service}.",
            )
        services.append(known)
    if len(services) > 1:
        raise bad_request("SubnetCannotHaveMultipleDelegations", "A subnet can have one delegation only.")
    return tuple(services)


def networks_of(prefixes: Iterable[str]) -> list[Network]:
    found: list[Network] = []
    for prefix in prefixes:
        try:
            found.append(ipaddress.ip_network(prefix))
        except ValueError as error:
            raise bad_request(
                "InvalidAddressPrefixFormat", f"Address prefix {prefix} is formatted incorrectly: {error}."
            ) from error
    return found


def _check_space(subnet: Subnet, network: VirtualNetwork) -> None:
    space = networks_of(network.address_prefixes)
    for prefix in networks_of(subnet.address_prefixes):
        if prefix.version == 4 and prefix.prefixlen > 29:
            raise bad_request(
                "NetcfgSubnetRangeTooSmall", f"Subnet '{subnet.name}' is smaller than the smallest, a /29."
            )
        if not any(_contains(whole, prefix) for whole in space):
            raise bad_request(
                "NetcfgInvalidSubnet",
                f"Subnet '{subnet.name}' is not valid in virtual network '{network.name}'.",
            )
        for other in network.subnets:
            taken = networks_of(other.address_prefixes)
            if other.name.casefold() != subnet.name.casefold() and any(
                _overlap(prefix, one) for one in taken
            ):
                raise bad_request(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{subnet.name}' is not valid because its IP address range overlaps with that of "
                    f"an existing subnet in virtual network '{network.name}'.",
                )


def check_change(old: Subnet, new: Subnet, own_id: str, linked: bool) -> None:
    """`linked`: whether container groups have left their service association link on the subnet."""
    in_use = users(old, own_id, linked)
    if {one.casefold() for one in old.delegations} != {one.casefold() for one in new.delegations} and in_use:
        by_link = "/serviceAssociationLinks/" in in_use[0]
        code = "SubnetDelegationsCannotChange" + ("" if by_link else "WhenSubnetUsedByResource")
        raise bad_request(
            code,
            f"Delegations of subnet {own_id} cannot be changed from [{','.join(old.delegations)}] to "
            f"[{','.join(new.delegations)}] because it is being used by the resource {in_use[0]}.",
        )
    if old.address_prefixes != new.address_prefixes and in_use:
        raise bad_request(
            "InUsePrefixCannotBeDeleted",
            f"IpPrefix {old.address_prefixes[0]} on Subnet {old.name} has active allocations and cannot be "
            "deleted.",
        )


def check_unused(subnet: Subnet, own_id: str, linked: bool) -> None:
    if in_use := users(subnet, own_id, linked):
        raise ArmError(
            400,
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet.name} is in use by {in_use[0]} and cannot be deleted. In order to delete the "
            "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
        )


def users(subnet: Subnet, own_id: str, linked: bool) -> list[str]:
    """Ids of what keeps the subnet as it is."""
    links = [str(link["name"]) for link in subnet.links] + ([GROUP_LINK] if linked else [])
    return [*(f"{own_id}/serviceAssociationLinks/{name}" for name in links), *subnet.occupants]


def capacity(subnet: Subnet) -> int:
    """How many addresses of version 4 can be given out."""
    blocks = [block for block in networks_of(subnet.address_prefixes) if block.version == 4]
    return sum(max(0, block.num_addresses - RESERVED) for block in blocks)


def free_addresses(subnet: Subnet, used: int) -> Iterator[str]:
    """Of version 4; those in use are taken to be the first ones."""
    for block in networks_of(subnet.address_prefixes):
        if block.version == 4:
            yield from map(str, islice(block, 4 + used, block.num_addresses - 1))


def render(subscription: str, network: VirtualNetwork, subnet: Subnet, *, linked: bool, now: float) -> JSON:
    base = subnet_id(subscription, network, subnet)
    links = [
        _link(
            base, str(link["name"]), str(link["linkedResourceType"]), str(link["link"]), link["allowDelete"]
        )
        for link in subnet.links
    ]
    if linked:
        links.append(_link(base, GROUP_LINK, CONTAINER_GROUPS, "", False))
    properties: JSON = {
        "provisioningState": "Succeeded" if now >= subnet.ready_at else "Updating",
        **_prefixes(subnet),
        "delegations": [_delegation(base, service) for service in subnet.delegations],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
        **subnet.properties,
    }
    if subnet.occupants:
        properties["ipConfigurations"] = [{"id": occupant} for occupant in subnet.occupants]
    if links:
        properties["serviceAssociationLinks"] = links
    return {"id": base, "name": subnet.name, "type": f"{KIND}/subnets", "properties": properties}


def _prefixes(subnet: Subnet) -> JSON:
    if len(subnet.address_prefixes) == 1:
        return {"addressPrefix": subnet.address_prefixes[0]}
    return {"addressPrefixes": list(subnet.address_prefixes)}


def _delegation(base: str, service: str) -> JSON:
    name = service.rpartition("/")[2]
    return {
        "id": f"{base}/delegations/{name}",
        "name": name,
        "type": f"{KIND}/subnets/delegations",
        "properties": {
            "provisioningState": "Succeeded",
            "serviceName": service,
            "actions": list(DELEGATIONS.get(service, ())),
        },
    }


def _link(base: str, name: str, kind: str, link: str, deletable: bool) -> JSON:
    return {
        "id": f"{base}/serviceAssociationLinks/{name}",
        "name": name,
        "type": f"{KIND}/subnets/serviceAssociationLinks",
        "properties": {
            "provisioningState": "Succeeded",
            "linkedResourceType": kind,
            "link": link or f"{base}/providers/{kind.partition('/')[0]}/serviceAssociationLinks/default",
            "enabledForArmDeployments": False,
            "allowDelete": deletable,
            "locations": [],
        },
    }


def _contains(whole: Network, part: Network) -> bool:
    return whole.version == part.version and part.subnet_of(whole)  # type: ignore[arg-type]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
