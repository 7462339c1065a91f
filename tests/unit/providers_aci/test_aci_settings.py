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


def test_what_pods_get_that_do_not_say_otherwise() -> None:
    settings = AciSettings.from_environment(
        {
            **GIVEN,
            "VNODECTL_ACI_ZONE": "2",
            "VNODECTL_ACI_TAGS": "env=prod; team=web",
            "VNODECTL_ACI_IDENTITIES": "system, /subscriptions/s/a;/subscriptions/s/b",
            "VNODECTL_ACI_REGISTRY_IDENTITY": "/subscriptions/s/c",
            "VNODECTL_ACI_DIRECT_PROBES": "false",
            "VNODECTL_ACI_CREATES_PER_HOUR": "900",
            "VNODECTL_ACI_LOG_ANALYTICS_ID": "id",
            "VNODECTL_ACI_LOG_ANALYTICS_KEY": "planted-key",
            "VNODECTL_INSECURE_REGISTRIES": "registry:5000",
            "VNODECTL_ACI_GPUS": "4",
        }
    )
    assert (settings.zone, settings.tags) == ("2", {"env": "prod", "team": "web"})
    assert settings.identities == ("system", "/subscriptions/s/a", "/subscriptions/s/b")
    assert (settings.creates, settings.deletes, settings.gpus) == (900, 300, 4)
    assert settings.direct_probes is False
    assert settings.insecure_registries == {"registry:5000"}
    assert settings.log_analytics is not None
    assert "planted" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VNODECTL_ACI_TAGS", "env"),
        ("VNODECTL_ACI_DIRECT_PROBES", "perhaps"),
        ("VNODECTL_ACI_CREATES_PER_HOUR", "0"),
        ("VNODECTL_ACI_DELETES_PER_HOUR", "many"),
        ("VNODECTL_ACI_LOG_ANALYTICS_ID", "id"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        AciSettings.from_environment({**GIVEN, name: value})


def test_kube_proxy_needs_an_address_and_an_account() -> None:
    from vnodectl.clouds.azure import AzureSession, AzureSettings

    settings = AciSettings.from_environment({**GIVEN, "VNODECTL_ACI_KUBE_PROXY_CIDR": "10.244.0.0/16"})
    with pytest.raises(UsageError, match="VNODECTL_API_SERVER"):
        create_provider(
            AzureSession(AzureSettings()),
            settings,
            node_name="n",
            connector="r",
            os_type="Linux",
            capacity={},
        )
