"""Reading ARM's ids and bodies. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import pairwise

from vnodectl.checks.readers import JSON
from vnodectl.checks.target import Target

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NO_CLUSTER = "no AKS cluster is named (-g and -n)"
NO_SUBNET = "no subnet is named (--subnet-id): container groups are outside the cluster's network"


def properties(body: JSON) -> JSON:
    found: JSON = body.get("properties") or {}
    return found


def flags(target: Target) -> str:
    """Which AKS cluster, for a command of the Azure CLI."""
    return f"-g {target.cluster_resource_group} -n {target.cluster}"


def part(resource_id: str, kind: str) -> str:
    """What follows `/<kind>/` in an id, in any case; "" where nothing does."""
    parts = resource_id.strip("/").split("/")
    return next((value for name, value in pairwise(parts) if name.lower() == kind.lower()), "")


def network_of(subnet_id: str) -> str:
    """The virtual network's id, in lower case for comparing."""
    return subnet_id.lower().rpartition("/subnets/")[0]


def subnet_flags(subnet_id: str) -> str:
    """Which subnet, for `az network vnet subnet`."""
    group, network = part(subnet_id, "resourceGroups"), part(subnet_id, "virtualNetworks")
    return f"-g {group} --vnet-name {network} -n {part(subnet_id, 'subnets')}"


def prefixes(body: JSON) -> tuple[str, ...]:
    """The address prefixes of a subnet, which names one or several."""
    found = properties(body)
    one = found.get("addressPrefix")
    return tuple(found.get("addressPrefixes") or ([one] if one else ()))


def networks(texts: Iterable[str]) -> list[Network]:
    """Those that are CIDRs or addresses."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    return found


def inside(address: str, ranges: Iterable[Network]) -> bool:
    """Whether an address, or all of a prefix, is in one of the ranges."""
    try:
        wanted = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return False
    return any(
        one.version == wanted.version and wanted.subnet_of(one)  # type: ignore[arg-type]
        for one in ranges
    )


def free_prefix(space: Iterable[str], taken: Iterable[str], length: int = 24) -> str:
    """The first IPv4 prefix of the address space that overlaps nothing taken, "" where there is none.

    `length` is that of the prefix; where the space is smaller than it, /27 is tried.
    """
    used = networks(taken)
    for size in (length, 27):
        for block in networks(space):
            if block.version != 4 or block.prefixlen > size:
                continue
            for candidate in block.subnets(new_prefix=size):
                if not any(one.version == 4 and candidate.overlaps(one) for one in used):
                    return str(candidate)
    return ""
