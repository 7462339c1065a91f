"""What the emulated clouds of a sandbox hold, and how programs are pointed at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnodectl.clouds.alibaba import AlibabaSettings
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.errors import UsageError
from vnodectl.providers.eci import EciSettings
from vnodectl.sandbox import environment
from vnodectl.sandbox.lifecycle import Wishes
from vnodectl.sandbox.plan import AccessKey, Identity
from vnodectl.sandbox.seed import alibaba_seed, azure_seed

KEY = AccessKey.fresh()


def test_the_emulators_read_their_seeds() -> None:
    AzureConfig.from_json(azure_seed(Identity.fresh(), Path("/k")))
    config = config_of(alibaba_seed(KEY, Path("/k"), Path("/keys.pub")))
    (cluster,) = config.clusters
    assert cluster.kubeconfig == "/k"
    assert cluster.rrsa_provider == config.oidc_providers[0].name
    assert {one.zone for one in config.vswitches} == {"cn-hangzhou-h", "cn-hangzhou-i"}
    assert config.roles[0].oidc[0].subject.endswith(":eci-connector-linux-cn-hangzhou")


def test_somebody_else_s_cluster_has_no_rrsa_here() -> None:
    config = config_of(alibaba_seed(KEY, Path("/k"), None))
    assert (config.roles, config.oidc_providers, config.clusters[0].rrsa_provider) == ((), (), "")


def test_programs_find_the_emulated_account(tmp_path: Path) -> None:
    found = environment.for_alibaba(
        KEY,
        endpoint="https://10.0.0.1:1234",
        control="http://127.0.0.1:1",
        bundle=tmp_path / "ca",
        roots=tmp_path / "roots",
    )
    settings = AlibabaSettings.from_environment(found)
    assert (settings.access_key_id, settings.access_key_secret) == (KEY.id, KEY.secret)
    assert (settings.region, settings.host("eci")) == ("cn-hangzhou", "10.0.0.1:1234")
    assert settings.ca_bundle == str(tmp_path / "ca")
    assert len(EciSettings.from_environment(found).vswitches) == 2
    kept = environment.for_components({**found, "PATH": "/bin"}, "run")
    assert not [name for name in kept if name in found and name.startswith(("ALIBABA_", "ECI_", "VNODECTL_"))]


@pytest.mark.parametrize("cloud", ["azure", "alibaba", "both", "none"])
def test_which_clouds_there_may_be(cloud: str) -> None:
    assert Wishes(cloud=cloud).cloud == cloud
    with pytest.raises(UsageError, match="no such cloud: moon"):
        Wishes(cloud="moon")
