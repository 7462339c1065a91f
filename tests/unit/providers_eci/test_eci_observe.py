from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from support import pod_records
from support.fake_timer import FakeTimer

from vnodectl.clouds.alibaba import AlibabaError, AlibabaForbidden, AlibabaNotFound, AlibabaThrottled
from vnodectl.clouds.alibaba import tags as tag
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.eci.names import group_name, group_tags
from vnodectl.providers.eci.observe import Observer
from vnodectl.providers.eci.settings import Pacing
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import JSON, Gone, Happened, Health, Listed, PodKey, Seen, Sighting

OWNER = Owner("virtual-kubelet", "ack-virtual-node")
PACING = Pacing()
AT = "2026-01-02T03:04:05Z"


def key(number: int = 0) -> PodKey:
    return PodKey("default", f"web-{number}", f"0e6d5f0e-9f3c-4c5f-8a52-{number:012d}")


class FakeGroups:
    """ECI as the observer sees it: rows by group id, and how often it was asked what."""

    def __init__(self) -> None:
        self.groups: dict[str, JSON] = {}
        self.details: dict[str, JSON] = {}
        self.calls: list[tuple[str, Any]] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.hides_details = False
        self.events_: dict[str, JSON] = {}

    # --- what a test does ---

    def happen(self, id_: str, reason: str, count: int = 1, kind: str = "Warning") -> None:
        event = {
            "Type": kind,
            "Reason": reason,
            "Message": f"{reason}!",
            "Count": count,
            "FirstTimestamp": AT,
            "LastTimestamp": AT,
        }
        self.events_.setdefault(id_, {"ContainerGroupId": id_, "Events": []})["Events"].append(event)

    def put(self, key_: PodKey, status: str = "Running", *, id_: str = "", **pod: Any) -> str:
        id_ = id_ or f"eci-{key_.uid[-4:]}"
        state = {"Running": {"StartedAt": AT}} if status == "Running" else {"Waiting": {"Reason": "x"}}
        if status not in {"Scheduling", "ScheduleFailed"}:
            pod.setdefault("ContainerStatuses", [{"Name": "main", "Ready": True, "State": state}])
        self.groups[id_] = {
            "ContainerGroupId": id_,
            "Name": group_name(key_),
            "Status": status,
            "PodStatus": pod,
        }
        self.details.setdefault(id_, {})
        self.details[id_] = {
            "ContainerGroupId": id_,
            "Status": status,
            "Tags": tag.as_list(group_tags(key_, OWNER, AT)),
            **{name: self.details[id_].get(name) for name in ("InitContainers", "Events")},
        }
        return id_

    def init(self, id_: str, state: dict[str, Any]) -> None:
        self.details[id_]["InitContainers"] = [{"Name": "init", "CurrentState": state}]

    def count(self, name: str) -> int:
        return sum(1 for called, _ in self.calls if called == name)

    # --- the contract ---

    async def _called(self, name: str, argument: Any) -> None:
        self.calls.append((name, argument))
        if name in self.gates:
            await self.gates[name].wait()
        if name in self.errors:
            raise self.errors[name]

    async def rows(self) -> list[JSON]:
        await self._called("rows", None)
        return [folded(row) for row in self.groups.values()]

    async def changed(self, since: int) -> list[JSON]:
        await self._called("changed", since)
        return [folded(row) for row in self.groups.values()]

    async def rows_of(self, ids: Sequence[str]) -> list[JSON]:
        await self._called("rows_of", list(ids))
        return [folded(self.groups[one]) for one in ids if one in self.groups]

    async def describe(self, ids: Sequence[str]) -> list[JSON]:
        if ids:
            await self._called("describe", list(ids))
        return [self.details[one] for one in ids if one in self.groups and not self.hides_details]

    async def events(self, since: int) -> list[JSON]:
        await self._called("events", since)
        return [folded(row) for row in self.events_.values()]

    async def check_right_to_read(self, group_id: str) -> None:
        await self._called("check", group_id)

    async def delete(self, group_id: str, *, force: bool) -> None:
        await self._called("delete", (group_id, force))
        if group_id not in self.groups:
            raise AlibabaNotFound(404, "InvalidParameter.NotFound", "no")
        del self.groups[group_id]


