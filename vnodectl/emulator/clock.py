"""The emulated cloud's own time: it can be frozen, moved forward, and waited on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any


class Clock:
    """Seconds since the epoch, as the emulated cloud sees them.

    Follows `source` until it is frozen; `advance` moves it forward at any time and wakes whoever sleeps
    past the new moment. It never goes backwards.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0
        self._frozen_at: float | None = None
        self._moved = asyncio.Event()

    def wall(self) -> float:
        """The real time, whatever was done to this clock (e.g. for tokens that others signed)."""
        return self._source()

    def now(self) -> float:
        return self._frozen_at if self._frozen_at is not None else self._source() + self._offset

    def iso(self) -> str:
        return iso(self.now())

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    def freeze(self) -> None:
        if self._frozen_at is None:
            self._frozen_at = self.now()
            self._wake()

    def thaw(self) -> None:
        """Run again from the moment where it stands."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - self._source()
            self._frozen_at = None
            self._wake()

    def advance(self, seconds: float) -> None:
        """Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError("the clock cannot go backwards")
        if self._frozen_at is not None:
            self._frozen_at += seconds
        else:
            self._offset += seconds
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Until `seconds` of this clock have passed; at once for zero or less."""
        await self.sleep_until(self.now() + seconds)

    async def sleep_until(self, moment: float) -> None:
        while (left := moment - self.now()) > 0:
            moved = self._moved
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.frozen else left):
                    await moved.wait()

    async def within(self, seconds: float, work: Coroutine[Any, Any, None], *, name: str) -> bool:
        """Whether `work` ended before `seconds` of this clock had passed; it is cancelled if not."""
        task = asyncio.create_task(work, name=name)
        alarm = asyncio.create_task(self.sleep_until(self.now() + seconds), name=f"{name}-alarm")
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            task.result()
            return True
        finally:
            task.cancel()
            alarm.cancel()
            await asyncio.gather(task, alarm, return_exceptions=True)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def iso(moment: float) -> str:
    """RFC 3339, UTC, milliseconds, e.g. 2026-01-02T03:04:05.678Z."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
