"""An event loop whose time passes only while everybody sleeps: hours take no time, and are exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Instead of waiting for its time-out, says that so much time has passed."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self._passed(timeout)
        assert found or timeout is not None, "everybody waits for something that never comes"
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code without sockets, threads and subprocesses: nothing outside can move it."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self._pass))

    def time(self) -> float:
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


def run_virtually(main: Callable[[], Awaitable[T]]) -> T:
    """The result of `main`, run in virtual time."""

    async def whole() -> T:
        return await main()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(whole())
