"""Things that are made once and kept: one maker at a time, and either whole or not there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

_POLL = 0.2


@asynccontextmanager
async def file_lock(path: Path, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Hold an exclusive lock on `path` among all processes; the kernel frees it when its holder dies.

    Its holder may delete the file. `on_wait` is called once if somebody else holds it now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        while not _lock(descriptor, path):
            if on_wait is not None:
                on_wait()
                on_wait = None
            await asyncio.sleep(_POLL)
            os.close(descriptor)
            descriptor = _open(path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """The same lock where nobody holds it now; gives whether it is ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        yield _lock(descriptor, path)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now, and is that of the file which has this path."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


@asynccontextmanager
async def making(target: Path, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[Path | None]:
    """Make the directory `target`: fill the directory that is given, or get None where it exists already.

    It appears under its name in one step when the block ends well; after an error or Ctrl-C nothing is
    left, and what a killed maker left is taken away by the next one.
    """
    if target.is_dir():
        yield None
        return
    async with file_lock(target.parent / f".{target.name}.lock", on_wait=on_wait):
        if target.is_dir():
            yield None
            return
        for stale in target.parent.glob(f".{target.name}.tmp-*"):
            remove_tree(stale)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            unfinished.chmod(0o755)
            yield unfinished
            unfinished.rename(target)
        finally:
            remove_tree(unfinished)


def remove_tree(path: Path) -> None:
    """Remove a directory with everything in it, read-only parts (Go's module cache) included."""
    if not path.exists():
        return
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(directory).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
