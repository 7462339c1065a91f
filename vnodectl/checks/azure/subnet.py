"""The subnet of the container groups: there, theirs, roomy, and with a way out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from vnodectl.checks.azure.forgiving import Ask, forgiving
from vnodectl.checks.azure.ids import (
    NO_SUBNET,
    free_prefix,
    networks,
    part,
    prefixes,
    properties,
    subnet_flags,
)
from vnodectl.checks.azure.rules import Destination, default_route, egress
from vnodectl.checks.context import NETWORK_API, Context
from vnodectl.checks.model import (
    Answer,
    Check,
    Repair,
    Resource,
    counted,
    failed,
    not_applicable,
    passed,
    warned,
)
from vnodectl.checks.readers import JSON
from vnodectl.clouds.azure import AzureNotFound

DELEGATION = "Microsoft.ContainerInstance/containerGroups"
DELEGATE_SUBNET = "delegate-subnet"

_FEW = 16
"""Free addresses from which on it is worth a warning: one for each container group."""

_LENGTH = 24


async def exists(context: Context) -> Answer:
    subnet_id = context.target.subnet_id
    if not subnet_id:
        return not_applicable(NO_SUBNET)
    if not all(part(subnet_id, one) for one in ("resourceGroups", "virtualNetworks", "subnets")):
        return failed(
            "this is not the resource ID of a subnet",
            evidence=subnet_id,
            fix="az network vnet subnet show -g <group> --vnet-name <network> -n <subnet> --query id -o tsv",
        )
    try:
        found = await context.azure_facts.subnet()
    except AzureNotFound as error:
        return await _absent(context, error)
    return passed(f"{part(subnet_id, 'subnets')}: {', '.join(prefixes(found))}")


async def _absent(context: Context, error: AzureNotFound) -> Answer:
    """No subnet: offered to be made where its network exists and has room."""
    subnet_id = context.target.subnet_id
    name, network = part(subnet_id, "subnets"), part(subnet_id, "virtualNetworks")
    try:
        found = properties(await context.azure_facts.network())
    except AzureNotFound:
        return failed(
            f"there is no virtual network {network}",
            evidence=error.message,
            fix="az network vnet list --query [].subnets[].id  # and name one with --subnet-id",
        )
    taken = [text for subnet in found.get("subnets") or () for text in prefixes(subnet)]
    space = (found.get("addressSpace") or {}).get("addressPrefixes") or ()
    prefix = free_prefix(space, taken, _LENGTH)
    if not prefix:
        return failed(
            f"there is no subnet {name}, and {network} has no room for one",
            evidence=f"address space {', '.join(space)}; taken {', '.join(taken)}",
            fix=(
                f"az network vnet update -g {part(subnet_id, 'resourceGroups')} -n {network}"
                f" --address-prefixes {' '.join(space)} <another>"
            ),
        )
    return failed(
        f"there is no subnet {name} in {network}",
        evidence=error.message,
        fix=(
            f"az network vnet subnet create {subnet_flags(subnet_id)} --address-prefixes {prefix}"
            f" --delegations {DELEGATION}"
        ),
        repair=Repair(
            DELEGATE_SUBNET,
            f"create the subnet {name} ({prefix}) in {network}, delegated to container groups",
            {"subnetId": subnet_id, "addressPrefix": prefix},
        ),
    )


async def delegated(context: Context) -> Answer:
    subnet_id = context.target.subnet_id
    if not subnet_id:
        return not_applicable(NO_SUBNET)
    found = properties(await context.azure_facts.subnet())
    services = [str(properties(one).get("serviceName") or "") for one in found.get("delegations") or ()]
    if any(one.lower() == DELEGATION.lower() for one in services):
        return passed(f"delegated to {DELEGATION}")
    if services:
        return failed(
            f"the subnet is delegated to {services[0]}; a subnet serves one service",
            evidence=f"delegations: {', '.join(services)}",
            fix="name another subnet with --subnet-id",
        )
    name = part(subnet_id, "subnets")
    interfaces = [str(one.get("id") or "").lower() for one in found.get("ipConfigurations") or ()]
    machines = ("/networkinterfaces/", "/virtualmachinescalesets/")
    if in_use := sum(any(kind in one for kind in machines) for one in interfaces):
        return failed(
            "the subnet is not delegated to container groups, and cannot be: it has machines in it",
            evidence=counted(in_use, "network interface"),
            fix="name another subnet with --subnet-id",
        )
    return failed(
        "the subnet is not delegated to container groups",
        evidence="no delegations",
        fix=f"az network vnet subnet update {subnet_flags(subnet_id)} --delegations {DELEGATION}",
        repair=Repair(
            DELEGATE_SUBNET,
            f"delegate the subnet {name} to {DELEGATION}",
            {"subnetId": subnet_id},
        ),
    )


async def addresses(context: Context) -> Answer:
    if not context.target.subnet_id:
        return not_applicable(NO_SUBNET)
    body = await context.azure_facts.subnet()
    wanted = context.target.subnet_id.lower()
    usages = await context.azure.pages(f"{wanted.rpartition('/subnets/')[0]}/usages", NETWORK_API)
    usage = next((one for one in usages if str(one.get("id") or "").lower() == wanted), None)
    if usage is None:
        return not_applicable("the network does not say how much of the subnet is used")
    size = int(usage.get("limit") or 0)
    free = max(0, size - int(usage.get("currentValue") or 0))
    evidence = f"{free} of {size} addresses are free in {', '.join(prefixes(body))}"
    larger = "name a larger subnet with --subnet-id: one that is in use cannot be resized"
    if not free:
        return failed("the subnet has no free address", evidence=evidence, fix=larger)
    if free < _FEW:
        return warned("the subnet has few free addresses: each pod takes one", evidence=evidence, fix=larger)
    return passed(evidence)


async def security_group(context: Context) -> Answer:
    """Images come over HTTPS from the Internet, and pods talk to the API server."""
    if not context.target.subnet_id:
        return not_applicable(NO_SUBNET)
    subnet = properties(await context.azure_facts.subnet())
    group_id = (subnet.get("networkSecurityGroup") or {}).get("id")
    if not group_id:
        return passed("the subnet has no network security group")
    name = part(group_id, "networkSecurityGroups")
    group = await context.azure_facts.network_part(group_id)
    for what, destination in (("registries", Destination(443)), ("the API server", _api_server(context))):
        passage = egress(group, destination)
        if passage.allowed:
            continue
        fix = (
            f"az network nsg rule create -g {part(group_id, 'resourceGroups')} --nsg-name {name}"
            f" -n allow-vnode-{destination.port} --direction Outbound --priority 200"
            " --access Allow --protocol Tcp"
            f" --destination-address-prefixes {destination.address or _tag(destination)}"
            f" --destination-port-ranges {destination.port}"
        )
        evidence = f"{name}: rule {passage.rule} denies TCP {destination.port}"
        if passage.partial:
            return warned(
                f"the network security group lets through only some of what {what} may need",
                evidence=f"{evidence}; before it {', '.join(passage.partial)} allow some destinations",
                fix=fix,
            )
        return failed(
            f"the network security group keeps container groups from {what}", evidence=evidence, fix=fix
        )
    return passed(f"{name} lets out to registries and the API server")


def _api_server(context: Context) -> Destination:
    """Where the cluster's API server is; a private name is taken to be inside the network."""
    kube = context.sources.kube
    parts = urlsplit(kube.server if kube is not None else "")
    host = parts.hostname or ""
    literal = networks([host])
    if literal and not literal[0].is_loopback:
        return Destination(parts.port or 443, host)
    private = host.endswith(".privatelink.azmk8s.io") or ".privatelink." in host
    return Destination((parts.port or 443) if host and not literal else 443, inside=private)


