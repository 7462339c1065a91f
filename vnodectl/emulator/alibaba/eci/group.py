"""One container group as the emulated service holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from vnodectl.emulator.alibaba.config import SecurityGroup, VSwitch
from vnodectl.emulator.alibaba.eci.specs import Size
from vnodectl.emulator.alibaba.params import Params
from vnodectl.engines.api import Engine, GroupEvent, GroupPhase, GroupStatus

ACTIVE = "Active"
"""The state of a group whose status is what its containers make it."""

ENDED = ("Succeeded", "Failed", "Expired", "ScheduleFailed")
_PHASES = {
    GroupPhase.PENDING: "Pending",
    GroupPhase.RUNNING: "Running",
    GroupPhase.SUCCEEDED: "Succeeded",
    GroupPhase.FAILED: "Failed",
    GroupPhase.STOPPED: "Failed",
}


@dataclass(slots=True)
class Group:
    """`params` are as they were sent, secrets included. Moments are seconds of the emulated clock.

    `state` is Scheduling, ScheduleFailed, Restarting, Updating, Terminating, Expired or `ACTIVE`. `seen` is
    what the engine said last, None before it has the group and after it has lost it. `released`: an ended
    group's resources were given back. `task` is the transition under way, `companions` run beside it.
    """

    id: str
    region: str
    params: Params
    tags: dict[str, str]
    vswitch: VSwitch
    security_group: SecurityGroup
    size: Size
    engine: Engine
    created: float
    eip: str = ""
    own_eip: bool = False
    internet_ip: str = ""
    state: str = "Scheduling"
    seen: GroupStatus | None = None
    in_engine: bool = False
    scheduled: float | None = None
    ended: float | None = None
    released: bool = False
    changed: float = 0.0
    events: list[GroupEvent] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    companions: list[asyncio.Task[None]] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.changed = self.created

    @property
    def name(self) -> str:
        return self.params.text("ContainerGroupName")

    @property
    def zone(self) -> str:
        return self.vswitch.zone

    @property
    def status(self) -> str:
        """As ECI names it: Scheduling, Pending, Running, Succeeded, Failed …"""
        if self.state != ACTIVE:
            return self.state
        return _PHASES[self.seen.phase] if self.seen else "Pending"

    @property
    def ip(self) -> str:
        return self.seen.ip if self.seen else ""

    def containers(self) -> list[Params]:
        return self.params.items("Container")

    def images(self) -> list[str]:
        return [one.text("Image") for one in (*self.containers(), *self.params.items("InitContainer"))]

    def has_container(self, name: str) -> bool:
        every = (*self.containers(), *self.params.items("InitContainer"))
        return any(one.text("Name") == name for one in every)

    def observe(self, seen: GroupStatus | None, now: float) -> None:
        """What the engine says now; None: it has no such group."""
        before, self.seen = self.seen, seen
        if _visible(before) != _visible(seen):
            self._tell(now)
        else:
            self._wake()

    def enter(self, state: str, now: float) -> None:
        self.state = state
        self._tell(now)

    def note(self, now: float, kind: str, reason: str, message: str) -> None:
        """An event of the service itself, Normal or Warning."""
        self.events.append(GroupEvent(now, kind, reason, message))
        self._wake()

    async def until(self, condition: Callable[[Group], bool]) -> None:
        """Return once `condition` holds; looked at again at each change."""
        while not condition(self):
            await self._moved.wait()

    def _tell(self, now: float) -> None:
        self.changed = now
        if self.ended is None and self.status in ENDED:
            self.ended = now
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def _visible(seen: GroupStatus | None) -> object:
    """What DescribeContainerGroupStatus shows."""
    return seen and (seen.phase, seen.ip, seen.containers, seen.init_containers)
