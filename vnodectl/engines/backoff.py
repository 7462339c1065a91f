"""How long to wait before the next try, as the kubelet does it.

Source: kubelet's MaxContainerBackOff and client-go's flowcontrol.Backoff: the first restart is at once,
then 10 s, doubling to 300 s; a container that ran for ten minutes starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """All in seconds."""

    initial: float = 10
    cap: float = 300
    reset_after: float = 600


class RestartBackoff:
    """The delay before each restart of one container."""

    def __init__(self, policy: BackoffPolicy) -> None:
        self._policy = policy
        self._delay = 0.0
        self._last_restart: float | None = None

    def after_exit(self, finished: float) -> float:
        """Seconds to wait, counted from `finished` (seconds since the epoch), before the next start."""
        quiet = self._last_restart is not None and finished - self._last_restart > self._policy.reset_after
        if self._last_restart is None or quiet:
            self._delay = 0.0
        wait = self._delay
        self._delay = min(self._delay * 2 or self._policy.initial, self._policy.cap)
        self._last_restart = finished + wait
        return wait


class RetryBackoff:
    """The delay before each retry of something that keeps failing: the initial one, doubling to the cap."""

    def __init__(self, policy: BackoffPolicy) -> None:
        self._policy = policy
        self._delay = policy.initial

    def next(self) -> float:
        delay = self._delay
        self._delay = min(self._delay * 2, self._policy.cap)
        return delay