def _tag(destination: Destination) -> str:
    return "VirtualNetwork" if destination.inside else "Internet"


async def routes(context: Context) -> Answer:
    if not context.target.subnet_id:
        return not_applicable(NO_SUBNET)
    subnet = properties(await context.azure_facts.subnet())
    table_id = (subnet.get("routeTable") or {}).get("id")
    if not table_id:
        return passed("the subnet has no route table")
    name = part(table_id, "routeTables")
    hop, address = default_route(await context.azure_facts.network_part(table_id))
    flags = f"-g {part(table_id, 'resourceGroups')} --route-table-name {name}"
    if hop == "None":
        return failed(
            "the route table drops what is bound for the Internet: no image can be pulled",
            evidence=f"{name}: 0.0.0.0/0 → None",
            fix=f"az network route-table route list {flags} -o table  # and delete the default route",
        )
    if hop in {"VirtualAppliance", "VirtualNetworkGateway"}:
        return warned(
            f"traffic to the Internet goes through {address or 'a gateway'}, which must let images through",
            evidence=f"{name}: 0.0.0.0/0 → {hop} {address}".strip(),
            fix="allow HTTPS to the images' registries there, and to mcr.microsoft.com",
        )
    return passed(f"{name} sends what is bound for the Internet there")


async def foreign_links(context: Context) -> Answer:
    """A subnet that another service holds on to takes no container groups, even where it is delegated."""
    if not context.target.subnet_id:
        return not_applicable(NO_SUBNET)
    subnet = properties(await context.azure_facts.subnet())
    foreign = [_linked(one) for one in subnet.get("resourceNavigationLinks") or ()]
    foreign += [
        kind
        for one in subnet.get("serviceAssociationLinks") or ()
        if not (kind := _linked(one)).lower().startswith("microsoft.containerinstance")
    ]
    if foreign:
        return failed(
            f"another service holds the subnet: {', '.join(foreign)}",
            evidence=counted(len(foreign), "foreign link"),
            fix="name another subnet with --subnet-id, or remove that service's resources from this one",
        )
    return passed("no other service holds the subnet")


