"""The figures as a small table, each as a ratio to the floor of the same run."""

from __future__ import annotations

import statistics
from typing import Any

JSON = dict[str, Any]

_MIB = 1 << 20


def text(result: JSON) -> str:
    parts = [f"Kubernetes {result['kubernetes']}, Python {result['python']}, {result['cores']} cores\n"]
    if "bursts" in result:
        parts.append(_bursts(result["bursts"]))
    if "resting" in result:
        rows = [
            (str(one["pods"]), _mib(one["memory"]["rss"]), _mib(one["memory"]["pss"]), _percent(one))
            for one in result["resting"]
        ]
        parts.append(_table(("pods", "resident", "proportional", "idle CPU"), rows))
    if "strangers" in result:
        one = result["strangers"]
        grown = one["after"]["rss"] - one["before"]["rss"]
        parts.append(
            f"{one['secrets']} Secrets and {one['pods']} pods of others: "
            f"{_mib(one['before']['rss'])} before, {grown / _MIB:+.1f} MiB after\n"
        )
    if "restart" in result:
        one = result["restart"]
        parts.append(
            f"restart with {one['pods']} pods: stopped in {one['stop_seconds']:.1f} s, Ready again in "
            f"{one['node_ready_seconds']:.1f} s, converged in {one['converged_seconds']:.1f} s (one list: "
            f"{one['one_list_seconds']:.1f} s), {one['pods_written_to']} pods written to\n"
        )
    return "\n".join(parts)


def _bursts(bursts: list[JSON]) -> str:
    rows = []
    for size in dict.fromkeys(one["pods"] for one in bursts):
        least = _of(bursts, size, "floor")
        for subject in dict.fromkeys(one["subject"] for one in bursts):
            here = _of(bursts, size, subject)
            rows.append(
                (
                    str(size),
                    subject,
                    f"{here['running']:.1f} s",
                    f"{here['running'] / least['running']:.2f}",
                    f"{here['p99']:.2f} s",
                    f"{here['gone']:.1f} s",
                    f"{here['gone'] / least['gone']:.2f}",
                    f"{here['cpu']:.1f} s",
                    _mib(here["peak"]),
                )
            )
    heads = (
        "pods",
        "node",
        "Running",
        "by floor",
        "p99 of a pod",
        "gone",
        "by floor",
        "its CPU",
        "peak memory",
    )
    return _table(heads, rows)


def _of(bursts: list[JSON], size: int, subject: str) -> dict[str, float]:
    """The medians of a subject's rounds."""
    rounds = [one for one in bursts if (one["pods"], one["subject"]) == (size, subject)]
    values = {
        "running": [one["running_seconds"] for one in rounds],
        "gone": [one["gone_seconds"] for one in rounds],
        "p99": [one["pod_running_seconds"]["p99"] for one in rounds],
        "cpu": [one["running_cpu_seconds"] + one["gone_cpu_seconds"] for one in rounds],
        "peak": [one["memory"]["peak"] for one in rounds],
    }
    return {name: statistics.median(several) for name, several in values.items()}


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (heads, *rows)
    ]
    return "\n".join(lines) + "\n"


def _mib(size: float) -> str:
    return f"{size / _MIB:.0f} MiB"


def _percent(one: JSON) -> str:
    return f"{one['idle_cpu_percent']:.1f} %"
