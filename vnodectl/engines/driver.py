"""What the supervisor needs from something that can run single processes in a shared network.

A driver knows *attempts*: one start of one container each, numbered from 0. It decides nothing; restarts,
probes, back-off and phases are the supervisor's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
from vnodectl.engines.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Image:
    """A local image; `user` is what it runs as, "" for root."""

    id: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`id` like podman://<hex>; `state` is None while it was created but never started."""

    container: str
    number: int
    id: str
    image_id: str = ""
    state: Running | Terminated | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """Where a group lives. `fresh`: it was made just now, and no container from before runs any more."""

    ip: str
    fresh: bool


class CannotRun(EngineError):
    """The container exists, but its program could not be started."""


class BadConfig(EngineError):
    """The container's description cannot be carried out here (a mount, a user)."""


class Driver(Protocol):
    """All methods raise EngineError; none blocks the event loop for long."""

    name: str

    @property
    def version(self) -> str:
        """Known once it is open."""

    async def open(self) -> None: ...

    async def aclose(self, *, remove: bool) -> None:
        """With `remove`, first take away whatever the scope still has here."""

    async def ping(self) -> None: ...

    async def known_groups(self) -> set[str]:
        """Names of the groups that have anything here."""

    async def open_group(self, group: Workspace) -> Network:
        """Make the group's network, unless it is there and works."""

    async def group_lost(self, name: str) -> None:
        """Return once the group's network has gone without being asked to."""

    async def park_group(self, name: str) -> None:
        """Release the network of a group whose containers have all ended; keep their logs."""

    async def close_group(self, name: str) -> None:
        """Remove everything of the group, running or not."""

    async def attempts(self, group: str) -> list[Attempt]:
        """What exists, ordered by container and number."""

    async def image(self, reference: str) -> Image | None: ...

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image: ...

    async def create(self, group: Workspace, container: ContainerSpec, number: int, ip: str) -> Attempt:
        """Raises BadConfig where it can never work."""

    async def start(self, attempt: Attempt) -> Attempt:
        """Raises CannotRun."""

    async def ended(self, attempt: Attempt) -> Terminated:
        """Wait for the end of a started attempt; rides out a broken connection."""

    async def signal(self, attempt: Attempt, *, kill: bool) -> None:
        """Ask it to end (the image's stop signal), or make it end. Nothing happens if it has ended."""

    async def discard(self, attempt: Attempt) -> None:
        """Remove an attempt that has ended, with its log."""

    async def run(self, attempt: Attempt, command: Sequence[str], timeout: float) -> int:
        """Run a probe's command; its exit code. Raises TimeoutError."""

    def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[bytes, None]: ...

    async def exec(self, container_id: str, command: Sequence[str], session: Session) -> int: ...

    async def attach(self, container_id: str, session: Session) -> None: ...

    async def usage(self, container_id: str, name: str) -> ContainerUsage: ...
