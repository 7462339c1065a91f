"""`vnodectl emulator serve --cloud alibaba` as a process, with the simulated engine and the real SDK."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from alibabacloud_eci20180808 import models as eci
from alibabacloud_tea_openapi import models as open_api_models
from support.alibaba_clients import KEY, REGION, SECRET, Clients, created, described, script, seed
from support.serving import refused, serving


async def test_it_serves_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path) -> None:
    seeded, ready, state = tmp_path / "seed.json", tmp_path / "ready.json", tmp_path / "state"
    seeded.write_text(json.dumps(seed()))
    options = ("--seed", str(seeded), "--ready-file", str(ready), "--state-dir", str(state))
    async with serving("--cloud", "alibaba", *options, "--scope", "emulated") as (process, where):
        assert json.loads(ready.read_text()) == where
        assert (where["cloud"], where["engines"]) == ("alibaba", {"Linux": "simulated"})
        assert where["endpoint"] == f"https://{where['endpoints']['eci']}"
        sdk = Clients(
            open_api_models.Config(
                access_key_id=KEY,
                access_key_secret=SECRET,
                endpoint=where["endpoints"]["eci"],
                protocol="https",
                region_id=where["regions"][0],
                ca=where["caFile"],
            )
        )
        job = await created(sdk, container=[script("exit 3")], restart_policy="Never")
        async with asyncio.timeout(10):
            while (found := (await described(sdk)).container_groups[0]).status != "Failed":
                assert found.status in {"Scheduling", "Pending", "Running"}
        assert found.containers[0].current_state.exit_code == 3
        request = eci.DescribeContainerLogRequest(
            region_id=REGION, container_group_id=job, container_name="web"
        )
        assert "simulated" in (await sdk.eci.describe_container_log_async(request)).body.content
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, errors.decode()) == (0, "")
        assert not ready.exists()
        assert [path.name for path in state.iterdir()] == ["tls"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--imds-port", "8000"), "--imds-port is of Azure only"),
        (("--seed", "/nowhere/seed.json"), "cannot be read"),
    ],
)
async def test_wrong_options_are_explained(options: tuple[str, ...], says: str) -> None:
    code, told = await refused("--cloud", "alibaba", *options)
    assert code == 2
    assert says in told
