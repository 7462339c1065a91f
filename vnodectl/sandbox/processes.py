"""Processes by what /proc says of them. A number alone is never enough to kill by."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

RUN_VARIABLE = "VNODECTL_SANDBOX_RUN"
"""Set to a random value in all processes of one run, so that `down` finds whatever is left of it."""

_PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None if there is none (or only a zombie)."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def of_group(leader: int) -> Iterator[tuple[int, int]]:
    """The living processes of a process group, each with its start time."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and int(fields[2]) == leader:
            yield int(entry.name), int(fields[19])


def _stat(pid: int) -> list[str]:
    """What proc(5) says of a process from its state (field 3) on; nothing if there is none (or a zombie)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    # The second field is a name in parentheses that may hold anything, so count from its end.
    fields = stat.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields


def resident_bytes(pid: int) -> int:
    """Memory in RAM (proc(5), statm field 2); 0 if the process is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def of_run(run: str) -> Iterator[int]:
    """The processes that have RUN_VARIABLE=`run` in their environment, ourselves excluded."""
    wanted = f"{RUN_VARIABLE}={run}".encode()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or somebody else's
            continue
        if wanted in variables:
            yield int(entry.name)


def kill_run(run: str, *, deadline: float = 10.0) -> list[int]:
    """Kill every process of a run and wait until they are gone; gives back those that stay.

    `deadline` in seconds. Children born meanwhile are found in the next round.
    """
    end = time.monotonic() + deadline
    while True:
        alive = [pid for pid in of_run(run) if start_time(pid) is not None]
        if not alive or time.monotonic() > end:
            return alive
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def send(pid: int, started: int, number: signal.Signals) -> bool:
    """Signal exactly that process; False if it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The handle keeps naming the same process from here on, so this check cannot grow stale.
        if start_time(pid) != started:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


async def ended(pid: int, started: int) -> None:
    """Return when exactly that process has ended; at once if it has already."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        if start_time(pid) == started:
            loop.add_reader(handle, gone.set)  # pidfd_open(2): readable once the process has ended
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def mounts_under(root: Path) -> list[str]:
    """Mount points inside `root`, innermost first."""
    prefix = f"{root.resolve()}/"
    points = [
        line.split()[4].encode().decode("unicode_escape")
        for line in (_PROC / "self" / "mountinfo").read_text().splitlines()
    ]
    return sorted((point for point in points if point.startswith(prefix)), key=len, reverse=True)
