"""Running a command's coroutine so that Ctrl-C, SIGTERM and a closed terminal let it clean up."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vnodectl.cli.output import note

T = TypeVar("T")

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_LOGGERS = ("vnodectl", "pyhelm3")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. SIGINT, SIGTERM and SIGHUP cancel it; KeyboardInterrupt once it has ended."""

    async def main() -> T:
        task = asyncio.current_task()
        if task is not None:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def changes() -> Iterator[None]:
    """Around what changes a cluster: who interrupts it is told how to come out of that."""
    try:
        yield
    except asyncio.CancelledError:
        note("what was begun is not finished: the same command again goes on from there")
        raise


def log_to_stderr(verbose: int) -> None:
    """`-v`: what is done; `-vv`: details. Only of this program and of Helm: SDKs log what may be secret."""
    handler: logging.Handler = logging.NullHandler()  # errors reach people as messages, not as log lines
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    if not root.handlers:  # else Python prints warnings of SDKs, whole answers of token endpoints among them
        root.addHandler(logging.NullHandler())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        if verbose:
            logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