@dataclass
class Scene:
    groups: FakeGroups
    timer: FakeTimer
    observer: Observer
    said: list[Sighting] = field(default_factory=list)

    async def advance(self, seconds: float) -> None:
        await self.timer.advance(seconds)

    def take(self) -> list[Sighting]:
        said, self.said[:] = list(self.said), []
        return said

    def seen(self) -> list[Seen]:
        return [one for one in self.said if isinstance(one, Seen)]

    def listed(self) -> list[frozenset[PodKey]]:
        return [one.keys for one in self.said if isinstance(one, Listed)]

    def accepted(self, key_: PodKey, id_: str, *, inits: bool = False) -> None:
        self.observer.accepted(key_, id_, inits=inits)


@asynccontextmanager
async def scene(
    prepare: Callable[[FakeGroups], object] = lambda _: None, pacing: Pacing = PACING
) -> AsyncIterator[Scene]:
    groups, timer = FakeGroups(), FakeTimer()
    prepare(groups)
    made = Scene(groups, timer, Observer(groups, OWNER, pacing, timer))

    async def collect() -> None:
        async for sighting in made.observer.sightings():
            made.said.append(sighting)

    task = asyncio.create_task(collect(), name="collect")
    await timer.settle()
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await made.observer.aclose()


# --- complete lists -------------------------------------------------------------------------------


async def test_the_first_list_tells_what_exists_and_how_it_is() -> None:
    async with scene(lambda groups: groups.put(key())) as one:
        assert one.listed() == [{key()}]
        assert [seen.key for seen in one.seen()] == [key()]
        assert Health(ok=True) in one.said
        assert one.groups.count("describe") == 1


async def test_nothing_is_a_complete_list_too() -> None:
    async with scene() as one:
        assert one.listed() == [frozenset()]
        assert one.groups.count("describe") == 0


async def test_the_first_word_of_a_dead_cloud_is_bad_health() -> None:
    def dead(groups: FakeGroups) -> None:
        groups.errors["rows"] = CloudUnreachable("nobody there")

    async with scene(dead) as one:
        assert one.said == [Health(ok=False, reason="CloudUnreachable", message="nobody there")]
        one.groups.errors.clear()
        one.take()
        await one.advance(1)
        assert Health(ok=True) in one.said
        assert one.listed() == [frozenset()]


async def test_a_cloud_that_fails_now_and_then_is_not_unhealthy_at_once() -> None:
    async with scene(lambda groups: groups.put(key())) as one:
        one.take()
        one.groups.errors["rows"] = AlibabaError(500, "InternalError", "oops")
        await one.advance(PACING.list_interval)
        assert not one.said
        await one.advance(1 + 2)
        assert one.take() == [Health(ok=False, reason="InternalError", message="InternalError: oops")]


async def test_a_missing_right_is_told_at_once() -> None:
    async with scene() as one:
        one.take()
        one.groups.errors["rows"] = AlibabaForbidden(403, "Forbidden.RAM", "no")
        await one.advance(PACING.list_interval)
        assert one.said == [Health(ok=False, reason="ForbiddenRAM", message="Forbidden.RAM: no")]


async def test_a_failed_look_at_whose_groups_these_are_is_a_failed_list() -> None:
    def prepare(groups: FakeGroups) -> None:
        groups.put(key())
        groups.errors["describe"] = AlibabaError(500, "InternalError", "oops")

    async with scene(prepare) as one:
        assert one.listed() == []
        one.groups.errors.clear()
        await one.advance(1)
        assert one.listed() == [{key()}]


async def test_a_group_that_is_listed_but_not_described_makes_no_complete_list() -> None:
    def prepare(groups: FakeGroups) -> None:
        groups.put(key())
        groups.hides_details = True

    async with scene(prepare) as one:
        (bad,) = one.take()
        assert isinstance(bad, Health)
        assert (bad.ok, bad.reason) == (False, "Undescribed")
        one.groups.hides_details = False
        await one.advance(1)
        assert one.listed() == [{key()}]


