"""A clock that a test moves, a driver in memory, and a group supervisor's engine made of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from manual_clock import ManualClock

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerUsage,
    EngineError,
    LogQuery,
    RegistryAuth,
    Running,
    Session,
    Terminated,
)
from vnodectl.engines.driver import Attempt, CannotRun, Image, Network
from vnodectl.engines.group import Settings
from vnodectl.engines.supervised import SupervisedEngine
from vnodectl.engines.workspace import Workspace


class FakeDriver:
    """Containers are entries in dictionaries; a test ends them with `finish`.

    With `gate_at` "create" or "start", that step sets `gated` and waits for `gate`, as a slow engine would.
    `refuse_start`, `refuse_create`, `refuse_pull` hold what to raise, by container name or image.
    """

    name = "fake"
    version = "1"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.images = {"app:1": Image("sha256:app")}
        self.pullable: dict[str, Image] = {}
        self.pulls: list[tuple[str, RegistryAuth | None]] = []
        self.containers: dict[str, Attempt] = {}
        self.groups: dict[str, Network] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.signals: list[tuple[str, str]] = []
        self.parked: list[str] = []
        self.ignores_term: set[str] = set()
        self.refuse_start: dict[str, str] = {}
        self.refuse_create: dict[str, EngineError] = {}
        self.refuse_open: list[EngineError] = []
        self.probe_results: dict[str, int] = {}
        self.gate_at = ""
        self.gate = asyncio.Event()
        self.gated = asyncio.Event()
        self._ends: dict[str, asyncio.Future[Terminated]] = {}
        self._losses: dict[str, asyncio.Event] = {}

    # what a test does

    def live(self, container: str) -> Attempt:
        found = [
            one
            for one in self.containers.values()
            if one.container == container and isinstance(one.state, Running)
        ]
        assert len(found) == 1, f"{container}: {found}"
        return found[0]

    def finish(self, container: str, code: int, reason: str = "") -> None:
        self._finish(self.live(container), code, reason)

    def lose(self, group: str) -> None:
        self.groups.pop(group)
        self._losses[group].set()

    def _finish(self, attempt: Attempt, code: int, reason: str = "") -> None:
        assert isinstance(attempt.state, Running)
        ended = Terminated(
            code,
            reason or ("Completed" if code == 0 else "Error"),
            attempt.state.started_at,
            self.clock.now(),
            container_id=attempt.id,
        )
        self.containers[attempt.id] = replace(attempt, state=ended)
        self._ends[attempt.id].set_result(ended)

    # the Driver

    async def open(self) -> None:
        for attempt in self.containers.values():
            self._ends[attempt.id] = asyncio.get_running_loop().create_future()

    async def aclose(self, *, remove: bool) -> None:
        if remove:
            self.containers.clear()
            self.groups.clear()

    async def ping(self) -> None: ...

    async def known_groups(self) -> set[str]:
        return {identity.split("/")[2] for identity in self.containers} | set(self.groups)

    async def open_group(self, group: Workspace) -> Network:
        if self.refuse_open:
            raise self.refuse_open.pop(0)
        name = group.spec.name
        if name in self.groups:
            return replace(self.groups[name], fresh=False)
        await self.close_group(name)
        self.groups[name] = Network(f"10.0.0.{len(self.groups) + 1}", fresh=True)
        self._losses[name] = asyncio.Event()
        return self.groups[name]

    async def group_lost(self, name: str) -> None:
        await self._losses.setdefault(name, asyncio.Event()).wait()

    async def park_group(self, name: str) -> None:
        self.parked.append(name)
        self.groups.pop(name, None)

    async def close_group(self, name: str) -> None:
        for identity in [one for one in self.containers if one.split("/")[2] == name]:
            del self.containers[identity]
        self.groups.pop(name, None)

    async def attempts(self, group: str) -> list[Attempt]:
        found = [one for one in self.containers.values() if one.id.split("/")[2] == group]
        return sorted(found, key=lambda one: (one.container, one.number))

    async def image(self, reference: str) -> Image | None:
        return self.images.get(reference)

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image:
        self.pulls.append((reference, auth))
        if reference not in self.pullable:
            raise EngineError(f"{reference}: not found in any registry")
        self.images[reference] = self.pullable[reference]
        return self.images[reference]

    async def create(self, group: Workspace, container: ContainerSpec, number: int, ip: str) -> Attempt:
        await self._pass_gate("create")
        if container.name in self.refuse_create:
            raise self.refuse_create[container.name]
        identity = f"fake://{group.spec.name}/{container.name}/{number}"
        attempt = Attempt(container.name, number, identity, self.images[container.image].id)
        self.containers[identity] = attempt
        self.specs[identity] = container
        return attempt

    async def start(self, attempt: Attempt) -> Attempt:
        await self._pass_gate("start")
        if attempt.id not in self.containers:
            raise CannotRun("there is no such container")
        if attempt.container in self.refuse_start:
            raise CannotRun(self.refuse_start[attempt.container])
        attempt = replace(attempt, state=Running(self.clock.now()))
        self.containers[attempt.id] = attempt
        self._ends[attempt.id] = asyncio.get_running_loop().create_future()
        return attempt

    async def _pass_gate(self, step: str) -> None:
        await asyncio.sleep(0)
        if step == self.gate_at:
            self.gated.set()
            await self.gate.wait()

    async def ended(self, attempt: Attempt) -> Terminated:
        return await asyncio.shield(self._ends[attempt.id])

    async def signal(self, attempt: Attempt, *, kill: bool) -> None:
        current = self.containers.get(attempt.id)
        if current is None or not isinstance(current.state, Running):
            return
        self.signals.append((attempt.container, "KILL" if kill else "TERM"))
        if kill:
            self._finish(current, 137)
        elif attempt.container not in self.ignores_term:
            self._finish(current, 143)

    async def discard(self, attempt: Attempt) -> None:
        del self.containers[attempt.id]

    async def run(self, attempt: Attempt, command: Sequence[str], timeout: float) -> int:
        return self.probe_results.get(command[0], 0)

    async def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        yield container_id.encode()

    async def exec(self, container_id: str, command: Sequence[str], session: Session) -> int:
        return 0

    async def attach(self, container_id: str, session: Session) -> None: ...

    async def usage(self, container_id: str, name: str) -> ContainerUsage:
        return ContainerUsage(name, 1.0, 2, 3, self.clock.now())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def driver(clock: ManualClock) -> FakeDriver:
    return FakeDriver(clock)


@pytest.fixture
def make_engine(driver: FakeDriver, clock: ManualClock, tmp_path: Path) -> Callable[[], SupervisedEngine]:
    """Engines over the same driver and the same directory, as one after a restart is."""
    return lambda: SupervisedEngine(
        driver, home=tmp_path / "state" / "scope", clock=clock, settings=Settings()
    )


@pytest.fixture
async def engine(make_engine: Callable[[], SupervisedEngine]) -> AsyncIterator[SupervisedEngine]:
    engine = make_engine()
    await engine.start()
    yield engine
    await engine.aclose()
