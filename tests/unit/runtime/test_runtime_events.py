"""Events: what is sent of them, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support import virtual_time
from support.memory_api import MemoryApi

from vnodectl.errors import ClusterUnreachable
from vnodectl.runtime.events import EventRecorder

JSON = dict[str, Any]


def pod(name: str = "p") -> JSON:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}}


@asynccontextmanager
async def recorder() -> AsyncIterator[tuple[MemoryApi, EventRecorder]]:
    api = MemoryApi()
    made = EventRecorder(api.client(), "vnodectl", "vn-1", virtual_time.clock)  # type: ignore[arg-type]
    task = asyncio.create_task(made.run(), name="events")
    try:
        yield api, made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_repeats_become_a_count_on_the_first_one():
    async def main() -> None:
        async with recorder() as (api, events):
            for _ in range(5):
                events.record(pod(), "Warning", "Unhealthy", "no answer", container="c")
                await asyncio.sleep(10)
            events.record(pod(), "Warning", "Unhealthy", "no answer", container="i")
            await asyncio.sleep(1)
            first, second = api.all("events")
            assert (first["count"], second["count"]) == (5, 1)
            assert first["lastTimestamp"] > first["firstTimestamp"]
            about = first["involvedObject"]
            assert (about["kind"], about["uid"], about["fieldPath"]) == ("Pod", "uid-p", "spec.containers{c}")
            assert second["involvedObject"]["fieldPath"] == "spec.initContainers{i}"
            assert first["source"] == {"component": "vnodectl", "host": "vn-1"}

    virtual_time.run(main())


def test_a_pod_that_floods_is_cut_and_the_others_are_not():
    async def main() -> None:
        async with recorder() as (api, events):
            for number in range(100):
                events.record(pod(), "Warning", f"Reason{number}", "x")
            events.record(pod("other"), "Normal", "Started", "x")
            await asyncio.sleep(1)
            about = [one["involvedObject"]["name"] for one in api.all("events")]
            assert (about.count("p"), about.count("other")) == (25, 1)
            await asyncio.sleep(301)
            for number in range(100):
                events.record(pod(), "Warning", f"Later{number}", "x")
            await asyncio.sleep(1)
            about = [one["involvedObject"]["name"] for one in api.all("events")]
            assert about.count("p") == 26

    virtual_time.run(main())


def test_ever_new_messages_of_one_reason_are_counted_on_one_event():
    async def main() -> None:
        async with recorder() as (api, events):
            for number in range(15):
                events.record(pod(), "Warning", "Failed", f"try {number}")
            await asyncio.sleep(1)
            messages = {one["message"]: one["count"] for one in api.all("events")}
            assert len(messages) == 11
            assert messages["(combined from similar events): Failed"] == 5
            await asyncio.sleep(3600)
            events.record(pod(), "Warning", "Failed", "much later")
            await asyncio.sleep(1)
            assert "much later" in {one["message"] for one in api.all("events")}

    virtual_time.run(main())


def test_what_cannot_be_sent_is_no_reason_to_stop():
    async def main() -> None:
        async with recorder() as (api, events):
            api.trouble = lambda *_: ("before", ClusterUnreachable("gone"))
            events.record(pod(), "Normal", "One", "x")
            await asyncio.sleep(1)
            api.trouble = lambda *_: None
            events.record(pod(), "Normal", "Two", "\u00e9" * 2000)
            await asyncio.sleep(1)
            (event,) = api.all("events")
            assert event["reason"] == "Two"
            assert len(event["message"].encode()) <= 1024

    virtual_time.run(main())