async def test_lists_of_many_pages_are_read_less_often() -> None:
    def many(groups: FakeGroups) -> None:
        for number in range(1600):
            groups.put(key(number), id_=f"eci-{number}")

    async with scene(many, Pacing(list_pages=6)) as one:
        before = one.groups.count("rows")
        await one.advance(79)
        assert one.groups.count("rows") == before
        await one.advance(2)
        assert one.groups.count("rows") == before + 1  # 8 pages, at most 6 a minute


async def test_foreign_groups_with_our_tags_are_left_alone_and_not_asked_for_again() -> None:
    def foreign(groups: FakeGroups) -> None:
        id_ = groups.put(key())
        groups.details[id_]["Tags"] = [{"Key": tag.NODE, "Value": OWNER.node}]

    async with scene(foreign) as one:
        assert one.listed() == [frozenset()]
        await one.advance(300)
        assert one.groups.count("describe") == 1
        assert one.groups.count("delete") == 0


async def test_a_group_that_is_being_made_is_listed_and_not_looked_up() -> None:
    async with scene() as one:
        with one.observer.creating(key()):
            id_ = one.groups.put(key(), "Scheduling")
            await one.advance(PACING.list_interval)
            assert one.listed()[-1] == {key()}
            one.accepted(key(), id_)
        await one.advance(PACING.list_interval)
        assert one.listed()[-1] == {key()}
        assert one.groups.count("describe") == 0


# --- what changed ---------------------------------------------------------------------------------


async def test_changes_are_told_within_seconds_and_cost_one_page_however_many_groups_rest() -> None:
    async def spent(number: int) -> int:
        def steady(groups: FakeGroups) -> None:
            for index in range(number):
                groups.put(key(index), id_=f"eci-{index}")

        async with scene(steady) as one:
            await one.advance(60)
            before = len(one.groups.calls)
            await one.advance(60)
            return len(one.groups.calls) - before

    assert await spent(1) == await spent(150) <= 13


async def test_looks_are_quick_while_something_is_on_its_way() -> None:
    async with scene() as one:
        id_ = one.groups.put(key(), "Scheduling")
        one.accepted(key(), id_)
        before = one.groups.count("changed")
        await one.advance(30)
        quick = one.groups.count("changed") - before
        one.groups.put(key())
        await one.advance(60)
        before = one.groups.count("changed")
        await one.advance(30)
        calm = one.groups.count("changed") - before
        assert quick >= 10 > calm


async def test_a_look_reaches_back_to_the_last_one_that_worked() -> None:
    async with scene(lambda groups: groups.put(key())) as one:
        await one.advance(60)
        assert {since for name, since in one.groups.calls if name == "changed"} == {60}
        one.groups.errors["changed"] = AlibabaError(500, "InternalError", "oops")
        await one.advance(600)
        one.groups.errors.clear()
        one.groups.calls.clear()
        await one.advance(61)
        first = next(since for name, since in one.groups.calls if name == "changed")
        assert 600 <= first <= 700


async def test_what_lies_too_far_back_is_listed() -> None:
    async with scene(lambda groups: groups.put(key()), Pacing(list_interval=100_000)) as one:
        one.groups.errors["changed"] = AlibabaError(500, "InternalError", "oops")
        await one.advance(4000)
        one.groups.errors.clear()
        one.groups.calls.clear()
        await one.advance(61)
        assert ("changed", 3600) in one.groups.calls
        assert ("rows", None) in one.groups.calls


async def test_the_same_row_is_told_once() -> None:
    async with scene(lambda groups: groups.put(key())) as one:
        one.take()
        await one.advance(120)
        assert one.seen() == []
        one.groups.put(key(), PodIp="10.0.0.9")
        await one.advance(PACING.calm_interval + 1)
        assert [seen.status["podIP"] for seen in one.seen()] == ["10.0.0.9"]


