from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from vnodectl.errors import ClusterUnreachable, VnodectlError
from vnodectl.sysdump.bundle import Bundle, Collected, Outcome, Section, Skipped, collect

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Watcher:
    def __init__(self) -> None:
        self.said: list[str] = []

    def started(self, name: str) -> None:
        self.said.append(f"{name} started")

    def finished(self, one: Collected) -> None:
        self.said.append(f"{one.name} {one.outcome}")


def answering(files: dict[str, Any], *remarks: str) -> Callable[[], Awaitable[Any]]:
    async def collect_it() -> Any:
        return files, remarks

    return collect_it


def raising(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def collect_it() -> Any:
        raise error

    return collect_it


async def bundle(*sections: Section, deadline: float = 10) -> Bundle:
    def clean(text: str) -> str:
        return text.replace("marker", "***")

    return await collect(sections, clean=clean, taken_at=NOW, watcher=Watcher(), deadline=deadline)


async def test_what_fails_loses_nothing_of_the_rest() -> None:
    made = await bundle(
        Section("good", answering({"a.json": {"marker": ["marker"]}, "b.log": "a marker"}, "cut at marker")),
        Section("refused", raising(VnodectlError("no marker for you"))),
        Section("broken", raising(KeyError("marker"))),
        Section("absent", raising(Skipped("nothing of marker there"))),
    )
    members = made.members()
    assert set(members) == {"a.json", "b.log", "manifest.json"}
    assert json.loads(members["a.json"]) == {"***": ["***"]}
    assert members["b.log"] == b"a ***"
    manifest = json.loads(members["manifest.json"])
    assert (manifest["schemaVersion"], manifest["kind"], manifest["complete"]) == (1, "Sysdump", False)
    assert manifest["takenAt"] == "2026-01-02T03:04:05+00:00"
    said = {one["name"]: (one["outcome"], one["reason"]) for one in manifest["sections"]}
    assert said["good"] == ("collected", "")
    assert said["refused"] == ("failed", "no *** for you")
    assert said["absent"] == ("skipped", "nothing of *** there")
    outcome, reason = said["broken"]
    assert outcome == "failed"
    assert reason.startswith("KeyError at test_sysdump_bundle.py:")
    (good,) = [one for one in manifest["sections"] if one["name"] == "good"]
    assert good["remarks"] == ["cut at ***"]
    assert good["files"] == [
        {"path": "a.json", "size": len(members["a.json"])},
        {"path": "b.log", "size": 5},
    ]


async def test_a_section_that_hangs_is_given_up() -> None:
    slow = Section("slow", asyncio.Event().wait)  # type: ignore[arg-type]
    first, second = (await bundle(slow, Section("good", answering({})), deadline=0.05)).sections
    assert (first.outcome, first.reason) == (Outcome.FAILED, "not finished within 0.05 s")
    assert second.outcome is Outcome.COLLECTED


async def test_a_timeout_of_its_own_is_not_taken_for_the_deadline() -> None:
    (one,) = (await bundle(Section("slow", raising(TimeoutError())))).sections
    assert one.reason.startswith("TimeoutError at")


async def test_exit_codes() -> None:
    away = raising(ClusterUnreachable("nobody answers"))
    good = Section("versions", answering({}))
    all_away = await bundle(good, Section("nodes", away, needs_cluster=True))
    some = await bundle(
        good, Section("nodes", away, needs_cluster=True), Section("pods", answering({}), needs_cluster=True)
    )
    whole = await bundle(good)
    refused = Section("nodes", raising(VnodectlError("not allowed")), needs_cluster=True)
    none = await bundle(good, refused, Section("pods", away, needs_cluster=True))
    nothing_there = await bundle(refused, Section("logs", raising(Skipped("no pod")), needs_cluster=True))
    every = (all_away, some, whole, none, nothing_there)
    assert [one.exit_code() for one in every] == [5, 0, 0, 1, 0]
    assert [one.exit_code(strict=True) for one in every] == [5, 3, 0, 1, 3]


async def test_cancellation_ends_every_section() -> None:
    started = asyncio.Event()

    async def hang() -> Any:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(bundle(Section("slow", hang)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
