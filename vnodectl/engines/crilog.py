"""Log files in the format of the Container Runtime Interface: `<RFC 3339> stdout|stderr F|P <line>`.

podman's k8s-file is one too. Whatever a log's size, a few blocks of it are in memory at once.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from vnodectl.engines.api import LogQuery

POLL = 0.2  # seconds between looks at a file that is followed
_STAMP = re.compile(rb"(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
BLOCK = 64 * 1024  # bytes: what is read at once backwards, and about what is given at once


class LogWriter:
    """Writes one attempt's log. Lines without an end are kept as partial ones."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._now = now

    def write(self, stream: str, line: bytes) -> None:
        tag = b"F" if line.endswith(b"\n") else b"P"
        head = f"{stamp(self._now())} {stream} ".encode()
        self._file.write(head + tag + b" " + line.removesuffix(b"\n") + b"\n")

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class _Record:
    stamp: bytes
    stream: bytes
    partial: bool
    text: bytes
    """With the line's end, unless it is a partial one."""


async def read_log(path: Path, query: LogQuery, ended: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """The log as the program wrote it; following until `ended` is true and everything was read."""
    with path.open("rb") as file:
        if query.tail is not None:
            file.seek(_tail_start(file, query.tail))
        show = _Show(query)
        last = not query.follow
        while True:
            for chunk in show.chunks(file):
                yield chunk
                # Nobody else would get a turn while a long log goes to a fast reader.
                await asyncio.sleep(0)
            if last:
                return
            last = ended()
            if not last:
                await asyncio.sleep(POLL)


class _Show:
    """Records as the user asked to see them. A line that comes in parts has one timestamp."""

    def __init__(self, query: LogQuery) -> None:
        self._timestamps = query.timestamps
        self._since = query.since
        self._line_begins = True

    def chunks(self, file: BufferedReader) -> Iterator[bytes]:
        """What the file has from where it stands."""
        pending = bytearray()
        for raw in _complete(file):
            pending += self._shown(raw)
            if len(pending) >= BLOCK:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)

    def _shown(self, raw: bytes) -> bytes:
        if (record := _parse(raw)) is None or (self._since is not None and _time(record) < self._since):
            return b""
        stamped = self._timestamps and self._line_begins
        self._line_begins = not record.partial
        return _in_full(record.stamp) + b" " + record.text if stamped else record.text


def _parse(raw: bytes) -> _Record | None:
    """None for a damaged record, e.g. of a disk that was full."""
    fields = raw.split(b" ", 3)
    if len(fields) < 4:
        return None
    stamp, stream, tag, text = fields
    partial = tag == b"P"
    return _Record(stamp, stream, partial, text.removesuffix(b"\n") if partial else text)


def stamp(moment: float) -> str:
    """Seconds since the epoch as a kubelet shows the time of a line: RFC 3339, UTC, nine decimals."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _in_full(stamp: bytes) -> bytes:
    """The same for a record's own time, whatever its decimals and its time zone."""
    if (match := _STAMP.fullmatch(stamp)) is None:
        return stamp
    whole, decimals, zone = match.groups(default=b"")
    if zone not in (b"Z", b"+00:00"):
        here = datetime.fromisoformat((whole + zone).decode())
        whole = here.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
    return b"%b.%bZ" % (whole, decimals.ljust(9, b"0"))


def _time(record: _Record) -> float:
    return datetime.fromisoformat(record.stamp.decode()).timestamp()


def _complete(file: BufferedReader) -> Iterator[bytes]:
    while True:
        position = file.tell()
        raw = file.readline()
        if not raw.endswith(b"\n"):
            file.seek(position)
            return
        yield raw


def _tail_start(file: BufferedReader, lines: int) -> int:
    """Where the last lines begin. A partial record belongs to the next one of its stream, if there is any."""
    start, found = 0, 0
    later: set[bytes] = set()
    for position, raw in _backwards(file, file.seek(0, os.SEEK_END)):
        start = start or position + len(raw)
        if (record := _parse(raw)) is not None:
            found += not (record.partial and record.stream in later)
            later.add(record.stream)
        if found > lines:
            break
        start = position
    return start


def _backwards(file: BufferedReader, end: int) -> Iterator[tuple[int, bytes]]:
    """The complete records before `end` with their places, the last first."""
    rest, complete = b"", False
    while end > 0:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        first, *others = (file.read(end - begin) + rest).split(b"\n")
        place = begin + len(first) + sum(len(one) + 1 for one in others)
        for one in reversed(others):
            place -= len(one)
            # What follows the last line's end is a record that is still being written.
            if complete:
                yield place, one + b"\n"
            complete = True
            place -= 1
        rest, end = first, begin
    if complete:
        yield 0, rest + b"\n"