async def test_a_group_that_is_being_scheduled_is_not_told() -> None:
    async with scene() as one:
        id_ = one.groups.put(key(), "Scheduling")
        one.accepted(key(), id_)
        await one.advance(10)
        assert one.seen() == []
        one.groups.put(key())
        await one.advance(5)
        assert len(one.seen()) == 1


async def test_a_group_that_is_found_while_it_is_scheduled_is_not_told_either() -> None:
    def prepare(groups: FakeGroups) -> None:
        id_ = groups.put(key(), "Scheduling")
        groups.details[id_]["Containers"] = [{"Name": "main", "CurrentState": {"State": "Waiting"}}]

    async with scene(prepare) as one:
        assert one.listed() == [{key()}]
        assert one.seen() == []


async def test_a_group_that_ran_starts_its_waits_anew() -> None:
    async with scene() as one:
        one.accepted(key(), one.groups.put(key(), "ScheduleFailed", id_="eci-1", Conditions=NO_STOCK))
        await one.advance(5)
        assert one.observer.history(key()).failures == 1
        one.accepted(key(), one.groups.put(key(), "Running", id_="eci-2"))
        await one.advance(5)
        assert one.observer.history(key()).failures == 0


async def test_a_throttled_reader_comes_back_when_it_was_told_to() -> None:
    async with scene(lambda groups: groups.put(key())) as one:
        await one.advance(30)
        one.groups.errors["changed"] = AlibabaThrottled(400, "Throttling.User", "slow", retry_after=50)
        await one.advance(PACING.calm_interval + 1)
        before = one.groups.count("changed")
        await one.advance(45)
        assert one.groups.count("changed") == before
        await one.advance(20)
        assert one.groups.count("changed") == before + 1


# --- events ---------------------------------------------------------------------------------------


def _happened(one: Scene) -> list[tuple[str, str, str]]:
    found = [said for said in one.said if isinstance(said, Happened)]
    return [(said.type, said.reason, said.message) for said in found]


async def test_what_happens_to_a_group_is_told_once_and_again_when_it_happens_again() -> None:
    def prepare(groups: FakeGroups) -> None:
        groups.put(key(), id_="eci-1")
        groups.happen("eci-1", "Before")

    async with scene(prepare) as one:
        await one.advance(5)
        assert _happened(one) == [], "an earlier life told of it"
        one.groups.happen("eci-1", "FailedMount")
        one.groups.happen("eci-1", "Pulled", kind="Normal")
        one.groups.happen("eci-2", "Foreign")
        await one.advance(2 * PACING.calm_events)
        assert sorted(_happened(one)) == [
            ("Normal", "Pulled", "Pulled!"),
            ("Warning", "FailedMount", "FailedMount!"),
        ]
        one.groups.events_["eci-1"]["Events"][1]["Count"] = 2
        await one.advance(PACING.calm_events)
        assert [reason for _, reason, _ in _happened(one)].count("FailedMount") == 2


async def test_events_that_cannot_be_read_are_missed_by_people_only() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        one.groups.errors["events"] = AlibabaForbidden(403, "Forbidden.RAM", "no")
        await one.advance(300)
        assert not [said for said in one.said if isinstance(said, Health) and not said.ok]
        assert one.groups.count("events") <= 300 / PACING.calm_events + 2
        one.groups.errors.clear()
        one.groups.happen("eci-1", "Late")
        await one.advance(2 * PACING.calm_events)
        one.groups.happen("eci-1", "Later")
        await one.advance(PACING.calm_events)
        assert ("Warning", "Later", "Later!") in _happened(one)


# --- deletion -------------------------------------------------------------------------------------


async def test_a_deleted_group_is_gone_when_it_is_not_there_any_more() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        one.observer.deleting(key())
        one.groups.put(key(), "Terminating", id_="eci-1")
        await one.advance(10)
        assert Gone(key()) not in one.said
        del one.groups.groups["eci-1"]
        await one.advance(5)
        assert Gone(key()) in one.said
        assert one.observer.find(key()) is None


