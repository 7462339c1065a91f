"""One container group as the emulated service holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from vnodectl.emulator.azure.config import CONTAINER_GROUPS
from vnodectl.emulator.azure.operations import Operation
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import Engine, GroupStatus


@dataclass(slots=True)
class Group:
    """`properties` are as they were sent, defaults filled in, secrets included.

    `status` is what the engine said last, None before it has the group and after it has lost it.
    `task` is the transition under way. `standby`: it was taken from a pool, and starts faster.
    """

    subscription: str
    resource_group: str
    name: str
    location: str
    properties: JSON
    tags: dict[str, str]
    zones: list[str]
    identity: JSON | None
    engine: Engine
    engine_name: str
    standby: bool = False
    state: str = "Pending"
    status: GroupStatus | None = None
    in_engine: bool = False
    task: asyncio.Task[None] | None = None
    deletion: Operation | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> tuple[str, str]:
        return self.resource_group.casefold(), self.name.casefold()

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}/providers/"
            f"{CONTAINER_GROUPS}/{self.name}"
        )

    @property
    def subnet_ids(self) -> list[str]:
        """In lower case."""
        return [str(one["id"]).casefold() for one in self.properties.get("subnetIds") or ()]

    @property
    def windows(self) -> bool:
        return bool(self.properties["osType"] == "Windows")

    @property
    def pretended(self) -> bool:
        """Whether it is a Windows group that nothing runs."""
        entries = (*self.properties["containers"], *(self.properties.get("initContainers") or ()))
        return self.windows and self.engine.simulates(one["properties"]["image"] for one in entries)

    @property
    def transitioning(self) -> bool:
        return self.task is not None and not self.task.done()

    def has_container(self, name: str) -> bool:
        entries = (*self.properties["containers"], *(self.properties.get("initContainers") or ()))
        return any(entry["name"] == name for entry in entries)

    def observe(self, status: GroupStatus | None) -> None:
        """What the engine says now; None: it has no such group."""
        self.status = status
        self._tell()

    def enter(self, state: str) -> None:
        """The provisioning state from now on."""
        self.state = state
        self._tell()

    async def until(self, condition: Callable[[Group], bool]) -> None:
        """Return once `condition` holds; looked at again at each change of state or status."""
        while not condition(self):
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
