"""Which address and which network fit somebody else's cluster."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from vnodectl.sandbox.existing import containing, published

_PODMAN = {"name": "p", "subnets": [{"subnet": "10.89.0.0/24", "gateway": "10.89.0.1"}]}
_DOCKER = {"Name": "kind", "IPAM": {"Config": [{"Subnet": "fc00::/64"}, {"Subnet": "172.18.0.0/16"}]}}


def _slice(port_name: str, *addresses: str) -> dict[str, Any]:
    return {
        "ports": [{"name": port_name, "port": 6443}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


@pytest.mark.parametrize(
    ("items", "url"),
    [
        ([_slice("https", "172.18.0.2", "172.18.0.3")], "https://172.18.0.2:6443"),
        ([_slice("http", "10.0.0.1"), _slice("https", "fd00::2")], "https://[fd00::2]:6443"),
        ([_slice("https")], ""),
        ([], ""),
    ],
)
def test_the_address_that_a_cluster_publishes(items: list[dict[str, Any]], url: str) -> None:
    assert published({"items": items}) == url


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.89.0.7", "p"), ("172.18.0.2", "kind"), ("fc00::9", "kind"), ("192.0.2.1", "")],
)
def test_the_network_around_an_address(address: str, name: str) -> None:
    host = {"name": "host", "subnets": None}
    none = {"Name": "none", "IPAM": {"Config": None}}
    assert containing([host, none, _PODMAN, _DOCKER], ipaddress.ip_address(address)) == name
