"""What observing costs, in calls a minute, on a clock that only the test moves.

Everything between the observer and the wire is real; only the wire answers from memory, in pages and by
SinceSecond as ECI does.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.fake_timer import FakeTimer

from vnodectl.clouds.alibaba import tags as tag
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.providers.eci.groups import Groups
from vnodectl.providers.eci.limits import ApiLimits
from vnodectl.providers.eci.names import group_name, group_tags
from vnodectl.providers.eci.observe import Observer
from vnodectl.providers.eci.settings import Pacing
from vnodectl.runtime.provider import JSON, Listed, PodKey, Seen, Sighting

OWNER = Owner("virtual-kubelet", "ack-virtual-node")
AT = "2026-01-02T03:04:05Z"


def key(number: int) -> PodKey:
    return PodKey("default", f"web-{number}", f"0e6d5f0e-9f3c-4c5f-8a52-{number:012d}")


class Eci:
    """Rows and details by group id, each with the time of its last change; every page is a call."""

    def __init__(self, timer: FakeTimer, pods: int) -> None:
        self._timer = timer
        self.calls: Counter[str] = Counter()
        self.rows: dict[str, JSON] = {}
        self.changed: dict[str, float] = {}
        for number in range(pods):
            self.put(number)

    def put(self, number: int, ready: bool = True) -> None:
        one = f"eci-{number:05d}"
        status = {"Name": "main", "Ready": ready, "State": {"Running": {"StartedAt": AT}}}
        self.rows[one] = {
            "ContainerGroupId": one,
            "Name": group_name(key(number)),
            "Status": "Running",
            "PodStatus": {"ContainerStatuses": [status]},
        }
        self.changed[one] = self._timer.now()

    async def call(
        self, product: str, action: str, version: str, params: JSON, *, retries: bool, hide: Any
    ) -> JSON:
        self.calls[action] += 1
        ids = json.loads(params["ContainerGroupIds"]) if "ContainerGroupIds" in params else None
        if action == "DescribeContainerGroups":
            assert ids is not None
            assert len(ids) <= 20
            return {"ContainerGroups": [self._described(one) for one in ids if one in self.rows]}
        assert params["Limit"] == 200
        if action == "DescribeContainerGroupEvents":
            return {"Data": []}
        assert action == "DescribeContainerGroupStatus"
        since = self._timer.now() - params["SinceSecond"] if "SinceSecond" in params else float("-inf")
        found = [one for one in sorted(self.rows) if self.changed[one] >= since and (not ids or one in ids)]
        start = int(params.get("NextToken") or 0)
        more = str(start + 200) if start + 200 < len(found) else ""
        return {"Data": [self.rows[one] for one in found[start : start + 200]], "NextToken": more}

    def _described(self, one: str) -> JSON:
        number = int(one.removeprefix("eci-"))
        return {**self.rows[one], "Tags": tag.as_list(group_tags(key(number), OWNER, AT))}


@asynccontextmanager
async def observed(pods: int) -> AsyncIterator[tuple[Eci, FakeTimer, list[Sighting]]]:
    timer = FakeTimer()
    eci = Eci(timer, pods)
    groups = Groups(eci, OWNER, ApiLimits(timer))  # type: ignore[arg-type]
    observer = Observer(groups, OWNER, Pacing(), timer)
    said: list[Sighting] = []

    async def collect() -> None:
        async for sighting in observer.sightings():
            said.append(sighting)  # noqa: PERF401 — a list that grows while it is looked at

    task = asyncio.create_task(collect(), name="collect")
    try:
        # The first list: pages of rows, and whose groups they are.
        await timer.advance(120)
        listed = [one for one in said if isinstance(one, Listed)]
        assert len(listed[-1].keys) == pods
        yield eci, timer, said
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await observer.aclose()


async def a_minute(pods: int, *, minutes: int = 60) -> dict[str, float]:
    """Calls a minute of each API, over an hour in which nothing happens."""
    async with observed(pods) as (eci, timer, _):
        eci.calls.clear()
        await timer.advance(60 * minutes)
        return {action: count / minutes for action, count in eci.calls.items()}


@pytest.mark.parametrize("pods", [1000, 5000])
async def test_steady_pods_cost_the_same_however_many_there_are(pods: int) -> None:
    few, many = await a_minute(100), await a_minute(pods)
    reads = {"DescribeContainerGroupStatus", "DescribeContainerGroupEvents"}
    assert set(few) == set(many) == reads, "whole groups are not read at all"
    assert few["DescribeContainerGroupEvents"] == many["DescribeContainerGroupEvents"] <= 1
    # Looks at what changed every ten seconds, and a page of the whole list a minute.
    assert few["DescribeContainerGroupStatus"] <= 7
    # A list begins with its first page: the hour may hold one list more or less.
    assert abs(many["DescribeContainerGroupStatus"] - few["DescribeContainerGroupStatus"]) <= pods / 200 / 60


async def test_one_pod_that_changes_all_the_time_costs_pages_of_what_changed_only() -> None:
    async with observed(1000) as (eci, timer, said):
        eci.calls.clear()
        said.clear()
        for step in range(60):
            eci.put(7, ready=step % 2 == 0)
            await timer.advance(10)
        seen = [one for one in said if isinstance(one, Seen)]
        assert {one.key for one in seen} == {key(7)}
        assert len(seen) >= 55, "each change was told"
        # Every two to three seconds one page, for ten minutes; the list's pages besides.
        assert eci.calls["DescribeContainerGroupStatus"] <= 10 * (30 + 1) + 5
        assert eci.calls["DescribeContainerGroups"] == 0
