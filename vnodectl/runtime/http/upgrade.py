"""From an HTTP/1.1 request to a transport for `runtime.streams`."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from aiohttp import WSCloseCode, WSMsgType, web

from vnodectl.runtime.streams.session import end_tasks
from vnodectl.runtime.streams.websocket import ChannelProtocol, choose

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_websocket import WebSocketReader

SPDY: Final = "SPDY/3.1"
SPDY_VERSION_HEADER: Final = "X-Stream-Protocol-Version"
_SPDY_ACCEPTED_HEADER: Final = "X-Accepted-Stream-Protocol-Versions"
_READ_AHEAD: Final = 256 * 1024


def wants(request: web.Request) -> str:
    """What the client wants to go on with: "websocket" or "SPDY/3.1". Raises 400 where it is neither."""
    upgrade = request.headers.get("Upgrade", "").lower()
    if "upgrade" in request.headers.get("Connection", "").lower():
        if upgrade == "websocket":
            return "websocket"
        if SPDY.lower() in upgrade:
            return SPDY
    raise web.HTTPBadRequest(text="Upgrade request required")


# --- SPDY -----------------------------------------------------------------------------------------


def negotiate_spdy(request: web.Request, offered: Sequence[str]) -> str:
    """The client's first choice that is offered. Raises 400 or 403 as a kubelet does."""
    asked = [
        name.strip()
        for value in request.headers.getall(SPDY_VERSION_HEADER, [])
        for name in value.split(",")
        if name.strip()
    ]
    if not asked:
        raise web.HTTPBadRequest(
            text=f"unable to upgrade: header {SPDY_VERSION_HEADER} is missing in the request"
        )
    for name in asked:
        if name in offered:
            return name
    raise web.HTTPForbidden(
        text=f"unable to upgrade: unable to negotiate protocol: client supports {', '.join(asked)}, "
        f"server accepts {', '.join(offered)}",
        headers=[(_SPDY_ACCEPTED_HEADER, name) for name in offered],
    )


async def upgrade_to_spdy(
    request: web.Request, protocol: str
) -> tuple[web.StreamResponse, UpgradedConnection]:
    """Answer 101 and take the connection over."""
    headers = {"Connection": "Upgrade", "Upgrade": SPDY, SPDY_VERSION_HEADER: protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    # Nothing of the new protocol may reach the HTTP parser; the client sends it only after the 101.
    connection = UpgradedConnection(request, transport)
    writer = cast("AbstractStreamWriter", await response.prepare(request))
    connection.use(writer)
    return response, connection


def abort(transport: asyncio.WriteTransport) -> None:
    """Cut the connection now, whatever has become of it."""
    # CPython 3.11.2, which Debian 12 has: a TLS transport that was closed twice has nothing left to abort.
    with suppress(AttributeError):
        transport.abort()


class _Drain:
    """Waits for the socket on behalf of many writers.

    Cancelling aiohttp's own `drain` breaks it for everybody until the socket is writable again; here
    a writer may give up at any time.
    """

    def __init__(self, request: web.Request, writer: AbstractStreamWriter) -> None:
        self._protocol = request.protocol
        self._writer = writer
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        if not self._protocol.writing_paused:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._writer.drain(), name="kubelet API: drain")
        await asyncio.shield(self._task)

    async def empty(self, transport: asyncio.Transport) -> None:
        """Wait until nothing is left in the transport's own buffer. There is no way back from this."""
        # Not 0: asyncio's TLS transport takes an empty buffer for one that has reached a limit of 0.
        transport.set_write_buffer_limits(high=1, low=0)
        await self.wait()

    async def stop(self) -> None:
        if self._task is not None:
            await end_tasks(self._task)


class UpgradedConnection:
    """A `ByteTransport` on a connection that aiohttp has accepted."""

    def __init__(self, request: web.Request, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._request = request
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._changed = asyncio.Event()
        self._drain: _Drain | None = None
        request.protocol.set_parser(cast("WebSocketReader", self))

    def use(self, writer: AbstractStreamWriter) -> None:
        self._drain = _Drain(self._request, writer)

    # --- called by aiohttp ------------------------------------------------------------------------

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._chunks.append(bytes(data))
        self._waiting += len(data)
        if self._waiting > _READ_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._changed.set()

    # --- ByteTransport ----------------------------------------------------------------------------

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        self._waiting -= len(data)
        if self._paused and self._waiting <= _READ_AHEAD // 2 and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        self._check()
        self._transport.write(data)
        if self._drain is not None:
            await self._drain.wait()
        self._check()

    async def flush(self) -> None:
        self._check()
        if self._drain is not None:
            await self._drain.empty(self._transport)

    async def close(self, *, graceful: bool) -> None:
        if self._drain is not None:
            await self._drain.stop()
        if graceful:
            self._transport.close()
        else:
            abort(self._transport)

    def _check(self) -> None:
        if self._ended or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")


# --- WebSocket ------------------------------------------------------------------------------------


def requested_subprotocols(request: web.Request) -> list[str]:
    header = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in header.split(",") if name.strip()]


def negotiate_channels(request: web.Request, offered: Sequence[ChannelProtocol]) -> ChannelProtocol:
    """Raises 400 where the client wants nothing that is offered."""
    asked = requested_subprotocols(request)
    chosen = choose(asked, offered)
    if chosen is None:
        raise web.HTTPBadRequest(
            text=f"unable to upgrade: none of the WebSocket subprotocols {', '.join(asked)} is known"
        )
    return chosen


async def upgrade_to_websocket(
    request: web.Request, protocol: str, linger: float
) -> tuple[web.WebSocketResponse, WebSocketTransport]:
    """Answer the handshake; `linger` seconds for the client to answer the closing one. Raises 400."""
    socket = web.WebSocketResponse(
        timeout=linger,
        autoping=False,
        protocols=(protocol,) if protocol else (),
        compress=False,
        writer_limit=sys.maxsize,  # `_Drain` waits instead
    )
    writer = await socket.prepare(request)
    return socket, WebSocketTransport(request, socket, writer)


class WebSocketTransport:
    """A `MessageTransport` on aiohttp's server side WebSocket."""

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        self._transport = request.transport
        self._socket = socket
        self._drain = _Drain(request, writer)

    async def receive(self) -> bytes | None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                return cast(bytes, message.data)
            if message.type is WSMsgType.TEXT:
                return cast(str, message.data).encode()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
                await self._drain.wait()
            elif message.type is not WSMsgType.PONG:
                return None

    async def send(self, message: bytes, *, text: bool = False) -> None:
        if text:
            await self._socket.send_str(message.decode("ascii"))
        else:
            await self._socket.send_bytes(message)
        await self._drain.wait()

    async def ping(self) -> None:
        await self._socket.ping()
        await self._drain.wait()

    async def flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            await self._drain.empty(self._transport)

    async def close(self, *, graceful: bool) -> None:
        await self._drain.stop()
        if not graceful and self._transport is not None:
            abort(self._transport)
        with suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.OK)
