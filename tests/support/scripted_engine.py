"""An engine without containers: a test says what happens to its groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from vnodectl.engines.api import (
    ContainerState,
    ContainerStatus,
    ContainerUsage,
    EngineError,
    FileContent,
    GroupEvent,
    GroupGone,
    GroupPhase,
    GroupSpec,
    GroupStatus,
    LogQuery,
    NoSuchGroup,
    Running,
    Session,
    Terminated,
    Waiting,
)

IP = "10.88.0.7"
STARTED = 1_800_000_000.0


class ScriptedEngine:
    """Groups run as soon as they are created, unless `runs` is False or `refuses` names an error."""

    name = "scripted"
    version = "1"

    def __init__(self, *, real: bool = True) -> None:
        self._real = real
        self.runs = True
        self.refuses = ""
        self.holds_deletions = False
        self.specs: dict[str, GroupSpec] = {}
        self.seen: dict[str, GroupStatus] = {}
        self.output: dict[str, bytes] = {}
        self.usages: dict[str, list[ContainerUsage]] = {}
        self.calls: list[tuple[str, str]] = []
        self.graces: list[float | None] = []
        self.created = asyncio.Event()
        self.deleted = asyncio.Event()
        self._watchers: list[asyncio.Queue[GroupStatus | GroupGone]] = []

    # --- what a test does ---

    def become(self, name: str, phase: GroupPhase, state: ContainerState, **more: object) -> None:
        """All containers of the group are in `state` from now on."""
        status = self.seen[name]
        containers = tuple(replace(one, state=state, **more) for one in status.containers)  # type: ignore[arg-type]
        self.publish(replace(status, phase=phase, containers=containers))

    def publish(self, status: GroupStatus) -> None:
        self.seen[status.name] = status
        self._tell(status)

    def vanish(self, name: str) -> None:
        del self.seen[name], self.specs[name]
        self._tell(GroupGone(name, {}))

    # --- the contract ---

    async def start(self) -> None:
        return None

    def simulates(self, images: Iterable[str]) -> bool:
        return not self._real

    async def aclose(self, *, remove: bool = False) -> None:
        if remove:
            self.seen.clear()

    async def create(self, spec: GroupSpec) -> None:
        self.calls.append(("create", spec.name))
        if self.refuses:
            raise EngineError(self.refuses)
        self.specs[spec.name] = spec
        self.created.set()
        event = GroupEvent(STARTED - 1, "Normal", "Pulling", f'pulling image "{spec.containers[0].image}"')
        waiting = tuple(
            ContainerStatus(one.name, one.image, Waiting("ContainerCreating")) for one in spec.containers
        )
        events = (replace(event, container=spec.containers[0].name),)
        self.publish(
            GroupStatus(spec.name, spec.labels, GroupPhase.PENDING, STARTED, "", waiting, (), events)
        )
        if self.runs:
            self.run(spec.name)

    def run(self, name: str) -> None:
        self.publish(replace(self.seen[name], ip=IP))
        self.become(name, GroupPhase.RUNNING, Running(STARTED), ready=True, started=True)

    async def delete(self, name: str, *, grace: float | None = None) -> None:
        self.calls.append(("delete", name))
        self.graces.append(grace)
        self.deleted.set()
        if name in self.seen and not self.holds_deletions:
            self.vanish(name)

    async def stop(self, name: str) -> None:
        self.calls.append(("stop", name))
        self.become(name, GroupPhase.STOPPED, Terminated(0, "Completed", STARTED, STARTED + 1))

    async def restart(self, name: str) -> None:
        self.calls.append(("restart", name))
        self.run(name)

    async def groups(self) -> list[GroupStatus]:
        return list(self.seen.values())

    async def get(self, name: str) -> GroupStatus:
        if name not in self.seen:
            raise NoSuchGroup(f"no group {name}")
        return self.seen[name]

    def watch(self) -> AsyncIterator[GroupStatus | GroupGone]:
        queue: asyncio.Queue[GroupStatus | GroupGone] = asyncio.Queue()
        self._watchers.append(queue)
        return _drain(queue)

    async def logs(self, name: str, container: str, query: LogQuery) -> AsyncIterator[bytes]:
        lines = self.output.get(container, b"").splitlines(keepends=True)
        if query.timestamps:
            lines = [b"2027-01-15T08:00:00Z " + line for line in lines]
        for line in lines[-query.tail :] if query.tail else lines:
            yield line

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        """Says what it runs and its size, then echoes what is typed until a line says exit."""
        async for columns, rows in session.sizes():
            await session.write_stdout(f"{' '.join(command)} {columns}x{rows}\r\n".encode())
            break
        while (typed := await session.read_stdin()) not in (b"", b"exit\n"):
            await session.write_stdout(typed)
        return 0

    async def attach(self, name: str, container: str, session: Session) -> None:
        await session.write_stdout(self.output.get(container, b""))

    async def usage(self, name: str) -> list[ContainerUsage]:
        return self.usages.get(name, [])

    async def write_files(self, name: str, volume: str, files: Sequence[FileContent]) -> None:
        return None

    def _tell(self, seen: GroupStatus | GroupGone) -> None:
        for queue in self._watchers:
            queue.put_nowait(seen)


async def _drain(
    queue: asyncio.Queue[GroupStatus | GroupGone],
) -> AsyncIterator[GroupStatus | GroupGone]:
    while True:
        yield await queue.get()
