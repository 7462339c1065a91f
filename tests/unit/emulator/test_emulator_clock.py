"""The emulated clock: frozen, moved, waited on."""

from __future__ import annotations

import asyncio

import pytest

from vnodectl.emulator.clock import Clock, iso


class Source:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_follows_its_source_until_it_is_frozen() -> None:
    source = Source()
    clock = Clock(source)
    source.now += 5
    assert clock.now() == 1005
    clock.freeze()
    source.now += 100
    assert (clock.now(), clock.frozen, clock.wall()) == (1005, True, 1105)
    clock.advance(10)
    clock.thaw()
    source.now += 1
    assert clock.now() == 1016


def test_it_does_not_go_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        Clock(Source()).advance(-1)


async def test_moving_it_wakes_who_sleeps_and_nobody_else() -> None:
    clock = Clock(Source())
    clock.freeze()
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        short, long = tasks.create_task(sleeper(10)), tasks.create_task(sleeper(60))
        await asyncio.sleep(0)
        clock.advance(10)
        await short
        assert woken == [10]
        assert not long.done()
        clock.advance(50)
    assert woken == [10, 60]


async def test_a_wait_ends_with_its_work_or_with_the_time() -> None:
    clock = Clock(Source())
    clock.freeze()
    done, never = asyncio.Event(), asyncio.Event()
    done.set()

    async def wait(event: asyncio.Event) -> None:
        await event.wait()

    assert await clock.within(10, wait(done), name="test")
    waiting = asyncio.create_task(clock.within(10, wait(never), name="test"))
    await asyncio.sleep(0)
    clock.advance(10)
    assert not await asyncio.wait_for(waiting, 5)


async def test_the_error_of_the_work_is_passed_on() -> None:
    async def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await Clock().within(10, fail(), name="test")


def test_times_are_written_as_rfc_3339() -> None:
    assert iso(1_767_323_045.25) == "2026-01-02T03:04:05.250Z"
