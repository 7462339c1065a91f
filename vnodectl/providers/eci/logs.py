"""Logs of Elastic Container Instance: the last 2,000 lines, with timestamps.

An answer has at most 1 MiB, and what is cut off is its end, which is the newest. So an answer that is full is
asked for again with fewer lines.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from vnodectl.clouds.alibaba import AlibabaError, AlibabaThrottled
from vnodectl.errors import VnodectlError
from vnodectl.providers import logtail
from vnodectl.providers.eci.failures import of_request
from vnodectl.providers.eci.groups import LOG_BYTES, LOG_LINES, Groups
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import LogOptions, NotFound


async def read(
    groups: Groups,
    group_id: str,
    container: str,
    options: LogOptions,
    *,
    timer: Timer,
    wall: Callable[[], datetime],
    ended: Callable[[], bool],
) -> AsyncGenerator[bytes]:
    """The container's output in chunks of whole lines; `ended` as in `logtail.Source`.

    Raises `NotFound` where there is no such container or log yet.
    """

    async def fetch(tail: int | None) -> list[str]:
        wanted = LOG_LINES if tail is None else min(tail, LOG_LINES)
        return await _lines(groups, group_id, container, wanted, previous=options.previous)

    source = logtail.Source(fetch, ended, most=LOG_LINES)
    async with aclosing(logtail.read(source, options, timer=timer, wall=wall)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _lines(groups: Groups, group_id: str, container: str, tail: int, *, previous: bool) -> list[str]:
    """Lines with their timestamps."""
    try:
        content = await groups.logs(group_id, container, tail=tail, previous=previous)
        while len(content.encode()) >= LOG_BYTES and tail > 1:
            tail //= 2
            content = await groups.logs(group_id, container, tail=tail, previous=previous)
    except AlibabaThrottled as error:
        raise of_request(error) from error
    except AlibabaError as error:
        if 400 <= error.status < 500:
            raise NotFound(f"container {container} has no log: {error.detail}") from error
        raise of_request(error) from error
    except VnodectlError as error:
        raise of_request(error) from error
    # Not `splitlines`: programs print carriage returns, form feeds and the like within a line.
    lines = content.split("\n")
    return lines if lines[-1] else lines[:-1]
