"""Seeing what the groups do, for few reads.

Three readers share what is known of each group. One reads every row of the node (DescribeContainerGroupStatus
by tags, 200 a page) at a fixed pace and says which groups exist. One reads the rows that changed within the
last minute, often, as that costs one page however many groups are at rest. One reads whole groups
(DescribeContainerGroups), of those only that changed and of which a row does not say enough: those with init
containers, and those that failed. A throttled or failing reader delays none of the others.

A group is gone only when ECI, asked for it by its id, does not know it; or when it is missing from a complete
list that began after its deletion was accepted. Groups that have ended may vanish by themselves (ECI keeps an
hour of them, and then the last hundred): such a pod keeps its last status.

A group that could not be made is removed, and its pod told Gone: the next `create` says why, and when to
come back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from vnodectl.clouds.alibaba import (
    AlibabaError,
    AlibabaForbidden,
    AlibabaNotFound,
    AlibabaUnauthorized,
)
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.errors import VnodectlError
from vnodectl.providers.eci import status as states
from vnodectl.providers.eci.events import EventReader
from vnodectl.providers.eci.failures import reason
from vnodectl.providers.eci.groups import DETAIL_PAGE, SINCE_LEAST, SINCE_MOST, STATUS_PAGE
from vnodectl.providers.eci.names import group_name, pod_of
from vnodectl.providers.eci.settings import Pacing
from vnodectl.providers.eci.status import Cause
from vnodectl.providers.eci.tracking import Backoff, History, Known, Reader, Tracked
from vnodectl.providers.outbox import Outbox
from vnodectl.providers.tasks import OwnedTasks
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import JSON, Gone, Health, Listed, PodKey, Seen, Sighting

log = logging.getLogger(__name__)

_RECENT = 20.0
"""Seconds after a change during which another is likely."""

_OVERLAP = 15
"""Seconds by which two looks at what changed overlap, for clocks that differ."""

_UNHEALTHY_AFTER = 3
_FORGET_AFTER = 3600.0
_UNKNOWN = Cause("ScheduleFailed", "ECI could not make the container group, and does not say why")


class Observer:
    """Keeps what is known of every group of one node and tells it as sightings."""

    def __init__(self, groups: Reader, owner: Owner, pacing: Pacing, timer: Timer) -> None:
        self._groups = groups
        self._owner = owner
        self._pacing = pacing
        self._timer = timer
        self._known = Known()
        self._histories: dict[PodKey, History] = {}
        self._creating: dict[str, PodKey] = {}
        self._details: dict[PodKey, None] = {}
        self._strange: set[str] = set()
        self._list_now, self._look_now, self._describe_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._first_list = asyncio.Event()
        self._outbox = Outbox()
        self._tasks = OwnedTasks(self._outbox.fail)
        self._list_backoff = Backoff()
        self._events = EventReader(
            groups,
            timer,
            pod_of=self._pod_of,
            known=lambda: self._known.by_id.keys(),
            tell=self._outbox.put,
            pause=lambda: pacing.busy_events if self._busy() else pacing.calm_events,
        )
        self._healthy: bool | None = None

    # --- what the provider did --------------------------------------------------------------------

    def find(self, key: PodKey) -> Tracked | None:
        return self._known.by_key.get(key)

    def history(self, key: PodKey) -> History:
        return self._histories.get(key) or History()

    @contextmanager
    def creating(self, key: PodKey) -> Iterator[None]:
        """While a create is under way its group may be read before its id is known here."""
        name = group_name(key)
        self._creating[name] = key
        try:
            yield
        finally:
            del self._creating[name]

    def accepted(self, key: PodKey, group_id: str, *, inits: bool) -> None:
        """ECI has accepted the group's creation, or it was found to exist."""
        now = self._timer.now()
        self._known.add(Tracked(key, group_id, accepted_at=now, inits=inits, changed_at=now))
        self._touch(key).retry_at = float("-inf")
        self._look_now.set()

    def lost(self, key: PodKey) -> None:
        """The token of the last create stands for something else: the next group needs another."""
        self._touch(key).groups += 1

    def deleting(self, key: PodKey) -> None:
        """ECI has accepted the group's deletion, because its pod goes."""
        self._histories.pop(key, None)
        self._known.by_key[key].deleting_at = self._timer.now()
        self._look_now.set()

    def gone(self, key: PodKey) -> None:
        """ECI itself said that the group does not exist."""
        tracked = self._known.by_key.get(key)
        if tracked is not None:
            self._known.remove(tracked)
            if key in self._histories:
                self.lost(key)
        self._outbox.put(Gone(key))

    def forget(self, key: PodKey) -> None:
        """The pod goes: what became of its groups does not matter any more."""
        self._histories.pop(key, None)

    def look_soon(self) -> None:
        """Somebody wants to know now."""
        self._look_now.set()

    def _touch(self, key: PodKey) -> History:
        found = self._histories.setdefault(key, History())
        found.touched_at = self._timer.now()
        return found

    # --- the loops --------------------------------------------------------------------------------

    async def sightings(self) -> AsyncIterator[Sighting]:
        """Until cancelled. Owns every task it starts."""
        self._tasks.start(self._lister(), "eci-list")
        self._tasks.start(self._watcher(), "eci-changes")
        self._tasks.start(self._describer(), "eci-details")
        self._tasks.start(self._events.run(self._first_list), "eci-events")
        try:
            while True:
                yield await self._outbox.take()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        await self._tasks.aclose()

    # --- every row --------------------------------------------------------------------------------

    async def _lister(self) -> None:
        while True:
            try:
                pages = await self._list_once()
            except VnodectlError as error:
                pause = self._list_failed(error)
            else:
                self._list_worked()
                pause = max(self._pacing.list_interval, 60.0 * pages / self._pacing.list_pages)
            self._list_now.clear()
            await self._timer.wait(self._list_now, pause)

    async def _list_once(self) -> int:
        """How many pages it took."""
        began = self._timer.now()
        rows = {states.group_id(row): row for row in await self._groups.rows()}
        being_made = {self._creating.get(str(row.get("name") or "")) for row in rows.values()} - {None}
        self._strange &= rows.keys()
        await self._identify([row for row in rows.values() if not self._is_known(row)])
        for one, row in rows.items():
            tracked = self._known.by_id.get(one)
            if tracked is not None:
                self._took(tracked, row)
        await self._missing_from(rows, began)
        self._forget_old()
        keys = frozenset(self._known.by_key) | {key for key in being_made if key is not None}
        self._outbox.put(Listed(keys, began))
        self._first_list.set()
        return max(1, math.ceil(len(rows) / STATUS_PAGE))

    def _is_known(self, row: JSON) -> bool:
        one = states.group_id(row)
        return (
            one in self._known.by_id or one in self._strange or str(row.get("name") or "") in self._creating
        )

    async def _identify(self, rows: Sequence[JSON]) -> None:
        """Whose groups these are, by their tags: after a restart, or where an answer was lost."""
        by_id = {states.group_id(row): row for row in rows}
        described = await self._groups.describe(list(by_id))
        if missing := by_id.keys() - {str(group.get("ContainerGroupId")) for group in described}:
            # An identity without the right to describe gets an empty list, and nobody knows whose these are.
            raise AlibabaError(
                0,
                "Undescribed",
                f"ECI lists container group {min(missing)} but does not describe it; "
                "the identity may lack the right eci:DescribeContainerGroups",
            )
        # Of two groups of one pod, the one that could not be made comes last.
        for group in sorted(described, key=lambda one: one.get("Status") == states.NEVER_MADE):
            key = pod_of(group, self._owner)
            found = states.folded(group)
            row = by_id.get(states.group_id(found))
            if row is None:
                continue  # not asked for
            if key is None:
                self._strange.add(states.group_id(row))
                continue
            now = self._timer.now()
            tracked = Tracked(
                key, states.group_id(row), accepted_at=now, inits=bool(found.get("initcontainers"))
            )
            tracked.group, tracked.described_at = found, now
            self._adopt(tracked, row)

    def _adopt(self, tracked: Tracked, row: JSON) -> None:
        """Of two groups of one pod the one that runs, or was known first, is kept."""
        other = self._known.by_key.get(tracked.key)
        if other is None or other.removing:
            self._known.add(tracked)
            return
        self._known.by_id[tracked.group_id] = tracked
        if states.group_status(row) != states.NEVER_MADE:
            log.warning("container group %s is a second one of pod %s", tracked.group_id, tracked.key)
        self._tasks.start(self._remove_double(tracked), f"eci-remove {tracked.group_id}")

    async def _remove_double(self, tracked: Tracked) -> None:
        tracked.removing = True
        try:
            await self._groups.delete(tracked.group_id, force=True)
        except VnodectlError as error:
            # Still there, it is found again by the next list.
            log.info("removing container group %s: %s", tracked.group_id, error, extra={"pod": tracked.key})
        self._known.remove(tracked)

    async def _missing_from(self, rows: dict[str, JSON], began: float) -> None:
        """Groups that a complete list, which began then, does not have."""
        doubtful: list[Tracked] = []
        for tracked in list(self._known.by_key.values()):
            if tracked.group_id in rows or tracked.vanished:
                continue
            if tracked.deleting_at is not None:
                if tracked.deleting_at < began:
                    self._left(tracked)
            elif tracked.accepted_at < began - self._pacing.list_lag:
                doubtful.append(tracked)
        if not doubtful:
            return
        if not rows:
            # Everything at once: either it is so, or the right to read was taken away.
            await self._groups.check_right_to_read(doubtful[0].group_id)
        found = {states.group_id(row): row for row in await self._groups.rows_of(_ids(doubtful))}
        for tracked in doubtful:
            row = found.get(tracked.group_id)
            if row is not None:
                self._took(tracked, row)
            else:
                self._missed(tracked)

    def _missed(self, tracked: Tracked) -> None:
        """ECI, asked for it by its id, does not know it."""
        if tracked.finished and tracked.deleting_at is None:
            tracked.vanished = True
        else:
            self._left(tracked)

    def _left(self, tracked: Tracked) -> None:
        if self._known.by_key.get(tracked.key) is tracked:
            self.gone(tracked.key)
        else:
            self._known.remove(tracked)

    def _list_worked(self) -> None:
        self._list_backoff.failures = 0
        if not self._healthy:
            self._healthy = True
            self._outbox.put(Health(ok=True))

    def _list_failed(self, error: VnodectlError) -> float:
        """Seconds until the next try. A list that failed says nothing about any group."""
        wait = self._list_backoff.next(error)
        denied = isinstance(error, (AlibabaUnauthorized, AlibabaForbidden))
        log.warning("listing container groups failed (%d in a row): %s", self._list_backoff.failures, error)
        if denied or self._healthy is None or self._list_backoff.failures >= _UNHEALTHY_AFTER:
            self._healthy = False
            why = reason(error) if isinstance(error, AlibabaError) else "CloudUnreachable"
            self._outbox.put(Health(ok=False, reason=why, message=error.message))
        return wait

    def _forget_old(self) -> None:
        """Pods that went while they had no group are told to nobody here."""
        now = self._timer.now()
        for key, history in list(self._histories.items()):
            if key not in self._known.by_key and history.touched_at < now - _FORGET_AFTER:
                del self._histories[key]

    # --- what changed -----------------------------------------------------------------------------

    async def _watcher(self) -> None:
        await self._first_list.wait()
        backoff = Backoff()
        last = self._timer.now()
        while True:
            await self._timer.wait(self._look_now, self._pause())
            self._look_now.clear()
            began = self._timer.now()
            try:
                await self._watch_once(began, last)
            except VnodectlError as error:
                wait = backoff.next(error)
                log.info("reading what changed failed (%d in a row): %s", backoff.failures, error)
                if backoff.failures == 1:
                    self._list_now.set()  # it tells whether the node is well
                await self._timer.sleep(wait)
            else:
                backoff.failures, last = 0, began
                # Every look is followed by a rest, however often somebody asks for one.
                await self._timer.sleep(min(1.0, self._pacing.busy_interval))

    def _pod_of(self, group_id: str) -> PodKey | None:
        tracked = self._known.by_id.get(group_id)
        return tracked.key if tracked is not None else None

    def _pause(self) -> float:
        return self._pacing.busy_interval if self._busy() else self._pacing.calm_interval

    def _busy(self) -> bool:
        now = self._timer.now()
        return any(
            tracked.deleting_at is not None
            or tracked.row is None
            or states.moving(tracked.row)
            or now - tracked.changed_at < _RECENT
            for tracked in self._known.by_key.values()
            if not tracked.vanished
        )

    async def _watch_once(self, began: float, last: float) -> None:
        since = math.ceil(began - last) + _OVERLAP
        if since > SINCE_MOST:
            self._list_now.set()
        seen: set[str] = set()
        for row in await self._groups.changed(min(max(since, SINCE_LEAST), SINCE_MOST)):
            seen.add(states.group_id(row))
            tracked = self._known.by_id.get(states.group_id(row))
            if tracked is not None:
                self._took(tracked, row)
            elif not self._is_known(row):
                self._list_now.set()
        await self._look_at_deleted(began)
        self._ask_again_for_inits()

    async def _look_at_deleted(self, began: float) -> None:
        """Rows of what changed cannot show that a group is not there any more."""
        going = [
            one
            for one in self._known.by_key.values()
            if not one.vanished and (one.leaving if one.deleting_at is None else one.deleting_at < began)
        ]
        if not going:
            return
        if math.ceil(len(going) / DETAIL_PAGE) > math.ceil(len(self._known.by_key) / STATUS_PAGE):
            self._list_now.set()
            return
        found = {states.group_id(row) for row in await self._groups.rows_of(_ids(going))}
        for tracked in going:
            if tracked.group_id not in found:
                self._missed(tracked)

    def _took(self, tracked: Tracked, row: JSON) -> None:
        if row == tracked.row:
            return
        tracked.row, tracked.changed_at = row, self._timer.now()
        tracked.finished = tracked.finished or states.group_status(row) in states.ENDED
        if states.group_status(row) == states.NEVER_MADE:
            self._take_away(tracked)
            return
        if states.group_status(row) == states.SCHEDULING:
            return  # nothing of it exists yet; should it fail, the pod has never run
        if states.group_status(row) == "Running" and tracked.key in self._histories:
            self._histories[tracked.key].failures = 0
        failed = states.group_status(row) in {"Failed", "Expired"}
        if tracked.inits or failed:
            self._want_details(tracked)
        if not tracked.inits or tracked.group is not None:
            self._tell(tracked)

    def _tell(self, tracked: Tracked) -> None:
        if tracked.row is None or self._known.by_key.get(tracked.key) is not tracked:
            return
        status = states.pod_status(tracked.row, tracked.group)
        # Before there are containers nothing has run, and that is what the runtime says by itself.
        if "containerStatuses" in status or "phase" in status:
            self._outbox.put(Seen(tracked.key, status))

    # --- groups that could not be made ------------------------------------------------------------

    def _take_away(self, tracked: Tracked) -> None:
        if not tracked.removing and tracked.deleting_at is None:
            tracked.removing = True
            self._tasks.start(self._never_made(tracked), f"eci-remove {tracked.group_id}")

    async def _never_made(self, tracked: Tracked) -> None:
        """Remember why, and take it away; Gone follows once it is."""
        backoff = Backoff()
        why = states.cause(tracked.row or {})
        while True:
            try:
                if why is None:
                    found = [states.folded(one) for one in await self._groups.describe([tracked.group_id])]
                    why = states.cause(tracked.row or {}, found[0] if found else None) or _UNKNOWN
                    continue
                await self._groups.delete(tracked.group_id, force=True)
                break
            except AlibabaNotFound:
                break
            except VnodectlError as error:
                log.info(
                    "removing container group %s failed: %s",
                    tracked.group_id,
                    error,
                    extra={"pod": tracked.key},
                )
                await self._timer.sleep(backoff.next(error))
        log.warning(
            "container group %s could not be made: %s", tracked.group_id, why, extra={"pod": tracked.key}
        )
        history = self._touch(tracked.key)
        history.cause = why or _UNKNOWN
        delay = self._pacing.retry_first * 2.0**history.failures
        history.failures += 1
        history.retry_at = self._timer.now() + min(self._pacing.retry_most, delay)
        tracked.deleting_at = self._timer.now()
        self._look_now.set()

    # --- whole groups -----------------------------------------------------------------------------

    def _want_details(self, tracked: Tracked) -> None:
        self._details[tracked.key] = None
        self._describe_now.set()

    def _ask_again_for_inits(self) -> None:
        """Init containers change without a row that shows it."""
        now = self._timer.now()
        for tracked in self._known.by_key.values():
            if not tracked.inits or tracked.row is None or tracked.deleting_at is not None:
                continue
            under_way = tracked.group is None or not states.initialised(tracked.group)
            due = now - tracked.described_at >= self._pacing.detail_interval
            if under_way and due and states.moving(tracked.row):
                self._want_details(tracked)

    async def _describer(self) -> None:
        backoff = Backoff()
        while True:
            await self._describe_now.wait()
            self._describe_now.clear()
            wanted = [self._known.by_key[key] for key in self._details if key in self._known.by_key]
            self._details.clear()
            for start in range(0, len(wanted), DETAIL_PAGE):
                part = wanted[start : start + DETAIL_PAGE]
                try:
                    await self._describe(part)
                    backoff.failures = 0
                except VnodectlError as error:
                    for tracked in part:
                        self._want_details(tracked)
                    log.info("reading container groups failed: %s", error)
                    await self._timer.sleep(backoff.next(error))

    async def _describe(self, wanted: Sequence[Tracked]) -> None:
        found = {
            states.group_id(group): group
            for group in map(states.folded, await self._groups.describe(_ids(wanted)))
        }
        for tracked in wanted:
            group = found.get(tracked.group_id)
            if group is None:
                continue
            tracked.described_at = self._timer.now()
            if group != tracked.group:
                tracked.group, tracked.changed_at = group, self._timer.now()
                self._tell(tracked)


def _ids(tracked: Sequence[Tracked]) -> list[str]:
    return [one.group_id for one in tracked]
