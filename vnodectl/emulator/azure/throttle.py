"""ARM's limits per principal and subscription."""

from __future__ import annotations

from vnodectl.emulator.azure.config import Limits
from vnodectl.emulator.azure.errors import throttled
from vnodectl.emulator.buckets import TokenBucket
from vnodectl.emulator.clock import Clock

_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


class Throttle:
    """Reads, writes and deletes have a token bucket each; a response says what is left in its own."""

    def __init__(self, clock: Clock, subscription: str) -> None:
        self._clock = clock
        self._subscription = subscription
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def clear(self) -> None:
        self._buckets.clear()

    def take(self, method: str, principal: str, limits: Limits) -> dict[str, str]:
        """The headers for the answer. Raises ArmError 429."""
        kind = _KINDS.get(method, "writes")
        capacity, rate = getattr(limits, kind), getattr(limits, f"{kind}_per_second")
        if not capacity:
            return {}
        now = self._clock.now()
        bucket = self._buckets.get((principal, kind))
        if bucket is None:
            bucket = self._buckets[principal, kind] = TokenBucket(capacity, rate, now)
        wait = bucket.take(now)
        headers = {f"x-ms-ratelimit-remaining-subscription-{kind}": str(bucket.remaining(now))}
        if wait:
            error = throttled(
                "SubscriptionRequestsThrottled",
                f"Number of '{kind[:-1]}' requests for subscription '{self._subscription}' actor "
                f"'{principal}' exceeded. Please try again after '{{wait}}' seconds.",
                wait,
            )
            error.headers.update(headers)
            raise error
        return headers
