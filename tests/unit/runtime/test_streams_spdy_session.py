"""exec, attach and port-forward over SPDY/3.1, in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.spdy_client import MemoryTransport, SpdyClient

from vnodectl.runtime.provider import NotFound, PortConnection, Streams, TerminalSize
from vnodectl.runtime.streams.port_forward import SpdyPortForward
from vnodectl.runtime.streams.remote_command import SPDY_PROTOCOLS, StreamOptions, serve_spdy
from vnodectl.runtime.streams.session import SessionLimits, run
from vnodectl.runtime.streams.spdy_frames import Data, Ping, RstStream, Settings, WindowUpdate
from vnodectl.runtime.streams.spdy_session import SpdySession

LIMITS = SessionLimits(linger=0.05)
ALL = StreamOptions(stdin=True, stdout=True, stderr=True, tty=False)
Command = Callable[[Streams], Awaitable[int]]


@asynccontextmanager
async def serving(
    command: Command,
    options: StreamOptions = ALL,
    protocol: str = SPDY_PROTOCOLS[0],
    limits: SessionLimits = LIMITS,
) -> AsyncIterator[tuple[SpdyClient, MemoryTransport]]:
    transport = MemoryTransport()
    session = SpdySession(transport, limits)
    work = serve_spdy(session, protocol, options, command, wait=limits.creation, name="test")
    task = asyncio.create_task(run(session, work, limits, "test"))
    try:
        yield SpdyClient.in_memory(transport), transport
    finally:
        transport.incoming.put_nowait(b"")
        async with asyncio.timeout(10):
            await asyncio.gather(task)


async def opened(client: SpdyClient, *kinds: str) -> list[int]:
    streams = [await client.open(streamtype=kind) for kind in kinds]
    await client.until(lambda: client.replied >= set(streams))
    return streams


async def test_a_command_has_its_streams_and_its_exit_code() -> None:
    async def command(streams: Streams) -> int:
        assert (streams.tty, streams.wants_stdin, streams.wants_stderr) == (False, True, True)
        received = b""
        while data := await streams.read_stdin():
            received += data
        await streams.write_stdout(received.upper())
        await streams.write_stderr(b"oops")
        return 3

    async with serving(command) as (client, transport):
        error, stdin, stdout, stderr = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.write(stdin, b"hel")
        await client.write(stdin, b"lo", fin=True)
        await client.to_the_end()
    assert client.data[stdout] == b"HELLO"
    assert client.data[stderr] == b"oops"
    assert json.loads(client.data[error]) == {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: 3",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }
    assert client.ended >= {error, stdout, stderr}
    assert client.goodbye == 0
    assert transport.closed is True
    last = [frame for frame in client.frames if isinstance(frame, Data) and frame.fin]
    order = [frame.stream_id for frame in last]
    assert order.index(stdout) < order.index(error), "the exit code must not overtake the output's end"


async def test_success_is_a_status_too() -> None:
    async def command(_: Streams) -> int:
        return 0

    async with serving(command) as (client, _):
        error, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.to_the_end()
    assert json.loads(client.data[error]) == {"metadata": {}, "status": "Success"}


@pytest.mark.parametrize(
    ("code", "told"), [(0, b""), (9, b"command terminated with non-zero exit code: 9")], ids=["ok", "failed"]
)
async def test_before_v4_only_a_failure_is_told_and_as_text(code: int, told: bytes) -> None:
    async def command(_: Streams) -> int:
        return code

    async with serving(command, protocol="v2.channel.k8s.io") as (client, _):
        error, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.to_the_end()
    assert client.data[error] == told


async def test_an_error_of_the_provider_reaches_the_user() -> None:
    async def command(_: Streams) -> int:
        raise NotFound("the container is gone")

    async with serving(command) as (client, _):
        error, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.to_the_end()
    status = json.loads(client.data[error])
    assert (status["status"], status["reason"], status["message"]) == (
        "Failure",
        "InternalError",
        "the container is gone",
    )


async def test_a_bug_of_the_provider_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def command(_: Streams) -> int:
        raise ValueError("password=hunter2")

    async with serving(command) as (client, _):
        error, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.to_the_end()
    assert "hunter2" not in client.data[error].decode()
    assert "hunter2" in caplog.text


async def test_a_terminal_has_sizes_and_no_stderr() -> None:
    sizes: list[TerminalSize] = []

    async def command(streams: Streams) -> int:
        assert (streams.tty, streams.wants_stderr) == (True, False)
        async for size in streams.resizes():
            sizes.append(size)
            if len(sizes) == 2:
                break
        await streams.write_stderr(b"to the same screen")
        return 0

    options = StreamOptions(stdin=True, stdout=True, stderr=False, tty=True)
    async with serving(command, options) as (client, _):
        _, _, stdout, resize = await opened(client, "error", "stdin", "stdout", "resize")
        await client.write(resize, b'{"Width":80,"Height":24}\n{"Wid')
        await client.write(resize, b'th":100,"Height":40}\n')
        await client.to_the_end()
    assert sizes == [TerminalSize(80, 24), TerminalSize(100, 40)]
    assert client.data[stdout] == b"to the same screen"


async def test_before_v3_a_terminal_has_no_resize_stream() -> None:
    async def command(streams: Streams) -> int:
        assert [size async for size in streams.resizes()] == []
        return 0

    options = StreamOptions(stdin=False, stdout=True, stderr=False, tty=True)
    async with serving(command, options, "v2.channel.k8s.io") as (client, _):
        await opened(client, "error", "stdout")
        await client.to_the_end()
    assert client.goodbye == 0


async def test_streams_that_were_not_asked_for_are_refused() -> None:
    going = asyncio.Event()

    async def command(_: Streams) -> int:
        await going.wait()
        return 0

    options = StreamOptions(stdin=False, stdout=True, stderr=False, tty=False)
    async with serving(command, options) as (client, _):
        stdin = await client.open(streamtype="stdin")
        error, stdout = await opened(client, "error", "stdout")
        twice = await client.open(streamtype="stdout")
        await client.until(lambda: {stdin, twice} <= client.resets.keys())
        going.set()
        await client.to_the_end()
    assert client.resets.keys() == {stdin, twice}
    assert client.ended >= {error, stdout}


async def test_a_client_that_never_opens_its_streams_is_left() -> None:
    async def command(_: Streams) -> int:
        raise AssertionError

    async with serving(command, limits=SessionLimits(creation=0.02, linger=0.02)) as (client, _):
        await client.open(streamtype="error")
        await client.to_the_end()
    assert client.goodbye == 0


async def test_a_client_that_vanishes_cancels_the_command() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def command(streams: Streams) -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    async with serving(command) as (client, transport):
        await opened(client, "error", "stdin", "stdout", "stderr")
        await started.wait()
        transport.incoming.put_nowait(b"")
        await asyncio.wait_for(cancelled.wait(), 5)
    assert transport.closed is False


async def test_noise_ends_the_connection_with_a_protocol_error() -> None:
    cancelled = asyncio.Event()

    async def command(_: Streams) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    async with serving(command) as (client, transport):
        await opened(client, "error", "stdin", "stdout", "stderr")
        transport.incoming.put_nowait(b"\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01")
        await client.to_the_end()
    assert client.goodbye == 1
    assert cancelled.is_set()


async def test_pings_are_answered_while_a_command_runs() -> None:
    async def command(streams: Streams) -> int:
        await streams.read_stdin()
        return 0

    async with serving(command, limits=SessionLimits(heartbeat=3600, linger=0.05)) as (client, _):
        _, stdin, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.say(Ping(7))
        await client.until(lambda: Ping(7) in client.frames)
        await client.write(stdin, fin=True)
        await client.to_the_end()


async def test_the_connection_is_kept_until_all_has_gone_out() -> None:
    async def command(_: Streams) -> int:
        return 0

    async with serving(command) as (client, transport):
        transport.flushed.clear()
        await opened(client, "error", "stdin", "stdout", "stderr")
        await client.until(lambda: client.goodbye is not None)
        await asyncio.sleep(2 * LIMITS.linger)  # longer than a peer that has everything may take
        assert transport.closed is None
        transport.flushed.set()
        await client.to_the_end()
    assert transport.closed is True


async def test_after_goodbye_the_peer_has_time_to_hang_up_first() -> None:
    async def command(_: Streams) -> int:
        return 0

    async with serving(command, limits=SessionLimits(linger=3600)) as (client, transport):
        _, stdin, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.until(lambda: client.goodbye is not None)
        await client.write(stdin, b"late")
        for _ in range(50):
            await asyncio.sleep(0)
        assert transport.closed is None
    assert transport.closed is not None


# --- back-pressure --------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_stops_the_command() -> None:
    go = asyncio.Event()
    written = 0
    chunk = b"x" * 10_000

    async def command(streams: Streams) -> int:
        nonlocal written
        await go.wait()
        for _ in range(20):
            await streams.write_stdout(chunk)
            written += 1
        return 0

    async with serving(command) as (client, transport):
        *_, stdout, _ = await opened(client, "error", "stdin", "stdout", "stderr")
        transport.writable.clear()
        go.set()
        await client.until(lambda: client.data[stdout] != b"")
        for _ in range(20):
            await asyncio.sleep(0)
        assert (written, len(client.data[stdout])) == (0, len(chunk))
        transport.writable.set()
        await client.to_the_end()
    assert client.data[stdout] == chunk * 20


async def test_a_command_that_does_not_read_stops_the_client() -> None:
    read_on = asyncio.Event()
    received = 0

    async def command(streams: Streams) -> int:
        nonlocal received
        await read_on.wait()
        while data := await streams.read_stdin():
            received += len(data)
        return 0

    limits = SessionLimits(inbound=10_000, linger=0.05)
    async with serving(command, limits=limits) as (client, transport):
        _, stdin, *_ = await opened(client, "error", "stdin", "stdout", "stderr")
        for _ in range(20):
            await client.write(stdin, b"y" * 5_000)
        await client.write(stdin, fin=True)
        reads = -1
        while transport.reads != reads:
            reads = transport.reads
            for _ in range(10):
                await asyncio.sleep(0)
        assert transport.incoming.qsize() >= 17, "only what fits was taken from the socket"
        read_on.set()
        await client.to_the_end()
    assert received == 100_000
    windows = [frame for frame in client.frames if isinstance(frame, WindowUpdate)]
    assert {frame.stream_id for frame in windows} == {0, stdin}


async def test_a_client_with_windows_is_given_no_more_than_they_hold() -> None:
    async def command(streams: Streams) -> int:
        await streams.write_stdout(b"z" * 5000)
        return 0

    async with serving(command) as (client, _):
        await client.say(Settings({7: 2000}))
        _, _, stdout, _ = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.until(lambda: len(client.data[stdout]) == 2000)
        await client.say(Ping(1))
        await client.until(lambda: Ping(1) in client.frames)
        assert len(client.data[stdout]) == 2000
        await client.say(WindowUpdate(stdout, 10_000))
        await client.to_the_end()
    assert len(client.data[stdout]) == 5000


async def test_output_for_a_stream_the_client_reset_is_dropped() -> None:
    is_reset = asyncio.Event()

    async def command(streams: Streams) -> int:
        await is_reset.wait()
        await streams.write_stdout(b"nobody listens")
        await streams.write_stderr(b"somebody does")
        return 0

    async with serving(command) as (client, _):
        _, _, stdout, stderr = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.say(RstStream(stdout, 5), Ping(1))
        await client.until(lambda: Ping(1) in client.frames)
        is_reset.set()
        await client.to_the_end()
    assert stdout not in client.data
    assert client.data[stderr] == b"somebody does"


# --- port-forward ---------------------------------------------------------------------------------


@asynccontextmanager
async def forwarding(
    forward: Callable[[int, PortConnection], Awaitable[None]], limits: SessionLimits = LIMITS
) -> AsyncIterator[SpdyClient]:
    transport = MemoryTransport()
    session = SpdySession(transport, limits)
    work = SpdyPortForward(session, forward, wait=limits.creation, name="test")
    task = asyncio.create_task(run(session, work.serve(), limits, "test"))
    try:
        yield SpdyClient.in_memory(transport)
    finally:
        transport.incoming.put_nowait(b"")
        async with asyncio.timeout(10):
            await asyncio.gather(task)


async def echo(port: int, connection: PortConnection) -> None:
    await connection.write(b"%d:" % port)
    while data := await connection.read():
        await connection.write(data)


async def pair(client: SpdyClient, request: str, port: str = "80") -> tuple[int, int]:
    error = await client.open(streamtype="error", port=port, requestid=request)
    data = await client.open(streamtype="data", port=port, requestid=request)
    await client.write(error, fin=True)
    return error, data


async def test_connections_are_carried_side_by_side() -> None:
    async with forwarding(echo) as client:
        first, second = await pair(client, "0"), await pair(client, "1", "443")
        await client.write(first[1], b"a", fin=True)
        await client.write(second[1], b"b", fin=True)
        await client.until(lambda: client.ended >= {*first, *second})
    assert (client.data[first[1]], client.data[second[1]]) == (b"80:a", b"443:b")
    assert client.data.keys().isdisjoint({first[0], second[0]}) or not client.data[first[0]]


async def test_streams_without_a_request_id_are_paired_by_their_order() -> None:
    async with forwarding(echo) as client:
        await client.open(streamtype="error", port="80")
        data = await client.open(streamtype="data", port="80")
        await client.write(data, b"x", fin=True)
        await client.until(lambda: data in client.ended)
    assert client.data[data] == b"80:x"


async def test_the_data_stream_may_come_first() -> None:
    async with forwarding(echo) as client:
        data = await client.open(streamtype="data", port="80", requestid="9")
        await client.open(streamtype="error", port="80", requestid="9")
        await client.write(data, fin=True)
        await client.until(lambda: data in client.ended)
    assert client.data[data] == b"80:"


@pytest.mark.parametrize(
    "error", [NotFound("nothing listens on that port"), ConnectionResetError("nothing listens on that port")]
)
async def test_a_port_that_cannot_be_reached_is_told(error: Exception) -> None:
    async def forward(_: int, __: PortConnection) -> None:
        raise error

    async with forwarding(forward) as client:
        errors, data = await pair(client, "0")
        await client.until(lambda: client.ended >= {errors, data})
    assert client.data[errors] == b"error forwarding port 80: nothing listens on that port"


async def test_a_connection_the_client_resets_is_cancelled_and_the_others_go_on() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def forward(port: int, connection: PortConnection) -> None:
        if port != 99:
            return await echo(port, connection)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with forwarding(forward) as client:
        errors, stuck = await pair(client, "0", "99")
        await asyncio.wait_for(started.wait(), 5)
        await client.say(RstStream(stuck, 5))
        await client.until(lambda: errors in client.ended)
        assert cancelled.is_set()
        _, data = await pair(client, "1")
        await client.write(data, fin=True)
        await client.until(lambda: data in client.ended)


@pytest.mark.parametrize(
    "headers",
    [{"streamtype": "data"}, {"streamtype": "data", "port": "0"}, {"streamtype": "other", "port": "80"}],
    ids=str,
)
async def test_streams_that_make_no_sense_are_reset(headers: dict[str, str]) -> None:
    async with forwarding(echo) as client:
        stream = await client.open(**headers)
        await client.until(lambda: client.resets.get(stream) == 1)


async def test_half_a_pair_is_given_up() -> None:
    async with forwarding(echo, SessionLimits(creation=0.02)) as client:
        lonely = await client.open(streamtype="data", port="80", requestid="0")
        await client.until(lambda: lonely in client.resets or lonely in client.ended)
        _, data = await pair(client, "0")
        await client.write(data, fin=True)
        await client.until(lambda: data in client.ended)


async def test_hanging_up_cancels_every_connection() -> None:
    started, open_ones = asyncio.Event(), 0

    async def forward(_: int, __: PortConnection) -> None:
        nonlocal open_ones
        open_ones += 1
        if open_ones == 3:
            started.set()
        try:
            await asyncio.Event().wait()
        finally:
            open_ones -= 1

    async with forwarding(forward) as client:
        for request in ("0", "1", "2"):
            await pair(client, request)
        await asyncio.wait_for(started.wait(), 5)
    assert open_ones == 0
