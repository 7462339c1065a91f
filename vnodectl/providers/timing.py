"""Time for observers, injected so that tests own it, and pacing by token buckets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

_EPSILON = 1e-6
"""Sums of small waits never add up to exactly one token."""


class Timer(Protocol):
    """`now` is `loop.time()`: seconds that only go forward."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        """Until the event is set or the time has passed (None: without limit)."""


class LoopTimer:
    """The event loop's own time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return


class Pace:
    """A token bucket: `rate` a second, `burst` at once; `factor` (0 to 1) slows it when reads are scarce."""

    def __init__(self, rate: float, burst: int, timer: Timer, factor: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._timer = timer
        self._factor = factor
        self._tokens = float(burst)
        self._at: float | None = None

    async def take(self) -> None:
        """Wait for one token."""
        while wait := self.take_now():
            await self._timer.sleep(wait)

    def take_now(self) -> float:
        """0 where there was a token, which is taken; else the seconds until there is one."""
        now = self._timer.now()
        rate = self._rate * self._factor()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens > 1 - _EPSILON:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / rate
