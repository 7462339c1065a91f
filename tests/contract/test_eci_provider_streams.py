"""Logs and exec of the ECI provider, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from support.eci_cloud import EciCloud, eci_cloud
from support.eci_pods import make_pod
from support.port_connection import Connection
from support.scripted_engine import ScriptedEngine

from vnodectl.engines.api import ContainerUsage, EngineError, GroupPhase, LogQuery, Running, Session
from vnodectl.providers.logtail import FOLLOW_INTERVAL
from vnodectl.runtime.provider import (
    LogOptions,
    NotFound,
    ProviderError,
    Retryable,
    SupportsAttach,
    SupportsPortForward,
    SupportsStats,
    TerminalSize,
    Unsupported,
    Usage,
)

POD = make_pod({"restartPolicy": "Never", "containers": [{"name": "main", "image": "nginx"}]})


class Talking(ScriptedEngine):
    """Runs commands as a test says: `code`, `says` on both outputs, and what was typed on stdout."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[tuple[str, ...]] = []
        self.code = 0
        self.sizes: list[tuple[int, int]] = []
        self.breaks = ""
        self.previous = b""
        self.read = asyncio.Event()

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        self.commands.append(tuple(command))
        if self.breaks:
            raise EngineError(self.breaks)
        if command[0] == "size":
            async for size in session.sizes():
                self.sizes.append(size)
                if size != (80, 24):
                    await session.write_stdout(b"%dx%d\n" % size)
                    return 0
        if command[0] == "cat":
            while (typed := await session.read_stdin()) not in (b"", b"end\n"):
                await session.write_stdout(typed)
            return 0
        await session.write_stdout(b"out\n")
        if not session.tty:
            await session.write_stderr(b"err\n")
        return self.code

    async def usage(self, name: str) -> list[ContainerUsage]:
        return [ContainerUsage("main", 7.5, 64 * 2**20, 32 * 2**20, 1_800_000_000.0)]

    async def logs(self, name: str, container: str, query: LogQuery) -> AsyncIterator[bytes]:
        if query.previous:
            yield b"2027-01-15T07:00:00Z " + self.previous
            return
        lines = [line async for line in super().logs(name, container, query)]
        self.read.set()
        for line in lines:
            yield line


class Kubectl:
    """The far end of an exec."""

    def __init__(self, *stdin: bytes, tty: bool = False, size: TerminalSize | None = None) -> None:
        self.tty = tty
        self.wants_stdin = bool(stdin)
        self.wants_stdout = True
        self.wants_stderr = not tty
        self.stdout = self.stderr = b""
        self.shown = asyncio.Event()
        self._stdin = list(stdin)
        self._size = size

    async def read_stdin(self) -> bytes:
        return self._stdin.pop(0) if self._stdin else b""

    async def write_stdout(self, data: bytes) -> None:
        self.stdout += data
        self.shown.set()

    async def write_stderr(self, data: bytes) -> None:
        self.stderr += data

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        if self._size is not None:
            yield self._size


async def _exec(engine: Talking, command: Sequence[str], kubectl: Kubectl, **config: object) -> int:
    async with eci_cloud(engine, config=dict(config)) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        async with asyncio.timeout(15):
            return await cloud.provider.exec(POD.key, "main", command, kubectl)


# --- exec -----------------------------------------------------------------------------------------


async def test_arguments_both_outputs_and_the_exit_code_pass_as_they_are() -> None:
    engine, kubectl = Talking(), Kubectl()
    engine.code = 3
    awkward = ["sh", "-c", "echo 'a b' \"$HOME\" \\ \n;", "", "ü", '["x"]']
    assert await _exec(engine, awkward, kubectl) == 3
    assert engine.commands == [tuple(awkward)]
    assert (kubectl.stdout, kubectl.stderr) == (b"out\n", b"err\n")


async def test_success_is_zero() -> None:
    assert await _exec(Talking(), ["true"], Kubectl()) == 0


async def test_what_is_typed_arrives() -> None:
    kubectl = Kubectl(b"one\n", b"two\n", b"end\n")
    assert await _exec(Talking(), ["cat"], kubectl) == 0
    assert kubectl.stdout == b"one\ntwo\n"


async def test_the_end_of_what_is_typed_is_told_where_the_protocol_can() -> None:
    kubectl = Kubectl(b"one\n", b"no end")
    assert await _exec(Talking(), ["cat"], kubectl, streamProtocols=["v5.channel.k8s.io"]) == 0
    assert kubectl.stdout == b"one\nno end"


