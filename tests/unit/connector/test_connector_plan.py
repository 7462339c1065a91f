from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from vnodectl.connector.identity import ManagedIdentity, ServicePrincipal, WorkloadIdentity, identity
from vnodectl.connector.image import Image, image, parse_image
from vnodectl.connector.plan import Facts, Plan, make_plan, precheck, seconds
from vnodectl.connector.settings import Settings, layered
from vnodectl.errors import UsageError

CERTIFICATE = (
    "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n"
    "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----"
)
DIGEST = f"sha256:{'ab' * 32}"
PRINCIPAL = {"service_principal": "app", "client_secret": "hush"}
PLACE = {"subscription": "sub", "tenant": "ten", "aci_resource_group": "rg", "location": "eastus"}


def plan(facts: Facts | None = None, **said: Any) -> Plan:
    return make_plan(Settings(**{**PLACE, **PRINCIPAL, **said}), facts or Facts())


def test_flags_win_over_environment_over_file_over_defaults() -> None:
    environ = {"VNODECTL_ACI_REGION": "westus", "VNODECTL_CONNECTOR_NAME": "from-env"}
    file = {"location": "northeurope", "connector-name": "from-file", "os-type": "Windows"}
    settings = layered({"location": "eastus", "tenant": None}, environ, file)
    assert (settings.location, settings.connector_name, settings.os_type) == ("eastus", "from-env", "Windows")
    assert settings.tenant is None


def test_an_empty_text_says_nothing() -> None:
    assert layered({"location": ""}, {"VNODECTL_ACI_REGION": ""}, {"location": "eastus"}).location == "eastus"


def test_an_unknown_key_of_a_file_is_refused_with_a_guess() -> None:
    with pytest.raises(UsageError, match="lokation") as caught:
        layered({}, {}, {"lokation": "eastus"})
    assert caught.value.hint == "did you mean location?"


@pytest.mark.parametrize("key", ["client-secret", "client-certificate"])
def test_a_secret_does_not_belong_in_a_file(key: str) -> None:
    with pytest.raises(UsageError, match=f"{key} does not belong") as caught:
        layered({}, {}, {key: "hush"})
    assert f"--{key}-file" in caught.value.hint


def test_the_defaults_are_those_of_the_old_command() -> None:
    made = plan()
    assert [one.release for one in made.connectors] == ["aci-connector-linux-eastus"]
    assert made.namespace == "vnode-system"
    assert made.timeout == 300


def test_both_are_two_connectors() -> None:
    assert [one.node for one in plan(os_type="Both", connector_name="x").connectors] == [
        "virtual-kubelet-x-linux-eastus",
        "virtual-kubelet-x-windows-eastus",
    ]


def test_region_and_resource_group_come_from_the_cloud_where_nobody_names_them() -> None:
    facts = Facts(node_resource_group="MC_rg", resource_group_location="West Europe", tenant="found")
    made = plan(facts, aci_resource_group=None, location=None, tenant=None)
    assert (made.azure.resource_group, made.azure.region) == ("MC_rg", "westeurope")
    assert made.azure.tenant_id == "found"


def test_an_unknown_region_is_refused_with_a_guess() -> None:
    with pytest.raises(UsageError, match="unknown region 'eastsu'") as caught:
        plan(Facts(regions=frozenset({"eastus", "westus"})), location="eastsu")
    assert "did you mean eastus?" in caught.value.hint


