"""What the observer needs of the groups, and keeps in mind of each and of a pod's earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vnodectl.clouds.alibaba import AlibabaThrottled
from vnodectl.errors import VnodectlError
from vnodectl.providers.eci import status as states
from vnodectl.providers.eci.status import Cause
from vnodectl.runtime.provider import JSON, PodKey

MOST_BACKOFF = 60.0


class Reader(Protocol):
    """What the observer needs of `Groups`."""

    async def rows(self) -> list[JSON]: ...

    async def changed(self, since: int) -> list[JSON]: ...

    async def rows_of(self, ids: Sequence[str]) -> list[JSON]: ...

    async def describe(self, ids: Sequence[str]) -> list[JSON]: ...

    async def events(self, since: int) -> list[JSON]: ...

    async def check_right_to_read(self, group_id: str) -> None: ...

    async def delete(self, group_id: str, *, force: bool) -> None: ...


@dataclass(slots=True)
class Tracked:
    """What is known of one group; times are the timer's. `inits`: it has init containers, of which rows say
    nothing."""

    key: PodKey
    group_id: str
    accepted_at: float
    inits: bool
    row: JSON | None = None
    group: JSON | None = None
    changed_at: float = 0.0
    described_at: float = float("-inf")
    deleting_at: float | None = None
    kill_at: float = float("inf")
    """When the grace that its pod was deleted with is over; the group's own may be longer."""
    removing: bool = False
    """It could not be made, and is being taken away."""
    vanished: bool = False
    """It has ended, and is not there any more."""
    finished: bool = False
    """Its containers have ended for good, whatever becomes of the group."""

    @property
    def leaving(self) -> bool:
        """Somebody, perhaps not us, has asked that it goes away."""
        return self.row is not None and states.group_status(self.row) == states.LEAVING


@dataclass(slots=True)
class History:
    """What became of the groups that were made for one pod: how many there were, and why the last failed."""

    groups: int = 0
    failures: int = 0
    cause: Cause | None = None
    retry_at: float = float("-inf")
    touched_at: float = 0.0


@dataclass(slots=True)
class Backoff:
    """One reader's failures in a row."""

    failures: int = 0

    def next(self, error: VnodectlError) -> float:
        self.failures += 1
        if isinstance(error, AlibabaThrottled) and error.retry_after is not None:
            return error.retry_after
        return min(MOST_BACKOFF, 2.0 ** (self.failures - 1))


@dataclass(slots=True)
class Known:
    """Groups by pod, and by id; a pod has one, besides such as are being taken away."""

    by_key: dict[PodKey, Tracked] = field(default_factory=dict)
    by_id: dict[str, Tracked] = field(default_factory=dict)

    def add(self, tracked: Tracked) -> None:
        self.by_key[tracked.key] = self.by_id[tracked.group_id] = tracked

    def remove(self, tracked: Tracked) -> None:
        self.by_id.pop(tracked.group_id, None)
        if self.by_key.get(tracked.key) is tracked:
            del self.by_key[tracked.key]
