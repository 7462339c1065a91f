"""The observer against a cloud in memory, on a clock that only the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support import pod_records
from support.fake_timer import FakeTimer

from vnodectl.clouds.azure.errors import AzureError, AzureForbidden, AzureNotFound, AzureThrottled
from vnodectl.clouds.azure.tags import Owner
from vnodectl.errors import CloudUnreachable, VnodectlError
from vnodectl.providers.aci.names import group_name, group_tags
from vnodectl.providers.aci.observe import Observer
from vnodectl.providers.aci.settings import ReadBudget
from vnodectl.runtime.provider import Gone, Happened, Health, Listed, PodKey, Seen, Sighting

OWNER = Owner("node", "release")
RUNNING = {"state": "Running", "startTime": "2026-01-01T00:00:00Z"}


def _ended(code: int) -> dict[str, Any]:
    return {"state": "Terminated", "exitCode": code}


def _key(name: str) -> PodKey:
    return PodKey("default", name, f"uid-{name}")


class Cloud:
    """Groups by name. `list_errors` and `get_errors` are raised, in order, before anything is answered."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        self.operations: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.list_errors: list[VnodectlError] = []
        self.get_errors: dict[str, list[VnodectlError]] = {}
        self.remaining_reads = -1
        self.reads: Counter[str] = Counter()
        self.lists = 0

    def add(
        self,
        key: PodKey,
        current: dict[str, Any] | None = None,
        *,
        provisioning: str = "Succeeded",
        policy: str = "Always",
        owner: Owner = OWNER,
    ) -> str:
        name = group_name(key)
        self.groups[name] = {
            "id": f"/groups/{name}",
            "name": name,
            "tags": group_tags(key, owner, ""),
            "properties": {
                "provisioningState": provisioning,
                "restartPolicy": policy,
                "containers": [
                    {
                        "name": "main",
                        "properties": {"image": "x", "instanceView": {"currentState": current or {}}},
                    }
                ],
            },
        }
        return name

    def set(self, key: PodKey, current: dict[str, Any], provisioning: str = "Succeeded") -> None:
        properties = self.groups[group_name(key)]["properties"]
        properties["provisioningState"] = provisioning
        properties["containers"][0]["properties"]["instanceView"]["currentState"] = current

    async def list(self) -> list[dict[str, Any]]:
        self.lists += 1
        await asyncio.sleep(0)
        if self.list_errors:
            raise self.list_errors.pop(0)
        found = []
        for name, group in self.groups.items():
            if name not in self.hidden:
                bare = {**group["properties"], "containers": [{"name": "main", "properties": {"image": "x"}}]}
                found.append({**group, "properties": bare})
        return found

    async def get(self, name: str) -> dict[str, Any]:
        self.reads[name] += 1
        await asyncio.sleep(0)
        if self.get_errors.get(name):
            raise self.get_errors[name].pop(0)
        if name not in self.groups:
            raise AzureNotFound(404, "ResourceNotFound", "no such group")
        return self.groups[name]

    async def operation(self, url: str) -> dict[str, Any]:
        return self.operations[url]

    async def delete(self, name: str) -> None:
        self.deleted.append(name)


class Watch:
    """An observer at work, and everything it said."""

    def __init__(self, cloud: Cloud, budget: ReadBudget | None = None) -> None:
        self.cloud = cloud
        self.timer = FakeTimer()
        self.observer = Observer(cloud, OWNER, budget or ReadBudget(), self.timer)
        self.said: list[Sighting] = []

    async def collect(self) -> None:
        async with contextlib.aclosing(self.observer.sightings()) as sightings:
            async for sighting in sightings:
                self.said.append(sighting)

    def statuses(self, key: PodKey) -> list[dict[str, Any]]:
        return [one.status for one in self.said if isinstance(one, Seen) and one.key == key]

    def last(self, key: PodKey) -> dict[str, Any]:
        return self.statuses(key)[-1]

    def gone(self) -> list[PodKey]:
        return [one.key for one in self.said if isinstance(one, Gone)]

    def listed(self) -> list[Listed]:
        return [one for one in self.said if isinstance(one, Listed)]

    def health(self) -> list[Health]:
        return [one for one in self.said if isinstance(one, Health)]


