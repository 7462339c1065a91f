"""Seeing what the groups do, for few reads.

ARM's LIST has no instanceView, so it only tells which groups exist and how they are provisioned; what
the containers do costs one GET per group. LISTs go on at a fixed pace. GETs are spent where a change is
likely: groups being created, started or deleted (urgent), then groups that run to completion, then a
rotation over groups that run for ever; finished groups cost none. Urgent and steady GETs have budgets of
their own, so neither can starve the other, and the steady one does not grow with the number of pods.

A group is gone only when a GET says 404, or when a complete LIST that began after its delete was accepted
does not have it. A group that is merely missing from a LIST is looked at first: ARM's lists lag.

A group that could not be provisioned makes its pod Failed, and is removed: ACI may go on trying to start
it (and charge for it) long after Kubernetes has replaced the pod.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from vnodectl.clouds.azure import AzureError, AzureForbidden, AzureNotFound, AzureThrottled, AzureUnauthorized
from vnodectl.clouds.azure.tags import Owner
from vnodectl.errors import VnodectlError
from vnodectl.providers.aci.events import Known, news
from vnodectl.providers.aci.limits import ReadLimits
from vnodectl.providers.aci.names import pod_of
from vnodectl.providers.aci.settings import ReadBudget
from vnodectl.providers.aci.status import (
    OperationFailure,
    failed_operation,
    finished,
    pod_status,
    settled,
)
from vnodectl.providers.outbox import Outbox
from vnodectl.providers.tasks import OwnedTasks
from vnodectl.providers.timing import Pace, Timer
from vnodectl.runtime.provider import JSON, Gone, Health, Listed, PodKey, Seen, Sighting

log = logging.getLogger(__name__)

URGENT, FINISHING, STEADY = 0, 1, 2

_RECENT = 20.0
"""Seconds after a change during which another is likely."""

_PATIENCE = 300.0
"""After this many seconds without settling, a group is looked at as rarely as one that runs to completion."""

_QUICK_LOOKS = 60
_SLOW_POLL = 10.0
_AT_ONCE = -1e6
"""Before all who are due already."""
_LIST_LAG = 30.0
"""A group may be missing from reads for this long after ARM has accepted its creation."""

_UNHEALTHY_AFTER = 3
_FAIR_SHARE = 4
"""Every so many steady GETs, one goes to a group that runs for ever even if others are due."""


class Reader(Protocol):
    """What the observer needs of `Groups`."""

    @property
    def remaining_reads(self) -> int: ...

    async def list(self) -> list[JSON]: ...

    async def get(self, name: str) -> JSON: ...

    async def operation(self, url: str) -> JSON: ...

    async def delete(self, name: str) -> object: ...


@dataclass(slots=True)
class Tracked:
    """What is known of one group. Times are the timer's; `ticket` voids older places in the queues."""

    key: PodKey
    name: str
    accepted_at: float
    operation: str = ""
    status: JSON | None = None
    group_state: tuple[str, str] = ("", "")
    """provisioningState and address, as last read: what a LIST can tell has changed."""
    changed_at: float = 0.0
    deleting_at: float | None = None
    failure: OperationFailure | None = None
    finished: bool = False
    failed: bool = False
    """It could not be provisioned: said as Failed, and removed; Gone only once its pod is deleted."""
    vanished: bool = False
    """It failed, and is not there any more."""
    errors: int = 0
    looks: int = 0
    looked_at: float = float("-inf")
    due_at: float = float("inf")
    """When the next look is due; infinity where none is planned."""
    ticket: int = 0
    told: frozenset[Known] | None = None
    """Events that the pod has; None for a group of an earlier life of this process, which told them."""


