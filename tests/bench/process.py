"""A process to be measured: its memory, its CPU time, its life."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Subject:
    process: asyncio.subprocess.Process
    log: Path

    def memory(self) -> dict[str, int]:
        """Resident and proportional set size, and the highest resident size so far, in bytes."""
        found = {}
        fields = {"Rss": "rss", "Pss": "pss", "VmHWM": "peak"}
        for file in ("smaps_rollup", "status"):
            for line in Path(f"/proc/{self.process.pid}/{file}").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in fields:
                    found[fields[name]] = int(value.split()[0]) * _KIB
        return found

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def check(self) -> None:
        if self.process.returncode is not None:
            raise RuntimeError(
                f"it ended with code {self.process.returncode}: {self.log.read_text()[-2000:]}"
            )

    async def stop(self) -> float:
        """Ask it to end, as the kubelet does; seconds until it has."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await self.process.wait()
        return time.monotonic() - began


@asynccontextmanager
async def running(argv: Sequence[str], environ: Mapping[str, str], log: Path) -> AsyncIterator[Subject]:
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *argv, env=dict(environ), stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield Subject(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
