"""Two engines as one: what the first cannot run, the second simulates."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path

from vnodectl.engines.api import (
    ContainerUsage,
    FileContent,
    GroupSpec,
    GroupStatus,
    LogQuery,
    NoSuchGroup,
    Session,
)
from vnodectl.engines.hub import Hub, Subscription
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.engines.supervised import Seen, SupervisedEngine


class CompositeEngine:
    """`knows` says whether the first engine can run an image; it takes the groups whose images it all knows.
    Both publish to `hub`, both live in `home`."""

    name = "process"

    def __init__(
        self,
        primary: SupervisedEngine,
        fallback: SimulatedEngine,
        knows: Callable[[str], bool],
        hub: Hub[Seen],
        home: Path,
    ) -> None:
        self._home = home
        self._primary = primary
        self._fallback = fallback
        self._knows = knows
        self._hub = hub

    async def start(self) -> None:
        await self._primary.start()
        try:
            await self._fallback.start()
        except BaseException:
            await self._primary.aclose()
            raise

    async def aclose(self, *, remove: bool = False) -> None:
        try:
            await self._primary.aclose(remove=remove)
        finally:
            await self._fallback.aclose(remove=remove)
        if remove:
            shutil.rmtree(self._home, ignore_errors=True)

    @property
    def version(self) -> str:
        return self._primary.version

    async def ping(self) -> None:
        await self._primary.ping()
        await self._fallback.ping()

    def simulates(self, images: Iterable[str]) -> bool:
        return not all(map(self._knows, images))

    async def create(self, spec: GroupSpec) -> None:
        simulated = self.simulates(one.image for one in spec.containers + spec.init_containers)
        await (self._fallback if simulated else self._primary).create(spec)

    async def delete(self, name: str, *, grace: float | None = None) -> None:
        await self._primary.delete(name, grace=grace)
        await self._fallback.delete(name, grace=grace)

    async def stop(self, name: str) -> None:
        await (await self._owner(name)).stop(name)

    async def restart(self, name: str) -> None:
        await (await self._owner(name)).restart(name)

    async def end_container(self, name: str, container: str, *, grace: float) -> None:
        await (await self._owner(name)).end_container(name, container, grace=grace)

    async def groups(self) -> list[GroupStatus]:
        return await self._primary.groups() + await self._fallback.groups()

    async def get(self, name: str) -> GroupStatus:
        return await (await self._owner(name)).get(name)

    def watch(self) -> Subscription[Seen]:
        return self._hub.subscribe()

    async def logs(self, name: str, container: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        owner = await self._owner(name)
        async with contextlib.aclosing(owner.logs(name, container, query)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        return await (await self._owner(name)).exec(name, container, command, session)

    async def attach(self, name: str, container: str, session: Session) -> None:
        await (await self._owner(name)).attach(name, container, session)

    async def usage(self, name: str) -> list[ContainerUsage]:
        return await (await self._owner(name)).usage(name)

    async def write_files(self, name: str, volume: str, files: Sequence[FileContent]) -> None:
        await (await self._owner(name)).write_files(name, volume, files)

    async def _owner(self, name: str) -> SupervisedEngine | SimulatedEngine:
        try:
            await self._primary.get(name)
        except NoSuchGroup:
            return self._fallback
        return self._primary
