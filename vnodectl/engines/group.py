"""What the parts of a supervised group share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from vnodectl.engines.backoff import BackoffPolicy
from vnodectl.engines.clock import Clock
from vnodectl.engines.driver import Driver
from vnodectl.engines.sockets import ProbeNetwork, SocketNetwork
from vnodectl.engines.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient a group is. `restart` also paces the creation of containers, `retry` all other steps."""

    restart: BackoffPolicy = field(default_factory=BackoffPolicy)
    pull: BackoffPolicy = field(default_factory=BackoffPolicy)
    retry: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(initial=1, cap=60))
    probes: ProbeNetwork = field(default_factory=SocketNetwork)


class Group(Protocol):
    """What a container's runner needs from its group."""

    workspace: Workspace
    driver: Driver
    clock: Clock
    settings: Settings
    ip: str

    def changed(self) -> None:
        """Tell the watchers."""

    def note(self, reason: str, message: str, container: str = "", *, warning: bool = False) -> None:
        """Add an event and tell the watchers."""
