"""Servers in a thread of their own, for programs that bring their own event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def in_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What the asynchronous context manager gives, entered and left in a thread with a loop of its own."""
    started: queue.Queue[T | BaseException] = queue.Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with make() as made:
            started.put(made)
            await stop.wait()

    def work() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            started.put(error)
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="servers")
    thread.start()
    ready = started.get(timeout=30)
    if isinstance(ready, BaseException):
        raise ready
    try:
        yield ready
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
