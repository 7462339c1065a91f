"""Logs of Azure Container Instances: the last lines, with timestamps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime

from vnodectl.clouds.azure import AzureError
from vnodectl.errors import VnodectlError
from vnodectl.providers import logtail
from vnodectl.providers.aci.failures import of_request
from vnodectl.providers.aci.groups import Groups
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import LogOptions, NotFound, Unsupported


async def read(
    groups: Groups,
    name: str,
    container: str,
    options: LogOptions,
    *,
    timer: Timer,
    wall: Callable[[], datetime],
    ended: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """The container's output in chunks of whole lines; `ended` as in `logtail.Source`.

    Raises `NotFound` where there is no such group, container or log yet, `Unsupported` for the log of
    a previous instance (ACI keeps none).
    """
    if options.previous:
        raise Unsupported("Azure Container Instances keeps no log of a container's previous instance")

    async def fetch(tail: int | None) -> list[str]:
        return await _lines(groups, name, container, tail)

    source = logtail.Source(fetch, ended)
    async with aclosing(logtail.read(source, options, timer=timer, wall=wall)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _lines(groups: Groups, name: str, container: str, tail: int | None) -> list[str]:
    """Lines with their timestamps."""
    try:
        content = await groups.logs(name, container, tail=tail, timestamps=True)
    except AzureError as error:
        if error.status in {400, 404, 409}:
            raise NotFound(f"container {container} has no log: {error.detail}") from error
        raise of_request(error) from error
    except VnodectlError as error:
        raise of_request(error) from error
    return content.splitlines()
