"""The work queue and its back-off."""

from __future__ import annotations

import asyncio

from vnodectl.runtime.queue import Backoff, WorkQueue


async def test_a_waiting_key_is_handed_out_once():
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_it_is_handled_is_handled_once_more_and_never_twice_at_a_time():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_delayed_keys_come_in_order_and_an_earlier_time_wins():
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("late", 0.03)
    queue.add_after("early", 0.01)
    queue.add_after("late", 60)
    async with asyncio.timeout(5):
        assert [await queue.get(), await queue.get()] == ["early", "late"]
    assert queue.delayed == 0
    queue.close()


async def test_adding_now_overrides_a_delay():
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add("a")
    assert await queue.get() == "a"
    assert queue.delayed == 0
    queue.close()


async def test_a_cancelled_waiter_does_not_swallow_a_key():
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.create_task(queue.get(), name="first")
    second = asyncio.create_task(queue.get(), name="second")
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == "a"
    await asyncio.gather(first, return_exceptions=True)


def test_back_off_doubles_to_its_cap_and_is_forgotten():
    backoff: Backoff[str] = Backoff(1, 10, rand=lambda: 1.0)
    assert [backoff.next("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.next("b") == 1
    backoff.forget("a")
    assert backoff.next("a") == 1
    assert Backoff[str](8, 10, rand=lambda: 0.0).next("a") == 4
