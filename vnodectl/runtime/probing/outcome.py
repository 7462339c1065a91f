"""How a single probe went."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """WARNING counts as a success that people should hear of; UNKNOWN counts as nothing at all."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`message` is for people, as in a kubelet's Unhealthy event; never a response's body."""

    verdict: Verdict
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict in (Verdict.SUCCESS, Verdict.WARNING)


SUCCESS = Outcome(Verdict.SUCCESS)


def failure(message: str) -> Outcome:
    return Outcome(Verdict.FAILURE, message)
