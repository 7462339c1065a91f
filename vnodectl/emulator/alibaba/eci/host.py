"""The engine's side of container groups: giving them to it, taking them away, and watching them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.translate import translate
from vnodectl.emulator.alibaba.eci.volumes import share_paths
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.engines.api import (
    ContainerStatus,
    Engine,
    EngineError,
    GroupEvent,
    GroupGone,
    GroupPhase,
    GroupStatus,
    NoSuchGroup,
    Waiting,
)

log = logging.getLogger(__name__)

_WATCH_RETRY = 1.0


class Host:
    """`shares` is the directory that stands for NAS, OSS and disks; `seen` is told of every observation."""

    def __init__(
        self,
        world: World,
        engine: Engine,
        shares: Path,
        groups: Mapping[str, Group],
        seen: Callable[[Group], None],
    ) -> None:
        self.engine = engine
        self._world = world
        self._shares = shares
        self._groups = groups
        self._seen = seen

    async def sweep(self) -> None:
        """Remove what an earlier emulator of the same scope left."""
        for left in await self.engine.groups():
            await self.engine.delete(left.name, grace=0)

    async def give(self, group: Group) -> None:
        """Raises EngineError and OSError."""
        if inaccessible(group.images(), self._world):
            self._observe(group, _pull_failed(group, self._world.clock.now()))
            return
        for path in share_paths(group.params, self._shares):
            path.mkdir(parents=True, exist_ok=True)
        group.in_engine = True
        await self.engine.create(
            translate(
                group.id,
                group.params,
                shares=self._shares,
                labels={"container-group": group.id, "name": group.name},
                grace=self._grace(group),
            )
        )
        await self.look(group)

    async def take(self, group: Group, *, force: bool = False) -> None:
        """Returns when it is gone; `force` leaves its containers no grace. Raises EngineError."""
        if not group.in_engine:
            return
        await self.engine.delete(group.id, grace=0 if force else self._grace(group))
        await self.look(group)
        await group.until(lambda group: group.seen is None)
        group.in_engine = False

    async def look(self, group: Group) -> None:
        """Ask the engine, so that no change between a call and the watch is missed."""
        if not group.in_engine:
            return
        try:
            self._observe(group, await self.engine.get(group.id))
        except NoSuchGroup:
            self._observe(group, None)

    def _observe(self, group: Group, seen: GroupStatus | None) -> None:
        group.observe(seen, self._world.clock.now())
        self._seen(group)

    async def watch(self) -> None:
        """For ever."""
        while True:
            try:
                async for seen in self.engine.watch():
                    group = self._groups.get(seen.name)
                    if group is not None and group.in_engine:
                        self._observe(group, None if isinstance(seen, GroupGone) else seen)
                log.error("the %s engine stopped reporting", self.engine.name)
            except EngineError as error:
                log.error("the %s engine cannot be watched: %s", self.engine.name, error)  # noqa: TRY400 - said in full
            await asyncio.sleep(_WATCH_RETRY)
            for group in tuple(self._groups.values()):
                await self.look(group)

    def _grace(self, group: Group) -> float:
        asked = group.params.integer("TerminationGracePeriodSeconds")
        return float(asked or self._world.timings.termination_grace)


def inaccessible(images: Iterable[str], world: World) -> bool:
    """Whether one of them can never be pulled."""
    return any(re.search(pattern, image) for image in images for pattern in world.inaccessible_images)


def _pull_failed(group: Group, now: float) -> GroupStatus:
    """A group whose images cannot be pulled waits for ever."""

    def waiting(one: Params) -> ContainerStatus:
        image = one.text("Image")
        state = Waiting("ImagePullBackOff", f'Back-off pulling image "{image}"')
        return ContainerStatus(one.text("Name"), image, state)

    def events(one: Params) -> list[GroupEvent]:
        image, name = one.text("Image"), one.text("Name")
        failed = f'Failed to pull image "{image}": not found or no permission'
        return [
            GroupEvent(now, "Normal", "Pulling", f'Pulling image "{image}"', name),
            GroupEvent(now, "Warning", "Failed", failed, name),
        ]

    inits = group.params.items("InitContainer")
    return GroupStatus(
        name=group.id,
        labels={},
        phase=GroupPhase.PENDING,
        created_at=now,
        containers=tuple(map(waiting, group.containers())),
        init_containers=tuple(map(waiting, inits)),
        events=tuple(event for one in (*inits, *group.containers()) for event in events(one)),
    )
