"""Logs, exec and attach of a container group."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from azure.core.exceptions import HttpResponseError
from support.azure_clients import GROUP, LOCATION, Clients, clients, container, container_group, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator


@asynccontextmanager
async def azure(
    engine: ScriptedEngine, windows: ScriptedEngine | None = None
) -> AsyncIterator[tuple[AzureEmulator, Clients]]:
    config = AzureConfig.from_json(seed())
    async with (
        AzureEmulator(config, engine=engine, windows_engine=windows) as emulator,
        clients(emulator) as sdk,
    ):
        poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", container_group())
        await poller.result()
        yield emulator, sdk


@asynccontextmanager
async def socket(
    emulator: AzureEmulator, uri: str, headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    trust = ssl.create_default_context(cafile=str(emulator.ca_file))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(uri, ssl=trust, headers=headers) as opened,
    ):
        yield opened


async def run(sdk: Clients, command: str, *, group: str = "web", columns: int = 100, rows: int = 30) -> Any:
    request = {"command": command, "terminalSize": {"rows": rows, "cols": columns}}
    return await sdk.aci.containers.execute_command(GROUP, group, "web", request)


async def test_logs_with_tail_and_timestamps() -> None:
    engine = ScriptedEngine()
    engine.output["web"] = b"one\ntwo\nthree\n"
    async with azure(engine) as (_, sdk):
        logs = sdk.aci.containers.list_logs
        assert (await logs(GROUP, "web", "web")).content == "one\ntwo\nthree\n"
        assert (await logs(GROUP, "web", "web", tail=2)).content == "two\nthree\n"
        stamped = (await logs(GROUP, "web", "web", tail=1, timestamps=True)).content
        assert stamped == "2027-01-15T08:00:00Z three\n"
        with pytest.raises(HttpResponseError, match="ContainerNotFound"):
            await logs(GROUP, "web", "other")


async def test_logs_and_exec_of_a_group_that_is_not_up() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (_, sdk):
        engine.runs = False
        await sdk.aci.container_groups.begin_create_or_update(
            GROUP, "later", container_group(), polling=False
        )
        with pytest.raises(HttpResponseError, match="ContainerGroupDeploymentNotReady"):
            await run(sdk, "/bin/sh", group="later")


async def test_exec_takes_the_password_first_and_then_bytes_both_ways() -> None:
    async with azure(ScriptedEngine()) as (emulator, sdk):
        answer = await run(sdk, "/bin/sh -c ls")
        assert answer.web_socket_uri.startswith("wss://127.0.0.1:")
        async with socket(emulator, answer.web_socket_uri) as opened:
            await opened.send_str(answer.password)
            # One program name, whatever it contains: ACI takes no arguments.
            assert await opened.receive_bytes() == b"/bin/sh -c ls 100x30\r\n"
            await opened.send_bytes(b"typed\n")
            assert await opened.receive_bytes() == b"typed\n"
            await opened.send_str("as text\n")
            assert await opened.receive_bytes() == b"as text\n"
            await opened.send_bytes(b"exit\n")
            assert (await opened.receive()).type is WSMsgType.CLOSE


async def test_a_wrong_password_and_a_used_ticket_are_refused() -> None:
    async with azure(ScriptedEngine()) as (emulator, sdk):
        answer = await run(sdk, "/bin/sh")
        async with socket(emulator, answer.web_socket_uri) as opened:
            await opened.send_str("wrong")
            assert (await opened.receive()).type is WSMsgType.CLOSE
            assert opened.close_code == 1008
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            async with socket(emulator, answer.web_socket_uri):
                pass
        late = await run(sdk, "/bin/sh")
        emulator.clock.advance(301)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            async with socket(emulator, late.web_socket_uri):
                pass


async def test_a_client_that_goes_ends_the_command_and_closing_ends_every_session() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (emulator, sdk):
        answer = await run(sdk, "/bin/cat")
        async with socket(emulator, answer.web_socket_uri) as opened:
            await opened.send_str(answer.password)
            await opened.receive_bytes()
            assert _streaming()
        async with asyncio.timeout(5):
            while _streaming():
                await asyncio.wait(_streaming())
        stays = await run(sdk, "/bin/cat")
        async with socket(emulator, stays.web_socket_uri) as opened:
            await opened.send_str(stays.password)
            await opened.receive_bytes()
            closing = asyncio.create_task(emulator.aclose(), name="closing")
            assert (await opened.receive()).type is WSMsgType.CLOSE
            await asyncio.wait_for(closing, 5)


async def test_attach_gives_the_output_to_whoever_has_the_password_in_a_header() -> None:
    engine = ScriptedEngine()
    engine.output["web"] = b"hello\r\n"
    async with azure(engine) as (emulator, sdk):
        for good in (True, False):
            answer = await sdk.aci.containers.attach(GROUP, "web", "web")
            header = {"Authorization": answer.password if good else "wrong"}
            async with socket(emulator, answer.web_socket_uri, header) as opened:
                if good:
                    assert await opened.receive_bytes() == b"hello\r\n"
                else:
                    assert (await opened.receive()).type is WSMsgType.CLOSE
                    assert opened.close_code == 1008


async def test_a_windows_group_runs_on_its_own_engine_and_says_that_it_is_simulated() -> None:
    linux, windows = ScriptedEngine(), ScriptedEngine(real=False)
    windows.output["web"] = b"line\n"
    body = {
        "location": LOCATION,
        "properties": {"osType": "Windows", "containers": [container(image="windows/nanoserver")]},
    }
    async with azure(linux, windows) as (emulator, sdk):
        poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "win", body)
        assert (await poller.result()).os_type == "Windows"
        assert (len(linux.specs), len(windows.specs)) == (1, 1)
        content = (await sdk.aci.containers.list_logs(GROUP, "win", "web")).content
        assert content.splitlines()[0].startswith("This Windows container is simulated")
        assert content.splitlines()[1:] == ["line"]
        answer = await run(sdk, "cmd.exe", group="win")
        async with socket(emulator, answer.web_socket_uri) as opened:
            await opened.send_str(answer.password)
            assert b"windows/nanoserver is not run" in await opened.receive_bytes()


def _streaming() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "aci-stream"}