@asynccontextmanager
async def watching(cloud: Cloud, budget: ReadBudget | None = None) -> AsyncIterator[Watch]:
    watch = Watch(cloud, budget)
    task = asyncio.create_task(watch.collect(), name="test-collect")
    await watch.timer.settle()
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_begins_with_a_list_of_this_node_s_groups_only() -> None:
    cloud = Cloud()
    cloud.add(_key("mine"), RUNNING)
    cloud.add(_key("theirs"), RUNNING, owner=Owner("node", "other"))
    cloud.groups["stranger"] = {"name": "stranger", "properties": {}}
    async with watching(cloud) as watch:
        assert isinstance(watch.said[0], Listed)
        assert watch.said[0] == Listed(frozenset({_key("mine")}), 1000.0)
        assert watch.health() == [Health(ok=True)]
        await watch.timer.advance(300)
        assert set(cloud.reads) == {group_name(_key("mine"))}
        assert watch.last(_key("mine"))["containerStatuses"][0]["ready"]


async def test_a_new_group_is_seen_to_start_and_to_end_with_its_exit_code() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        name = cloud.add(_key("job"), provisioning="Creating", policy="Never")
        watch.observer.accepted(_key("job"), name, "op")
        await watch.timer.advance(2)
        assert "waiting" in watch.last(_key("job"))["containerStatuses"][0]["state"]
        cloud.set(_key("job"), RUNNING)
        await watch.timer.advance(2)
        assert "running" in watch.last(_key("job"))["containerStatuses"][0]["state"]
        cloud.set(_key("job"), _ended(3))
        await watch.timer.advance(2)
        state = watch.last(_key("job"))["containerStatuses"][0]["state"]
        assert state["terminated"]["exitCode"] == 3
        reads = cloud.reads[name]
        await watch.timer.advance(600)
        assert cloud.reads[name] == reads, "a finished group costs no reads"


async def test_a_job_that_ends_late_is_seen_within_its_interval() -> None:
    cloud = Cloud()
    cloud.add(_key("job"), RUNNING, policy="Never")
    async with watching(cloud) as watch:
        await watch.timer.advance(200)
        cloud.set(_key("job"), _ended(7))
        await watch.timer.advance(15)
        assert watch.last(_key("job"))["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


async def test_gone_after_a_delete_comes_only_when_the_group_is_gone() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        watch.observer.deleting(_key("web"))
        await watch.timer.advance(120)
        assert watch.gone() == []
        del cloud.groups[name]
        await watch.timer.advance(10)
        assert watch.gone() == [_key("web")]
        assert watch.observer.find(_key("web")) is None


async def test_a_complete_list_begun_after_the_delete_is_enough() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud, ReadBudget(settling_interval=1e6, steady_interval=1e6)) as watch:
        await watch.timer.advance(1)
        reads = cloud.reads[name]
        watch.observer.deleting(_key("web"))
        del cloud.groups[name]
        await watch.timer.advance(31)
        assert watch.gone() == [_key("web")]
        assert cloud.reads[name] == reads


async def test_a_group_missing_from_a_list_is_looked_at_before_it_is_called_gone() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(1)
        cloud.hidden.add(name)
        await watch.timer.advance(90)
        assert watch.gone() == []
        assert all(_key("web") in one.keys for one in watch.listed()), "the runtime would fail the pod"
        del cloud.groups[name]
        await watch.timer.advance(31)
        assert watch.gone() == [_key("web")]
        await watch.timer.advance(31)
        assert _key("web") not in watch.listed()[-1].keys


async def test_a_failed_list_says_nothing_about_groups() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        del cloud.groups[name]
        cloud.list_errors = [CloudUnreachable("down")] * 2
        before = len(watch.listed())
        await watch.timer.advance(30)
        assert cloud.lists == 2
        assert len(watch.listed()) == before


