"""How often each API may be called. The limits are an account's, so the nodes of a process share them."""

from __future__ import annotations

from vnodectl.providers.timing import Pace, Timer

PER_MINUTE = {
    "CreateContainerGroup": 1000,
    "DeleteContainerGroup": 1000,
    "DescribeContainerGroupStatus": 10_000,
    "DescribeContainerGroupEvents": 10_000,
    "DescribeContainerGroups": 2000,
    "DescribeContainerLog": 500,
    "DescribeMultiContainerGroupMetric": 500,
    "ExecContainerCommand": 500,
    "RestartContainerGroup": 500,
    "UpdateContainerGroup": 500,
}
"""Calls that an account may make of each API (Elastic Container Instance, "Limits", API limits)."""

_OTHERS_SHARE = 10
"""A tenth of what may be called at once is left to whoever else uses the account."""


class ApiLimits:
    """A bucket for each API: one that is empty delays no other."""

    def __init__(self, timer: Timer) -> None:
        self._paces = {
            action: Pace(limit / 60, limit - limit // _OTHERS_SHARE, timer, lambda: 1.0)
            for action, limit in PER_MINUTE.items()
        }

    async def take(self, action: str) -> None:
        """Wait for a call's turn."""
        await self._paces[action].take()

    def take_now(self, action: str) -> float:
        """0 where the call may be made, which counts it; else the seconds until it may."""
        return self._paces[action].take_now()
