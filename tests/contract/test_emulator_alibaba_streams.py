"""Logs, commands and usage of containers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from alibabacloud_eci20180808 import models as eci
from support.alibaba_clients import (
    REGION,
    Clients,
    clients,
    created,
    emulated,
    reaches,
    refused,
    trust,
)
from support.scripted_engine import STARTED, ScriptedEngine

from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.engines.api import ContainerUsage, EngineError, LogQuery

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


@asynccontextmanager
async def running(
    engine: ScriptedEngine, **changes: Any
) -> AsyncIterator[tuple[AlibabaEmulator, Clients, str]]:
    async with emulated(engine, **changes) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "Running")
        yield emulator, sdk, web


async def log(sdk: Clients, group: str, container: str = "web", **fields: Any) -> str:
    request = eci.DescribeContainerLogRequest(
        region_id=REGION, container_group_id=group, container_name=container, **fields
    )
    return str((await sdk.eci.describe_container_log_async(request)).body.content)


async def command(sdk: Clients, group: str, words: list[str] | str, **fields: Any) -> Any:
    request = eci.ExecContainerCommandRequest(
        region_id=REGION,
        container_group_id=group,
        container_name="web",
        command=words if isinstance(words, str) else json.dumps(words),
        **fields,
    )
    return (await sdk.eci.exec_container_command_async(request)).body


@asynccontextmanager
async def socket(
    emulator: AlibabaEmulator, uri: str, *protocols: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(uri, ssl=trust(emulator), protocols=protocols) as opened,
    ):
        yield opened


async def test_logs_with_tail_limit_and_timestamps() -> None:
    engine = ScriptedEngine()
    engine.output["web"] = b"one\ntwo\nthree\n"
    async with running(engine) as (_, sdk, web):
        assert await log(sdk, web) == "one\ntwo\nthree\n"
        assert await log(sdk, web, tail=2) == "two\nthree\n"
        assert await log(sdk, web, limit_bytes=5) == "one\nt"
        assert await log(sdk, web, tail=1, timestamps=True) == "2027-01-15T08:00:00Z three\n"
        for wrong in ({"tail": 2001}, {"limit_bytes": 2**20 + 1}, {"start_time": "yesterday"}):
            assert (await refused(log(sdk, web, **wrong))).code == "InvalidParameter"
        assert (await refused(log(sdk, web, "other"))).code == "InvalidParameter.NotFound"


async def test_how_logs_are_asked_for() -> None:
    engine = ScriptedEngine()
    asked: list[LogQuery] = []

    async def logs(name: str, container: str, query: LogQuery) -> AsyncIterator[bytes]:
        asked.append(query)
        raise EngineError("no journal")
        yield b""

    engine.logs = logs
    async with running(engine) as (emulator, sdk, web):
        emulator.clock.freeze()
        error = await refused(log(sdk, web, last_time=True, since_seconds=30))
        assert "no journal" in error.message
        await refused(log(sdk, web, start_time="2027-01-15T08:00:00+08:00"))
        assert (asked[0].previous, asked[0].since, asked[0].tail) == (True, emulator.clock.now() - 30, 500)
        assert asked[1].since == STARTED - 8 * 3600


async def test_what_is_not_up_has_no_log_and_runs_no_command() -> None:
    async with emulated(ScriptedEngine(), timings={"scheduling": 60}) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        assert (await refused(log(sdk, web))).code == "IncorrectStatus"
        assert (await refused(command(sdk, web, ["ls"]))).code == "IncorrectStatus"


async def test_exec_has_arguments_channels_and_a_result() -> None:
    async with running(ScriptedEngine()) as (emulator, sdk, web):
        answer = await command(sdk, web, ["/bin/sh", "-c", "ls -a"], tty=True)
        assert answer.web_socket_uri.startswith(f"wss://{emulator.host}/exec/?s=")
        async with socket(emulator, answer.web_socket_uri, V4) as opened:
            assert opened.protocol == V4
            assert await opened.receive_bytes() == b"\x01/bin/sh -c ls -a 80x24\r\n"
            await opened.send_bytes(b"\x00typed\n")
            assert await opened.receive_bytes() == b"\x01typed\n"
            await opened.send_bytes(b"\x00exit\n")
            result = await opened.receive_bytes()
            assert (result[0], json.loads(result[1:])) == (3, {"metadata": {}, "status": "Success"})
            assert (await opened.receive()).type is WSMsgType.CLOSE


async def test_the_terminal_changes_its_size_and_stdin_ends() -> None:
    engine = ScriptedEngine()

    async def run(name: str, container: str, words: Sequence[str], session: Any) -> int:
        sizes = session.sizes()
        seen = [await anext(sizes), await anext(sizes)]
        typed = b""
        while data := await session.read_stdin():
            typed += data
        await session.write_stderr(f"{seen} {typed.decode()}".encode())
        return 7

    engine.exec = run
    async with running(engine, streamProtocols=[V5, V4]) as (emulator, sdk, web):
        answer = await command(sdk, web, ["sh"], tty=True)
        async with socket(emulator, answer.web_socket_uri, V5, V4) as opened:
            assert opened.protocol == V5
            await opened.send_bytes(b"\x04nonsense")
            await opened.send_bytes(b'\x04{"Width": 100, "Height": 30}')
            await opened.send_bytes(b"\x00in")
            await opened.send_bytes(b"\xff\x00")
            assert await opened.receive_bytes() == b"\x02[(80, 24), (100, 30)] in"
            status = json.loads((await opened.receive_bytes())[1:])
            assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_a_client_that_names_no_protocol() -> None:
    engine = ScriptedEngine()
    async with running(engine) as (emulator, sdk, web):
        answer = await command(sdk, web, "/bin/bash", tty=True)
        async with socket(emulator, answer.web_socket_uri) as opened:
            assert opened.protocol is None
            assert await opened.receive_bytes() == b"\x01/bin/bash 80x24\r\n"
            await opened.send_str("\x00exit\n")
            assert (await opened.receive()).type is WSMsgType.CLOSE


async def test_raw_framing() -> None:
    async with running(ScriptedEngine(), streamFraming="raw", streamProtocols=[]) as (emulator, sdk, web):
        answer = await command(sdk, web, ["sh"], tty=True)
        async with socket(emulator, answer.web_socket_uri, V5, V4) as opened:
            assert opened.protocol is None
            assert await opened.receive_bytes() == b"sh 80x24\r\n"
            await opened.send_bytes(b"exit\n")
            assert (await opened.receive()).type is WSMsgType.CLOSE


async def test_an_address_is_good_once_and_for_thirty_seconds() -> None:
    async with running(ScriptedEngine()) as (emulator, sdk, web):
        answer = await command(sdk, web, ["sh"])
        async with socket(emulator, answer.web_socket_uri, V4) as opened:
            await opened.receive_bytes()
        await turned_away(emulator, answer.web_socket_uri)
        late = await command(sdk, web, ["sh"])
        emulator.clock.advance(30)
        await turned_away(emulator, late.web_socket_uri)
        await turned_away(emulator, f"wss://{emulator.host}/exec/")


async def turned_away(emulator: AlibabaEmulator, uri: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        async with socket(emulator, uri, V4):
            pass


async def test_a_client_that_goes_ends_the_command_and_closing_ends_every_session() -> None:
    async with running(ScriptedEngine()) as (emulator, sdk, web):
        answer = await command(sdk, web, ["cat"])
        async with socket(emulator, answer.web_socket_uri, V4) as opened:
            await opened.receive_bytes()
            assert _streaming()
        async with asyncio.timeout(5):
            while _streaming():
                await asyncio.wait(_streaming())
        stays = await command(sdk, web, ["cat"])
        async with socket(emulator, stays.web_socket_uri, V4) as opened:
            await opened.receive_bytes()
            closing = asyncio.create_task(emulator.aclose(), name="closing")
            assert (await opened.receive()).type is WSMsgType.CLOSE
            await asyncio.wait_for(closing, 5)


async def test_a_command_run_at_once() -> None:
    engine = ScriptedEngine()

    async def run(name: str, container: str, words: Sequence[str], session: Any) -> int:
        await session.write_stdout(b"out\n")
        await session.write_stderr(b"err\n")
        if words == ["hang"]:
            await asyncio.Event().wait()
        return 0

    engine.exec = run
    async with running(engine, timings={"scheduling": 0, "execSync": 0.05}) as (_, sdk, web):
        assert (await command(sdk, web, ["ls"], sync=True)).sync_response == "out\nerr\n"
        assert (await command(sdk, web, ["hang"], sync=True)).sync_response == "out\nerr\n"
        assert (await refused(command(sdk, web, ["ls"], sync=True, tty=True))).code == "InvalidParameter"


async def test_commands_that_are_refused() -> None:
    async with running(ScriptedEngine(), limits={"strictLengths": True}) as (_, sdk, web):
        for wrong in ("[1]", "[", "[]"):
            assert (await refused(command(sdk, web, wrong))).code == "InvalidParameter"
        for long in (["x"] * 21, ["x" * 257], ["x" * 2048]):
            assert (await refused(command(sdk, web, long))).code == "InvalidParameter.ValueExceeded"


async def test_usage_of_running_containers() -> None:
    engine = ScriptedEngine()

    async def usage(name: str) -> list[ContainerUsage]:
        return [ContainerUsage("web", 5.0, 300, 200, STARTED + 10)]

    engine.usage = usage
    async with running(engine) as (emulator, sdk, web):
        emulator.clock.freeze()
        many = eci.DescribeMultiContainerGroupMetricRequest(
            region_id=REGION, container_group_ids=json.dumps([web, "eci-none"])
        )
        found = (await sdk.eci.describe_multi_container_group_metric_async(many)).body.monitor_datas
        assert [one.container_group_id for one in found] == [web]
        record = found[0].records[0]
        assert record.timestamp == "2027-01-15T08:00:10Z"
        cpu, memory = record.containers[0].cpu, record.containers[0].memory
        assert (cpu.usage_nano_cores, cpu.usage_core_nano_seconds, cpu.limit) == (5 * 10**8, 5 * 10**9, 1000)
        assert (memory.usage_bytes, memory.working_set) == (300, 200)
        assert memory.available_bytes == 2 * 1024**3 - 200
        assert record.cpu.usage_core_nano_seconds == 5 * 10**9

        async def records(**fields: Any) -> int:
            one = eci.DescribeContainerGroupMetricRequest(region_id=REGION, container_group_id=web, **fields)
            return len((await sdk.eci.describe_container_group_metric_async(one)).body.records)

        assert await records() == 1
        assert await records(start_time="2020-01-01T00:00:00Z", end_time="2020-01-01T00:05:00Z") == 0
        assert (await refused(records(period="7"))).code == "InvalidParameter"


def _streaming() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "eci-stream"}