async def test_health_follows_failures_in_a_row() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.list_errors = [CloudUnreachable("down")] * 2
        await watch.timer.advance(40)
        assert [one.ok for one in watch.health()] == [True]
        cloud.list_errors = [CloudUnreachable("down")] * 3
        await watch.timer.advance(28)
        assert watch.health()[-1] == Health(ok=False, reason="CloudUnreachable", message="down")
        await watch.timer.advance(10)
        assert watch.health()[-1].ok


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CloudUnreachable("down"), "CloudUnreachable"),
        (AzureError(404, "ResourceGroupNotFound", "no rg"), "ResourceGroupNotFound"),
    ],
)
async def test_a_bad_start_is_told_at_once(error: VnodectlError, reason: str) -> None:
    cloud = Cloud()
    cloud.list_errors = [error]
    async with watching(cloud) as watch:
        assert isinstance(watch.said[0], Health)
        assert (watch.said[0].ok, watch.said[0].reason) == (False, reason)


async def test_lost_rights_are_told_at_once() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.list_errors = [AzureForbidden(403, "AuthorizationFailed", "no right")]
        await watch.timer.advance(30)
        assert watch.health()[-1].reason == "AuthorizationFailed"


async def test_one_throttled_read_waits_and_delays_nobody_else() -> None:
    cloud = Cloud()
    slow, quick = cloud.add(_key("slow"), RUNNING), cloud.add(_key("quick"), RUNNING)
    cloud.get_errors[slow] = [AzureThrottled(429, "TooManyRequests", "x", retry_after=40.0)]
    async with watching(cloud) as watch:
        await watch.timer.advance(20)
        assert watch.statuses(_key("quick"))
        assert not watch.statuses(_key("slow"))
        assert cloud.reads[slow] == 1
        await watch.timer.advance(20)
        assert watch.statuses(_key("slow"))
        assert cloud.reads[quick] == 1


async def test_a_throttled_list_comes_back_when_it_was_told() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.list_errors = [AzureThrottled(429, "TooManyRequests", "x", retry_after=45.0)]
        await watch.timer.advance(30)
        assert cloud.lists == 2
        await watch.timer.advance(44)
        assert cloud.lists == 2
        await watch.timer.advance(1)
        assert cloud.lists == 3


async def test_a_failed_create_is_told_with_arm_s_code() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        name = cloud.add(_key("web"), provisioning="Creating")
        cloud.operations["op"] = {"status": "InProgress"}
        watch.observer.accepted(_key("web"), name, "op")
        await watch.timer.advance(2)
        cloud.operations["op"] = {"status": "Failed", "error": {"code": "NoCapacity", "message": "full"}}
        cloud.set(_key("web"), {}, "Failed")
        await watch.timer.advance(2)
        status = watch.last(_key("web"))
        assert (status["phase"], status["reason"], status["message"]) == ("Failed", "NoCapacity", "full")
        assert cloud.deleted == [name], "ACI would go on trying"
        await watch.timer.advance(10)
        assert cloud.deleted == [name, name], "until it is gone"
        del cloud.groups[name]
        await watch.timer.advance(120)
        assert watch.gone() == [], "the pod is Failed and still there"
        assert _key("web") in watch.listed()[-1].keys
        reads = cloud.reads[name]
        await watch.timer.advance(120)
        assert cloud.reads[name] == reads


async def test_what_is_logged_about_a_group_is_found_by_its_pod(caplog: pytest.LogCaptureFixture) -> None:
    """The observer looks at all pods in turn, so each record says itself whose it is."""
    caplog.set_level("INFO", "vnodectl")
    cloud = Cloud()
    ill = cloud.add(_key("ill"), RUNNING)
    lost = cloud.add(_key("lost"), RUNNING)
    async with watching(cloud) as watch:
        cloud.get_errors[lost] = [AzureError(500, "InternalError", "oops")]
        cloud.set(_key("ill"), {}, "Failed")
        await watch.timer.advance(60)
    removing = pod_records.about(caplog, _key("ill"), "warning")
    assert removing[0].startswith(f"container group {ill} failed, removing it")
    assert pod_records.about(caplog, _key("lost")) == [
        f"reading container group {lost} failed: InternalError: oops"
    ]


