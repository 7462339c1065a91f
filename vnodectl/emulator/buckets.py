"""Rate limits: token buckets and sliding windows. Times are seconds of the emulated clock."""

from __future__ import annotations

import math
from collections import deque


class TokenBucket:
    """`capacity` calls at once, refilled with `per_second` (as ARM does since 2024)."""

    def __init__(self, capacity: int, per_second: float, now: float) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._tokens = float(capacity)
        self._at = now

    def take(self, now: float) -> float:
        """0 when the call may pass, else the seconds to wait."""
        self._refill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second if self._per_second > 0 else math.inf

    def remaining(self, now: float) -> int:
        self._refill(now)
        return int(self._tokens)

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._tokens = min(float(self._capacity), self._tokens + passed * self._per_second)
        self._at = now


class SlidingWindow:
    """At most `limit` calls in any `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._calls: deque[float] = deque()

    def wait(self, now: float) -> float:
        """0 when a call may pass now, else the seconds to wait. Does not count as a call."""
        while self._calls and self._calls[0] <= now - self._seconds:
            self._calls.popleft()
        if len(self._calls) < self._limit:
            return 0.0
        return self._calls[0] + self._seconds - now if self._calls else math.inf

    def record(self, now: float) -> None:
        self._calls.append(now)
