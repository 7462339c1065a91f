"""Who ends a connection, and that nothing of it is left."""

from __future__ import annotations

import asyncio

import pytest

from vnodectl.runtime.streams.session import Gate, Inbox, SessionLimits, run

LIMITS = SessionLimits()


class Stub:
    """A connection that a test plays. `gone`: the peer hung up. `said`: how far the goodbye came."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.slow = asyncio.Event()
        self.slow.set()
        self.beats = 0
        self.dead = False
        self.activity = 0
        self.said: list[str] = []

    async def receive(self) -> None:
        await self.gone.wait()

    async def beat(self) -> None:
        self.beats += 1
        if self.dead:
            raise ConnectionResetError("no route")

    async def farewell(self) -> None:
        self.said.append("bye")
        await self.slow.wait()
        self.said.append("flushed")

    async def close(self, *, graceful: bool) -> None:
        self.said.append("closed" if graceful else "aborted")


async def test_work_that_ends_says_goodbye() -> None:
    stub = Stub()

    async def work() -> None:
        stub.said.append("worked")

    await run(stub, work(), LIMITS, "test")
    assert stub.said == ["worked", "bye", "flushed", "closed"]


async def test_the_peer_that_hangs_up_cancels_the_work() -> None:
    stub = Stub()
    cancelled = asyncio.Event()

    async def work() -> None:
        stub.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await run(stub, work(), LIMITS, "test")
    assert cancelled.is_set()
    assert stub.said == ["aborted"]


async def test_the_peer_that_hangs_up_during_the_goodbye() -> None:
    stub = Stub()
    stub.slow.clear()

    async def work() -> None:
        asyncio.get_running_loop().call_soon(stub.gone.set)

    await run(stub, work(), LIMITS, "test")
    assert stub.said[-1] == "aborted"
    assert "flushed" not in stub.said


async def test_an_idle_connection_is_ended() -> None:
    stub = Stub()
    limits = SessionLimits(idle=0.03, heartbeat=0.01)
    await run(stub, asyncio.Event().wait(), limits, "test")  # type: ignore[arg-type]
    assert stub.said == ["aborted"]
    assert stub.beats >= 2


async def test_activity_keeps_a_connection() -> None:
    stub = Stub()
    enough = asyncio.Event()
    beat = stub.beat

    async def busy() -> None:
        stub.activity += 1
        if stub.beats >= 10:
            enough.set()
        await beat()

    stub.beat = busy  # type: ignore[method-assign]
    await run(stub, enough.wait(), SessionLimits(idle=0.03, heartbeat=0.01), "test")  # type: ignore[arg-type]
    assert stub.said == ["bye", "flushed", "closed"]


async def test_a_heartbeat_that_fails_ends_the_connection() -> None:
    stub = Stub()
    stub.dead = True
    await run(stub, asyncio.Event().wait(), LIMITS, "test")  # type: ignore[arg-type]
    assert stub.said == ["aborted"]


async def test_an_error_of_the_work_is_raised_after_all_is_closed() -> None:
    stub = Stub()

    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(stub, work(), LIMITS, "test")
    assert stub.said[-1] in ("closed", "aborted")


async def test_cancelling_the_session_cancels_the_work() -> None:
    stub = Stub()
    started = asyncio.Event()
    ended = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    session = asyncio.create_task(run(stub, work(), LIMITS, "test"))
    await started.wait()
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert ended.is_set()
    assert stub.said == ["aborted"]


async def test_work_that_tidies_up_is_left_in_peace_and_waited_for() -> None:
    """A peer that hangs up, and then the connection that breaks, are two cancellations."""
    stub = Stub()
    tidying, tidy = asyncio.Event(), asyncio.Event()
    interrupted = False

    async def work() -> None:
        nonlocal interrupted
        stub.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            tidying.set()
            try:
                await tidy.wait()
            except asyncio.CancelledError:
                interrupted = True

    session = asyncio.create_task(run(stub, work(), LIMITS, "test"))
    await tidying.wait()
    for _ in range(3):
        session.cancel()
        await asyncio.sleep(0)
    assert not session.done()
    tidy.set()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert (interrupted, stub.said) == (False, ["aborted"])


# --- what waits to be read ------------------------------------------------------------------------


async def test_the_gate_closes_on_too_much_and_opens_at_half() -> None:
    gate = Gate(10)
    one, other = Inbox(gate), Inbox(gate)
    one.put(b"123456")
    await asyncio.wait_for(gate.room(), 1)
    other.put(b"7890")
    waiting = asyncio.create_task(gate.room())
    assert await other.get() == b"7890"
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await one.get() == b"123456"
    await asyncio.wait_for(waiting, 1)


async def test_an_inbox_gives_everything_and_then_its_end() -> None:
    inbox = Inbox(Gate(10))
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"a")
    inbox.put(b"")
    inbox.put(b"b")
    inbox.end()
    inbox.put(b"after the end")
    assert [await reading, await inbox.get(), await inbox.get(), await inbox.get()] == [b"a", b"b", b"", b""]


async def test_a_cancelled_read_takes_nothing() -> None:
    inbox = Inbox(Gate(10))
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"a")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert await inbox.get() == b"a"


async def test_what_is_discarded_makes_room() -> None:
    gate = Gate(4)
    inbox = Inbox(gate)
    inbox.put(b"1234")
    assert inbox.discard() == 4
    await asyncio.wait_for(gate.room(), 1)
    assert await inbox.get() == b""
