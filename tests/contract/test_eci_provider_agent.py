"""The node process with the ECI provider: from the environment to a running group."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.eci_cloud import KEY, REGION, SECRET, seed
from support.eci_pods import labelled, make_pod
from support.fake_api import FakeApi, fake_cluster, status
from support.scripted_engine import ScriptedEngine

from vnodectl.agent import AgentSettings, ProviderName, _opener
from vnodectl.agent_eci import selecting
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.errors import UsageError
from vnodectl.runtime.provider import Retryable
from vnodectl.webhook.patch import Wish


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


def _environ(emulator: AlibabaEmulator) -> dict[str, str]:
    return {
        "ECI_ACCESS_KEY": KEY,
        "ECI_SECRET_KEY": SECRET,
        "ECI_REGION": REGION,
        "ECI_VSWITCH": "vsw-2",
        "ECI_SECURITY_GROUP": "sg-1",
        "VNODECTL_ALIBABA_ENDPOINT": emulator.endpoint,
        "VNODECTL_CA_BUNDLE": str(emulator.ca_file),
    }


def _profile(api: FakeApi, **data: str) -> None:
    api.put("configmaps", {"metadata": {"name": "eci-profile"}, "data": data}, namespace="kube-system")


def _events(api: FakeApi) -> list[tuple[str, str, str]]:
    """(reason, what about, message)."""
    found = [body for (plural, _, _), body in api.objects.items() if plural == "events"]
    return [(one["reason"], one["involvedObject"]["kind"], one["message"]) for one in found]


async def _told(api: FakeApi, count: int) -> tuple[str, str, str]:
    async with asyncio.timeout(10):
        await api.until(lambda: len(_events(api)) >= count)
    return _events(api)[count - 1]


async def test_the_profile_counts_from_the_first_pod_on_and_changes_without_a_restart() -> None:
    async with (
        AlibabaEmulator(config_of(seed()), engine=ScriptedEngine()) as emulator,
        fake_cluster() as (api, client),
    ):
        _profile(api, vSwitchIds="vsw-1", securityGroupId="sg-none")
        async with (
            _opener(_settings(), _environ(emulator), client) as open_,
            open_("virtual-kubelet") as provider,
        ):
            with pytest.raises(Retryable, match=r"InvalidSecurityGroupId\.NotFound.*sg-none"):
                await provider.create(make_pod())

            _profile(api, vSwitchIds="vsw-1", selectors="{not json", enableClusterIp="maybe")
            reason, kind, message = await _told(api, 2)
            assert (reason, kind) == ("InvalidProfile", "ConfigMap")
            assert "selectors is not JSON" in message
            assert "enableClusterIp" in message
            await provider.create(make_pod())
            (group,) = emulator.lifecycle.groups.values()
            assert (group.vswitch.id, group.security_group.id) == ("vsw-1", "sg-1"), "the rest counts"

            selector = {
                "name": "spot",
                "objectSelector": {"matchLabels": {"app": "batch"}},
                "effect": {"annotations": {"k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo"}},
            }
            _profile(api, selectors=json.dumps([selector]))
            assert (await _told(api, 3))[0] == "ProfileLoaded"
            batch = labelled(make_pod(name="batch-0", uid="u-2"), {"app": "batch"})
            await provider.create(batch)
            group = list(emulator.lifecycle.groups.values())[1]
            assert group.params.text("SpotStrategy") == "SpotAsPriceGo"
            assert group.vswitch.id == "vsw-2", "the connector's own again"


async def test_the_profile_s_selectors_choose_pods_by_their_labels_and_their_namespaces() -> None:
    def selector(name: str, **of: Any) -> dict[str, Any]:
        effect = {"annotations": {"by": name}, "labels": {"by": name}}
        return {"name": name, "effect": effect, **{key: {"matchLabels": one} for key, one in of.items()}}

    selectors = [
        selector("pod", objectSelector={"app": "batch"}),
        selector("namespace", namespaceSelector={"team": "red"}),
    ]
    async with fake_cluster() as (api, client):
        api.put("namespaces", {"metadata": {"name": "red", "labels": {"team": "red"}}})
        api.put("namespaces", {"metadata": {"name": "blue"}})
        batch: dict[str, Any] = {"metadata": {"labels": {"app": "batch"}}}
        async with selecting(client) as wishes:
            assert await wishes(batch, "blue") == Wish(selected=False), "there is no profile"
        _profile(api, selectors=json.dumps(selectors))
        async with selecting(client) as wishes:
            assert await wishes(batch, "blue") == Wish(True, {"by": "pod"}, {"by": "pod"})
            assert await wishes({}, "red") == Wish(True, {"by": "namespace"}, {"by": "namespace"})
            assert await wishes({}, "blue") == Wish(selected=False)
            read = [one for one in api.requests if one.startswith("GET /api/v1/namespaces/")]
            assert len([one for one in read if not one.endswith("configmaps")]) == 2, "kept for a while"
            assert await wishes({}, "none") == Wish(selected=False), "its labels cannot be read"
            assert (await wishes(batch, "none")).selected
        assert not [one for one in api.requests if "events" in one]


async def test_a_profile_that_nobody_may_read_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vnodectl.agent_eci.PATIENCE", 0.1)
    async with (
        AlibabaEmulator(config_of(seed()), engine=ScriptedEngine()) as emulator,
        fake_cluster() as (api, client),
    ):
        api.refuse = lambda _, plural, __: status(403, "Forbidden") if plural == "configmaps" else None
        async with (
            _opener(_settings(), _environ(emulator), client) as open_,
            open_("virtual-kubelet") as provider,
        ):
            await provider.create(make_pod())
            assert [one.vswitch.id for one in emulator.lifecycle.groups.values()] == ["vsw-2"]


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
