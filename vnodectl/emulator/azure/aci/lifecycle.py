"""A container group's life, on the clock and an engine: create, update, start, stop, restart, delete.

Provisioning goes Pending → Creating → Succeeded or Failed. The containers themselves are the engine's:
this service watches it, and reading a group never changes anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.aci.translate import share_paths, translate
from vnodectl.emulator.azure.aci.validate import cores_by_quota
from vnodectl.emulator.azure.aci.view import started
from vnodectl.emulator.azure.errors import ArmError
from vnodectl.emulator.azure.operations import Operation, Operations
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.tasks import TaskOwner, cancel
from vnodectl.engines.api import Engine, EngineError, GroupGone, GroupPhase, NoSuchGroup

log = logging.getLogger(__name__)

_WATCH_RETRY = 1.0


class Lifecycle:
    """`engines` by osType; one engine may serve both."""

    def __init__(
        self,
        world: World,
        operations: Operations,
        tasks: TaskOwner,
        engines: Mapping[str, Engine],
        shares: Path,
    ) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self._by_engine_name: dict[str, Group] = {}
        self._used: dict[str, defaultdict[str, float]] = {}
        self._subnets: Counter[str] = Counter()
        self._world = world
        self._operations = operations
        self._tasks = tasks
        self._engines = engines
        self._shares = shares
        self._watchers = TaskOwner()

    def engine(self, system: str) -> Engine:
        return self._engines[system]

    async def start(self) -> None:
        """Watch the engines, and remove from them what an earlier emulator of the same scope left."""
        for engine in {id(engine): engine for engine in self._engines.values()}.values():
            self._watchers.start(self._watch(engine), name=f"watch-{engine.name}")
            for left in await engine.groups():
                await engine.delete(left.name, grace=0)

    async def aclose(self) -> None:
        await self._watchers.aclose()

    async def clear(self) -> None:
        """Take all groups from the engines and forget them; returns when they are gone."""
        gone = list(self.groups.values())
        for group in gone:
            await cancel(group.task)
        for outcome in await asyncio.gather(*map(self._take_from_engine, gone), return_exceptions=True):
            if isinstance(outcome, EngineError):
                log.error("a container group could not be removed: %s", outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
        self.groups.clear()
        self._by_engine_name.clear()
        self._used.clear()
        self._subnets.clear()

    def in_group(self, resource_group: str) -> Iterator[Group]:
        """The groups of a resource group, or all of them for ""."""
        for group in tuple(self.groups.values()):
            if not resource_group or group.resource_group.casefold() == resource_group.casefold():
                yield group

    def used(self, region: str) -> Mapping[str, float]:
        """Groups and requested cores in a region, by the name of their quota; 0 for others."""
        return self._used.get(region, defaultdict(float))

    def in_subnet(self, subnet_id: str) -> int:
        """How many groups have an address of the subnet."""
        return self._subnets[subnet_id.casefold()]

    def _account(self, group: Group, sign: int) -> None:
        used = self._used.setdefault(group.location, defaultdict(float))
        used["ContainerGroups"] += sign
        for name, cores in cores_by_quota(group.properties).items():
            used[name] += sign * cores
        for subnet in group.subnet_ids:
            self._subnets[subnet] += sign

    # --- transitions; each returns the operation to follow, or raises ArmError 409 ---

    def create(self, group: Group) -> Operation:
        self.groups[group.key] = self._by_engine_name[group.engine_name] = group
        self._account(group, 1)
        self._world.group_links.update(group.subnet_ids)
        return self._begin(group, "create")

    def update(self, group: Group) -> Operation:
        """Its properties were replaced: the containers are made anew."""
        return self._begin(group, "update")

    def start_group(self, group: Group) -> Operation | None:
        """None where it runs already."""
        self.require_settled(group)
        if group.status is not None and group.status.phase is GroupPhase.RUNNING:
            return None
        return self._begin(group, "start")

    def restart(self, group: Group) -> Operation:
        self.require_settled(group)
        return self._begin(group, "restart")

    def stop(self, group: Group) -> None:
        self.require_settled(group)
        group.task = self._tasks.start(self._stop(group), name=f"aci-stop-{group.name}")

    def delete(self, group: Group) -> Operation:
        """In any state: a transition under way is given up."""
        if group.deletion is None:
            overtaken, group.deletion = group.task, self._operation(group)
            group.enter("Deleting")
            group.task = self._tasks.start(
                self._delete(group, group.deletion, overtaken), name=f"aci-delete-{group.name}"
            )
        return group.deletion

    def require_settled(self, group: Group) -> None:
        """Raises ArmError while another operation is under way."""
        if group.transitioning:
            raise ArmError(
                409,
                "ContainerGroupTransitioning",
                f"The container group '{group.name}' is still transitioning, please retry later.",
            )

    async def remove_all(self, resource_group: str) -> None:
        deletions = [group for group in self.in_group(resource_group) if self.delete(group)]
        for group in deletions:
            if group.task is not None:
                await asyncio.wait({group.task})
        if left := next(self.in_group(resource_group), None):
            raise ArmError(
                409, "ResourceGroupDeletionBlocked", f"The resource '{left.id}' could not be deleted."
            )

    def _operation(self, group: Group) -> Operation:
        provider = f"/subscriptions/{group.subscription}/providers/Microsoft.ContainerInstance"
        return self._operations.start(f"{provider}/locations/{group.location}")

    def _begin(self, group: Group, kind: str) -> Operation:
        operation = self._operation(group)
        group.enter("Pending")
        group.task = self._tasks.start(
            self._provision(group, operation, kind), name=f"aci-{kind}-{group.name}"
        )
        return operation

    async def _provision(self, group: Group, operation: Operation, kind: str) -> None:
        timings, clock = self._world.timings, self._world.clock
        # Moments count from the call itself, so that moving the clock right after it has its full effect.
        pooled = kind == "create" and group.standby
        creating = operation.started + (0.0 if pooled else timings.group_pending)
        try:
            await clock.sleep_until(creating)
            group.enter("Creating")
            await clock.sleep_until(creating + (timings.standby_start if pooled else timings.group_start))
            if kind == "update":
                await self._take_from_engine(group)
            if kind in ("create", "update"):
                await self._give_to_engine(group)
            else:
                await group.engine.restart(group.engine_name)
                await self._look(group)
            up = group.until(lambda group: started(group.status))
            if not await clock.within(timings.create_timeout, up, name=f"aci-{kind}-{group.name}"):
                seconds = f"{timings.create_timeout:g} seconds"
                self._fail(
                    group, operation, f"The container group '{group.name}' did not start within {seconds}."
                )
                return
        except (EngineError, OSError) as error:
            self._fail(group, operation, str(error))
            return
        except asyncio.CancelledError:
            self._operations.cancel(operation)
            raise
        group.enter("Succeeded")
        self._operations.succeed(operation)

    def _fail(self, group: Group, operation: Operation, message: str) -> None:
        log.warning("container group %s failed: %s", group.name, message)
        group.enter("Failed")
        self._operations.fail(operation, "Failed", message)

    async def _stop(self, group: Group) -> None:
        try:
            await group.engine.stop(group.engine_name)
            await self._look(group)
            await group.until(_at_rest)
            group.enter("Succeeded")
        except EngineError as error:
            log.warning("container group %s did not stop: %s", group.name, error)
            group.enter("Failed")

    async def _delete(self, group: Group, operation: Operation, overtaken: asyncio.Task[None] | None) -> None:
        await cancel(overtaken)
        try:
            await self._world.clock.sleep_until(operation.started + self._world.timings.group_delete)
            await self._take_from_engine(group)
        except EngineError as error:
            group.deletion = None
            self._fail(group, operation, str(error))
            return
        if self.groups.get(group.key) is group:
            del self.groups[group.key]
            del self._by_engine_name[group.engine_name]
            self._account(group, -1)
        self._operations.succeed(operation)

    # --- the engine ---

    async def _give_to_engine(self, group: Group) -> None:
        for path in share_paths(group.properties, self._shares):
            path.mkdir(parents=True, exist_ok=True)
        group.in_engine = True
        await group.engine.create(
            translate(
                group.engine_name,
                group.properties,
                shares=self._shares,
                labels={"resource-id": group.id},
                grace=self._world.timings.termination_grace,
            )
        )
        await self._look(group)

    async def _take_from_engine(self, group: Group) -> None:
        if not group.in_engine:
            return
        await group.engine.delete(group.engine_name, grace=self._world.timings.termination_grace)
        await self._look(group)
        await group.until(lambda group: group.status is None)
        group.in_engine = False

    async def _look(self, group: Group) -> None:
        """Ask the engine, so that no change between a call and the watch is missed."""
        try:
            group.observe(await group.engine.get(group.engine_name))
        except NoSuchGroup:
            group.observe(None)

    async def _watch(self, engine: Engine) -> None:
        while True:
            try:
                async for seen in engine.watch():
                    group = self._by_engine_name.get(seen.name)
                    if group is not None and group.engine is engine:
                        group.observe(None if isinstance(seen, GroupGone) else seen)
                log.error("the %s engine stopped reporting", engine.name)
            except EngineError as error:
                log.error("the %s engine cannot be watched: %s", engine.name, error)  # noqa: TRY400 - said in full
            await asyncio.sleep(_WATCH_RETRY)
            for group in tuple(self.groups.values()):
                if group.engine is engine and group.in_engine:
                    await self._look(group)


def _at_rest(group: Group) -> bool:
    phases = (GroupPhase.STOPPED, GroupPhase.SUCCEEDED, GroupPhase.FAILED)
    return group.status is None or group.status.phase in phases
