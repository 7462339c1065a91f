from __future__ import annotations

import pytest

from vnodectl.errors import UsageError
from vnodectl.providers.eci import EciSettings
from vnodectl.providers.eci.settings import NodeIdentity, split


def test_the_add_on_s_names() -> None:
    found = EciSettings.from_environment(
        {
            "ECI_VSWITCH": "vsw-1, vsw-2,",
            "ECI_SECURITY_GROUP": "sg-1",
            "ECI_VPC": "vpc-1",
            "ECI_RESOURCE_GROUP_ID": "rg-1",
            "VNODECTL_CLUSTER_DNS": "172.21.0.10",
            "VNODECTL_CLUSTER_DOMAIN": "k8s.example",
        }
    )
    assert found == EciSettings(("vsw-1", "vsw-2"), "sg-1", "vpc-1", "rg-1", "172.21.0.10", "k8s.example")


def test_nothing_is_mandatory_as_the_profile_may_have_it() -> None:
    assert EciSettings.from_environment({}) == EciSettings()


def test_too_many_vswitches() -> None:
    with pytest.raises(UsageError, match="11 vSwitches"):
        EciSettings.from_environment({"ECI_VSWITCH": ",".join(f"vsw-{n}" for n in range(11))})


@pytest.mark.parametrize(("node", "connector"), [("n" * 129, "c"), ("n", "c" * 129), ("", "c")])
def test_names_must_fit_into_tags(node: str, connector: str) -> None:
    with pytest.raises(UsageError, match="128 characters"):
        NodeIdentity(node, connector)


def test_lists() -> None:
    assert split(" a ,, b") == ("a", "b")
    assert split("") == ()
