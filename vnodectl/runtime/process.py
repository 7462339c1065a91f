"""What this process uses, as every Prometheus client library names it."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from vnodectl.runtime.prometheus import Registry

_STAT = Path("/proc/self/stat")
_DESCRIPTORS = "/proc/self/fd"


def add_process_metrics(registry: Registry) -> None:
    """The `process_` metrics; those that only Linux tells are left out elsewhere."""
    registry.read(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        lambda: {(): _cpu_seconds()},
    )
    if not _STAT.exists():
        return
    registry.read(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        lambda: {(): int(_stat_field(24)) * os.sysconf("SC_PAGE_SIZE")},
    )
    registry.read(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        lambda: {(): int(_stat_field(23))},
    )
    started = _start_time()
    registry.read(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        lambda: {(): started},
    )
    registry.read(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors.",
        lambda: {(): len(os.listdir(_DESCRIPTORS))},  # noqa: PTH208 - a count needs no path objects
    )
    registry.read(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        lambda: {(): _descriptor_limit()},
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _descriptor_limit() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def _stat_field(position: int) -> str:
    """By its number in proc(5); the second one, the program's name, may hold spaces."""
    return _STAT.read_text().rpartition(")")[2].split()[position - 3]


def _start_time() -> float:
    """Seconds since the epoch; the kernel tells them since boot."""
    since_boot = int(_stat_field(22)) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
