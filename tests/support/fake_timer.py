"""Time that only a test moves."""

from __future__ import annotations

import asyncio


class FakeTimer:
    """`advance` moves the time step by step and lets everything that is due run."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await self.wait(asyncio.Event(), seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        if seconds is None:
            await event.wait()
            return
        entry = (self.time + max(0.0, seconds), event)
        alarm = asyncio.Event()
        sleeper = (entry[0], alarm)
        self._sleepers.append(sleeper)
        waiters = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(alarm.wait())]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
            for waiter in waiters:
                waiter.cancel()
            await asyncio.gather(*waiters, return_exceptions=True)

    async def settle(self) -> None:
        """Let every task run until all of them wait for something."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        end = self.time + seconds
        await self.settle()
        while True:
            due = sorted((one for one in self._sleepers if one[0] <= end), key=lambda one: one[0])
            if not due:
                break
            self.time = max(self.time, due[0][0])
            due[0][1].set()
            await self.settle()
        self.time = end
        await self.settle()
