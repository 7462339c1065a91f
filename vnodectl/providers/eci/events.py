"""What ECI says of its groups, as events of their pods: pulls, mounts, restarts, a spot instance taken back.

DescribeContainerGroupEvents takes SinceSecond and tags, 200 groups a page: groups at rest cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from vnodectl.errors import VnodectlError
from vnodectl.providers.eci.groups import SINCE_LEAST
from vnodectl.providers.eci.status import group_id
from vnodectl.providers.eci.tracking import Backoff
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import JSON, Happened, PodKey

log = logging.getLogger(__name__)

PodOf = Callable[[str], PodKey | None]
"""Whose group an id is of."""


class Reader(Protocol):
    """What it needs of `Groups`."""

    async def events(self, since: int) -> list[JSON]: ...


class News:
    """Which events were told before: of each group, by what they say and since when, with their counts."""

    def __init__(self) -> None:
        self._told: dict[str, dict[tuple[str, str, str], int]] = {}

    def of(self, rows: Iterable[JSON], pod_of: PodOf) -> list[Happened]:
        """What is new in the folded rows, oldest first. An event whose count has grown happened again."""
        found: list[tuple[str, Happened]] = []
        for row in rows:
            group = group_id(row)
            key = pod_of(group)
            if key is None:
                continue
            told = self._told.setdefault(group, {})
            for event in row.get("events") or ():
                reason, message = str(event.get("reason") or ""), str(event.get("message") or "")
                what = (reason, message, str(event.get("firsttimestamp") or ""))
                count = int(event.get("count") or 1)
                if not reason or count <= told.get(what, 0):
                    continue
                told[what] = count
                kind = "Warning" if event.get("type") == "Warning" else "Normal"
                found.append((str(event.get("lasttimestamp") or ""), Happened(key, kind, reason, message)))
        return [one for _, one in sorted(found, key=lambda one: one[0])]

    def keep(self, groups: Collection[str]) -> None:
        """Forget all others."""
        self._told = {group: told for group, told in self._told.items() if group in groups}


class EventReader:
    """Reads until cancelled. What there is at first was told by an earlier life of this process. An error is
    help that people miss, and nothing more."""

    def __init__(
        self,
        groups: Reader,
        timer: Timer,
        *,
        pod_of: PodOf,
        known: Callable[[], Collection[str]],
        tell: Callable[[Happened], None],
        pause: Callable[[], float],
    ) -> None:
        """`known` are the ids of the node's groups, `pause` the seconds until the next look."""
        self._groups = groups
        self._timer = timer
        self._pod_of = pod_of
        self._known = known
        self._tell = tell
        self._pause = pause

    async def run(self, begin: asyncio.Event) -> None:
        await begin.wait()
        news, backoff, first = News(), Backoff(), True
        last = self._timer.now()
        while True:
            began = self._timer.now()
            try:
                rows = await self._groups.events(max(SINCE_LEAST, int(began - last) + SINCE_LEAST))
            except VnodectlError as error:
                wait = backoff.next(error)
                log.info("reading events failed (%d in a row): %s", backoff.failures, error)
                await self._timer.sleep(max(wait, self._pause()))
                continue
            backoff.failures, last = 0, began
            for happened in news.of(rows, self._pod_of):
                if not first:
                    self._tell(happened)
            first = False
            news.keep(self._known())
            await self._timer.sleep(self._pause())
