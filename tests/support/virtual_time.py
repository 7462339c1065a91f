"""An event loop whose time jumps: hours of back-off pass in milliseconds, in the order they would.

For code that waits but does no input or output of its own: real sockets take real time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0
_TURN = 1e-6
"""Seconds that one turn of the loop takes: with none at all, floats would never reach what is almost due."""


class _Jumping(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Instead of waiting, moves the loop's time to when the next timer is due."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        self.elapsed += _TURN
        if not ready and timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        if not ready and timeout and timeout > 0:
            self.elapsed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed


def clock() -> float:
    """Seconds since the epoch, by the running virtual loop."""
    return EPOCH + asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """`main` to its end in virtual time; what it leaves running is an error."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def checked() -> T:
            result = await main
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks still running: {[task.get_name() for task in left]}"
            return result

        return runner.run(checked())
