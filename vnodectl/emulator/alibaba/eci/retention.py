"""Ended groups are not kept for ever."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from vnodectl.emulator.alibaba.eci.group import ENDED, Group
from vnodectl.emulator.alibaba.world import World
from vnodectl.engines.api import EngineError

log = logging.getLogger(__name__)

_RETRY = 1.0


class Retention:
    """`remove` takes a group away for good; it may raise EngineError."""

    def __init__(
        self, world: World, groups: Mapping[str, Group], remove: Callable[[Group], Awaitable[None]]
    ) -> None:
        self._world = world
        self._groups = groups
        self._remove = remove
        self._ended = asyncio.Event()

    def look(self) -> None:
        """A group has ended."""
        self._ended.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._ended.clear()
            due = self._dues()
            try:
                for moment, group in due:
                    if moment <= self._world.clock.now():
                        await self._remove(group)
            except EngineError as error:
                log.warning("an ended container group could not be removed: %s", error)
                await asyncio.sleep(_RETRY)
                continue
            left = [moment for moment, group in due if group.id in self._groups]
            if left:
                wait = min(left) - self._world.clock.now()
                await self._world.clock.within(wait, self._until_ended(), name="eci-retention-wait")
            else:
                await self._ended.wait()

    async def _until_ended(self) -> None:
        await self._ended.wait()

    def _dues(self) -> list[tuple[float, Group]]:
        """The ended groups that will go, each with the moment."""
        timings, most = self._world.timings, self._world.limits.ended_groups
        dues, ended = [], [group for group in self._groups.values() if group.status in ENDED and group.ended]
        kept: Counter[str] = Counter()
        for group in sorted(ended, key=lambda group: group.ended or 0.0, reverse=True):
            moment = group.ended or 0.0
            if group.state == "ScheduleFailed":
                dues.append((moment + timings.failed_retention, group))
                continue
            kept[group.region] += 1
            if most and kept[group.region] > most:
                dues.append((moment + timings.retention, group))
        return dues
