"""kubectl's streams as the engines' sessions, and TCP connections into a pod."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vnodectl.runtime.provider import PortConnection, Streams

CHUNK = 65536  # bytes


class StreamsSession:
    """An engine's Session over the runtime's Streams."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.tty = streams.tty
        self.wants_stdin = streams.wants_stdin

    async def read_stdin(self) -> bytes:
        return await self._streams.read_stdin()

    async def write_stdout(self, data: bytes) -> None:
        if self._streams.wants_stdout:
            await self._streams.write_stdout(data)

    async def write_stderr(self, data: bytes) -> None:
        if self._streams.wants_stderr:
            await self._streams.write_stderr(data)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        async for size in self._streams.resizes():
            yield size.width, size.height


async def carry(host: str, port: int, connection: PortConnection) -> None:
    """Copy both ways until both ends are done. Raises OSError if the port does not answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_upstream(connection, writer), name="port-forward-up")
            tasks.create_task(_downstream(reader, connection), name="port-forward-down")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _upstream(connection: PortConnection, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await connection.read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _downstream(reader: asyncio.StreamReader, connection: PortConnection) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            await connection.write(data)
    await connection.write_eof()