class Real(Talking):
    """Runs commands here. Nobody tells it that its stdin has ended."""

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        self.commands.append(tuple(command))
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        except FileNotFoundError as error:
            raise EngineError(str(error)) from error
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        async def feed(stdin: asyncio.StreamWriter) -> None:
            while True:
                stdin.write(await session.read_stdin())
                await stdin.drain()

        feeding = asyncio.create_task(feed(process.stdin))
        while data := await process.stdout.read(1000):
            await session.write_stdout(data)
        if data := await process.stderr.read():
            await session.write_stderr(data)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        return await process.wait()


async def test_a_command_that_reads_all_its_input_ends_whatever_the_protocol() -> None:
    engine, kubectl = Real(), Kubectl(bytes(range(256)) * 300, b"no newline")
    script = 'cat; echo "$1" >&2; exit 4'
    assert await _exec(engine, ["sh", "-c", script, "x", "it's $1"], kubectl) == 4
    assert kubectl.stdout == bytes(range(256)) * 300 + b"no newline"
    assert kubectl.stderr == b"it's $1\n"
    assert len(engine.commands) == 1


async def test_a_command_that_leaves_its_input_unread_ends_all_the_same() -> None:
    class Patient(Kubectl):
        async def read_stdin(self) -> bytes:
            return await super().read_stdin() or await asyncio.Event().wait() or b""

    assert await _exec(Real(), ["sh", "-c", "head -c 1 >&2; exit 5"], Patient(b"abc")) == 5


@pytest.mark.parametrize("framing", ["channel", "raw"])
async def test_without_any_agreed_protocol_a_fed_command_ends_too(framing: str) -> None:
    kubectl = Kubectl(b"one\n")
    assert await _exec(Real(), ["cat"], kubectl, streamProtocols=[], streamFraming=framing) == 0
    assert kubectl.stdout == b"one\n"


async def test_an_image_without_a_shell_runs_the_command_itself_once() -> None:
    class Bare(Talking):
        async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
            if command[0] == "/bin/sh":
                raise EngineError("no such file: /bin/sh")
            return await super().exec(name, container, command, session)

    engine, kubectl = Bare(), Kubectl(b"one\n", b"end\n")
    assert await _exec(engine, ["cat"], kubectl) == 0
    assert (kubectl.stdout, engine.commands) == (b"one\n", [("cat",)])


async def test_a_command_of_the_most_words_is_run_as_it_is() -> None:
    engine = Talking()
    words = ["cat", *["x"] * 19]
    assert await _exec(engine, words, Kubectl(b"end\n")) == 0
    assert engine.commands == [tuple(words)]


async def test_the_terminal_s_size_is_told() -> None:
    kubectl = Kubectl(tty=True, size=TerminalSize(132, 43))
    assert await _exec(Talking(), ["size"], kubectl) == 0
    assert kubectl.stdout == b"132x43\n"


async def test_a_command_that_cannot_be_started() -> None:
    engine = Talking()
    engine.breaks = "no such file"
    with pytest.raises(ProviderError, match="no such file"):
        await _exec(engine, ["nothing"], Kubectl())


async def test_what_cannot_be_executed() -> None:
    with pytest.raises(Unsupported):
        await _exec(Talking(), [], Kubectl())
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        with pytest.raises(NotFound):
            await cloud.provider.exec(POD.key, "other", ["ls"], Kubectl())
        cloud.fault("ExecContainerCommand", status=400, code="InvalidParameter.ValueExceeded", message="long")
        with pytest.raises(ProviderError, match="long"):
            await cloud.provider.exec(POD.key, "main", ["ls"], Kubectl())


async def test_a_socket_without_channels_still_shows_its_output() -> None:
    kubectl = Kubectl()
    assert await _exec(Talking(), ["x"], kubectl, streamFraming="raw", streamProtocols=[]) == 0
    assert kubectl.stdout == b"out\nerr\n"


# --- logs -----------------------------------------------------------------------------------------


async def _logs(cloud: EciCloud, **options: Any) -> bytes:
    return await _logs_of(cloud, "main", **options)


async def _logs_of(cloud: EciCloud, container: str, **options: Any) -> bytes:
    chunks = cloud.provider.logs(POD.key, container, LogOptions(**options))
    return b"".join([chunk async for chunk in chunks])