async def test_many_deletions_are_seen_by_lists_instead_of_by_ids() -> None:
    def many(groups: FakeGroups) -> None:
        for number in range(100):
            groups.put(key(number), id_=f"eci-{number}")

    async with scene(many) as one:
        for number in range(100):
            one.observer.deleting(key(number))
        one.groups.groups.clear()
        one.groups.calls.clear()
        await one.advance(10)
        assert sum(isinstance(sighting, Gone) for sighting in one.said) == 100
        assert one.groups.count("rows_of") == 0


async def test_a_list_that_began_before_the_deletion_says_nothing() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        one.groups.gates["rows"] = asyncio.Event()
        await one.advance(PACING.list_interval)
        rows = one.groups.groups.pop("eci-1")
        one.observer.deleting(key())
        one.groups.errors["rows_of"] = AlibabaError(500, "InternalError", "oops")
        one.groups.gates.pop("rows").set()
        await one.timer.settle()
        assert Gone(key()) not in one.said
        assert rows


# --- loss -----------------------------------------------------------------------------------------


async def test_a_missing_group_is_asked_for_by_its_id_first() -> None:
    async with scene(lambda groups: (groups.put(key(0)), groups.put(key(1), id_="eci-1"))) as one:
        await one.advance(PACING.list_interval)
        row = one.groups.groups.pop("eci-1")
        await one.advance(PACING.list_interval)
        assert Gone(key(1)) in one.said
        assert ("rows_of", ["eci-1"]) in one.groups.calls
        assert one.groups.count("check") == 0
        assert one.listed()[-1] == {key(0)}
        assert row


async def test_a_new_group_may_be_missing_for_a_while() -> None:
    async with scene(pacing=Pacing(list_interval=5, list_pages=100)) as one:
        one.accepted(key(), "eci-1")
        await one.advance(PACING.list_lag - 6)
        assert Gone(key()) not in one.said
        assert one.listed()[-1] == {key()}
        await one.advance(20)
        assert Gone(key()) in one.said
        assert one.observer.history(key()).groups == 1, "the next one needs another token"


async def test_everything_missing_at_once_may_be_a_lost_right() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        await one.advance(PACING.list_interval)
        row = one.groups.groups.pop("eci-1")
        one.groups.errors["check"] = AlibabaForbidden(403, "Forbidden.RAM", "no")
        one.take()
        await one.advance(PACING.list_interval)
        assert one.said == [Health(ok=False, reason="ForbiddenRAM", message="Forbidden.RAM: no")]
        one.groups.groups["eci-1"] = row
        one.groups.errors.clear()
        await one.advance(PACING.list_interval)
        assert Gone(key()) not in one.said
        assert one.listed()[-1] == {key()}


async def test_everything_missing_at_once_may_be_true() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        await one.advance(PACING.list_interval)
        one.groups.groups.clear()
        await one.advance(PACING.list_interval)
        assert ("check", "eci-1") in one.groups.calls
        assert Gone(key()) in one.said


async def test_a_group_that_somebody_else_deletes_is_gone_long_before_the_next_list() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1"), Pacing(list_interval=100_000)) as one:
        one.groups.put(key(), "Terminating", id_="eci-1")
        await one.advance(PACING.calm_interval + 2)
        assert Gone(key()) not in one.said
        one.groups.groups.clear()
        await one.advance(5)
        assert Gone(key()) in one.said
        assert one.groups.count("rows") == 1


async def test_an_ended_group_that_somebody_else_deletes_keeps_its_status() -> None:
    ended = [{"Name": "main", "State": {"Terminated": {"ExitCode": 0}}}]

    def prepare(groups: FakeGroups) -> None:
        groups.put(key(), "Succeeded", id_="eci-1", ContainerStatuses=ended)

    async with scene(prepare) as one:
        one.groups.put(key(), "Terminating", id_="eci-1", ContainerStatuses=ended)
        await one.advance(PACING.calm_interval + 2)
        one.groups.groups.clear()
        await one.advance(3 * PACING.list_interval)
        assert Gone(key()) not in one.said
        assert one.listed()[-1] == {key()}


