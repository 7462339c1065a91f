"""What was called, by whom, and how it was answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `template` is the route's path, or "" for an unknown one; `status` 0: dropped.

    `time` in seconds since the epoch of the emulated clock, `seconds` the real time it took.
    """

    time: float
    method: str
    template: str
    path: str
    status: int
    principal: str
    seconds: float
    code: str = ""
    client_request_id: str = ""


class Recorder:
    """Keeps the last `size` calls and counts all of them by method, template and status."""

    def __init__(self, size: int = 20_000) -> None:
        self._calls: deque[Call] = deque(maxlen=size)
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, call: Call) -> None:
        self._calls.append(call)
        self._counts[call.method, call.template, call.status] += 1

    def clear(self) -> None:
        self._calls.clear()
        self._counts.clear()

    def calls(
        self, *, method: str = "", template: str = "", status: int | None = None, since: float = 0
    ) -> Iterator[Call]:
        """Oldest first. `template` is a part of the template, without regard to case."""
        for call in tuple(self._calls):
            if (
                (not method or call.method == method.upper())
                and template.casefold() in call.template.casefold()
                and (status is None or call.status == status)
                and call.time >= since
            ):
                yield call

    def count(self, method: str = "", template: str = "", status: int | None = None) -> int:
        """Of all calls since the last `clear`, also those no longer kept."""
        return sum(
            number
            for (called, path, answered), number in self._counts.items()
            if (not method or called == method.upper())
            and template.casefold() in path.casefold()
            and (status is None or answered == status)
        )

    def counters(self) -> list[dict[str, Any]]:
        return [
            {"method": method, "template": template, "status": status, "count": number}
            for (method, template, status), number in sorted(self._counts.items())
        ]


def as_json(call: Call) -> dict[str, Any]:
    return asdict(call)
