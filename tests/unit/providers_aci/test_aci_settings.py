from __future__ import annotations

from typing import Any

import pytest

from vnodectl.errors import UsageError
from vnodectl.providers.aci import AciSettings, create_provider

GIVEN = {"VNODECTL_ACI_RESOURCE_GROUP": "rg", "VNODECTL_ACI_REGION": "East US"}
SUBNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/aci"


def test_from_the_environment() -> None:
    assert AciSettings.from_environment(GIVEN) == AciSettings("rg", "eastus")
    more = {
        "VNODECTL_ACI_SUBNET_ID": SUBNET,
        "VNODECTL_CLUSTER_DNS": "10.0.0.10",
        "VNODECTL_CLUSTER_DOMAIN": "corp.example",
        "VNODECTL_ACI_PUBLIC_IP": "False",
        "VNODECTL_ACI_GPU_SKU": "V100",
    }
    assert AciSettings.from_environment({**GIVEN, **more}) == AciSettings(
        "rg",
        "eastus",
        subnet_id=SUBNET,
        cluster_dns="10.0.0.10",
        cluster_domain="corp.example",
        public_ip=False,
        gpu_sku="V100",
    )


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({}, "VNODECTL_ACI_RESOURCE_GROUP"),
        ({"VNODECTL_ACI_RESOURCE_GROUP": "rg"}, "VNODECTL_ACI_REGION"),
        ({**GIVEN, "VNODECTL_ACI_PUBLIC_IP": "maybe"}, "VNODECTL_ACI_PUBLIC_IP"),
    ],
)
def test_what_is_missing_is_named(env: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        AciSettings.from_environment(env)


def _provider(os_type: str, subnet: str = "") -> Any:
    return create_provider(
        None,  # type: ignore[arg-type]
        AciSettings("rg", "eastus", subnet_id=subnet),
        node_name="node",
        connector="release",
        os_type=os_type,
        capacity={"cpu": "8"},
    )


@pytest.mark.parametrize(("os_type", "subnet"), [("Windows", SUBNET), ("linux", "")])
def test_nodes_that_cannot_be(os_type: str, subnet: str) -> None:
    with pytest.raises(UsageError):
        _provider(os_type, subnet)


def test_the_runtime_may_attach() -> None:
    from vnodectl.runtime.provider import SupportsAttach

    assert isinstance(_provider("Linux"), SupportsAttach)


async def test_what_the_node_offers() -> None:
    node = await _provider("Windows").node()
    assert (node.operating_system, node.architecture, node.capacity) == ("windows", "amd64", {"cpu": "8"})