@pytest.mark.parametrize(
    ("missing", "match"),
    [
        ("location", "no region"),
        ("aci_resource_group", "no resource group"),
        ("subscription", "subscription"),
    ],
)
def test_what_nobody_knows_is_asked_for(missing: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        plan(**{missing: None})


@pytest.mark.parametrize(
    "said",
    [
        {"os_type": "Mac"},
        {"connector_name": "Bad_Name"},
        {"connector_name": "a" * 60},
        {"namespace": "Bad_Namespace"},
        {"cloud": "moon"},
        {"cloud": "alibaba"},
        {"resource_group": "only-half"},
        {"cluster_name": "only-half"},
        {"timeout": "soon"},
        {"location": "east-us"},
        {"image": "a b"},
        {"image": "Host/Upper"},
        {"image": "a:"},
        {"image": "a@"},
        {"image": "a//b"},
        {"image_repository": "library/UPPER"},
        {"image_repository": "https://host/x"},
        {"image_tag": "a b"},
        {"image_tag": "-x"},
        {"image_tag": "x" * 129},
        {"client_secret": None},
    ],
)
def test_bad_input_is_refused_before_anybody_is_asked(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        precheck(Settings(**{**PRINCIPAL, **said}))


SUBNET = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/aci"


@pytest.mark.parametrize(
    "said",
    ["aci", "/subnets/aci", f"{SUBNET}/", SUBNET.removesuffix("/subnets/aci"), f"{SUBNET}\n", f" {SUBNET}"],
)
def test_what_is_no_id_of_a_subnet_is_refused_before_anybody_is_asked(said: str) -> None:
    with pytest.raises(UsageError, match="not the resource ID of a subnet") as caught:
        precheck(Settings(**PRINCIPAL, subnet_id=said))
    assert "az network vnet subnet show" in caught.value.hint


@pytest.mark.parametrize("said", [SUBNET, SUBNET.lower(), SUBNET.replace("subnets", "SUBNETS")])
def test_the_id_of_a_subnet_is_taken_in_any_case_and_planned_in_arms(said: str) -> None:
    assert plan(subnet_id=said).azure.subnet_id == SUBNET


def test_a_name_too_long_for_every_region_is_refused_without_knowing_the_region() -> None:
    with pytest.raises(UsageError, match="allows"):
        precheck(Settings(**PRINCIPAL, connector_name="a" * 42))


def test_a_plan_is_frozen_and_hides_its_secret() -> None:
    made = plan()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.namespace = "other"  # type: ignore[misc]
    assert "hush" not in repr(made)
    assert made.secrets == ("hush",)
    assert "hush" not in repr(Settings(**PRINCIPAL, environment_secret="hush"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"service_principal": "a", "client_secret": "hush"}, ServicePrincipal("a", "hush")),
        ({"service_principal": "a", "environment_secret": "e"}, ServicePrincipal("a", "e")),
        (
            {"service_principal": "a", "environment_client_id": "a", "environment_secret": "e"},
            ServicePrincipal("a", "e"),
        ),
        ({"environment_client_id": "a", "environment_secret": "e"}, ServicePrincipal("a", "e")),
        (
            {"service_principal": "a", "client_certificate": CERTIFICATE},
            ServicePrincipal("a", certificate=CERTIFICATE),
        ),
        (  # What this machine signs in with is not the connector's.
            {"service_principal": "a", "client_certificate": CERTIFICATE, "environment_secret": "e"},
            ServicePrincipal("a", certificate=CERTIFICATE),
        ),
        ({"workload_identity": "w", "environment_client_id": "a"}, WorkloadIdentity("w")),
        ({"managed_identity": "system"}, ManagedIdentity("")),
        ({"managed_identity": "m", "environment_secret": "e"}, ManagedIdentity("m")),
    ],
)
def test_identities(said: dict[str, str], expected: object) -> None:
    assert identity(Settings(**said)) == expected


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"service_principal": "a"},
        {"client_secret": "hush"},
        {"client_secret": "hush", "environment_client_id": "a"},
        # The environment's secret belongs to another principal.
        {"service_principal": "a", "environment_client_id": "b", "environment_secret": "e"},
        {"environment_client_id": "a"},
        {"environment_secret": "e"},
        {"service_principal": "a", "client_secret": "hush", "workload_identity": "w"},
        {"workload_identity": "w", "managed_identity": "m"},
        {"workload_identity": "w", "client_secret": "hush"},
        {"client_certificate": CERTIFICATE},
        {"workload_identity": "w", "client_certificate": CERTIFICATE},
        {"service_principal": "a", "client_secret": "hush", "client_certificate": CERTIFICATE},
        {"service_principal": "a", "client_certificate": CERTIFICATE.partition("-----BEGIN PRI")[0]},
        {"service_principal": "a", "client_certificate": "-----BEGIN PRIVATE KEY-----"},
    ],
)
def test_half_or_two_identities_are_refused_and_no_secret_is_shown(said: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        identity(Settings(**said))
    assert caught.value.hint
    assert said.get("client_secret", "unset!") not in caught.value.message
    assert "hush" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("vnodectl", Image("vnodectl")),
        ("host:5000/a/b", Image("host:5000/a/b")),
        ("localhost/a_b/c__d/e-f.g", Image("localhost/a_b/c__d/e-f.g")),
        ("[fd00::1]:5000/a:V1_x.y-z", Image("[fd00::1]:5000/a", "V1_x.y-z")),
        ("My.Registry/a", Image("My.Registry/a")),
        ("host:5000/a/b:1.2", Image("host:5000/a/b", "1.2")),
        (f"a/b:1@{DIGEST}", Image("a/b", "1", DIGEST)),
    ],
)
def test_image_references(reference: str, expected: Image) -> None:
    assert parse_image(reference) == expected


def test_image_flags_win_over_the_reference_of_the_environment() -> None:
    assert image(Settings(image="a/b:1", image_tag="2")) == Image("a/b", "2")
    assert image(Settings(image="a/b:1", image_repository="c")) == Image("c")
    assert image(Settings(image=f"a/b@{DIGEST}", image_tag="2")) == Image("a/b", "2")
    with pytest.raises(UsageError, match="digest"):
        image(Settings(image_repository=f"a/b@{DIGEST}", image_tag="2"))


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600)])
def test_timeouts(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "m", "1.5m", "5 m", "5d"])
def test_bad_timeouts(text: str) -> None:
    with pytest.raises(UsageError, match="timeout"):
        seconds(text)
