"""Calls a minute of an account, for each operation that has a documented limit."""

from __future__ import annotations

from vnodectl.emulator.alibaba.calls import Operation
from vnodectl.emulator.alibaba.errors import gateway_error
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.buckets import SlidingWindow

MINUTE = 60.0


class Throttle:
    def __init__(self, world: World) -> None:
        self._world = world
        self._windows: dict[str, SlidingWindow] = {}

    def clear(self) -> None:
        """Forget the calls, and read the limits again."""
        self._windows.clear()

    def take(self, operation: Operation) -> None:
        """Raises ApiError Throttling.User; such a call does not count."""
        limit = getattr(self._world.limits, operation.limit) if operation.limit else 0
        if not limit:
            return
        now = self._world.clock.now()
        window = self._windows.setdefault(operation.action, SlidingWindow(limit, MINUTE))
        if window.wait(now) > 0:
            raise gateway_error(400, "Throttling.User", "Request was denied due to user flow control.")
        window.record(now)
