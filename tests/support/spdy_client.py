"""The client's end of SPDY/3.1, as simple as can be, and connections in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

from vnodectl.runtime.streams.spdy_frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Ping,
    RstStream,
    SynReply,
    SynStream,
)


class MemoryTransport:
    """The server's `ByteTransport`; the test feeds `feed` and reads `written`.

    Clear `writable` to be a client that reads nothing, `flushed` to be one that is slow to the end.
    """

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.written: asyncio.Queue[bytes] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.writable.set()
        self.flushed = asyncio.Event()
        self.flushed.set()
        self.reads = 0
        self.closed: bool | None = None
        """How it was closed: gracefully or not; None while it is open."""

    async def read(self) -> bytes:
        self.reads += 1
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        if self.closed is not None:
            raise ConnectionResetError("closed")
        self.written.put_nowait(data)
        await self.writable.wait()

    async def flush(self) -> None:
        await self.flushed.wait()

    async def close(self, *, graceful: bool) -> None:
        self.closed = graceful
        self.written.put_nowait(b"")


Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes]]


class SpdyClient:
    """Opens streams and collects what comes. Call `run` in a task, or `pump` to wait for a condition."""

    def __init__(self, send: Send, receive: Receive) -> None:
        self._send = send
        self._receive = receive
        self._writer = FrameWriter()
        self._reader = FrameReader()
        self._next = 1
        self.frames: list[Frame] = []
        self.data: dict[int, bytes] = defaultdict(bytes)
        self.replied: set[int] = set()
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goodbye: int | None = None
        self.gone = False

    @classmethod
    def in_memory(cls, transport: MemoryTransport) -> SpdyClient:
        async def send(data: bytes) -> None:
            transport.incoming.put_nowait(data)

        return cls(send, transport.written.get)

    async def open(self, **headers: str) -> int:
        number, self._next = self._next, self._next + 2
        await self.say(SynStream(number, tuple(headers.items())))
        return number

    async def say(self, *frames: Frame) -> None:
        await self._send(b"".join(map(self._writer.write, frames)))

    async def write(self, stream: int, data: bytes = b"", *, fin: bool = False) -> None:
        await self.say(Data(stream, data, fin))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Receive until the condition holds. Raises ConnectionError when the server hangs up before."""
        async with asyncio.timeout(20):
            while not condition():
                if self.gone:
                    raise ConnectionResetError("the server hung up")
                await self.receive()

    async def to_the_end(self) -> None:
        async with asyncio.timeout(20):
            while not self.gone:
                await self.receive()

    async def receive(self) -> None:
        data = await self._receive()
        if not data:
            self.gone = True
            return
        for frame in self._reader.feed(data):
            self.frames.append(frame)
            match frame:
                case Data(stream, payload, fin):
                    self.data[stream] += payload
                    if fin:
                        self.ended.add(stream)
                case SynReply(stream):
                    self.replied.add(stream)
                case RstStream(stream, status):
                    self.resets[stream] = status
                case GoAway(_, status):
                    self.goodbye = status
                case Ping(number) if number % 2 == 0:
                    await self.say(frame)
                case _:
                    pass
