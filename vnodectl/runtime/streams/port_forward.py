"""port-forward: TCP connections to a pod on pairs of streams, one for data and one for errors."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from vnodectl.runtime.provider import PortConnection, ProviderError
from vnodectl.runtime.streams.session import Channel, end_tasks
from vnodectl.runtime.streams.spdy_frames import ResetStatus
from vnodectl.runtime.streams.spdy_session import SpdySession, SpdyStream
from vnodectl.runtime.streams.websocket import WebSocketSession

_log = logging.getLogger(__name__)

SPDY_PROTOCOL: Final = "portforward.k8s.io"
TUNNEL_PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"
"""The WebSocket subprotocol whose messages carry the SPDY connection (API servers and kubectl of 1.30 on)."""

Forward = Callable[[int, PortConnection], Awaitable[None]]
"""Carry one connection to the port until both ends are done."""


def parse_port(text: str) -> int | None:
    """A TCP port, or None."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 2**16 else None


def ports_from_query(values: Sequence[str]) -> list[int] | None:
    """The ports of `?port=80,81&port=82`; None where one of them is no port, or there is none."""
    ports = [parse_port(part) for value in values for part in value.split(",")]
    known = [port for port in ports if port is not None]
    return known if known and len(known) == len(ports) else None


async def _carry(forward: Forward, port: int, data: PortConnection, error: Channel, name: str) -> None:
    """One connection, to its end. Errors go to the error stream."""
    try:
        await forward(port, data)
    except ProviderError as failure:
        await _tell(error, port, failure.message)
    except ConnectionError as failure:
        # Either end of the connection: to the caller both look like a connection that broke.
        await _tell(error, port, str(failure) or type(failure).__name__)
    except Exception:
        _log.exception("%s: port %d failed", name, port)
        await _tell(error, port, "the provider failed; see the log of the virtual node")


async def _tell(error: Channel, port: int, message: str) -> None:
    with suppress(ConnectionError):
        await error.write(f"error forwarding port {port}: {message}".encode())


# --- SPDY -----------------------------------------------------------------------------------------


class SpdyPortForward:
    """The pairs of streams of one SPDY connection.

    The two streams of a TCP connection come with the same `requestid`; where a client sends none, the
    data stream is the next one after its error stream. A pair that is not complete after `wait` seconds
    is reset. `name` is for the log and the tasks.
    """

    def __init__(self, session: SpdySession, forward: Forward, *, wait: float, name: str) -> None:
        self._session = session
        self._forward = forward
        self._wait = wait
        self._name = name
        self._halves: dict[str, tuple[SpdyStream, asyncio.Future[SpdyStream]]] = {}

    async def serve(self) -> None:
        """Until cancelled: there may always be another connection."""
        async with asyncio.TaskGroup() as group:
            while True:
                stream = await self._session.accept()
                port = parse_port(stream.headers.get("port", ""))
                kind = stream.headers.get("streamtype", "")
                if port is None or kind not in ("error", "data"):
                    await stream.reset(ResetStatus.PROTOCOL_ERROR)
                    continue
                request = _request_id(stream, kind)
                half = self._halves.get(request)
                if half is not None and half[0].headers.get("streamtype") == kind:
                    await stream.reset(ResetStatus.PROTOCOL_ERROR)
                    continue
                await self._session.reply(stream)
                if half is not None:
                    del self._halves[request]
                    half[1].set_result(stream)
                    continue
                other: asyncio.Future[SpdyStream] = asyncio.get_running_loop().create_future()
                self._halves[request] = (stream, other)
                group.create_task(
                    self._pair(request, stream, kind, other, port), name=f"{self._name}: port {port}"
                )

    async def _pair(
        self, request: str, stream: SpdyStream, kind: str, other: asyncio.Future[SpdyStream], port: int
    ) -> None:
        try:
            async with asyncio.timeout(self._wait):
                partner = await other
        except TimeoutError:
            self._halves.pop(request, None)
            await self._end(stream)
            return
        data, error = (stream, partner) if kind == "data" else (partner, stream)
        work = asyncio.create_task(
            _carry(self._forward, port, data, error, self._name), name=f"{self._name}: carry {port}"
        )
        over = asyncio.create_task(data.over.wait(), name=f"{self._name}: reset {port}")
        try:
            await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(work, over)
        await self._end(data, error)

    async def _end(self, *streams: SpdyStream) -> None:
        with suppress(ConnectionError):
            for stream in streams:
                await stream.write_eof()
            for stream in streams:
                await stream.reset()


def _request_id(stream: SpdyStream, kind: str) -> str:
    given = stream.headers.get("requestid")
    if given is not None:
        return given
    # A client's stream ids are odd, and the error stream comes first.
    return str(stream.stream_id if kind == "error" else stream.stream_id - 2)


# --- WebSocket channels ---------------------------------------------------------------------------


def websocket_readable(ports: Sequence[int]) -> frozenset[int]:
    """The data channels: two channels per port, data (2 i) and errors (2 i + 1)."""
    return frozenset(range(0, 2 * len(ports), 2))


async def serve_websocket(
    session: WebSocketSession, ports: Sequence[int], forward: Forward, *, name: str
) -> None:
    """One connection per port, opened at once; each channel first says its port (16 bits, little-endian)."""
    async with asyncio.TaskGroup() as group:
        for index, port in enumerate(ports):
            data, error = session.channels[2 * index : 2 * index + 2]
            for channel in (data, error):
                await channel.write(struct.pack("<H", port))
            group.create_task(_carry(forward, port, data, error, name), name=f"{name}: port {port}")
