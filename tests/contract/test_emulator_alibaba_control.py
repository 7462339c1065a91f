"""Steering the emulated cloud: faults, calls, clock, seeds, settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from alibabacloud_eci20180808 import models as eci
from support.alibaba_clients import (
    KEY,
    REGION,
    SECRET,
    clients,
    created,
    described,
    emulated,
    reaches,
    refused,
    seed,
    the_group,
    trust,
)
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.alibaba.service import AlibabaEmulator, routes_table


@asynccontextmanager
async def control(emulator: AlibabaEmulator) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession(base_url=emulator.control_url) as session:

        async def call(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, path, json=body) as answer:
                text = await answer.json()
                assert answer.status == 200, text
                return text

        yield call


async def test_faults_of_one_operation() -> None:
    async with emulated() as emulator, control(emulator) as call:
        sdk = clients(emulator)
        await call("POST", "/faults", {"template": "eci:CreateContainerGroup", "status": 400, "times": 1})
        error = await refused(created(sdk))
        assert (error.code, error.status_code) == ("Throttling.User", 400)
        web = await created(sdk)
        rule = {"path": f"ContainerGroupId={web}", "status": 503}
        await call("POST", "/faults", rule)
        await described(sdk)
        request = eci.RestartContainerGroupRequest(region_id=REGION, container_group_id=web)
        error = await refused(sdk.eci.restart_container_group_async(request))
        assert (error.code, error.status_code) == ("ServiceUnavailable", 503)


async def test_a_lost_answer_and_the_token_that_saves_the_group() -> None:
    async with emulated() as emulator, control(emulator) as call:
        sdk = clients(emulator)
        rule = {"template": "eci:CreateContainerGroup", "drop": True, "after": True, "times": 1}
        await call("POST", "/faults", rule)
        with pytest.raises(Exception, match=r"(?i)disconnect|connection|reset"):
            await created(sdk, client_token="once")
        (lost,) = emulator.lifecycle.groups
        assert await created(sdk, client_token="once") == lost


async def test_calls_are_recorded_without_secrets() -> None:
    async with emulated() as emulator, control(emulator) as call:
        sdk = clients(emulator)
        hidden = eci.CreateContainerGroupRequestContainerEnvironmentVar(key="TOKEN", value="hush")
        container = eci.CreateContainerGroupRequestContainer(
            name="web", image="nginx", environment_var=[hidden]
        )
        web = await created(sdk, container=[container])
        await refused(created(sdk, "Bad"))
        recorded = await call("GET", "/calls?template=eci:CreateContainerGroup")
        assert [(one["status"], one["code"]) for one in recorded] == [(200, ""), (400, "InvalidParameter")]
        assert recorded[0]["path"] == (
            f"/eci:CreateContainerGroup?RegionId={REGION}&ContainerGroupName=web"
            "&VSwitchId=vsw-h&SecurityGroupId=sg-1"
        )
        assert recorded[0]["principal"] == "acs:ram::1000000000000001:root"
        state = await call("GET", "/state")
        assert [one["ContainerGroupId"] for one in state["containerGroups"]] == [web]
        for shown in (recorded, state):
            assert SECRET not in str(shown)
            assert KEY not in str(shown)
        assert "hush" not in str(recorded)
        counters = await call("GET", "/counters")
        assert "CreateContainerGroup" in str(counters)


async def test_seeds_settings_and_a_reset() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator, control(emulator) as call:
        sdk = clients(emulator)
        await reaches(emulator, await created(sdk), "Running")
        await call("POST", "/seed", {"vswitches": [{"id": "vsw-2", "vpc": "vpc-1", "zone": "cn-hangzhou-j"}]})
        placed = await created(sdk, v_switch_id="vsw-2")
        assert (await the_group(sdk, placed)).zone_id == "cn-hangzhou-j"

        assert (await call("GET", "/quotas"))[REGION]["vcpu"] == {"limit": 1000.0, "used": 2.0}
        await call("PUT", "/quotas", {REGION: {"vcpu": 2}})
        assert (await refused(created(sdk))).code == "QuotaExceeded"
        await call("PUT", "/quotas", {REGION: {"vcpu": 100}})
        await call("PUT", "/stock", {"cn-hangzhou-h": 0})
        assert (await refused(created(sdk))).code == "OperationDenied.NoStock"
        assert (await call("GET", "/stock"))["cn-hangzhou-h"] == {"stock": 0, "used": 1.0}
        assert (await call("GET", "/regions"))[0]["id"] == REGION

        await call("POST", "/seed", {"limits": {"describeContainerGroups": 1}})
        await described(sdk)
        assert (await refused(described(sdk))).code == "Throttling.User"

        cache = eci.CreateImageCacheRequest(region_id=REGION, image_cache_name="c", image=["nginx"])
        await sdk.eci.create_image_cache_async(cache)
        await call("POST", "/reset")
        assert engine.specs == {}
        assert (await call("GET", "/state"))["imageCaches"] == []
        assert (await described(sdk)).total_count == 0
        assert (await call("GET", "/quotas"))[REGION]["vcpu"] == {"limit": 1000.0, "used": 0.0}
        await created(sdk)
        await call("POST", "/reset", seed(account="7"))
        assert (await call("GET", "/"))["account"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/seed", {"vpcs": [{"region": "x"}]}),
        ("POST", "/seed", {"typo": 1}),
        ("PUT", "/stock", {"cn-hangzhou-h": "much"}),
        ("PUT", "/regions", []),
        ("PUT", "/quotas", {REGION: {"pods": 1}}),
    ],
)
async def test_wrong_documents_are_explained(method: str, path: str, body: Any) -> None:
    async with (
        emulated() as emulator,
        aiohttp.ClientSession() as session,
        session.request(method, emulator.control_url + path, json=body) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]


async def test_what_is_emulated_is_listed() -> None:
    table = routes_table()
    for row in (
        "| Eci | 2018-08-08 | RPC | ExecContainerCommand |",
        "| CS | 2015-12-15 | ROA | DescribeClusterDetail | GET `/clusters/{clusterId}` |",
        "| Sts | 2015-04-01 | RPC | AssumeRoleWithOIDC |",
        "`/exec/`",
    ):
        assert row in table
    async with (
        emulated() as emulator,
        aiohttp.ClientSession() as session,
        session.get(f"{emulator.control_url}/routes") as answer,
    ):
        assert await answer.text() == table


async def test_a_form_in_the_body_is_read_too() -> None:
    async with emulated() as emulator, aiohttp.ClientSession() as session:
        form = {"Action": "ListUsage", "Version": "2018-08-08", "RegionId": REGION}
        async with session.post(emulator.endpoint, data=form, ssl=trust(emulator)) as answer:
            assert (await answer.json())["Code"] == "MissingAccessKeyId"
