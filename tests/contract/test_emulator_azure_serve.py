"""`vnodectl emulator serve` as a process, with the simulated engine and the real SDK."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.identity.aio import ClientSecretCredential
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient
from support.azure_clients import CLIENT, GROUP, SECRET, container, container_group, seed
from support.serving import refused, serving

from vnodectl.emulator.certificates import make_certificate


@asynccontextmanager
async def sdk(where: dict[str, Any]) -> AsyncIterator[ContainerInstanceManagementClient]:
    trust = {"connection_verify": where["caFile"], "retry_total": 0}
    async with (
        ClientSecretCredential(
            where["tenant"], CLIENT, SECRET, authority=where["authorityHost"], **trust
        ) as credential,
        ContainerInstanceManagementClient(
            credential, where["subscription"], base_url=where["armEndpoint"], polling_interval=0.01, **trust
        ) as client,
    ):
        yield client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    seeded, ready, state = tmp_path / "seed.json", tmp_path / "ready.json", tmp_path / "state"
    seeded.write_text(json.dumps(seed()))
    options = ("--seed", str(seeded), "--ready-file", str(ready), "--state-dir", str(state))
    async with serving(*options, "--scope", "emulated") as (process, where):
        assert json.loads(ready.read_text()) == where
        assert {"graphEndpoint", "metricsEndpoint", "imdsEndpoint", "proxyUrl"} <= set(where)
        assert where["engines"] == {"Linux": "simulated", "Windows": "simulated"}
        async with sdk(where) as client:
            script = {"command": ["sh", "-c", "exit 3"]}
            body = container_group(restartPolicy="Never", containers=[container(**script)])
            made = await (await client.container_groups.begin_create_or_update(GROUP, "job", body)).result()
            assert made.instance_view.state == "Failed"
            state_now = made.containers[0].instance_view.current_state
            assert (state_now.state, state_now.exit_code) == ("Terminated", 3)
            logs = await client.containers.list_logs(GROUP, "job", "web")
            assert "simulated" in logs.content
        process.send_signal(number)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0, errors.decode()
        assert errors == b""
        assert not ready.exists()
        assert sorted(path.name for path in state.iterdir()) == ["tls", "token-key.pem"]


async def test_a_certificate_that_the_caller_brings(tmp_path: Path) -> None:
    brought = make_certificate(tmp_path, ["127.0.0.1"])
    seeded = tmp_path / "seed.json"
    seeded.write_text(json.dumps(seed()))
    options = ("--tls-cert", str(brought.certificate), "--tls-key", str(brought.key), "--seed", str(seeded))
    async with serving(*options) as (_, where):
        assert where["caFile"] == ""
        async with sdk(where | {"caFile": str(brought.ca)}) as client:
            assert [group async for group in client.container_groups.list()] == []


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--cloud", "moon"), 2, "no emulated cloud"),
        (("--seed", "/nowhere/seed.json"), 2, "cannot be read"),
        (("--tls-cert", "/nowhere.pem"), 2, "belong together"),
        (("--engine", "steam"), 2, "there is no engine"),
        (("--scope", "Not A Label"), 1, "DNS label"),
    ],
)
async def test_wrong_options_are_explained(options: tuple[str, ...], code: int, says: str) -> None:
    ended, told = await refused(*options)
    assert ended == code
    assert says in told


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, told = await refused("--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "cannot listen on 127.0.0.1" in told
