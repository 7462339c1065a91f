"""Whether the kernel killed a container for its memory, where the engine missed it.

On cgroup v1, conmon reads the counter of kills before the kernel has raised it, so podman says that there was
none.
The kernel's log names the container's cgroup:

    oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/…/libpod-<id>,task_memcg=…
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RECORD = 8192  # a read of /dev/kmsg gives one record; longer ones are refused


def killed_for_memory(container: str, log: Path = Path("/dev/kmsg")) -> bool:
    """Looks for the container's hexadecimal id; False where the log may not be read."""
    wanted = container.encode()
    with contextlib.suppress(OSError):
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return any(b"oom-kill:" in record and wanted in record for record in _records(descriptor))
        finally:
            os.close(descriptor)
    return False


def _records(descriptor: int) -> list[bytes]:
    records: list[bytes] = []
    while True:
        try:
            record = os.read(descriptor, RECORD)
        except BlockingIOError:
            return records
        except BrokenPipeError:
            # Overwritten while we read; the next read goes on behind the gap.
            continue
        if not record:
            return records
        records.append(record)
