from __future__ import annotations

import pytest

from vnodectl.connector import names
from vnodectl.errors import UsageError


def test_names_are_those_of_the_old_connector() -> None:
    made = names.connector("aci-connector", "Windows", "eastus")
    assert made.release == "aci-connector-windows-eastus"
    assert made.node == "virtual-kubelet-aci-connector-windows-eastus"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Linux", ("Linux",)), ("windows", ("Windows",)), ("BOTH", ("Linux", "Windows"))],
)
def test_os_types_in_any_case(text: str, expected: tuple[str, ...]) -> None:
    assert names.os_types(text) == expected


@pytest.mark.parametrize("text", ["", "Mac", "Linux,Windows", "lin ux"])
def test_other_os_types_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="OS type"):
        names.os_types(text)


@pytest.mark.parametrize("text", ["-a", "a-", "a_b", "a.b", "ä", "", "a b"])
def test_bad_connector_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="connector name"):
        names.connector_name(text)


def test_a_connector_name_is_lower_case() -> None:
    assert names.connector_name("My-ACI") == "my-aci"


def test_a_node_name_may_have_63_characters() -> None:
    room = 63 - len("virtual-kubelet--linux-eastus")
    assert len(names.connector("a" * room, "Linux", "eastus").node) == 63
    with pytest.raises(UsageError, match=r"node name .* has 64 characters; Kubernetes allows 63"):
        names.connector("a" * (room + 1), "Linux", "eastus")


def test_a_release_name_longer_than_helm_allows() -> None:
    with pytest.raises(UsageError, match=r"release name .* Helm allows 53"):
        names.connector("a" * 50, "Linux", "eastus")


def test_regions_are_normalised_as_azure_does() -> None:
    assert names.azure_region("East US 2") == "eastus2"
    with pytest.raises(UsageError, match="bad region"):
        names.azure_region("east-us")


@pytest.mark.parametrize(
    ("release", "region"),
    [
        ("aci-linux-eastus", "eastus"),
        ("aci-windows-eastus", None),
        ("aci-linux-linux-eastus", None),  # of a connector called aci-linux
        ("other-linux-eastus", None),
        ("aci-linux-", None),
    ],
)
def test_a_release_tells_its_region_only_to_its_own_connector(release: str, region: str | None) -> None:
    assert names.region_in_release(release, "aci", "Linux") == region
