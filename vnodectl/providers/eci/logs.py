"""Logs of Elastic Container Instance: the last 2,000 lines (or 1 MiB), with timestamps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from vnodectl.clouds.alibaba import AlibabaError, AlibabaThrottled
from vnodectl.errors import VnodectlError
from vnodectl.providers import logtail
from vnodectl.providers.eci.failures import of_request
from vnodectl.providers.eci.groups import LOG_LINES, Groups
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
    if tail == 0:
        return []
    try:
        content = await groups.logs(group_id, container, tail=tail, previous=previous)
    except AlibabaThrottled as error:
        raise of_request(error) from error
    except AlibabaError as error:
        if 400 <= error.status < 500:
            raise NotFound(f"container {container} has no log: {error.detail}") from error
        raise of_request(error) from error
    except VnodectlError as error:
        raise of_request(error) from error
    return content.splitlines()