async def test_logs_with_tail_times_and_limits() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.engine.output["main"] = b"".join(b"line %d\n" % n for n in range(30))
        assert (await _logs(cloud)).splitlines() == [b"line %d" % n for n in range(30)]
        assert await _logs(cloud, tail=2) == b"line 28\nline 29\n"
        assert await _logs(cloud, tail=0) == b""
        assert await _logs(cloud, tail=1, timestamps=True) == b"2027-01-15T08:00:00Z line 29\n"
        assert await _logs(cloud, limit_bytes=10) == b"line 0\nlin"
        assert await _logs(cloud, since_time="2027-01-15T08:00:01Z") == b""
        assert len((await _logs(cloud, since_time="2027-01-15T08:00:00Z")).splitlines()) == 30


async def test_the_log_of_the_instance_before() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.engine.previous = b"it crashed\n"
        assert await _logs(cloud, previous=True) == b"it crashed\n"


async def test_a_followed_log_repeats_nothing_and_ends_with_the_container() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.engine.output["main"] = b"one\ntwo\n"
        seen = b""
        chunks = cloud.provider.logs(POD.key, "main", LogOptions(follow=True, tail=1))
        async with asyncio.timeout(FOLLOW_INTERVAL * 8), aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                seen += chunk
                if seen == b"two\n":
                    cloud.engine.output["main"] += b"two\nthree\n"
                elif seen.endswith(b"three\n"):
                    cloud.end(0, "Completed")
        assert seen == b"two\ntwo\nthree\n"


async def test_no_log_yet_and_no_such_container() -> None:
    engine = Talking()
    engine.runs = False
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        with pytest.raises(NotFound):
            await _logs_of(cloud, "other")


async def test_stats_of_running_pods() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        assert isinstance(cloud.provider, SupportsStats)
        assert isinstance(cloud.provider, SupportsAttach)
        (found,) = await cloud.provider.stats([POD.key, make_pod(uid="x").key])
        assert found.key == POD.key
        # The time in whole seconds, as ECI writes it.
        assert found.containers == {"main": Usage(1_800_000_000.0, 7.5, 32 * 2**20, 64 * 2**20)}
        assert cloud.calls("DescribeMultiContainerGroupMetric") == 1
        assert await cloud.provider.stats([make_pod(uid="x").key]) == []
        assert cloud.calls("DescribeMultiContainerGroupMetric") == 1, "nobody was asked about nobody"


# --- port-forward ---------------------------------------------------------------------------------


class Near(ScriptedEngine):
    """Its pods are on this machine."""

    def run(self, name: str) -> None:
        self.publish(replace(self.seen[name], ip="127.0.0.1"))
        self.become(name, GroupPhase.RUNNING, Running(1_800_000_000.0), ready=True, started=True)


async def test_a_port_of_a_pod_is_reached_at_its_address() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with eci_cloud(Near()) as cloud, server:
        assert isinstance(cloud.provider, SupportsPortForward)
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        connection = Connection(b"hello ", b"there")
        async with asyncio.timeout(10):
            await cloud.provider.port_forward(POD.key, port, connection)
        assert connection.got == b"HELLO THERE<eof>"
        server.close()
        with pytest.raises(Retryable, match=f"port {port} of 127"):
            await cloud.provider.port_forward(POD.key, port, Connection())
        with pytest.raises(NotFound):
            await cloud.provider.port_forward(make_pod(uid="x").key, port, Connection())


# --- attach ---------------------------------------------------------------------------------------


async def test_attaching_shows_what_is_printed_from_now_on() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.engine.output["main"] = b"before\n"
        kubectl = Kubectl()

        async def attach() -> None:
            await cloud.provider.attach(POD.key, "main", kubectl)

        async with asyncio.timeout(FOLLOW_INTERVAL * 8):
            attached = asyncio.create_task(attach(), name="test-attach")
            await cloud.engine.read.wait()
            cloud.engine.output["main"] += b"after\n"
            await kubectl.shown.wait()
            cloud.end(0, "Completed")
            await attached
        assert kubectl.stdout == b"after\n"


async def test_nothing_can_be_typed_into_a_container() -> None:
    async with eci_cloud(Talking()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        with pytest.raises(Unsupported, match="kubectl exec"):
            await cloud.provider.attach(POD.key, "main", Kubectl(b"typed"))
        with pytest.raises(NotFound):
            await cloud.provider.attach(make_pod(uid="x").key, "main", Kubectl())
