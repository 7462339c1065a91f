"""SPDY/3.1 streams on a byte transport."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from vnodectl.runtime.streams.session import Gate, Inbox, SessionLimits
from vnodectl.runtime.streams.spdy_connection import (
    DataReceived,
    Event,
    SpdyConnection,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WindowOpened,
)
from vnodectl.runtime.streams.spdy_frames import ResetStatus, SpdyError
from vnodectl.runtime.streams.transport import ByteTransport

_log = logging.getLogger(__name__)


class SpdyStream:
    """One stream that the peer opened. `headers` by lower-case name."""

    def __init__(
        self, session: SpdySession, stream_id: int, headers: Mapping[str, str], inbox: Inbox
    ) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.inbox = inbox
        self.over = asyncio.Event()
        """Set when the peer reset the stream or is gone: nothing goes either way any more."""
        self._session = session

    async def read(self) -> bytes:
        # The window for what was read before is granted here and not below: a read that is cancelled
        # must not have taken anything.
        await self._session.send_pending()
        data = await self.inbox.get()
        self._session.consumed(self.stream_id, len(data))
        return data

    async def write(self, data: bytes) -> None:
        await self._session.write(self.stream_id, data)

    async def write_eof(self) -> None:
        await self._session.write_eof(self.stream_id)

    async def reset(self, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """End the stream in both directions and forget what was not read."""
        await self._session.reset(self, status)


class SpdySession:
    """The streams of one connection; a `session.Connection`.

    Use `accept` for the streams that the peer opens, while `receive` runs.
    """

    def __init__(self, transport: ByteTransport, limits: SessionLimits) -> None:
        self._transport = transport
        self._limits = limits
        self._connection = SpdyConnection()
        self._gate = Gate(limits.inbound)
        self._streams: dict[int, SpdyStream] = {}
        self._opened: deque[SpdyStream] = deque()
        self._changed = asyncio.Event()
        self._windows = asyncio.Event()
        self._ended = asyncio.Event()
        self._sending = asyncio.Lock()
        self._activity = 0

    @property
    def activity(self) -> int:
        return self._activity

    async def accept(self) -> SpdyStream:
        """The next stream that the peer has opened; it is not answered yet (`reply`)."""
        while not self._opened:
            self._changed.clear()
            await self._changed.wait()
        return self._opened.popleft()

    async def reply(self, stream: SpdyStream) -> None:
        """Take the stream."""
        self._connection.accept(stream.stream_id)
        await self.send_pending()

    # --- the connection, for session.run ----------------------------------------------------------

    async def receive(self) -> None:
        try:
            while data := await self._transport.read():
                for event in self._connection.receive(data):
                    self._dispatch(event)
                await self.send_pending()
                await self._gate.room()
        except SpdyError as error:
            _log.info("a SPDY connection is ended: %s", error)
            await self.send_pending()
        except ConnectionError as error:
            _log.debug("a SPDY connection was lost: %s", error)
        finally:
            self._ended.set()
            self._windows.set()
            for stream in self._streams.values():
                stream.inbox.end()
                stream.over.set()

    def _dispatch(self, event: Event) -> None:
        match event:
            case StreamOpened(stream_id, headers):
                self._activity += 1
                first = {name.lower(): value.split("\0")[0] for name, value in headers}
                stream = SpdyStream(self, stream_id, first, Inbox(self._gate))
                self._streams[stream_id] = stream
                self._opened.append(stream)
                self._changed.set()
            case DataReceived(stream_id, data):
                self._activity += 1
                known = self._streams.get(stream_id)
                if known is not None:
                    known.inbox.put(data)
                else:
                    self._connection.consumed(stream_id, len(data))
            case StreamEnded(stream_id):
                if (ended := self._streams.get(stream_id)) is not None:
                    ended.inbox.end()
            case StreamReset(stream_id):
                if (reset := self._streams.pop(stream_id, None)) is not None:
                    self._connection.consumed(stream_id, reset.inbox.discard())
                    reset.over.set()
                    self._windows.set()
            case WindowOpened():
                self._windows.set()

    async def beat(self) -> None:
        self._connection.ping()
        await self.send_pending()

    async def farewell(self) -> None:
        for stream in list(self._streams.values()):
            # Nobody reads any more, but the peer's goodbye may be behind what it still sends.
            stream.inbox.discard()
        self._connection.close()
        await self.send_pending()
        await self._transport.flush()
        # Hanging up first, with something of the peer's unread, would make TCP forget what it has not
        # delivered yet: the end of the output, and the exit code.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger):
                await self._ended.wait()

    async def close(self, *, graceful: bool) -> None:
        await self._transport.close(graceful=graceful)

    # --- for the streams --------------------------------------------------------------------------

    async def write(self, stream_id: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._ended.is_set():
                raise ConnectionResetError("the peer is gone")
            room = self._connection.sendable(stream_id)
            if room is None:
                return
            if room == 0:
                self._windows.clear()
                await self._windows.wait()
                continue
            self._activity += 1
            self._connection.send(stream_id, bytes(view[:room]))
            view = view[room:]
            await self.send_pending()

    async def write_eof(self, stream_id: int) -> None:
        self._connection.end(stream_id)
        await self.send_pending()

    async def reset(self, stream: SpdyStream, status: ResetStatus) -> None:
        self._streams.pop(stream.stream_id, None)
        self._connection.reset(stream.stream_id, status)
        self._connection.consumed(stream.stream_id, stream.inbox.discard())
        await self.send_pending()

    def consumed(self, stream_id: int, count: int) -> None:
        self._connection.consumed(stream_id, count)

    async def send_pending(self) -> None:
        """Send what the connection has to say, in the order in which it said it."""
        async with self._sending:
            if data := self._connection.take():
                await self._transport.write(data)
