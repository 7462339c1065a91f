"""A work queue of keys: each key at most once in the queue, and never in two workers at a time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from vnodectl.runtime.metrics import QueueMetrics

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Level-based: a key added ten times while it waits is handled once; one added while it is being
    handled is handled once more afterwards. Delayed keys are kept in a heap served by one timer.

    `seconds`, a clock that never goes back, is what `metrics` are measured with.
    """

    def __init__(
        self, metrics: QueueMetrics | None = None, seconds: Callable[[], float] = time.perf_counter
    ) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._ready: deque[K] = deque()
        self._queued: dict[K, float] = {}
        self._active: dict[K, float] = {}
        self._again: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def delayed(self) -> int:
        return len(self._due)

    @property
    def active(self) -> int:
        return len(self._active)

    def add(self, key: K) -> None:
        """Handle `key` as soon as a worker is free."""
        self._due.pop(key, None)
        if key in self._queued:
            return
        if key in self._active:
            self._again.add(key)
            return
        self._queued[key] = self._seconds()
        self._ready.append(key)
        if self._metrics is not None:
            self._metrics.adds.value += 1
        self._wake()

    def add_after(self, key: K, delay: float) -> None:
        """Handle `key` in `delay` seconds, or earlier where it is added meanwhile."""
        if delay <= 0:
            self.add(key)
            return
        if key in self._queued:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if when >= self._due.get(key, float("inf")):
            return
        self._due[key] = when
        entry = (when, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if self._timer is None or self._heap[0] is entry:  # else the timer is early enough
            self._arm(loop)

    async def get(self) -> K:
        """The next key; the caller owns it until `done`."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        key = self._ready.popleft()
        self._active[key] = now = self._seconds()
        added = self._queued.pop(key)
        if self._metrics is not None:
            self._metrics.waits.observe(now - added)
        return key

    def done(self, key: K) -> None:
        began = self._active.pop(key, None)
        if self._metrics is not None and began is not None:
            self._metrics.works.observe(self._seconds() - began)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = loop.call_at(self._heap[0][0], self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                self.add(key)
        self._arm(loop)


class Backoff(Generic[K]):
    """Exponential delays per key with jitter: `base`, doubled at each failure up to `cap`, in seconds."""

    def __init__(
        self, base: float = 1.0, cap: float = 120.0, rand: Callable[[], float] = random.random
    ) -> None:
        self._base = base
        self._cap = cap
        self._random = rand
        self._failures: dict[K, int] = {}

    def next(self, key: K) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        full: float = min(self._cap, self._base * 2.0 ** min(failures, 30))
        return full * (0.5 + self._random() / 2)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)
