"""An engine made of a driver and a supervisor per group."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnodectl.engines.api import (
    ContainerStatus,
    ContainerUsage,
    EngineError,
    FileContent,
    GroupGone,
    GroupSpec,
    GroupStatus,
    LogQuery,
    NoSuchGroup,
    Running,
    Session,
)
from vnodectl.engines.clock import Clock
from vnodectl.engines.driver import Driver
from vnodectl.engines.group import Settings
from vnodectl.engines.hub import Hub, Subscription
from vnodectl.engines.status import container_of, current_id, running_container
from vnodectl.engines.supervisor import GroupSupervisor
from vnodectl.engines.workspace import Wanted, Workspace

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Seen = GroupStatus | GroupGone


@dataclass(frozen=True, slots=True)
class _Entry:
    supervisor: GroupSupervisor
    task: asyncio.Task[None]


class SupervisedEngine:
    """Runs groups on `driver` and keeps what it must remember below `home`, a directory of its own (0700)."""

    def __init__(
        self, driver: Driver, *, home: Path, clock: Clock, settings: Settings, hub: Hub[Seen] | None = None
    ) -> None:
        self.name = driver.name
        self._driver = driver
        self._home = home
        self._clock = clock
        self._settings = settings
        self._hub: Hub[Seen] = hub or Hub()
        self._entries: dict[str, _Entry] = {}
        self._lock: int | None = None

    # --- the engine's own life --------------------------------------------------------------------

    async def start(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        try:
            await self._driver.open()
            workspaces = Workspace.load_all(self._groups_dir)
            known = {workspace.spec.name for workspace in workspaces}
            for orphan in await self._driver.known_groups() - known:
                await self._driver.close_group(orphan)
        except BaseException:
            await self._driver.aclose(remove=False)
            self._release_lock()
            raise
        for workspace in workspaces:
            self._supervise(workspace)

    async def aclose(self, *, remove: bool = False) -> None:
        entries = list(self._entries.values())
        for entry in entries:
            entry.task.cancel()
        await asyncio.gather(*(entry.task for entry in entries), return_exceptions=True)
        self._entries.clear()
        try:
            await self._driver.aclose(remove=remove)
            if remove:
                shutil.rmtree(self._home, ignore_errors=True)
        finally:
            self._release_lock()
            self._hub.close()

    @property
    def version(self) -> str:
        return self._driver.version

    async def ping(self) -> None:
        await self._driver.ping()

    def simulates(self, images: Iterable[str]) -> bool:  # noqa: ARG002 - what it takes, it runs
        return False

    # --- groups -----------------------------------------------------------------------------------

    async def create(self, spec: GroupSpec) -> None:
        if (entry := self._entries.get(spec.name)) is not None:
            if entry.supervisor.workspace.record.wanted is Wanted.DELETE:
                raise EngineError(f"group {spec.name} is still being deleted")
            return
        check_names(spec)
        self._supervise(Workspace.create(self._groups_dir, spec, self._clock.now()))

    async def delete(self, name: str, *, grace: float | None = None) -> None:
        if (entry := self._entries.get(name)) is not None:
            entry.supervisor.want(Wanted.DELETE, grace=grace)

    async def stop(self, name: str) -> None:
        self._find(name).want(Wanted.STOP)

    async def restart(self, name: str) -> None:
        self._find(name).want(Wanted.RESTART)

    async def end_container(self, name: str, container: str, *, grace: float) -> None:
        self._find(name).end_container(container, grace)

    async def groups(self) -> list[GroupStatus]:
        return [entry.supervisor.status() for entry in self._entries.values()]

    async def get(self, name: str) -> GroupStatus:
        return self._find(name).status()

    def watch(self) -> Subscription[Seen]:
        return self._hub.subscribe()

    async def write_files(self, name: str, volume: str, files: Sequence[FileContent]) -> None:
        self._find(name).workspace.write_files(volume, files)

    # --- containers -------------------------------------------------------------------------------

    async def logs(self, name: str, container: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        status = self._container(name, container)
        if query.previous:
            shown = status.previous.container_id if status.previous else ""
            if not shown:
                raise NoSuchGroup(f"previous terminated container {container} in {name} not found")
        else:
            shown = current_id(status)
            if not shown:
                reason = getattr(status.state, "reason", "")
                raise NoSuchGroup(f"container {container} in {name} is waiting to start: {reason}")
        async with contextlib.aclosing(self._driver.logs(shown, query)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        return await self._driver.exec(self._running_id(name, container), command, session)

    async def attach(self, name: str, container: str, session: Session) -> None:
        await self._driver.attach(self._running_id(name, container), session)

    async def usage(self, name: str) -> list[ContainerUsage]:
        status = self._find(name).status()
        running = [one for one in status.containers if isinstance(one.state, Running)]
        return list(
            await asyncio.gather(*(self._driver.usage(one.container_id, one.name) for one in running))
        )

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _groups_dir(self) -> Path:
        return self._home / "groups"

    def _supervise(self, workspace: Workspace) -> None:
        supervisor = GroupSupervisor(workspace, self._driver, self._clock, self._settings, self._hub.publish)
        name = workspace.spec.name
        task = asyncio.create_task(self._until_gone(supervisor), name=f"group-{name}")
        self._entries[name] = _Entry(supervisor, task)
        supervisor.changed()

    async def _until_gone(self, supervisor: GroupSupervisor) -> None:
        await supervisor.run()
        spec = supervisor.workspace.spec
        supervisor.workspace.remove()
        del self._entries[spec.name]
        self._hub.publish(GroupGone(spec.name, spec.labels))

    def _find(self, name: str) -> GroupSupervisor:
        if (entry := self._entries.get(name)) is None:
            raise NoSuchGroup(f"there is no group {name}")
        return entry.supervisor

    def _container(self, name: str, container: str) -> ContainerStatus:
        return container_of(self._find(name).status(), container)

    def _running_id(self, name: str, container: str) -> str:
        return running_container(self._find(name).status(), container).container_id

    def _take_lock(self) -> None:
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise EngineError(f"{self._home} is in use by another process") from error
        self._lock = descriptor

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def check_names(spec: GroupSpec) -> None:
    """Raises EngineError for names that cannot become file and container names."""
    if not NAME.fullmatch(spec.name):
        raise EngineError(f"group name {spec.name!r} is not a DNS label")
    names = [one.name for one in spec.init_containers + spec.containers]
    for name in names + list(spec.volumes):
        if not PART.fullmatch(name):
            raise EngineError(f"name {name!r} has characters that cannot be used")
    if len(set(names)) != len(names):
        raise EngineError("two containers of the group have the same name")
