"""Logs, from services that offer the last lines and timestamps only.

Following means asking again and finding where the last answer ended: by the lines themselves, which carry
timestamps, so that nothing is told twice and nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import LogOptions, NotFound

FOLLOW_INTERVAL = 2.0
_QUIET_INTERVAL = 5.0
_WINDOW = 500
_ANCHOR = 16
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?")

Fetch = Callable[[int | None], Awaitable[list[str]]]
"""Asks for the last n lines (None: as many as there are), each beginning with its RFC 3339 time."""


@dataclass(frozen=True, slots=True)
class Source:
    """A container's log. `most` is the number of lines that one answer can have at most (None: no limit).

    `ended` says whether the container has ended for good; a followed log ends once it has and nothing new
    came.
    """

    fetch: Fetch
    ended: Callable[[], bool]
    most: int | None = None


async def read(
    source: Source, options: LogOptions, *, timer: Timer, wall: Callable[[], datetime]
) -> AsyncGenerator[bytes]:
    """The container's output in chunks of whole lines. Raises what `source.fetch` raises.

    Where more than `source.most` lines arrive between two looks, the oldest of them are lost.
    """
    since = _since(options, wall())
    wanted = None if since or options.tail is None else max(options.tail, _ANCHOR)
    lines = await source.fetch(wanted)
    told = [line for line in lines if since is None or _newer(line, since)]
    if options.tail is not None:
        told = told[max(0, len(told) - options.tail) :]
    left = options.limit_bytes
    chunk, left = _cut(_render(told, stamped=options.timestamps), left)
    if chunk:
        yield chunk
    pause = FOLLOW_INTERVAL
    while options.follow and left != 0:
        last = source.ended()
        await timer.sleep(pause)
        try:
            fresh, lines = await _after(source, lines)
        except NotFound:
            if last or source.ended():
                return  # it went with its container, between two looks
            raise
        chunk, left = _cut(_render(fresh, stamped=options.timestamps), left)
        if chunk:
            pause = FOLLOW_INTERVAL
            yield chunk
        elif last:
            return
        else:
            pause = _QUIET_INTERVAL


async def _after(source: Source, seen: Sequence[str]) -> tuple[list[str], list[str]]:
    """(lines that came after `seen`, what is seen now)."""
    window = _WINDOW
    while True:
        if source.most is not None:
            window = min(window, source.most)
        lines = await source.fetch(window)
        whole = len(lines) < window
        if whole and lines[: len(seen)] == list(seen):
            return lines[len(seen) :], lines
        at = _position(lines, seen[-_ANCHOR:])
        if at is not None:
            return lines[at:], lines
        if whole or window == source.most:
            return lines, lines  # the container was restarted and its log began anew, or lines were lost
        window *= 10


def _position(lines: Sequence[str], anchor: Sequence[str]) -> int | None:
    """Where `lines` go on after the last occurrence of `anchor`; None where it does not occur."""
    if not anchor:
        return 0
    size = len(anchor)
    for end in range(len(lines), size - 1, -1):
        if list(lines[end - size : end]) == list(anchor):
            return end
    return None


def _since(options: LogOptions, now: datetime) -> datetime | None:
    if options.since_time:
        when = datetime.fromisoformat(options.since_time)
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return None if options.since is None else now - timedelta(seconds=options.since)


def _newer(line: str, since: datetime) -> bool:
    """Lines whose time cannot be read are told rather than lost."""
    match = _STAMPED.match(line)
    return match is None or _time(match[1]) >= since


def _time(text: str) -> datetime:
    """Nanoseconds are cut to the microseconds that Python keeps."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def _render(lines: Sequence[str], *, stamped: bool) -> bytes:
    if not lines:
        return b""
    shown = (
        lines
        if stamped
        else [_STAMPED.sub("", line, count=1) if _STAMPED.match(line) else line for line in lines]
    )
    return ("\n".join(shown) + "\n").encode()


def _cut(chunk: bytes, left: int | None) -> tuple[bytes, int | None]:
    if left is None:
        return chunk, None
    return chunk[:left], left - len(chunk[:left])
