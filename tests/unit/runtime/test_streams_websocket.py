"""exec and port-forward on WebSocket channels, in memory."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.runtime.provider import NotFound, PortConnection, Streams, TerminalSize
from vnodectl.runtime.streams.port_forward import ports_from_query
from vnodectl.runtime.streams.port_forward import serve_websocket as serve_ports
from vnodectl.runtime.streams.port_forward import websocket_readable as readable_ports
from vnodectl.runtime.streams.remote_command import (
    WEBSOCKET_CHANNELS,
    StreamOptions,
    decode_sizes,
    serve_websocket,
    websocket_readable,
)
from vnodectl.runtime.streams.session import SessionLimits, run
from vnodectl.runtime.streams.websocket import (
    MAX_PAYLOAD,
    PORT_FORWARD_PROTOCOLS,
    REMOTE_COMMAND_PROTOCOLS,
    ChannelClosed,
    ChannelData,
    ChannelError,
    ChannelProtocol,
    WebSocketSession,
    choose,
    decode,
    encode,
)

BY_NAME = {protocol.name: protocol for protocol in REMOTE_COMMAND_PROTOCOLS}
V5, V4 = BY_NAME["v5.channel.k8s.io"], BY_NAME["v4.channel.k8s.io"]
V4_BASE64, LEGACY = BY_NAME["v4.base64.channel.k8s.io"], BY_NAME["channel.k8s.io"]
ALL = StreamOptions(stdin=True, stdout=True, stderr=True, tty=False)


# --- messages -------------------------------------------------------------------------------------


def test_a_message_begins_with_its_channel() -> None:
    assert encode(V5, 1, b"out") == b"\x01out"
    assert decode(V5, b"\x00in") == ChannelData(0, b"in")
    assert decode(V5, b"") is None


def test_base64_messages_begin_with_a_digit() -> None:
    assert encode(V4_BASE64, 1, b"\n") == b"1Cg=="
    assert decode(V4_BASE64, b"0Zm9vCg==") == ChannelData(0, b"foo\n")
    with pytest.raises(ChannelError):
        decode(V4_BASE64, b"0&&&&")


def test_only_v5_closes_channels() -> None:
    assert decode(V5, b"\xff\x00") == ChannelClosed(0)
    assert decode(V4, b"\xff\x00") == ChannelData(255, b"\x00")
    with pytest.raises(ChannelError):
        decode(V5, b"\xff\x00\x01")


def test_the_clients_first_choice_that_is_known_wins() -> None:
    assert choose(["x", "v4.channel.k8s.io", "v5.channel.k8s.io"], REMOTE_COMMAND_PROTOCOLS) == V4
    assert choose([], REMOTE_COMMAND_PROTOCOLS) == BY_NAME[""]
    assert choose(["x"], REMOTE_COMMAND_PROTOCOLS) is None
    assert choose(["v5.channel.k8s.io"], PORT_FORWARD_PROTOCOLS) is None


@given(st.sampled_from(REMOTE_COMMAND_PROTOCOLS), st.integers(0, 4), st.binary(max_size=300))
def test_messages_survive(protocol: ChannelProtocol, channel: int, data: bytes) -> None:
    assert decode(protocol, encode(protocol, channel, data)) == ChannelData(channel, data)


@given(st.sampled_from(REMOTE_COMMAND_PROTOCOLS), st.binary(max_size=50))
def test_noise_is_a_message_or_a_channel_error(protocol: ChannelProtocol, noise: bytes) -> None:
    with suppress(ChannelError):
        decode(protocol, noise)


# --- sizes and queries ----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 65535)), max_size=5), st.integers(1, 20))
def test_sizes_survive_however_they_are_cut(sizes: list[tuple[int, int]], step: int) -> None:
    text = b"".join(json.dumps({"Width": w, "Height": h}).encode() + b"\n" for w, h in sizes)
    got: list[TerminalSize] = []
    rest = b""
    for at in range(0, len(text), step):
        more, rest = decode_sizes(rest + text[at : at + step])
        got += more
    assert got == [TerminalSize(w, h) for w, h in sizes]


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"Width":0,"Height":5}',
        b'{"Width":"x","Height":1}',
        b"}",
        b"[1]}",
        b'{"Width":99999,"Height":1}',
    ],
)
def test_what_is_no_size_is_skipped(text: bytes) -> None:
    sizes, rest = decode_sizes(text + b'{"Width":3,"Height":2}')
    assert (sizes, rest) == ([TerminalSize(3, 2)], b"")


def test_a_size_that_is_nested_deeply_is_skipped() -> None:
    assert decode_sizes(b"[" * 4000 + b"}") == ([], b"")


def test_a_size_without_end_is_not_kept_for_ever() -> None:
    assert decode_sizes(b"{" * 10_000) == ([], b"")


def test_the_streams_that_a_query_asks_for() -> None:
    assert StreamOptions.from_query({"input": "1", "output": "1", "error": "1", "tty": "1"}) == StreamOptions(
        stdin=True, stdout=True, stderr=False, tty=True
    )
    assert StreamOptions.from_query({"tty": "1", "error": "1"}) is None
    assert StreamOptions.from_query({"stdout": "true"}) is None


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (["80"], [80]),
        (["80,81", "443"], [80, 81, 443]),
        ([], None),
        (["80,x"], None),
        (["0"], None),
        (["70000"], None),
    ],
)
def test_the_ports_of_a_query(values: list[str], ports: list[int] | None) -> None:
    assert ports_from_query(values) == ports


# --- sessions -------------------------------------------------------------------------------------


class Socket:
    """A `MessageTransport` in memory and the client at its other end."""

    def __init__(self, protocol: ChannelProtocol) -> None:
        self.protocol = protocol
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[tuple[int, bytes]] = []
        self.changed = asyncio.Event()
        self.closed: bool | None = None
        self.texts: set[bool] = set()

    async def receive(self) -> bytes | None:
        return await self.incoming.get()

    async def send(self, message: bytes, *, text: bool = False) -> None:
        self.texts.add(text)
        event = decode(self.protocol, message)
        assert isinstance(event, ChannelData)
        self.sent.append((event.channel, event.data))
        self.changed.set()

    async def ping(self) -> None: ...

    async def flush(self) -> None: ...

    async def close(self, *, graceful: bool) -> None:
        self.closed = graceful

    def say(self, channel: int, data: bytes) -> None:
        self.incoming.put_nowait(encode(self.protocol, channel, data))

    def on(self, channel: int) -> bytes:
        return b"".join(data for number, data in self.sent if number == channel)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def serving(
    command: Callable[[Streams], Awaitable[int]],
    protocol: ChannelProtocol = V5,
    options: StreamOptions = ALL,
    limits: SessionLimits | None = None,
) -> AsyncIterator[Socket]:
    socket = Socket(protocol)
    limits = limits or SessionLimits()
    session = WebSocketSession(
        socket, protocol, limits, count=WEBSOCKET_CHANNELS, readable=websocket_readable(options)
    )
    work = serve_websocket(session, options, command, as_json=protocol.status_json, name="test")
    task = asyncio.create_task(run(session, work, limits, "test"))
    try:
        yield socket
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def upper(streams: Streams) -> int:
    received = b""
    while data := await streams.read_stdin():
        received += data
    await streams.write_stdout(received.upper())
    await streams.write_stderr(b"oops")
    return 5


async def test_v5_can_close_stdin() -> None:
    async with serving(upper) as socket:
        socket.say(0, b"abc")
        socket.incoming.put_nowait(b"\xff\x00")
    assert socket.sent[0] == (1, b""), "clients wait for a first message"
    assert (socket.on(1), socket.on(2)) == (b"ABC", b"oops")
    assert json.loads(socket.on(3))["details"] == {"causes": [{"reason": "ExitCode", "message": "5"}]}
    assert socket.sent[-1][0] == 3
    assert socket.closed is True


async def test_v4_has_no_end_of_stdin_but_hanging_up() -> None:
    ended = asyncio.Event()

    async def command(streams: Streams) -> int:
        try:
            assert await streams.read_stdin() == b"abc"
            await streams.read_stdin()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    async with serving(command, V4) as socket:
        socket.say(0, b"abc")
        socket.incoming.put_nowait(None)
    assert ended.is_set()
    assert socket.closed is False


async def test_base64_is_text() -> None:
    async def command(streams: Streams) -> int:
        await streams.write_stdout(await streams.read_stdin())
        return 0

    async with serving(command, V4_BASE64) as socket:
        socket.incoming.put_nowait(b"0" + base64.b64encode(b"\x00\xff"))
    assert socket.on(1) == b"\x00\xff"
    assert socket.texts == {True}


async def test_without_a_version_errors_are_text() -> None:
    async def command(_: Streams) -> int:
        raise NotFound("gone")

    async with serving(command, LEGACY) as socket:
        pass
    assert socket.on(3) == b"gone"


async def test_sizes_come_on_their_own_channel_and_stray_messages_do_no_harm() -> None:
    sizes: list[TerminalSize] = []

    async def command(streams: Streams) -> int:
        async for size in streams.resizes():
            sizes.append(size)
            break
        return 0

    options = StreamOptions(stdin=False, stdout=True, stderr=False, tty=True)
    async with serving(command, options=options) as socket:
        for stray in (b"", b"\x00typed", b"\x01", b"\x09x", b"\xff\x03", b"\xff\x63"):
            socket.incoming.put_nowait(stray)
        socket.say(4, b'{"Width":80,"Height":24}')
    assert sizes == [TerminalSize(80, 24)]


async def test_a_broken_message_ends_the_session() -> None:
    async def command(_: Streams) -> int:
        await asyncio.Event().wait()
        return 0

    async with serving(command, V4_BASE64) as socket:
        socket.incoming.put_nowait(b"0&")
    assert socket.closed is False


STEPS = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=12)


@given(
    st.sampled_from([one for one in REMOTE_COMMAND_PROTOCOLS if one.name]),
    st.lists(st.binary(max_size=200), max_size=12),
    STEPS,
    st.lists(st.integers(0, 5), max_size=12),
)
def test_every_stream_arrives_whole_and_in_order_beside_others(
    protocol: ChannelProtocol, typed: list[bytes], written: list[tuple[int, bytes]], stray: list[int]
) -> None:
    """Whatever the mix of channels: stdin as it was typed, stdout and stderr as they were written."""
    received: list[bytes] = []

    async def command(streams: Streams) -> int:
        for channel, data in written:
            await (streams.write_stdout if channel == 1 else streams.write_stderr)(data)
        while sum(map(len, received)) < len(b"".join(typed)):
            received.append(await streams.read_stdin())
        return 0

    async def session() -> Socket:
        async with serving(command, protocol) as socket:
            for number, data in enumerate(typed):
                socket.say(0, data)
                for channel in stray[number : number + 1]:
                    if channel not in (0, 4):  # sizes are not noise, and input is not stray
                        socket.say(channel, b"nobody reads this")
        return socket

    socket = asyncio.run(session())
    assert b"".join(received) == b"".join(typed)
    for channel in (1, 2):
        assert socket.on(channel) == b"".join(data for number, data in written if number == channel)
    assert socket.texts == {protocol.base64}


async def test_large_output_is_cut_into_messages() -> None:
    async def command(streams: Streams) -> int:
        await streams.write_stdout(b"x" * (2 * MAX_PAYLOAD + 1))
        return 0

    async with serving(command) as socket:
        pass
    assert [len(data) for channel, data in socket.sent if channel == 1] == [0, MAX_PAYLOAD, MAX_PAYLOAD, 1]


async def test_a_command_that_does_not_read_stops_the_client() -> None:
    read_on = asyncio.Event()

    async def command(streams: Streams) -> int:
        await read_on.wait()
        total = 0
        while data := await streams.read_stdin():
            total += len(data)
        assert total == 20_000
        return 0

    async with serving(command, limits=SessionLimits(inbound=3000)) as socket:
        for _ in range(20):
            socket.say(0, b"x" * 1000)
        socket.incoming.put_nowait(b"\xff\x00")
        for _ in range(50):
            await asyncio.sleep(0)
        assert socket.incoming.qsize() >= 17
        read_on.set()


# --- port-forward on channels ---------------------------------------------------------------------


@asynccontextmanager
async def forwarding(
    ports: list[int], forward: Callable[[int, PortConnection], Awaitable[None]]
) -> AsyncIterator[Socket]:
    protocol = PORT_FORWARD_PROTOCOLS[0]
    socket, limits = Socket(protocol), SessionLimits()
    session = WebSocketSession(socket, protocol, limits, count=2 * len(ports), readable=readable_ports(ports))
    work = serve_ports(session, ports, forward, name="test")
    task = asyncio.create_task(run(session, work, limits, "test"))
    try:
        yield socket
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_port_has_two_channels_that_begin_with_its_number() -> None:
    async def forward(port: int, connection: PortConnection) -> None:
        if port == 0x1F90:
            raise NotFound("nothing there")
        await connection.write(await connection.read())

    async with forwarding([80, 0x1F90], forward) as socket:
        socket.say(0, b"ping")
    assert (socket.on(0), socket.on(1)) == (b"\x50\x00ping", b"\x50\x00")
    assert socket.on(2) == b"\x90\x1f"
    assert socket.on(3) == b"\x90\x1ferror forwarding port 8080: nothing there"
    assert socket.closed is True


async def test_hanging_up_ends_every_port() -> None:
    left = 0

    async def forward(_: int, __: PortConnection) -> None:
        nonlocal left
        try:
            await asyncio.Event().wait()
        finally:
            left += 1

    async with forwarding([80, 81], forward) as socket:
        await socket.until(lambda: len(socket.sent) == 4)
        socket.incoming.put_nowait(None)
    assert left == 2
