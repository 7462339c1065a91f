"""How long a connection with streams lives, and who ends it.

One connection has three tasks, and all have ended when `run` returns: the reader (ends when the peer
is gone), the work (exec, attach, port-forward), and the keeper (heartbeats, and the idle time-out).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Times in seconds, sizes in bytes.

    `idle`: a connection on which nothing was carried for so long is ended (a kubelet's
    streamingConnectionIdleTimeout, 4 h). `creation`: how long the peer may take to open the streams
    that belong together (30 s). `heartbeat`: how often a ping is sent, so that a peer that vanished is
    noticed while nothing is read from it. `linger`: how long the peer may take to hang up after goodbye.
    `inbound`: received bytes that may wait for their readers before the socket is not read any more.
    """

    idle: float = 4 * 3600.0
    creation: float = 30.0
    heartbeat: float = 15.0
    linger: float = 5.0
    inbound: int = 1024 * 1024


class Channel(Protocol):
    """One stream: both directions, either of which may be unused."""

    async def read(self) -> bytes:
        """The next bytes; b"" once the peer has ended its direction, or is gone."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer is slower. Dropped where the peer has closed the stream."""

    async def write_eof(self) -> None:
        """Nothing more will be sent. Idempotent."""


class Connection(Protocol):
    """What `run` drives."""

    @property
    def activity(self) -> int:
        """Grows whenever a stream carries something."""

    async def receive(self) -> None:
        """Feed the streams until the peer is gone; then all of them are at their end."""

    async def beat(self) -> None:
        """Send something that makes a dead connection fail."""

    async def farewell(self) -> None:
        """Tell the peer that all was said and wait until that has gone out."""

    async def close(self, *, graceful: bool) -> None: ...


async def run(
    connection: Connection, work: Coroutine[None, None, None], limits: SessionLimits, name: str
) -> None:
    """Serve one connection to its end. `name` is for the names of the tasks.

    The work is cancelled when the peer hangs up. Raises what the work raises, if it was not cancelled.
    """
    reader = asyncio.create_task(connection.receive(), name=f"{name}: read")
    keeper = asyncio.create_task(_keep(connection, limits), name=f"{name}: keep")
    worker = asyncio.create_task(work, name=f"{name}: work")
    ends = {reader, keeper}
    tasks = [worker, reader, keeper]
    graceful = False
    try:
        await asyncio.wait({worker, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if worker.done() and not any(end.done() for end in ends):
            farewell = asyncio.create_task(connection.farewell(), name=f"{name}: farewell")
            tasks.append(farewell)
            await asyncio.wait({farewell, *ends}, return_when=asyncio.FIRST_COMPLETED)
            graceful = farewell.done() and farewell.exception() is None
    finally:
        try:
            await end_tasks(*tasks)
        finally:
            with suppress(ConnectionError):
                await connection.close(graceful=graceful)
    for task in tasks[1:]:
        if (error := _failure(task)) is not None:
            _log.error("%s: the connection failed", name, exc_info=error)
    if (error := _failure(worker)) is not None:
        raise error


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    """What went wrong in a task, where that is more than a peer that hung up."""
    error = None if task.cancelled() else task.exception()
    return None if isinstance(error, ConnectionError) else error


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks, each once, and return when all have ended, even where this is cancelled meanwhile.

    `gather` would pass a second cancellation on, into the middle of their tidying up, and not wait for it.
    """
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while waiting := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio complains of errors that nobody has looked at
    if cancelled is not None:
        raise cancelled


async def _keep(connection: Connection, limits: SessionLimits) -> None:
    """Ends when the connection was idle for too long, or a ping could not be sent."""
    quiet, seen = 0.0, connection.activity
    period = min(limits.heartbeat, limits.idle)
    while quiet < limits.idle:
        # A ping that must wait is none: then data is under way, and its sender notices a dead peer.
        with suppress(TimeoutError):
            async with asyncio.timeout(period):
                await connection.beat()
        await asyncio.sleep(period)
        quiet = quiet + period if connection.activity == seen else 0.0
        seen = connection.activity


class Gate:
    """Counts received bytes that nobody has read yet; closed while there are too many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()

    def hold(self, count: int) -> None:
        self._held += count
        if self._held >= self._limit:
            self._room.clear()

    def release(self, count: int) -> None:
        self._held -= count
        if self._held <= self._limit // 2:
            self._room.set()

    async def room(self) -> None:
        """Wait until more may be received."""
        await self._room.wait()


class Inbox:
    """What was received for one stream and not read yet."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._chunks: deque[bytes] = deque()
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, data: bytes) -> None:
        if data and not self._ended:
            self._gate.hold(len(data))
            self._chunks.append(data)
            self._changed.set()

    def end(self) -> None:
        """Nothing more comes; what is there can still be read."""
        self._ended = True
        self._changed.set()

    def discard(self) -> int:
        """End, and forget what is there; how many bytes that was."""
        count = sum(map(len, self._chunks))
        self._chunks.clear()
        self._gate.release(count)
        self.end()
        return count

    async def get(self) -> bytes:
        """The next chunk; b"" at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        self._gate.release(len(data))
        return data
