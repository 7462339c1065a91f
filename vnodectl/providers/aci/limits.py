"""What a subscription may be asked: reads by budget, creates and deletes by ACI's own limits.

All of it belongs to the subscription, so the nodes of one process share one `AciLimits`; replicas and others
who use the subscription are felt through ARM's `x-ms-ratelimit-remaining-*` headers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable

from vnodectl.providers.aci.settings import ReadBudget
from vnodectl.providers.timing import Pace, Timer

HOUR, MINUTES = 3600.0, 300.0
PER_MINUTES = 3
"""ACI allows 300 creates and 300 deletes an hour, and 100 of either in five minutes: a third."""

_FLOOR = 0.1
_FORGET = 600.0
"""Seconds after which a turn that nobody came for is forgotten."""


class Allowance:
    """At most `per_hour` turns in any hour, and a third of that in any five minutes.

    Nobody waits here: who cannot go yet is told when, and that turn is kept for him.
    """

    def __init__(self, per_hour: int, timer: Timer) -> None:
        self._timer = timer
        self._most = per_hour
        self._few = max(1, per_hour // PER_MINUTES)
        self._turns: deque[float] = deque(maxlen=per_hour)
        """When those may go that have asked, in order."""
        self._went: deque[float] = deque(maxlen=per_hour)
        """When they went, which may be later."""
        self._kept: dict[Hashable, float] = {}

    def take(self, who: Hashable) -> float:
        """0: go, it is counted. Else the seconds until the turn of `who`, who should ask again then."""
        now = self._timer.now()
        turn = self._kept.get(who)
        if turn is None or now > turn + _FORGET:
            turn = self._turn(now)
        turn = max(turn, self._free(self._went, now))
        if turn > now:
            self._kept[who] = turn
            return turn - now
        self._kept.pop(who, None)
        self._went.append(now)
        return 0.0

    @property
    def waiting(self) -> int:
        """How many have been told to come back."""
        now = self._timer.now()
        return sum(1 for turn in self._kept.values() if now <= turn + _FORGET)

    def forget(self, who: Hashable) -> None:
        self._kept.pop(who, None)

    def _turn(self, now: float) -> float:
        turn = self._free(self._turns, now)
        self._turns.append(turn)
        if len(self._kept) > self._most:
            self._kept = {who: at for who, at in self._kept.items() if now <= at + _FORGET}
        return turn

    def _free(self, times: deque[float], now: float) -> float:
        """The first moment from `now` on at which one more fits."""
        if len(times) >= self._few:
            now = max(now, times[-self._few] + MINUTES)
        if len(times) >= self._most:
            now = max(now, times[0] + HOUR)
        return now


class ReadLimits:
    """The lanes of reads. Each slows down as ARM says that less is left, whoever spends it."""

    def __init__(self, budget: ReadBudget, timer: Timer, remaining: Callable[[], int]) -> None:
        def factor() -> float:
            left = remaining()
            return 1.0 if left < 0 or left >= budget.reserve else max(_FLOOR, left / budget.reserve)

        self.urgent = Pace(budget.urgent_rate, budget.burst, timer, factor)
        self.steady = Pace(budget.steady_rate, budget.burst, timer, factor)
        self.stats = Pace(budget.stats_rate, budget.burst, timer, factor)


class AciLimits:
    """Shared by the nodes of a process. `remaining` is ARM's last word on reads (-1: none yet)."""

    def __init__(
        self,
        timer: Timer,
        remaining: Callable[[], int],
        *,
        creates: int = 300,
        deletes: int = 300,
        budget: ReadBudget | None = None,
    ) -> None:
        self.creates = Allowance(creates, timer)
        self.deletes = Allowance(deletes, timer)
        self.reads = ReadLimits(budget or ReadBudget(), timer, remaining)
