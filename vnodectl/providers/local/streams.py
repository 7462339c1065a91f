"""kubectl's streams as the engines' sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from vnodectl.runtime.provider import Streams


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
