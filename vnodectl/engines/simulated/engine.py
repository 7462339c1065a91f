"""The engine that simulates. No task per group: one timer for all that have something ahead of them."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import ipaddress
import itertools
import shlex
import shutil
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path

from vnodectl import __version__
from vnodectl.engines.api import (
    ContainerStatus,
    ContainerUsage,
    FileContent,
    GroupGone,
    GroupSpec,
    GroupStatus,
    LogQuery,
    NoSuchGroup,
    Running,
    Session,
    Terminated,
    Waiting,
)
from vnodectl.engines.backoff import BackoffPolicy
from vnodectl.engines.clock import Clock
from vnodectl.engines.crilog import stamp
from vnodectl.engines.hub import Hub, Subscription
from vnodectl.engines.simulated.journal import Journal
from vnodectl.engines.simulated.model import SimulatedGroup, Sketch, sketch
from vnodectl.engines.status import container_of, current_id, running_container
from vnodectl.engines.supervised import check_names
from vnodectl.engines.tasks import first

SUBNET = ipaddress.ip_network("198.18.0.0/15")  # reserved for tests of network devices, RFC 2544
MEMORY = 1 << 20  # bytes that a simulated container is said to use
CPU_SHARE = 0.001  # cores, likewise

Seen = GroupStatus | GroupGone
Step = Callable[[float], None]


class SimulatedEngine:
    """`home` keeps what must survive the process (None: nothing does); `start_delay` in seconds."""

    name = "simulated"
    version = __version__

    def __init__(
        self,
        *,
        home: Path | None,
        clock: Clock,
        start_delay: float = 0.0,
        restart: BackoffPolicy | None = None,
        hub: Hub[Seen] | None = None,
    ) -> None:
        self._home = home
        self._clock = clock
        self._start_delay = start_delay
        self._restart = restart or BackoffPolicy()
        self._hub: Hub[Seen] = hub or Hub()
        self._journal = Journal(home) if home is not None else None
        self._groups: dict[str, SimulatedGroup] = {}
        self._addresses = itertools.count(1)
        self._ahead: list[tuple[float, int, SimulatedGroup, int, Step]] = []
        self._order = itertools.count()
        self._sooner = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None

    # --- the engine's own life --------------------------------------------------------------------

    async def start(self) -> None:
        kept = self._journal.open() if self._journal is not None else []
        for one in kept:
            group = self._add(one.sketch)
            for what, moment in one.wishes:
                self._catch_up(moment)
                group.stop(moment) if what == "stop" else group.restart(moment)
        self._catch_up(self._clock.now())
        if kept:
            highest = max(int(ipaddress.ip_address(one.sketch.ip)) for one in kept)
            self._addresses = itertools.count(highest - int(SUBNET.network_address) + 1)
        self._timer = asyncio.create_task(self._run_timer(), name="simulated-timer")

    async def aclose(self, *, remove: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        if self._journal is not None:
            self._journal.close()
        if remove and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._hub.close()

    async def ping(self) -> None:
        """It always answers."""

    def simulates(self, images: Iterable[str]) -> bool:  # noqa: ARG002 - it does nothing else
        return True

    # --- groups -----------------------------------------------------------------------------------

    async def create(self, spec: GroupSpec) -> None:
        if spec.name in self._groups:
            return
        check_names(spec)
        outline = sketch(spec, self._clock.now(), self._address())
        if self._journal is not None:
            self._journal.put(outline)
        group = self._add(outline)
        self._hub.publish(group.status())

    async def delete(self, name: str, *, grace: float | None = None) -> None:  # noqa: ARG002 - it ends at once
        if (group := self._groups.pop(name, None)) is None:
            return
        group.round += 1
        if self._journal is not None:
            self._journal.drop(name)
        self._hub.publish(GroupGone(name, group.sketch.labels))

    async def stop(self, name: str) -> None:
        self._wish("stop", name)

    async def restart(self, name: str) -> None:
        self._wish("run", name)

    async def end_container(self, name: str, container: str, *, grace: float) -> None:  # noqa: ARG002 - it ends at once
        self._container(name, container)
        group, now = self._find(name), self._clock.now()
        group.end(container, now)
        self._hub.publish(group.status())

    async def groups(self) -> list[GroupStatus]:
        return [group.status() for group in self._groups.values()]

    async def get(self, name: str) -> GroupStatus:
        return self._find(name).status()

    def watch(self) -> Subscription[Seen]:
        return self._hub.subscribe()

    async def write_files(self, name: str, volume: str, files: Sequence[FileContent]) -> None:  # noqa: ARG002
        """Nobody can see the files of a simulated container, so none are kept."""
        self._find(name)

    # --- containers -------------------------------------------------------------------------------

    async def logs(self, name: str, container: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        status = self._container(name, container)
        ended = status.previous
        if query.previous and ended is None:
            raise NoSuchGroup(f"previous terminated container {container} in {name} not found")
        shown = ended.container_id if query.previous and ended is not None else current_id(status)
        if not shown:
            raise NoSuchGroup(f"container {container} in {name} is waiting to start")
        watch = self.watch()
        for line in _log_lines(status, query):
            yield line
        if query.follow and not query.previous:
            async with contextlib.aclosing(watch):
                while self._still_runs(name, container, shown):
                    await anext(watch)

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        self._running(name, container)
        text = f"simulated: container {container} would run: {shlex.join(command)}\n"
        await session.write_stdout(text.encode())
        return 0

    async def attach(self, name: str, container: str, session: Session) -> None:
        self._running(name, container)
        await session.write_stdout(f"simulated: container {container} has no output\n".encode())

    async def usage(self, name: str) -> list[ContainerUsage]:
        now = self._clock.now()
        return [
            ContainerUsage(one.name, CPU_SHARE * (now - one.state.started_at), MEMORY, MEMORY, now)
            for one in self._find(name).status().containers
            if isinstance(one.state, Running)
        ]

    # --- inside -----------------------------------------------------------------------------------

    def _add(self, outline: Sketch) -> SimulatedGroup:
        group = SimulatedGroup(outline, self._later, self._restart)
        self._groups[outline.name] = group
        if self._start_delay > 0:
            self._later(outline.created + self._start_delay, group, group.begin)
        else:
            group.begin(outline.created)
        return group

    def _wish(self, what: str, name: str) -> None:
        group, now = self._find(name), self._clock.now()
        if self._journal is not None:
            self._journal.note(what, name, now)
        group.stop(now) if what == "stop" else group.restart(now)
        self._hub.publish(group.status())

    def _address(self) -> str:
        return str(SUBNET[next(self._addresses) % (SUBNET.num_addresses - 2) + 1])

    def _later(self, moment: float, group: SimulatedGroup, step: Step) -> None:
        if not self._ahead or moment < self._ahead[0][0]:
            self._sooner.set()
        heapq.heappush(self._ahead, (moment, next(self._order), group, group.round, step))

    def _catch_up(self, now: float) -> None:
        """Carry out all that was due, in order of time."""
        while self._ahead and self._ahead[0][0] <= now:
            moment, _, group, round_, step = heapq.heappop(self._ahead)
            if round_ == group.round:
                step(moment)
                self._hub.publish(group.status())

    async def _run_timer(self) -> None:
        while True:
            self._sooner.clear()
            self._catch_up(self._clock.now())
            if self._ahead:
                wait = self._ahead[0][0] - self._clock.now()
                await first(self._clock.sleep(wait), self._until_sooner(), name="simulated")
            else:
                await self._sooner.wait()

    async def _until_sooner(self) -> None:
        await self._sooner.wait()

    def _find(self, name: str) -> SimulatedGroup:
        if (group := self._groups.get(name)) is None:
            raise NoSuchGroup(f"there is no group {name}")
        return group

    def _container(self, name: str, container: str) -> ContainerStatus:
        return container_of(self._find(name).status(), container)

    def _running(self, name: str, container: str) -> ContainerStatus:
        return running_container(self._find(name).status(), container)

    def _still_runs(self, name: str, container: str, identity: str) -> bool:
        with contextlib.suppress(NoSuchGroup):
            status = self._container(name, container)
            return isinstance(status.state, Running) and status.container_id == identity
        return False


def _log_lines(status: ContainerStatus, query: LogQuery) -> list[bytes]:
    shown = status.previous if query.previous or isinstance(status.state, Waiting) else status.state
    began = shown.started_at if isinstance(shown, Running | Terminated) else 0.0
    if query.since is not None and began < query.since:
        return []
    lines = [
        f"simulated: container {status.name} of image {status.image} has started",
        "simulated: no process runs here, this log is fixed",
    ]
    if query.tail is not None:
        lines = lines[len(lines) - min(query.tail, len(lines)) :]
    head = f"{stamp(began)} " if query.timestamps else ""
    return [f"{head}{line}\n".encode() for line in lines]