class Observer:
    """Keeps what is known of every group of one node and tells it as sightings."""

    def __init__(
        self,
        groups: Reader,
        owner: Owner,
        budget: ReadBudget,
        timer: Timer,
        limits: ReadLimits | None = None,
    ) -> None:
        self._groups = groups
        self._owner = owner
        self._budget = budget
        self._timer = timer
        self._tracked: dict[PodKey, Tracked] = {}
        self._queues: tuple[list[tuple[float, int, PodKey]], ...] = ([], [], [])
        self._tickets = itertools.count(1)
        self._wake = (asyncio.Event(), asyncio.Event())
        self._list_now = asyncio.Event()
        self._outbox = Outbox()
        self._tasks = OwnedTasks(self._outbox.fail)
        self._limits = limits or ReadLimits(budget, timer, lambda: groups.remaining_reads)
        self._slots = asyncio.Semaphore(budget.concurrency)
        self._failures = 0
        self._healthy: bool | None = None
        self.reads = dict.fromkeys(("list", "urgent", "rotation"), 0)
        """Reads by what they were spent on; a list is one, whatever its pages."""

    # --- what the provider did --------------------------------------------------------------------

    def find(self, key: PodKey) -> Tracked | None:
        return self._tracked.get(key)

    def accepted(self, key: PodKey, name: str, operation: str = "") -> None:
        """ARM has accepted the group's creation, or it was found to exist."""
        now = self._timer.now()
        tracked = Tracked(key, name, accepted_at=now, operation=operation, changed_at=now, told=frozenset())
        self._tracked[key] = tracked
        self._plan(tracked, URGENT, self._budget.settling_interval)

    def deleting(self, key: PodKey) -> None:
        """ARM has accepted the group's deletion."""
        tracked = self._tracked.get(key)
        if tracked is None:
            return  # it was seen to be gone in the meantime
        tracked.deleting_at = self._timer.now()
        tracked.looks = 0
        self._plan(tracked, URGENT, self._budget.settling_interval)

    def gone(self, key: PodKey) -> None:
        """The cloud itself said that the group does not exist."""
        self._tracked.pop(key, None)
        self._outbox.put(Gone(key))

    def look_soon(self, key: PodKey, *, spacing: float = 0.0) -> None:
        """Somebody wants to know now, or `spacing` seconds after the last look."""
        tracked = self._tracked.get(key)
        if tracked is None or tracked.vanished:
            return
        delay = max(0.0, tracked.looked_at + spacing - self._timer.now())
        if delay < tracked.due_at - self._timer.now():
            self._plan(tracked, URGENT, delay)

    # --- the loop ---------------------------------------------------------------------------------

    async def sightings(self) -> AsyncIterator[Sighting]:
        """Until cancelled. Owns every task it starts."""
        self._tasks.start(self._lister(), "aci-list")
        self._tasks.start(self._looker((URGENT,), 0, self._limits.urgent), "aci-urgent")
        self._tasks.start(self._looker((FINISHING, STEADY), 1, self._limits.steady), "aci-steady")
        try:
            while True:
                yield await self._outbox.take()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        await self._tasks.aclose()

    # --- LIST -------------------------------------------------------------------------------------

    async def _lister(self) -> None:
        while True:
            budget = self._budget
            try:
                await self._list_once()
                pause = min(budget.list_interval, budget.crowd_list_interval if self._crowded() else 1e9)
            except VnodectlError as error:
                pause = self._list_failed(error)
            else:
                self._list_worked()
            self._list_now.clear()
            await self._timer.wait(self._list_now, pause)

    async def _list_once(self) -> None:
        began = self._timer.now()
        self.reads["list"] += 1
        present: set[PodKey] = set()
        for group in await self._groups.list():
            key = pod_of(group, self._owner)
            if key is not None:
                present.add(key)
                self._listed(key, group, began)
        for tracked in list(self._tracked.values()):
            if tracked.key in present or tracked.vanished:
                continue
            if tracked.deleting_at is not None and tracked.deleting_at < began:
                self.gone(tracked.key)
            elif tracked.accepted_at < began:
                self._plan(tracked, URGENT, 0.0)
        # What is missing is said to exist until a GET has shown that it does not.
        self._outbox.put(Listed(frozenset(self._tracked), began))

    def _listed(self, key: PodKey, group: JSON, began: float) -> None:
        state = _group_state(group)
        tracked = self._tracked.get(key)
        if tracked is None:
            tracked = Tracked(key, group["name"], accepted_at=began, group_state=state)
            self._tracked[key] = tracked
            calm = state[0] == "Succeeded" and _restarts(group)
            self._plan(tracked, STEADY if calm else URGENT, 0.0)
        elif state != tracked.group_state and (tracked.status is not None or self._crowded()):
            self._plan(tracked, URGENT, _AT_ONCE)
        if state[0] == "Deleting" and tracked.deleting_at is None:
            tracked.deleting_at = began

    def _list_worked(self) -> None:
        self._failures = 0
        if not self._healthy:
            self._healthy = True
            self._outbox.put(Health(ok=True))

    def _list_failed(self, error: VnodectlError) -> float:
        """Seconds until the next try. A list that failed says nothing about any group."""
        self._failures += 1
        denied = isinstance(error, (AzureUnauthorized, AzureForbidden))
        log.warning("listing container groups failed (%d in a row): %s", self._failures, error)
        if denied or self._healthy is None or self._failures >= _UNHEALTHY_AFTER:
            self._healthy = False
            reason = (
                error.code if isinstance(error, AzureError) and error.code.isalnum() else "CloudUnreachable"
            )
            self._outbox.put(Health(ok=False, reason=reason, message=error.message))
        wait = error.retry_after if isinstance(error, AzureThrottled) else None
        return wait if wait is not None else min(self._budget.list_interval, 2.0 ** (self._failures - 1))

    def _unsettled(self) -> int:
        """How many groups are in the urgent queue, about."""
        return len(self._queues[URGENT])

    def _crowded(self) -> bool:
        return self._unsettled() > self._budget.crowd

    # --- GET --------------------------------------------------------------------------------------

    def _plan(self, tracked: Tracked, rank: int, delay: float) -> None:
        tracked.ticket = next(self._tickets)
        tracked.due_at = self._timer.now() + delay
        heapq.heappush(self._queues[rank], (tracked.due_at, tracked.ticket, tracked.key))
        self._wake[0 if rank == URGENT else 1].set()

    async def _looker(self, ranks: tuple[int, ...], lane: int, pace: Pace) -> None:
        """Starts GETs of the given ranks when they are due and the lane's budget allows it."""
        why = "rotation" if lane else "urgent"
        for turn in itertools.count(1):
            order = ranks[::-1] if turn % _FAIR_SHARE == 0 else ranks
            tracked = await self._next(order, lane)
            await pace.take()
            await self._slots.acquire()
            self.reads[why] += 1
            self._tasks.start(self._look(tracked), f"aci-get {tracked.name}")

    async def _next(self, ranks: tuple[int, ...], lane: int) -> Tracked:
        while True:
            soonest: float | None = None
            now = self._timer.now()
            for rank in ranks:
                queue = self._queues[rank]
                while queue:
                    due, ticket, key = queue[0]
                    tracked = self._tracked.get(key)
                    if tracked is None or tracked.ticket != ticket:
                        heapq.heappop(queue)
                        continue
                    if due <= now:
                        heapq.heappop(queue)
                        return tracked
                    soonest = due if soonest is None else min(soonest, due)
                    break
            self._wake[lane].clear()
            await self._timer.wait(self._wake[lane], None if soonest is None else soonest - now)

    async def _look(self, tracked: Tracked) -> None:
        ticket = tracked.ticket
        tracked.looked_at, tracked.due_at = self._timer.now(), float("inf")
        try:
            try:
                group = await self._groups.get(tracked.name)
            except AzureNotFound:
                group = None
            if self._tracked.get(tracked.key) is not tracked:
                return
            if group is None or pod_of(group, self._owner) != tracked.key:
                await self._missing(tracked)
            else:
                await self._took(tracked, group)
            tracked.errors = 0
        except VnodectlError as error:
            tracked.errors += 1
            wait = error.retry_after if isinstance(error, AzureThrottled) else None
            log.info("reading container group %s failed: %s", tracked.name, error, extra={"pod": tracked.key})
            if tracked.ticket == ticket:
                self._plan(tracked, URGENT, wait if wait is not None else min(60.0, 2.0**tracked.errors))
        finally:
            self._slots.release()

    async def _took(self, tracked: Tracked, group: JSON) -> None:
        now = self._timer.now()
        ticket = tracked.ticket
        tracked.group_state = _group_state(group)
        if tracked.group_state[0] == "Failed" and tracked.failure is None and tracked.deleting_at is None:
            tracked.failure = await self._failure(tracked)
        status = pod_status(group, tracked.failure)
        if status != tracked.status:
            tracked.status, tracked.changed_at, tracked.looks = status, now, 0
        tracked.looks += 1
        tracked.finished = finished(group)
        self._tell_events(tracked, group)
        self._outbox.put(Seen(tracked.key, status))
        if status.get("phase") == "Failed" and tracked.deleting_at is None:
            tracked.failed = True
            log.warning(
                "container group %s failed, removing it: %s",
                tracked.name,
                status["message"],
                extra={"pod": tracked.key},
            )
            self._plan(tracked, URGENT, _SLOW_POLL)
            await self._groups.delete(tracked.name)
        elif tracked.ticket == ticket:
            self._plan_next(tracked, group, now)

    def _tell_events(self, tracked: Tracked, group: JSON) -> None:
        fresh, known = news(tracked.key, group, tracked.told or frozenset())
        if tracked.told is not None:
            for happened in fresh:
                self._outbox.put(happened)
        tracked.told = known

    def _plan_next(self, tracked: Tracked, group: JSON, now: float) -> None:
        budget = self._budget
        quick = budget.settling_interval if tracked.looks < _QUICK_LOOKS else _SLOW_POLL
        if self._crowded():
            # Who has changed is told by the lists; a look at everybody would take the budget from them.
            quick = max(quick, 3 * self._unsettled() / budget.urgent_rate, 2 * budget.crowd_list_interval)
        if tracked.deleting_at is not None:
            self._plan(tracked, URGENT, quick)
            return
        if tracked.finished:
            return  # the LIST sees it go; nothing else can change
        runs_for_ever = _restarts(group)
        age = now - tracked.changed_at
        if settled(group):
            if age < _RECENT and not runs_for_ever:
                self._plan(tracked, URGENT, budget.settling_interval)
            elif runs_for_ever:
                self._plan(tracked, STEADY, budget.steady_interval)
            else:
                self._plan(tracked, FINISHING, budget.finishing_interval)
        elif age < _PATIENCE:
            self._plan(tracked, URGENT, quick)
        else:
            self._plan(tracked, FINISHING, budget.finishing_interval)

    async def _missing(self, tracked: Tracked) -> None:
        """GET says that the group does not exist."""
        now = self._timer.now()
        if tracked.failed and tracked.deleting_at is None:
            tracked.vanished = True
            return
        if tracked.deleting_at is None and tracked.status is None:
            failure = await self._failure(tracked)
            if failure is not None:
                tracked.failure, tracked.failed, tracked.vanished = failure, True, True
                status: JSON = {"phase": "Failed", "reason": failure.code, "message": failure.message}
                tracked.status = status
                self._outbox.put(Seen(tracked.key, status))
                return
            if now - tracked.accepted_at < _LIST_LAG:
                self._plan(tracked, URGENT, self._budget.settling_interval)
                return
        self.gone(tracked.key)

    async def _failure(self, tracked: Tracked) -> OperationFailure | None:
        """Why the creation failed, as its operation says; None where it did not fail or nobody knows."""
        if not tracked.operation:
            return None
        try:
            return failed_operation(await self._groups.operation(tracked.operation))
        except AzureNotFound:
            return None  # ARM forgets operations after a while


def _group_state(group: JSON) -> tuple[str, str]:
    properties = group.get("properties") or {}
    return str(properties.get("provisioningState") or ""), str(
        (properties.get("ipAddress") or {}).get("ip") or ""
    )


def _restarts(group: JSON) -> bool:
    return ((group.get("properties") or {}).get("restartPolicy") or "Always") == "Always"
