"""A container group's life, on the clock and an engine: create, update, restart, end, delete.

Scheduling → Pending → Running → Succeeded or Failed, or ScheduleFailed; Restarting, Updating, Terminating and
Expired beside. The containers are the engine's: this service watches it, and reading a group changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from vnodectl.emulator.alibaba.eci.group import ACTIVE, ENDED, Group
from vnodectl.emulator.alibaba.eci.hooks import (
    POST_START,
    PRE_STOP,
    has_hook,
    run_post_starts,
    run_pre_stop,
)
from vnodectl.emulator.alibaba.eci.host import Host
from vnodectl.emulator.alibaba.eci.placement import Placement
from vnodectl.emulator.alibaba.eci.retention import Retention
from vnodectl.emulator.alibaba.eci.volumes import CONFIG_FILE, config_files
from vnodectl.emulator.alibaba.errors import incorrect_status
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.tasks import TaskOwner, cancel
from vnodectl.engines.api import Engine, EngineError

log = logging.getLogger(__name__)

_CHANGEABLE = ("Pending", "Running")


class Lifecycle:
    """`shares` is the directory that stands for NAS, OSS and disks."""

    def __init__(
        self, world: World, placement: Placement, tasks: TaskOwner, engine: Engine, shares: Path
    ) -> None:
        self.groups: dict[str, Group] = {}
        self.engine = engine
        self._world = world
        self._placement = placement
        self._tasks = tasks
        self._host = Host(world, engine, shares, self.groups, self._settle)
        self._retention = Retention(world, self.groups, self._retire)
        self._watchers = TaskOwner()

    async def start(self) -> None:
        """Watch the engine, and remove from it what an earlier emulator of the same scope left."""
        self._watchers.start(self._host.watch(), name=f"watch-{self.engine.name}")
        self._watchers.start(self._retention.run(), name="eci-retention")
        await self._host.sweep()

    async def aclose(self) -> None:
        await self._watchers.aclose()

    async def clear(self) -> None:
        """Take all groups from the engine and forget them; returns when they are gone."""
        gone = list(self.groups.values())
        for group in gone:
            await self._stop_tasks(group)
        for outcome in await asyncio.gather(*map(self._host.take, gone), return_exceptions=True):
            if isinstance(outcome, EngineError):
                log.error("a container group could not be removed: %s", outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
        self.groups.clear()
        self._placement.clear()

    def in_region(self, region: str) -> Iterator[Group]:
        for group in tuple(self.groups.values()):
            if group.region == region:
                yield group

    # --- transitions ---

    def create(self, group: Group) -> None:
        self.groups[group.id] = group
        self._placement.take(group)
        if group.eip:
            self._world.bind_eip(group.eip, group.id)
        group.task = self._tasks.start(self._schedule(group), name=f"eci-schedule-{group.id}")

    def restart(self, group: Group) -> None:
        """Raises ApiError IncorrectStatus."""

        async def work() -> None:
            await self.engine.restart(group.id)

        self._change(group, "Restarting", work)

    def replace(self, group: Group, params: Params) -> None:
        """New containers or volumes. Raises ApiError IncorrectStatus.

        Where only the contents of config files differ, they are written in place; else all is made anew.
        """
        before, group.params = group.params, params

        async def work() -> None:
            if _only_files_differ(before, params):
                for volume in params.items("Volume"):
                    if volume.text("Type") == CONFIG_FILE:
                        await self.engine.write_files(group.id, volume.text("Name"), config_files(volume))
                return
            await self._host.take(group)
            await self._host.give(group)

        try:
            self._change(group, "Updating", work)
        except Exception:
            group.params = before
            raise

    def delete(self, group: Group, *, force: bool = False) -> None:
        """In any state: a transition under way is given up. `force` waits for no hook and no grace."""
        if group.state == "Terminating" and not force:
            return
        overtaken, now = group.task, self._world.clock.now()
        was_up = group.status == "Running"
        group.enter("Terminating", now)
        group.task = self._tasks.start(
            self._delete(group, now, overtaken, was_up and not force, force), name=f"eci-delete-{group.id}"
        )

    def _change(self, group: Group, state: str, work: Callable[[], Awaitable[None]]) -> None:
        if group.status not in _CHANGEABLE:
            raise incorrect_status(
                f"The current status {group.status} of the container group does not support this action."
            )
        group.enter(state, self._world.clock.now())
        group.task = self._tasks.start(self._changed(group, work), name=f"eci-{state.lower()}-{group.id}")

    async def _changed(self, group: Group, work: Callable[[], Awaitable[None]]) -> None:
        clock, began = self._world.clock, self._world.clock.now()
        try:
            await work()
            await self._host.look(group)
        except (EngineError, OSError) as error:
            log.warning("container group %s: %s", group.id, error)
            group.note(clock.now(), "Warning", "UpdateFailed", str(error))
        await clock.sleep_until(began + self._world.timings.changing)
        group.enter(ACTIVE, clock.now())
        self._settle(group)

    async def _schedule(self, group: Group) -> None:
        clock = self._world.clock
        await clock.sleep_until(group.created + self._world.timings.scheduling)
        zone = self._world.zone(group.zone)
        if zone is None or not zone.schedulable:
            why = f"Create ECI failed because the specified instance is out of stock. {group.zone}"
            self._fail(group, "NoStock", why)
            return
        group.scheduled = clock.now()
        try:
            await self._host.give(group)
        except (EngineError, OSError) as error:
            self._fail(group, "FailedScheduling", f"Schedule eci failed:{error}")
            return
        group.enter(ACTIVE, clock.now())
        self._accompany(group)

    def _accompany(self, group: Group) -> None:
        """What runs beside a group while it lives."""
        params, timings = group.params, self._world.timings

        def start(work: Coroutine[Any, Any, None], name: str) -> None:
            group.companions.append(self._tasks.start(work, name=f"eci-{name}-{group.id}"))

        if any(has_hook(one, POST_START) for one in group.containers()):
            start(run_post_starts(group, self._world.clock, timings.hook), "hooks")
        if deadline := params.integer("ActiveDeadlineSeconds"):
            start(self._end(group, float(deadline), ""), "deadline")
        if timings.spot_life and params.text("SpotStrategy") not in ("", "NoSpot"):
            start(self._end(group, timings.spot_life, "Expired"), "spot")

    async def _end(self, group: Group, after: float, state: str) -> None:
        """Stop the group's containers for good."""
        clock = self._world.clock
        await clock.sleep_until((group.scheduled or group.created) + after)
        if group.status in (*ENDED, "Terminating"):
            return
        reason, why = (
            ("SpotReleased", "Spot ECI was released.")
            if state
            else ("DeadlineExceeded", "The container group was active longer than the specified deadline.")
        )
        group.note(clock.now(), "Warning", reason, why)
        try:
            await self.engine.stop(group.id)
            await self._host.look(group)
        except EngineError as error:
            log.warning("container group %s did not stop: %s", group.id, error)
        if state:
            group.enter(state, clock.now())
            self._settle(group)

    def _fail(self, group: Group, reason: str, message: str) -> None:
        now = self._world.clock.now()
        group.note(now, "Warning", reason, message)
        group.enter("ScheduleFailed", now)
        self._settle(group)

    async def _delete(
        self, group: Group, began: float, overtaken: asyncio.Task[None] | None, hooks: bool, force: bool
    ) -> None:
        await cancel(overtaken)
        timings, clock = self._world.timings, self._world.clock
        for task in group.companions:
            await cancel(task)
        try:
            if hooks and any(has_hook(one, PRE_STOP) for one in group.containers()):
                await run_pre_stop(group, clock, timings.hook)
            await clock.sleep_until(began + timings.deleting)
            await self._host.take(group, force=force)
        except EngineError as error:
            log.warning("container group %s could not be deleted: %s", group.id, error)
            group.enter(ACTIVE, clock.now())
            return
        self._forget(group)

    async def _retire(self, group: Group) -> None:
        """Raises EngineError."""
        await self._host.take(group)
        self._forget(group)

    def _forget(self, group: Group) -> None:
        if self.groups.get(group.id) is not group:
            return
        del self.groups[group.id]
        if not group.released:
            self._release(group)

    def _settle(self, group: Group) -> None:
        """Once, when a group has ended: its resources go back, and its retention begins."""
        if group.ended is not None and not group.released:
            self._release(group)
            self._retention.look()

    def _release(self, group: Group) -> None:
        group.released = True
        self._placement.free(group)
        if group.own_eip:
            self._world.eips.pop(group.eip, None)
        elif group.eip in self._world.eips:
            self._world.bind_eip(group.eip, "")

    async def _stop_tasks(self, group: Group) -> None:
        await cancel(group.task)
        for task in group.companions:
            await cancel(task)


def _only_files_differ(before: Params, after: Params) -> bool:
    """Whether nothing but the contents of config files is new."""
    return _without_files(before) == _without_files(after)


def _without_files(params: Params) -> JSON:
    volumes = [
        {name: value for name, value in volume.tree.items() if name != CONFIG_FILE}
        for volume in params.items("Volume")
    ]
    return dict(params.tree) | {"Volume": volumes}
