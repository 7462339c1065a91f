"""Whether two clocks agree."""

from __future__ import annotations

from vnodectl.checks.model import Answer, failed, not_applicable, passed

TOLERANCE = 30.0
"""Seconds. Tokens and Leases are good for minutes, but a Lease of 40 s looks dead to a clock 40 s ahead."""


def clock_answer(whose: str, skew: float | None) -> Answer:
    """`skew` in seconds, as `clock_skew` of the readers."""
    if skew is None:
        return not_applicable(f"{whose} does not tell its time")
    if abs(skew) <= TOLERANCE:
        return passed("within a second" if abs(skew) <= 1 else f"{abs(skew):.0f} s apart")
    return failed(
        f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} that of {whose}",
        evidence=f"{skew:+.0f} s",
        fix="set the clock: sudo timedatectl set-ntp true",
    )
