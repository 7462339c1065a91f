"""Logs, exec and attach through the emulated ACI, with real shells on real terminals."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from support.aci_cloud import AciCloud, Kubectl, TerminalEngine, aci_cloud
from support.aci_pods import make_pod
from support.port_connection import Connection
from support.scripted_engine import ScriptedEngine

from vnodectl.engines.api import GroupPhase, Running
from vnodectl.engines.clock import SystemClock
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.runtime.provider import (
    LogOptions,
    NotFound,
    Retryable,
    SupportsPortForward,
    TerminalSize,
    Unsupported,
)

POD = make_pod()
KEY = POD.key


async def _running(cloud: AciCloud) -> AciCloud:
    await cloud.provider.create(POD)
    await cloud.said.state(KEY, "running")
    return cloud


async def _exec(cloud: AciCloud, *command: str, far: Kubectl | None = None) -> tuple[int, bytes]:
    far = far or Kubectl()
    code = await asyncio.wait_for(cloud.provider.exec(KEY, "main", command, far), 20)  # type: ignore[arg-type]
    return code, far.output


async def test_exec_with_arguments_gives_output_and_exit_code() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        far = Kubectl()
        assert await _exec(cloud, "sh", "-c", "echo a b; echo err >&2; exit 7", far=far) == (7, b"a b\n")
        assert far.errors == b"err\n"
        assert await _exec(cloud, "printf", "%s|", "it's", "", "a  b", "$HOME", "-n") == (
            0,
            b"it's||a  b|$HOME|-n|",
        )
        code, _ = await _exec(cloud, "/no/such/program")
        assert code == 127


async def test_exec_with_piped_input() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        assert await _exec(cloud, "cat", far=Kubectl(b"one\ntw", b"o\n")) == (0, b"one\ntwo\n")
        assert await _exec(cloud, "cat", far=Kubectl(b"no newline at the end")) == (
            0,
            b"no newline at the end",
        )
        every = bytes(range(256)) * 100
        far = Kubectl(every[:1000], every[1000:])
        assert await _exec(cloud, "tee", "/dev/stderr", far=far) == (0, every)
        assert far.errors == every


async def test_a_program_that_leaves_its_input_unread_ends_the_exec() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        assert await _exec(cloud, "sh", "-c", "exit 9", far=Kubectl(*[b"x" * 8000] * 10)) == (9, b"")


async def test_a_program_that_leaves_a_child_behind_ends_the_exec() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        assert await _exec(cloud, "sh", "-c", "sleep 8 & echo up; exit 2") == (2, b"up\n")


async def test_exec_in_a_terminal() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        far = Kubectl(b"stty size; exit 5\n", tty=True, sizes=[TerminalSize(101, 31)])
        code, output = await _exec(cloud, "sh", far=far)
        assert code == 5
        assert b"31 101\r\n" in output
        assert b"begin-" not in output


async def test_a_terminal_is_told_its_new_size() -> None:
    async with aci_cloud(TerminalEngine()) as cloud:
        await _running(cloud)
        far = Kubectl(b"\n", tty=True, sizes=[TerminalSize(101, 31), TerminalSize(132, 43)])
        watch = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.05; done"
        task = asyncio.create_task(_exec(cloud, "sh", "-c", watch, far=far), name="test-exec")
        await asyncio.wait_for(far.shows(b"ready"), 20)
        far.resized.set()
        code, output = await task
        assert code == 6
        assert b"43 132" in output


async def test_an_image_without_a_shell_runs_one_word_only() -> None:
    async with aci_cloud(TerminalEngine({"/hello": ["echo", "hello from no shell"]})) as cloud:
        await _running(cloud)
        assert await _exec(cloud, "/hello") == (0, b"hello from no shell\r\n")
        with pytest.raises(Unsupported, match="no such file"):
            await _exec(cloud, "/hello", "argument")


async def test_windows_types_into_cmd() -> None:
    programs = {"hostname": ["echo", "windows-host"], "cmd.exe": ["head", "-n", "2"]}
    async with aci_cloud(TerminalEngine(programs), os_type="Windows") as cloud:
        await _running(cloud)
        code, output = await _exec(cloud, "hostname")
        assert code == 0
        assert b"windows-host" in output
        code, output = await _exec(cloud, "powershell", "-c", "Get-Date | Out-Host")
        assert code == 0
        assert b'powershell -c "Get-Date | Out-Host"' in output
        assert b"exit" in output


async def test_a_container_that_does_not_answer_is_reported_with_what_it_said() -> None:
    engine = SimulatedEngine(home=None, clock=SystemClock())
    await engine.start()
    try:
        async with aci_cloud(engine) as cloud:  # type: ignore[arg-type]
            await _running(cloud)
            with pytest.raises(Unsupported, match="simulated"):
                await _exec(cloud, "echo", "x")
            code, output = await _exec(cloud, "hostname")
            assert code == 0
            assert b"simulated" in output
    finally:
        await engine.aclose(remove=True)


async def _logs(cloud: AciCloud, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in cloud.provider.logs(KEY, "main", options)])


async def test_logs() -> None:
    engine = ScriptedEngine()
    engine.output["main"] = b"one\ntwo\nthree\n"
    async with aci_cloud(engine) as cloud:
        await _running(cloud)
        assert await _logs(cloud, LogOptions()) == b"one\ntwo\nthree\n"
        assert await _logs(cloud, LogOptions(tail=1)) == b"three\n"
        assert await _logs(cloud, LogOptions(tail=1, timestamps=True)) == b"2027-01-15T08:00:00Z three\n"
        assert await _logs(cloud, LogOptions(since_time="2027-01-15T08:00:01Z")) == b""
        with pytest.raises(NotFound):
            await anext(cloud.provider.logs(KEY, "other", LogOptions()))


async def test_logs_of_a_group_that_is_not_up_yet() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        code = "ContainerGroupDeploymentNotReady"
        cloud.fault(method="GET", path="/logs$", status=409, code=code, message="not yet")
        with pytest.raises(NotFound):
            await anext(cloud.provider.logs(KEY, "main", LogOptions()))


async def test_following_a_log() -> None:
    engine = ScriptedEngine()
    engine.output["main"] = b"one\n"
    async with aci_cloud(engine) as cloud:
        await _running(cloud)
        async with (
            asyncio.timeout(20),
            aclosing(cloud.provider.logs(KEY, "main", LogOptions(follow=True))) as lines,
        ):
            assert await anext(lines) == b"one\n"
            engine.output["main"] += b"one\ntwo\n"
            assert await anext(lines) == b"one\ntwo\n"


async def test_attach_shows_the_output() -> None:
    engine = ScriptedEngine()
    engine.output["main"] = b"what it says\n"
    async with aci_cloud(engine) as cloud:
        await _running(cloud)
        far = Kubectl()
        await asyncio.wait_for(cloud.provider.attach(KEY, "main", far), 20)  # type: ignore[arg-type]
        assert far.output == b"what it says\n"


# --- port-forward ---------------------------------------------------------------------------------


class Near(ScriptedEngine):
    """Its pods are on this machine, once they have an address."""

    def run(self, name: str, ip: str = "127.0.0.1") -> None:
        self.publish(replace(self.seen[name], ip=ip))
        self.become(name, GroupPhase.RUNNING, Running(1_800_000_000.0), ready=True, started=True)


async def test_a_port_of_a_group_is_reached_at_its_address() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pod = make_pod({"containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}]})
    async with aci_cloud(Near()) as cloud, server:
        assert isinstance(cloud.provider, SupportsPortForward)
        with pytest.raises(NotFound):
            await cloud.provider.port_forward(pod.key, port, Connection())
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        connection = Connection(b"hello ", b"there")
        async with asyncio.timeout(10):
            await cloud.provider.port_forward(pod.key, port, connection)
        assert connection.got == b"HELLO THERE<eof>"
        server.close()
        with pytest.raises(Retryable, match=f"port {port} of 127"):
            await cloud.provider.port_forward(pod.key, port, Connection())


async def test_a_group_without_an_address_has_no_port_to_reach() -> None:
    async with aci_cloud() as cloud:
        await _running(cloud)
        with pytest.raises(Retryable, match="no address"):
            await cloud.provider.port_forward(KEY, 80, Connection())
