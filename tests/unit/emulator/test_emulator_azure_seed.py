"""Seeds: what they give, and how mistakes in them are explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vnodectl.emulator.azure.config import AzureConfig, Size
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.clock import Clock
from vnodectl.errors import UsageError


def test_an_empty_seed_is_a_usable_cloud() -> None:
    config = AzureConfig.from_json({})
    assert config == AzureConfig()
    assert config.regions[0].name == "eastus"
    assert config.limits.group_creates_per_5_minutes == 100


def test_a_full_seed() -> None:
    config = AzureConfig.from_json(
        {
            "regions": ["East US", {"name": "norwayeast", "windows": False, "zones": ["1"]}],
            "servicePrincipals": [{"clientId": "a", "secret": "s", "roles": [{"role": "Reader"}]}],
            "managedIdentities": [{"name": "id", "resourceGroup": "rg", "clientId": "b"}],
            "clusters": [{"name": "aks", "resourceGroup": "rg", "kubeconfig": "file"}],
            "quotas": {"East US": {"StandardCores": 5}},
            "sizes": {"Linux": {"cpu": 31}},
            "timings": {"groupStart": 2.5},
            "limits": {"groupCreatesPer5Minutes": 7},
        }
    )
    assert [region.name for region in config.regions] == ["eastus", "norwayeast"]
    assert [one.managed for one in config.principals] == [False, True]
    assert config.clusters[0].admin_kubeconfig == "file"
    assert config.quotas == {"eastus": {"StandardCores": 5}}
    assert config.sizes["Linux"] == Size(31, 16)
    assert (config.timings.group_start, config.limits.group_creates_per_5_minutes) == (2.5, 7)


@pytest.mark.parametrize(
    ("seed", "says"),
    [
        ([], "the seed must be a JSON object"),
        ({"resourceGroup": []}, "resourceGroup: there is no such field"),
        ({"resourceGroups": [{}]}, r"resourceGroups\[0\].name is missing"),
        ({"servicePrincipals": [{"clientId": 5}]}, r"servicePrincipals\[0\].clientId must be a string"),
        ({"servicePrincipals": [{"clientId": "a", "roles": [{"role": "King"}]}]}, "a role is one of"),
        ({"timings": {"groupStart": -1}}, r"timings.groupStart must be a number of at least 0"),
        ({"limits": {"reads": 1.5}}, "limits.reads must be a whole number"),
        ({"providers": {"Microsoft.ContainerInstance": "On"}}, "must be one of NotRegistered"),
        ({"regions": []}, "at least one region"),
        ({"quotas": {"eastus": 5}}, "quotas.eastus must be a JSON object"),
    ],
)
def test_mistakes_are_named_with_their_place(seed: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        AzureConfig.from_json(seed)


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        AzureConfig.from_json({"servicePrincipals": [{"clientId": "a", "secret": ["planted-secret"]}]})
    assert "planted-secret" not in caught.value.message + caught.value.hint
    config = AzureConfig.from_json({"servicePrincipals": [{"clientId": "a", "secret": "planted-secret"}]})
    assert "planted-secret" not in repr(config)


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), ("{", "is not JSON")])
def test_a_seed_file_that_is_none(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "seed.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=says):
        AzureConfig.from_file(file)


def test_a_registration_takes_its_time_and_reading_it_changes_nothing() -> None:
    clock = Clock(lambda: 1000.0)
    world = World(AzureConfig.from_json({"timings": {"registration": 60}}), clock)
    world.set_registration("Microsoft.ContainerInstance", "Registering")
    clock.advance(59)
    assert {world.registration("microsoft.containerinstance") for _ in range(3)} == {"Registering"}
    clock.advance(1)
    assert world.registration("Microsoft.ContainerInstance") == "Registered"
    assert world.registration("Microsoft.Network") == "Registered"
