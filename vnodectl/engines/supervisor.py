"""One group's life on a driver: network, init containers, containers, stop, restart, removal, adoption."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import groupby
from typing import Any

from vnodectl.engines.api import (
    ContainerStatus,
    EngineError,
    GroupEvent,
    GroupPhase,
    GroupStatus,
    NoSuchGroup,
    RestartPolicy,
    Terminated,
)
from vnodectl.engines.backoff import RetryBackoff
from vnodectl.engines.clock import Clock
from vnodectl.engines.containers import ContainerRunner
from vnodectl.engines.driver import Driver
from vnodectl.engines.group import Settings
from vnodectl.engines.status import finished, group_phase, init_policy, succeeded
from vnodectl.engines.tasks import first
from vnodectl.engines.workspace import Wanted, Workspace

KEPT_EVENTS = 50

log = logging.getLogger(__name__)


class GroupSupervisor:
    """Brings one group to what its record wants, and keeps it there. `run` is its only task."""

    def __init__(
        self,
        workspace: Workspace,
        driver: Driver,
        clock: Clock,
        settings: Settings,
        publish: Callable[[GroupStatus], None],
    ) -> None:
        self.workspace = workspace
        self.driver = driver
        self.clock = clock
        self.settings = settings
        self.ip = ""
        self._publish = publish
        self._events: deque[GroupEvent] = deque(maxlen=KEPT_EVENTS)
        self._wish = asyncio.Event()
        spec = workspace.spec
        self._policy = spec.restart_policy
        inits = [
            (one, RestartPolicy.ALWAYS if one.sidecar else init_policy(self._policy), not one.sidecar)
            for one in spec.init_containers
        ]
        apps = [(one, self._policy, False) for one in spec.containers]
        runners = [
            ContainerRunner(one, self, policy, init=init, after_init=bool(spec.init_containers) and not init)
            for one, policy, init in inits + apps
        ]
        self._inits, self._apps = runners[: len(inits)], runners[len(inits) :]
        self._endings: set[asyncio.Task[None]] = set()

    # --- what is seen -----------------------------------------------------------------------------

    def status(self) -> GroupStatus:
        containers = tuple(runner.status for runner in self._apps)
        inits = tuple(runner.status for runner in self._inits)
        stopped = self.workspace.record.wanted is Wanted.STOP
        return GroupStatus(
            name=self.workspace.spec.name,
            labels=self.workspace.spec.labels,
            phase=GroupPhase.STOPPED if stopped else group_phase(self._policy, containers, self._passing()),
            created_at=self.workspace.record.created,
            ip=self.ip,
            containers=containers,
            init_containers=inits,
            events=tuple(self._events),
        )

    def _passing(self) -> list[ContainerStatus]:
        """The init containers that must end before the others start: all but the sidecars."""
        return [runner.status for runner in self._inits if not runner.spec.sidecar]

    def changed(self) -> None:
        self._publish(self.status())

    def note(self, reason: str, message: str, container: str = "", *, warning: bool = False) -> None:
        kind = "Warning" if warning else "Normal"
        self._events.append(GroupEvent(self.clock.now(), kind, reason, message, container))
        self.changed()

    # --- what is asked of it ----------------------------------------------------------------------

    def want(self, wanted: Wanted, *, grace: float | None = None) -> None:
        """Raises EngineError for a group that is being deleted, unless to delete it (sooner)."""
        record = self.workspace.record
        if record.wanted is Wanted.DELETE and wanted is not Wanted.DELETE:
            raise EngineError(f"group {record.spec.name} is being deleted")
        deadline = None
        if wanted is Wanted.DELETE:
            patience = record.spec.termination_grace if grace is None else grace
            deadline = self.clock.now() + patience
            if record.deadline is not None:
                deadline = min(deadline, record.deadline)
            if record.wanted is Wanted.DELETE and deadline == record.deadline:
                return
        self.workspace.want(wanted, deadline)
        self._wish.set()
        self.changed()

    def end_container(self, name: str, grace: float) -> None:
        """Begin to end a container that runs. Raises NoSuchGroup."""
        runner = next((one for one in self._inits + self._apps if one.spec.name == name), None)
        if runner is None:
            raise NoSuchGroup(f"group {self.workspace.spec.name} has no container {name}")
        task = asyncio.create_task(self._interrupt(runner, grace), name=f"end-{name}")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _interrupt(self, runner: ContainerRunner, grace: float) -> None:
        try:
            await runner.interrupt(grace)
        except EngineError as error:
            self.note("Failed", str(error), runner.spec.name, warning=True)

    # --- its task ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the group was deleted and everything of it is gone."""
        try:
            await self._run()
        finally:
            for task in self._endings:
                task.cancel()
            await asyncio.gather(*self._endings, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wish.clear()
            wanted = self.workspace.record.wanted
            if wanted is Wanted.DELETE:
                if await self._unless_wish(self._persist(self._dismantle)):
                    return
            elif wanted is Wanted.RUN:
                await self._unless_wish(self._persist(self._work))
                await self._wish.wait()
            else:
                await self._unless_wish(self._persist(self._halt))
                if wanted is Wanted.RESTART and not self._wish.is_set():
                    self.workspace.want(Wanted.RUN)
                    for runner in self._inits + self._apps:
                        runner.renew()
                else:
                    await self._wish.wait()

    async def _unless_wish(self, step: Coroutine[Any, Any, None]) -> bool:
        """Carry a step out, dropping it when something else is asked for. True: it was completed."""
        return await first(step, self._changed_mind(), name=self.workspace.spec.name) == 0

    async def _changed_mind(self) -> None:
        await self._wish.wait()

    async def _persist(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Repeat a step until it works: the engine may be away for a while."""
        retries = RetryBackoff(self.settings.retry)
        while True:
            try:
                return await step()
            except Exception as error:
                if not (message := _engine_errors(error)):
                    # A defect must neither take the other groups down nor be silent.
                    message = f"internal error: {type(error).__name__}"
                    log.exception("group %s", self.workspace.spec.name)
                self.note("Failed", message, warning=True)
            await self.clock.sleep(retries.next())

    async def _adopt(self) -> None:
        found = await self.driver.attempts(self.workspace.spec.name)
        runners = {runner.spec.name: runner for runner in self._inits + self._apps}
        for name, attempts in groupby(found, key=lambda attempt: attempt.container):
            if name in runners:
                runners[name].adopt(list(attempts))

    async def _work(self) -> None:
        while True:
            await self._adopt()
            if self._finished():
                break
            network = await self.driver.open_group(self.workspace)
            self.ip = network.ip
            if network.fresh:
                for runner in self._inits + self._apps:
                    runner.lose(self.clock.now())
            self.changed()
            lost = self.driver.group_lost(self.workspace.spec.name)
            if await first(self._run_all(), lost, name=self.workspace.spec.name) == 1:
                self.note("SandboxChanged", "the group's network was lost; it is made again", warning=True)
        await self.driver.park_group(self.workspace.spec.name)

    async def _run_all(self) -> None:
        """Init containers one after the other, but a sidecar is only waited for until it has started; then
        the rest. Sidecars end when nothing is left that they could be for, the last one first."""
        resumed = any(runner.seen_before for runner in self._apps)
        sidecars: list[tuple[ContainerRunner, asyncio.Task[Terminated]]] = []
        try:
            for runner in self._inits:
                if runner.spec.sidecar:
                    work = runner.run()
                    sidecars.append((runner, asyncio.create_task(work, name=f"sidecar-{runner.spec.name}")))
                    await first(
                        runner.begun.wait(), _until(sidecars[-1][1]), name=f"begun-{runner.spec.name}"
                    )
                elif not resumed and (await runner.run()).exit_code != 0:
                    break
            else:
                broken = (_until(task) for _, task in sidecars)
                await first(self._run_apps(), *broken, name=f"{self.workspace.spec.name}-all")
        finally:
            for _, task in sidecars:
                task.cancel()
            await asyncio.gather(*(task for _, task in sidecars), return_exceptions=True)
        for runner, _ in reversed(sidecars):
            await runner.stop(self.workspace.spec.termination_grace)

    async def _run_apps(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for runner in self._apps:
                tasks.create_task(runner.run(), name=f"{self.workspace.spec.name}-{runner.spec.name}")

    def _finished(self) -> bool:
        if any(finished(init_policy(self._policy), one) and not succeeded(one) for one in self._passing()):
            return True
        return all(finished(self._policy, runner.status) for runner in self._apps)

    async def _halt(self) -> None:
        await self._stop_all(self.workspace.spec.termination_grace)
        await self.driver.park_group(self.workspace.spec.name)

    async def _dismantle(self) -> None:
        now = self.clock.now()
        await self._stop_all(max(0.0, (self.workspace.record.deadline or now) - now))
        await self.driver.close_group(self.workspace.spec.name)

    async def _stop_all(self, grace: float) -> None:
        # What runs is asked of the driver: a start may have been under way when the wish came.
        await self._adopt()
        began = self.clock.now()
        sidecars = [runner for runner in self._inits if runner.spec.sidecar]
        async with asyncio.TaskGroup() as tasks:
            for runner in self._inits + self._apps:
                if runner.running and runner not in sidecars:
                    tasks.create_task(runner.stop(grace), name=f"stop-{runner.spec.name}")
        for runner in reversed(sidecars):
            await runner.stop(max(0.0, grace - (self.clock.now() - began)))


async def _until(task: asyncio.Task[Any]) -> None:
    """Until the task has ended; its error is raised here, and it is not cancelled with the waiting."""
    await asyncio.wait({task})
    task.result()


def _engine_errors(error: Exception) -> str:
    """The messages of an EngineError, or of a group of nothing else; else ""."""
    if isinstance(error, EngineError):
        return str(error)
    if isinstance(error, ExceptionGroup):
        messages = [_engine_errors(one) for one in error.exceptions]
        return "; ".join(messages) if all(messages) else ""
    return ""