async def test_an_ended_group_may_vanish_by_itself() -> None:
    ended = [{"Name": "main", "State": {"Terminated": {"ExitCode": 0}}}]
    async with scene(lambda groups: groups.put(key(), "Succeeded", ContainerStatuses=ended)) as one:
        await one.advance(PACING.list_interval)
        one.groups.groups.clear()
        await one.advance(3 * PACING.list_interval)
        assert Gone(key()) not in one.said
        assert one.listed()[-1] == {key()}
        found = one.observer.find(key())
        assert found is not None
        assert found.vanished


# --- groups that could not be made ----------------------------------------------------------------

NO_STOCK = [
    {"type": "ContainerInstanceCreated", "status": "False", "Reason": "NoStock", "Message": "sold out"}
]


async def test_a_group_that_could_not_be_made_is_taken_away_and_its_cause_kept() -> None:
    async with scene() as one:
        one.accepted(key(), one.groups.put(key(), "ScheduleFailed", id_="eci-1", Conditions=NO_STOCK))
        await one.advance(5)
        assert ("delete", ("eci-1", True)) in one.groups.calls
        assert Gone(key()) in one.said
        assert one.seen() == []
        history = one.observer.history(key())
        assert history.cause is not None
        assert (history.cause.reason, history.cause.message) == ("NoStock", "sold out")
        assert (history.groups, history.failures) == (1, 1)
        assert one.timer.now() < history.retry_at <= one.timer.now() + PACING.retry_first


async def test_each_failure_waits_longer_up_to_a_bound() -> None:
    async with scene() as one:
        waits = []
        for number in range(8):
            id_ = f"eci-{number}"
            one.accepted(key(), one.groups.put(key(), "ScheduleFailed", id_=id_, Conditions=NO_STOCK))
            before = one.groups.count("delete")
            while one.groups.count("delete") == before:
                await one.advance(0.5)
            waits.append(round(one.observer.history(key()).retry_at - one.timer.now()))
            while one.observer.find(key()) is not None:
                await one.advance(1)
        assert waits == sorted(waits)
        assert waits[0] == PACING.retry_first
        assert waits[-1] == PACING.retry_most


async def test_a_cause_that_the_row_does_not_have_comes_from_the_events() -> None:
    async with scene() as one:
        id_ = one.groups.put(key(), "ScheduleFailed")
        one.groups.details[id_]["Events"] = [{"Type": "Warning", "Reason": "ZoneClosed", "Message": "shut"}]
        one.accepted(key(), id_)
        await one.advance(5)
        history = one.observer.history(key())
        assert history.cause is not None
        assert history.cause.reason == "ZoneClosed"


async def test_a_failed_group_that_cannot_be_removed_is_removed_later() -> None:
    async with scene() as one:
        one.groups.errors["delete"] = AlibabaThrottled(400, "Throttling.User", "slow", retry_after=5)
        one.accepted(key(), one.groups.put(key(), "ScheduleFailed", Conditions=NO_STOCK))
        await one.advance(4)
        assert Gone(key()) not in one.said
        one.groups.errors.clear()
        await one.advance(10)
        assert Gone(key()) in one.said
        assert one.observer.history(key()).failures == 1


async def test_what_became_of_a_pod_s_groups_is_forgotten_with_it() -> None:
    async with scene() as one:
        one.accepted(key(), one.groups.put(key(), "ScheduleFailed", Conditions=NO_STOCK))
        await one.advance(10)
        assert one.observer.history(key()).failures == 1
        await one.advance(4000)
        assert one.observer.history(key()).failures == 0


async def test_a_failed_group_of_before_a_restart_makes_room_for_the_new_one() -> None:
    def both(groups: FakeGroups) -> None:
        groups.put(key(), "ScheduleFailed", id_="eci-old", Conditions=NO_STOCK)
        groups.put(key(), "Running", id_="eci-new")

    async with scene(both) as one:
        await one.advance(10)
        found = one.observer.find(key())
        assert found is not None
        assert ("delete", ("eci-old", True)) in one.groups.calls
        assert found.group_id == "eci-new"
        assert Gone(key()) not in one.said