def _linked(link: JSON) -> str:
    return str(properties(link).get("linkedResourceType") or link.get("name") or "unknown")


_PLANNED = frozenset({Resource.AZURE, Resource.PLAN})


def _check(number: int, title: str, ask: Ask, why: str, **more: Any) -> Check:
    needs = more.pop("needs", ("VN-AZ-016",))
    return Check(f"VN-AZ-{number:03}", "azure", title, ask, needs=needs, resources=_PLANNED, why=why, **more)


CHECKS = (
    _check(
        16,
        "Does the subnet for container groups exist?",
        forgiving(exists),
        "Groups that name a subnet which is not there are refused.",
        needs=("VN-AZ-001", "VN-AZ-008"),
        repairs=(DELEGATE_SUBNET,),
    ),
    _check(
        17,
        "Is the subnet delegated to container groups?",
        forgiving(delegated),
        "Azure puts container groups only into subnets that are delegated to them, and to nothing else.",
        repairs=(DELEGATE_SUBNET,),
    ),
    _check(
        18,
        "Has the subnet free addresses?",
        forgiving(addresses),
        "Each container group takes an address of the subnet; without one its pod stays Pending.",
    ),
    _check(
        19,
        "Does the network security group let container groups out?",
        forgiving(security_group),
        "Without a way to the registries no image is pulled, without one to the API server pods lack it.",
    ),
    _check(
        20,
        "Does the route table lead out?",
        forgiving(routes),
        "A default route to nowhere, or to a firewall that does not know the registries, stops every pull.",
    ),
    _check(
        21,
        "Is the subnet free of other services?",
        forgiving(foreign_links),
        "Links of other services (App Service, SQL …) keep a subnet to themselves.",
    ),
)
