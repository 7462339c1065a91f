"""Usage from Azure Monitor, in batches and one by one, against a server that answers as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.fake_arm import SUBSCRIPTION, fake_arm
from support.fake_timer import FakeTimer

from vnodectl.clouds.azure import AzureSession
from vnodectl.providers.aci.stats import Stats
from vnodectl.providers.timing import Pace
from vnodectl.runtime.provider import PodKey, Retryable, Usage

WEB, JOB = PodKey("default", "web", "u1"), PodKey("default", "job", "u2")
BASE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ContainerInstance/containerGroups"
)
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).timestamp()


def _series(name: str, container: str, values: dict[int, float | None]) -> dict[str, Any]:
    data = [
        {"timeStamp": f"2026-01-01T11:{minute:02d}:00Z"} | ({} if value is None else {"average": value})
        for minute, value in values.items()
    ]
    dimension = {"name": {"value": "containername", "localizedValue": "containername"}, "value": container}
    return {"name": {"value": name}, "timeseries": [{"metadatavalues": [dimension], "data": data}]}


class Monitor:
    """`used` is (millicores, bytes) by minute; `batch` is the status of the batch API."""

    def __init__(self, *, batch: int = 200) -> None:
        self.batch = batch
        self.single = 200
        self.code = "No"
        self.used: dict[int, tuple[float, float] | None] = {57: (100, 1e6), 58: (500, 2e6), 59: None}
        self.asked: list[str] = []

    def values(self) -> list[Any]:
        cpu = {minute: one and one[0] for minute, one in self.used.items()}
        memory = {minute: one and one[1] for minute, one in self.used.items()}
        return [_series("CpuUsage", "main", cpu), _series("MemoryUsage", "main", memory)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path.endswith("metrics:getBatch"):
            if self.batch != 200:
                return web.json_response({"error": {"code": self.code, "message": "no"}}, status=self.batch)
            assert request.query["filter"] == "containerName eq '*'"
            ids = (await request.json())["resourceids"]
            # It gives IDs back in small letters.
            return web.json_response(
                {"values": [{"resourceid": one.lower(), "value": self.values()} for one in ids]}
            )
        assert request.query["timespan"] == "2026-01-01T11:55:00Z/2026-01-01T12:00:00Z"
        return web.json_response({"value": self.values()}, status=self.single)


@asynccontextmanager
async def reading(
    directory: Path, monitor: Monitor, *, burst: int = 10
) -> AsyncIterator[tuple[Stats, FakeTimer]]:
    timer = FakeTimer()
    async with (
        fake_arm(directory, monitor.handle) as arm,
        AzureSession(arm.settings(metrics_host=arm.url)) as session,
    ):
        pace = Pace(0.001, burst, timer, lambda: 1.0)
        yield Stats(session, "rg", "eastus", pace, timer, lambda: NOON), timer


async def test_one_request_for_many_groups(tmp_path: Path) -> None:
    monitor = Monitor()
    async with reading(tmp_path, monitor) as (stats, _):
        found = await stats.read({WEB: "web", JOB: "job"})
    assert [one.key for one in found] == [WEB, JOB]
    assert found[0].containers == {"main": Usage(NOON - 60, 30.0, 2_000_000, 2_000_000)}
    assert monitor.asked == [f"/subscriptions/{SUBSCRIPTION}/metrics:getBatch"]


async def test_core_seconds_add_up_minute_by_minute_and_none_is_asked_for_twice(tmp_path: Path) -> None:
    monitor = Monitor()
    async with reading(tmp_path, monitor) as (stats, timer):
        await stats.read({WEB: "web"})
        await stats.read({WEB: "web"})
        assert len(monitor.asked) == 1
        timer.time += 60
        monitor.used = {57: (100, 1e6), 58: (500, 2e6), 59: (250, 3e6)}
        (found,) = await stats.read({WEB: "web"})
        assert found.containers["main"] == Usage(NOON, 45.0, 3_000_000, 3_000_000)
        timer.time += 60
        (found,) = await stats.read({WEB: "web"})
        assert found.containers["main"].cpu_seconds == 45.0, "nothing new was measured"


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_without_the_right_to_batches_groups_are_read_one_by_one(tmp_path: Path, status: int) -> None:
    monitor = Monitor(batch=status)
    async with reading(tmp_path, monitor) as (stats, timer):
        assert len(await stats.read({WEB: "web", JOB: "job"})) == 2
        single = f"{BASE}/{{}}/providers/Microsoft.Insights/metrics"
        assert sorted(monitor.asked[1:]) == [single.format("job"), single.format("web")]
        timer.time += 60
        await stats.read({WEB: "web"})
        assert monitor.asked[3:] == [single.format("web")], "the batch API is not tried again at once"
        monitor.batch = 200
        timer.time += 3600
        await stats.read({WEB: "web"})
        assert monitor.asked[-1].endswith("getBatch")


async def test_a_group_that_is_gone_does_not_end_the_batches(tmp_path: Path) -> None:
    monitor = Monitor(batch=404)
    monitor.code = "ResourceNotFound"
    async with reading(tmp_path, monitor) as (stats, timer):
        assert len(await stats.read({WEB: "web", JOB: "job"})) == 2
        monitor.batch = 200
        timer.time += 60
        await stats.read({WEB: "web"})
        assert monitor.asked[-1].endswith("getBatch")


async def test_reads_one_by_one_stay_in_their_budget(tmp_path: Path) -> None:
    monitor = Monitor(batch=403)
    async with reading(tmp_path, monitor, burst=1) as (stats, _):
        found = await stats.read({WEB: "web", JOB: "job"})
    assert [one.key for one in found] == [WEB]


async def test_a_group_that_is_gone_is_left_out_and_a_refusal_of_all_is_told(tmp_path: Path) -> None:
    monitor = Monitor(batch=403)
    monitor.single = 404
    async with reading(tmp_path, monitor) as (stats, _):
        assert await stats.read({WEB: "web"}) == []
        monitor.single = 403
        with pytest.raises(Retryable):
            await stats.read({WEB: "web"})


async def test_a_container_without_figures_is_left_out(tmp_path: Path) -> None:
    monitor = Monitor()
    monitor.used = {58: None}
    async with reading(tmp_path, monitor) as (stats, _):
        assert await stats.read({WEB: "web"}) == []
        assert await stats.read({}) == []