async def test_a_second_running_group_of_a_pod_is_taken_away() -> None:
    async with scene(lambda groups: groups.put(key(), id_="eci-1")) as one:
        one.groups.put(key(), id_="eci-2")
        await one.advance(PACING.list_interval)
        assert ("delete", ("eci-2", True)) in one.groups.calls
        found = one.observer.find(key())
        assert found is not None
        assert found.group_id == "eci-1"


async def test_what_is_logged_about_a_group_is_found_by_its_pod(caplog: pytest.LogCaptureFixture) -> None:
    """The observer looks at all pods in turn, so each record says itself whose it is."""
    caplog.set_level("INFO", "vnodectl")
    async with scene(lambda groups: groups.put(key(1), id_="eci-1")) as one:
        one.groups.errors["delete"] = AlibabaThrottled(400, "Throttling.User", "slow", retry_after=5)
        one.accepted(key(0), one.groups.put(key(0), "ScheduleFailed", id_="eci-0", Conditions=NO_STOCK))
        one.groups.put(key(1), id_="eci-2")
        await one.advance(PACING.list_interval)
        one.groups.errors.clear()
        await one.advance(10)
    unmade = "container group eci-0 could not be made: "
    assert [one for one in pod_records.about(caplog, key(0), "warning") if one.startswith(unmade)]
    refused = "removing container group eci-0 failed: Throttling.User: slow"
    assert refused in pod_records.about(caplog, key(0))
    (second,) = {one for one in pod_records.about(caplog, key(1), "warning") if "second" in one}
    assert second.startswith("container group eci-2 is a second one of pod ")
    assert "removing container group eci-2: Throttling.User: slow" in pod_records.about(caplog, key(1))


# --- whole groups ---------------------------------------------------------------------------------


async def test_pods_without_init_containers_cost_no_details() -> None:
    async with scene() as one:
        for number in range(50):
            one.accepted(key(number), one.groups.put(key(number), "Pending", id_=f"eci-{number}"))
        await one.advance(30)
        assert one.groups.count("describe") == 0
        assert len({seen.key for seen in one.seen()}) == 50


async def test_init_containers_are_read_twenty_groups_at_a_time_until_they_are_done() -> None:
    async with scene() as one:
        for number in range(50):
            id_ = one.groups.put(key(number), "Pending", id_=f"eci-{number}")
            one.groups.init(id_, {"State": "Running", "StartTime": AT})
            one.accepted(key(number), id_, inits=True)
        await one.advance(4)
        assert all(len(ids) <= 20 for name, ids in one.groups.calls if name == "describe")
        assert one.groups.count("describe") == 3
        assert all("initContainerStatuses" in seen.status for seen in one.seen())
        await one.advance(PACING.detail_interval + 3)
        assert one.groups.count("describe") in {6, 9}
        for number in range(50):
            one.groups.init(f"eci-{number}", {"State": "Terminated", "ExitCode": 0})
        await one.advance(PACING.detail_interval + 3)
        done = one.groups.count("describe")
        await one.advance(60)
        assert one.groups.count("describe") == done


async def test_details_that_fail_are_asked_for_again_and_stop_nobody() -> None:
    async with scene() as one:
        one.groups.errors["describe"] = AlibabaThrottled(400, "Throttling.User", "slow", retry_after=20)
        id_ = one.groups.put(key(0), "Pending")
        one.groups.init(id_, {"State": "Running"})
        one.accepted(key(0), id_, inits=True)
        one.accepted(key(1), one.groups.put(key(1)))
        await one.advance(5)
        assert [seen.key for seen in one.seen()] == [key(1)]
        one.groups.errors.clear()
        await one.advance(25)
        assert key(0) in [seen.key for seen in one.seen()]


async def test_a_bug_in_a_reader_is_not_swallowed() -> None:
    groups, timer = FakeGroups(), FakeTimer()
    groups.errors["rows"] = KeyError("bug")
    observer = Observer(groups, OWNER, PACING, timer)
    sightings = observer.sightings()
    caught: BaseException | None = None
    try:
        await anext(sightings)
    except KeyError as error:
        caught = error
    assert str(caught) == "'bug'"
    await observer.aclose()
