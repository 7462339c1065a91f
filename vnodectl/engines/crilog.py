"""Log files in the format of the Container Runtime Interface: `<RFC 3339> stdout|stderr F|P <line>`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from vnodectl.engines.api import LogQuery

POLL = 0.2  # seconds between looks at a file that is followed


class LogWriter:
    """Writes one attempt's log. Lines without an end are kept as partial ones."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._now = now

    def write(self, stream: str, line: bytes) -> None:
        tag = b"F" if line.endswith(b"\n") else b"P"
        stamp = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="microseconds")
        head = f"{stamp.replace('+00:00', 'Z')} {stream} ".encode()
        self._file.write(head + tag + b" " + line.removesuffix(b"\n") + b"\n")

    def close(self) -> None:
        self._file.close()


async def read_log(path: Path, query: LogQuery, ended: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """The log as the program wrote it; following until `ended` is true and everything was read."""
    with path.open("rb") as file:
        for line in _tail(list(_complete(file)), query):
            yield line
        while query.follow:
            last = ended()
            for raw in _complete(file):
                if (shown := _shown(raw, query)) is not None:
                    yield shown
            if last:
                return
            await asyncio.sleep(POLL)


def _complete(file: BufferedReader) -> Iterator[bytes]:
    while True:
        position = file.tell()
        raw = file.readline()
        if not raw.endswith(b"\n"):
            file.seek(position)
            return
        yield raw


def _tail(lines: list[bytes], query: LogQuery) -> list[bytes]:
    if query.tail is not None:
        start, whole = len(lines), 0
        while start > 0:
            # A partial line belongs to the full one after it, unless it is the last of all.
            whole += start == len(lines) or lines[start - 1].split(b" ", 3)[2] == b"F"
            if whole > query.tail:
                break
            start -= 1
        lines = lines[start:]
    return [line for raw in lines if (line := _shown(raw, query)) is not None]


def _shown(raw: bytes, query: LogQuery) -> bytes | None:
    stamp, _, tag, text = raw.split(b" ", 3)
    if query.since is not None and datetime.fromisoformat(stamp.decode()).timestamp() < query.since:
        return None
    line = text if tag == b"F" else text.removesuffix(b"\n")
    return stamp + b" " + line if query.timestamps else line
