"""The node process with the ECI provider: from the environment to a running group."""

from __future__ import annotations

import asyncio

import pytest
from support.eci_cloud import KEY, REGION, SECRET, seed
from support.eci_pods import make_pod
from support.scripted_engine import ScriptedEngine

from vnodectl.agent import AgentSettings, ProviderName, _opener
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.errors import UsageError


def _settings(**changes: object) -> AgentSettings:
    given: dict[str, object] = {
        "provider": ProviderName.ECI,
        "node_name": "virtual-kubelet",
        "connector": "ack-virtual-node",
        "capacity": {"cpu": "1000", "pods": "1000"},
    }
    return AgentSettings(**{**given, **changes})  # type: ignore[arg-type]


async def test_the_add_on_s_variables_are_enough() -> None:
    engine = ScriptedEngine()
    async with AlibabaEmulator(config_of(seed()), engine=engine) as emulator:
        environ = {
            "ECI_ACCESS_KEY": KEY,
            "ECI_SECRET_KEY": SECRET,
            "ECI_REGION": REGION,
            "ECI_VSWITCH": "vsw-1,vsw-2",
            "ECI_SECURITY_GROUP": "sg-1",
            "VNODECTL_ALIBABA_ENDPOINT": emulator.endpoint,
            "VNODECTL_CA_BUNDLE": str(emulator.ca_file),
        }
        async with _opener(_settings(), environ) as open_, open_("virtual-kubelet") as provider:
            assert provider.name == "alibabacloud"
            info = await provider.node()
            assert (info.operating_system, info.capacity["pods"]) == ("linux", "1000")
            await provider.create(make_pod())
            await asyncio.wait_for(engine.created.wait(), 10)
        assert len(engine.specs) == 1, "groups keep running"


async def test_there_are_no_windows_nodes() -> None:
    with pytest.raises(UsageError, match="Linux"):
        async with _opener(_settings(os_type="Windows"), {}):
            pass


@pytest.mark.parametrize(
    "environ",
    [
        {"ECI_VSWITCH": "vsw-1"},
        {"ECI_ACCESS_KEY": "k", "ECI_SECRET_KEY": "s", "ECI_VSWITCH": "vsw-1"},
    ],
)
async def test_what_is_missing_is_said_before_the_node_is_there(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        async with _opener(_settings(), {"HOME": "/nowhere", **environ}) as open_, open_("n"):
            pass