async def test_a_create_that_failed_without_leaving_a_group_is_failed_not_gone() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.operations["op"] = {"status": "Failed", "error": {"code": "NoCapacity", "message": "full"}}
        watch.observer.accepted(_key("web"), group_name(_key("web")), "op")
        await watch.timer.advance(120)
        assert watch.last(_key("web"))["reason"] == "NoCapacity"
        assert watch.gone() == []
        assert _key("web") in watch.listed()[-1].keys


async def test_a_group_that_reads_do_not_show_yet_is_not_gone() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.operations["op"] = {"status": "InProgress"}
        watch.observer.accepted(_key("web"), group_name(_key("web")), "op")
        await watch.timer.advance(20)
        assert watch.gone() == []
        cloud.add(_key("web"), RUNNING)
        await watch.timer.advance(2)
        assert watch.statuses(_key("web"))


async def test_a_group_whose_tags_name_another_pod_is_not_this_pod_s() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(1)
        cloud.groups[name]["tags"]["vnodectl-uid"] = "someone-else"
        await watch.timer.advance(61)
        assert _key("web") in watch.gone()


PAGE = 100


async def _reads_a_minute(count: int, minutes: int = 3) -> tuple[float, float]:
    """(GETs, pages of LISTs) a minute of `count` pods that nothing happens to."""
    cloud = Cloud()
    for index in range(count):
        cloud.add(_key(f"web-{index}"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(150)
        gets, lists = sum(cloud.reads.values()), cloud.lists
        await watch.timer.advance(60 * minutes)
        gets, lists = sum(cloud.reads.values()) - gets, cloud.lists - lists
    assert watch.observer.reads["list"] == cloud.lists
    assert watch.observer.reads["rotation"] + watch.observer.reads["urgent"] == sum(cloud.reads.values())
    return gets / minutes, lists * -(-count // PAGE) / minutes


async def test_steady_reads_do_not_grow_with_the_number_of_pods() -> None:
    """A minute costs one GET for each pod up to the rotation's 120, and two LISTs of so many pages."""
    found = {count: await _reads_a_minute(count) for count in (100, 1000, 5000)}
    assert found == {100: (100, 2), 1000: (120, 20), 5000: (120, 100)}


async def test_the_rotation_reaches_everybody() -> None:
    cloud = Cloud()
    for index in range(200):
        cloud.add(_key(f"web-{index}"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(150)
        assert set(cloud.reads) == set(cloud.groups)


def _event(name: str, message: str, *, count: int = 1, kind: str = "Normal") -> dict[str, Any]:
    time = f"2026-01-01T00:00:{count:02d}Z"
    return {"name": name, "message": message, "count": count, "type": kind, "lastTimestamp": time}


async def test_events_are_told_once_and_again_when_they_repeat() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        name = cloud.add(_key("web"), provisioning="Creating")
        events: list[Any] = [_event("Pulling", "pulling image x")]
        main = cloud.groups[name]["properties"]["containers"][0]["properties"]
        main["instanceView"]["events"] = events
        watch.observer.accepted(_key("web"), name, "op")
        await watch.timer.advance(20)
        told = [one for one in watch.said if isinstance(one, Happened)]
        assert told == [Happened(_key("web"), "Normal", "Pulling", "pulling image x", "main")]
        events[0] = _event("Pulling", "pulling image x", count=2)
        cloud.groups[name]["properties"]["instanceView"] = {
            "events": [_event("FailedScheduling", "no room", count=3, kind="Warning")]
        }
        await watch.timer.advance(20)
        told = [one for one in watch.said if isinstance(one, Happened)]
        assert [(one.reason, one.type, one.container) for one in told[1:]] == [
            ("Pulling", "Normal", "main"),
            ("FailedScheduling", "Warning", ""),
        ]


async def test_events_of_a_group_from_an_earlier_life_are_not_told_again() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    view = cloud.groups[name]["properties"]["containers"][0]["properties"]["instanceView"]
    view["events"] = [_event("Started", "started container main")]
    async with watching(cloud) as watch:
        await watch.timer.advance(5)
        assert not [one for one in watch.said if isinstance(one, Happened)]
        view["events"] = [*view["events"], _event("Killing", "stopping", count=5)]
        await watch.timer.advance(90)
        assert [one.reason for one in watch.said if isinstance(one, Happened)] == ["Killing"]


async def test_jobs_come_before_servers_but_servers_get_their_share() -> None:
    cloud = Cloud()
    for index in range(120):
        cloud.add(_key(f"job-{index}"), RUNNING, policy="Never")
        cloud.add(_key(f"web-{index}"), RUNNING, policy="Always")
    async with watching(cloud, ReadBudget(urgent_rate=100.0, burst=1)) as watch:
        await watch.timer.advance(120)
        cloud.reads.clear()
        await watch.timer.advance(60)
        jobs = sum(count for name, count in cloud.reads.items() if "job" in name)
        servers = sum(count for name, count in cloud.reads.items() if "web" in name)
        assert jobs > 2 * servers > 0


async def test_few_remaining_reads_slow_the_observer_down() -> None:
    cloud = Cloud()
    for index in range(400):
        cloud.add(_key(f"web-{index}"), RUNNING)
    cloud.remaining_reads = 10
    async with watching(cloud, ReadBudget(burst=1)) as watch:
        await watch.timer.advance(60)
        assert sum(cloud.reads.values()) <= 2 * 60 / 4 + 2


async def test_look_soon_does_not_wait_for_the_rotation() -> None:
    cloud = Cloud()
    cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(1)
        cloud.set(_key("web"), _ended(1))
        watch.observer.look_soon(_key("web"))
        await watch.timer.advance(0.1)
        assert "terminated" in watch.last(_key("web"))["containerStatuses"][0]["state"]


async def test_whoever_watches_costs_a_read_every_so_often() -> None:
    cloud = Cloud()
    name = cloud.add(_key("web"), RUNNING)
    async with watching(cloud) as watch:
        await watch.timer.advance(1)
        before = cloud.reads[name]
        for _ in range(58):
            watch.observer.look_soon(_key("web"), spacing=10)
            await watch.timer.advance(1)
        assert cloud.reads[name] - before == 5


async def test_a_bug_in_a_task_reaches_whoever_observes() -> None:
    cloud = Cloud()
    cloud.list = None  # type: ignore[assignment, method-assign]
    watch = Watch(cloud)
    with pytest.raises(TypeError):
        await watch.collect()


async def _seen_after(count: int, started: int) -> float:
    """Seconds from the moment that `started` of `count` new groups run until each of those is seen to."""
    cloud = Cloud()
    async with watching(cloud) as watch:
        for index in range(count):
            name = cloud.add(_key(f"web-{index}"), provisioning="Creating")
            watch.observer.accepted(_key(f"web-{index}"), name, "op")
        await watch.timer.advance(40)
        for index in range(count - started, count):
            cloud.set(_key(f"web-{index}"), RUNNING)

        def seen(key: PodKey) -> bool:
            statuses = watch.statuses(key)
            return bool(statuses) and "running" in statuses[-1]["containerStatuses"][0]["state"]

        began = watch.timer.time
        while not all(seen(_key(f"web-{index}")) for index in range(count - started, count)):
            await watch.timer.advance(1)
            assert watch.timer.time < began + 600
        return watch.timer.time - began


async def test_those_of_a_crowd_who_have_started_are_seen_first() -> None:
    """Lists say who has changed, so that no read is spent on those who have not."""
    budget = ReadBudget()
    assert await _seen_after(5, 5) <= budget.settling_interval + 1
    assert await _seen_after(300, 10) <= budget.crowd_list_interval + 2
    assert await _seen_after(300, 300) <= 300 / budget.urgent_rate + budget.crowd_list_interval + 2


async def test_a_group_that_is_gone_while_its_delete_is_accepted() -> None:
    cloud = Cloud()
    async with watching(cloud) as watch:
        cloud.add(_key("web"), RUNNING)
        watch.observer.accepted(_key("web"), group_name(_key("web")), "op")
        watch.observer.gone(_key("web"))
        watch.observer.deleting(_key("web"))
        await watch.timer.advance(1)
        assert watch.gone() == [_key("web")]
