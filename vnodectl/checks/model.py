"""What a check is, what it may answer, and what came of asking.

A check is data plus one async function from a `Context` to an `Answer`. It reads and never changes
anything, and it knows nothing of other checks but the ids in `needs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from vnodectl.errors import EXIT_FAILED, EXIT_OK, EXIT_TIMEOUT, EXIT_UNREACHABLE, EXIT_USAGE, EXIT_WARNINGS

if TYPE_CHECKING:
    from vnodectl.checks.context import Context

SCHEMA_VERSION = 1
"""Of the JSON report. Raised when a field changes its meaning or goes away; new fields do not raise it."""


class Severity(StrEnum):
    """What a failed answer means: `fatal` stops an installation, `warning` does not."""

    FATAL = "fatal"
    WARNING = "warning"


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"


class Resource(StrEnum):
    """What a check needs to be asked at all."""

    PLAN = "plan"
    HELM = "helm"
    KUBE = "kube"
    AZURE = "azure"
    ALIBABA = "alibaba"
    REGISTRY = "registry"


ONLINE = frozenset({Resource.KUBE, Resource.AZURE, Resource.ALIBABA, Resource.REGISTRY})
"""Resources that `--offline` leaves out."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A change that mends a failure, as data: `connector.fixes` carries it out, never a check.

    `kind` names the function there, `parameters` are what it is given; `change` says in one sentence what
    will be changed, for whoever is asked to agree.
    """

    kind: str
    change: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found. Made by `passed`, `warned`, `failed` and `not_applicable`.

    `evidence` is what was seen; `cause` why it is wrong, one sentence; `fix` a command (or, where there is
    none, a sentence) that mends it, and `repair` the same for `--fix`, where it is safe. None of them may
    hold a secret.
    """

    verdict: Verdict
    evidence: str = ""
    cause: str = ""
    fix: str = ""
    repair: Repair | None = None


def passed(evidence: str) -> Answer:
    return Answer(Verdict.PASSED, evidence)


def warned(cause: str, *, evidence: str = "", fix: str = "") -> Answer:
    """Not good, but not in the way, whatever the severity of the check."""
    return Answer(Verdict.WARNING, evidence, cause, fix)


def failed(cause: str, *, evidence: str = "", fix: str, repair: Repair | None = None) -> Answer:
    """A failure; becomes a warning where the check's severity is `warning`."""
    return Answer(Verdict.FAILED, evidence, cause, fix, repair)


def not_applicable(reason: str) -> Answer:
    """The question does not arise here; shown as skipped, and nothing that needs it is held back."""
    return Answer(Verdict.SKIPPED, cause=reason)


def counted(number: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a transient error is tried again, and the seconds before the second try (then doubled)."""

    attempts: int = 3
    delay: float = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `deadline` in seconds covers every attempt; `doc` is an anchor of the checks' page.

    `why` says in a sentence or two what goes wrong where the answer is bad; `repairs` are the kinds of
    `Repair` that an answer may offer.
    """

    id: str
    category: str
    title: str
    ask: Callable[[Context], Awaitable[Answer]]
    severity: Severity = Severity.FATAL
    needs: tuple[str, ...] = ()
    resources: frozenset[Resource] = frozenset()
    deadline: float = 30.0
    retry: Retry = Retry()
    why: str = ""
    repairs: tuple[str, ...] = ()

    @property
    def doc(self) -> str:
        return f"checks.md#{self.id.lower()}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check. `seconds` of asking; `attempts` is 0 for one that was not asked.

    `exit_code` is what this outcome alone would make of a run, warnings not counted.
    """

    check: Check
    answer: Answer
    seconds: float = 0.0
    attempts: int = 0
    exit_code: int = EXIT_OK

    @property
    def verdict(self) -> Verdict:
        return self.answer.verdict

    @property
    def stopped(self) -> bool:
        """Whether the question stays open or was answered badly."""
        return self.verdict in {Verdict.FAILED, Verdict.TIMED_OUT}


@dataclass(frozen=True, slots=True)
class Report:
    """Every outcome, in the catalogue's order. `seconds` is the wall time of the whole run."""

    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.stopped)

    @property
    def warnings(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.verdict is Verdict.WARNING)

    @property
    def ok(self) -> bool:
        """Whether an installation may go on."""
        return not self.failures

    def exit_code(self, *, strict: bool = False) -> int:
        """1 where anything failed for sure, else 2 (what is asked for cannot be), 5 (no answer), 4 (timed
        out) or 3 (warnings, `strict`)."""
        codes = {outcome.exit_code for outcome in self.failures}
        for code in (EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_TIMEOUT):
            if code in codes:
                return code
        return EXIT_WARNINGS if strict and self.warnings else EXIT_OK

    def document(self) -> dict[str, Any]:
        """The JSON report: one document, the same keys for every outcome. Times are in seconds."""
        counts = {verdict.value: 0 for verdict in Verdict}
        for outcome in self.outcomes:
            counts[outcome.verdict.value] += 1
        return {
            "schemaVersion": SCHEMA_VERSION,
            "ok": self.ok,
            "durationSeconds": round(self.seconds, 3),
            "summary": counts,
            "checks": [_entry(outcome) for outcome in self.outcomes],
        }


def _entry(outcome: Outcome) -> dict[str, Any]:
    check, answer = outcome.check, outcome.answer
    skipped = answer.verdict is Verdict.SKIPPED
    return {
        "id": check.id,
        "category": check.category,
        "title": check.title,
        "severity": check.severity.value,
        "verdict": answer.verdict.value,
        "evidence": answer.evidence,
        "cause": "" if skipped else answer.cause,
        "fix": answer.fix,
        "fixable": answer.repair is not None,
        "skipped": answer.cause if skipped else "",
        "doc": check.doc,
        "attempts": outcome.attempts,
        "durationSeconds": round(outcome.seconds, 3),
    }
