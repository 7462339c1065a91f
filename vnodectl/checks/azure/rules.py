"""What network security groups and routes do to traffic that leaves a subnet. Pure.

Rules are looked at from the lowest priority number on; the first that matches decides
(learn.microsoft.com/azure/virtual-network/network-security-groups-overview).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vnodectl.checks.azure.ids import Network, inside, networks, properties
from vnodectl.checks.readers import JSON

_ANYWHERE = frozenset({"*", "0.0.0.0/0", "::/0", "any"})
_INTERNET = _ANYWHERE | {"internet"}
_VIRTUAL_NETWORK = "virtualnetwork"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where traffic goes: an address, or "" for somewhere in the Internet, or in the network's own space."""

    port: int
    address: str = ""
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """`rule` decides; `partial` are earlier rules that allow some destinations of the kind."""

    allowed: bool
    rule: str
    partial: tuple[str, ...] = ()


def egress(group: JSON, destination: Destination) -> Passage:
    """What a security group (ARM JSON) does with TCP to the destination."""
    found = properties(group)
    rules = [*(found.get("securityRules") or ()), *(found.get("defaultSecurityRules") or ())]
    outbound = [one for one in rules if str(properties(one).get("direction")).lower() == "outbound"]
    partial: list[str] = []
    for rule in sorted(outbound, key=lambda one: int(properties(one).get("priority") or 65000)):
        body, name = properties(rule), str(rule.get("name") or "")
        if not (_protocol(body) and _port(body, destination.port)):
            continue
        allows = str(body.get("access")).lower() == "allow"
        targets = _prefixes(body)
        if _matches(targets, destination):
            return Passage(allows, name, tuple(partial))
        if allows and not destination.address and _some(targets, destination):
            partial.append(name)
    return Passage(False, "no rule", tuple(partial))


def default_route(table: JSON) -> tuple[str, str]:
    """(next hop's type, its address) of what is bound for the Internet; ("Internet", "") without a route."""
    for route in properties(table).get("routes") or ():
        body = properties(route)
        if body.get("addressPrefix") in {"0.0.0.0/0", "Internet"}:
            return str(body.get("nextHopType") or ""), str(body.get("nextHopIpAddress") or "")
    return "Internet", ""


def _protocol(body: JSON) -> bool:
    return str(body.get("protocol") or "*").lower() in {"*", "tcp"}


def _port(body: JSON, port: int) -> bool:
    ranges = [body.get("destinationPortRange"), *(body.get("destinationPortRanges") or ())]
    for text in ranges:
        if not text:
            continue
        first, _, last = str(text).partition("-")
        if first == "*" or (first.isdigit() and int(first) <= port <= int(last or first)):
            return True
    return False


def _prefixes(body: JSON) -> Sequence[str]:
    given = [body.get("destinationAddressPrefix"), *(body.get("destinationAddressPrefixes") or ())]
    return [str(one).lower() for one in given if one]


def _matches(prefixes: Iterable[str], destination: Destination) -> bool:
    """Whether a rule covers the destination wholly."""
    ranges: list[Network] = networks(prefixes)
    if destination.address:
        public = not ipaddress.ip_address(destination.address).is_private
        tags = _INTERNET if public else _ANYWHERE | {_VIRTUAL_NETWORK}
        return bool(set(prefixes) & tags) or inside(destination.address, ranges)
    return bool(set(prefixes) & (_ANYWHERE | {_VIRTUAL_NETWORK} if destination.inside else _INTERNET))


def _some(prefixes: Sequence[str], destination: Destination) -> bool:
    """Whether a rule covers some destinations of the kind: a service's tag, or some public addresses."""
    if destination.inside:
        return bool(networks(prefixes))
    for one in prefixes:
        ranges = networks([one])
        if one not in {_VIRTUAL_NETWORK, "azureloadbalancer"} and not (ranges and ranges[0].is_private):
            return True
    return False
