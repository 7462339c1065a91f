"""What a validation found: per virtual node, each step with its time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from vnodectl.errors import EXIT_FAILED, EXIT_OK, EXIT_TIMEOUT, EXIT_UNREACHABLE

JSON = dict[str, Any]

SCHEMA_VERSION = 1
"""Of the JSON report. Raised when a field changes its meaning or goes away; new fields do not raise it."""


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """How a step ended: `detail` was seen, `cause` is why it failed or was skipped, `fix` mends it."""

    name: str
    verdict: Verdict
    seconds: float = 0.0
    detail: str = ""
    cause: str = ""
    fix: str = ""
    exit_code: int = EXIT_OK


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A node to validate. `missing` says why there is none to validate."""

    node: str
    os_type: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class NodeReport:
    target: NodeTarget
    steps: tuple[Step, ...]
    simulated: bool = False

    @property
    def ok(self) -> bool:
        return all(step.exit_code == EXIT_OK for step in self.steps)


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything that was found. `swept` are smoke pods of earlier, killed runs that were removed."""

    nodes: tuple[NodeReport, ...]
    seconds: float
    swept: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return all(node.ok for node in self.nodes)

    @property
    def exit_code(self) -> int:
        """1 where anything failed for sure, else 5 (no answer), else 4 (timed out)."""
        codes = {step.exit_code for node in self.nodes for step in node.steps}
        return next(
            (code for code in (EXIT_FAILED, EXIT_UNREACHABLE, EXIT_TIMEOUT) if code in codes), EXIT_OK
        )

    def document(self) -> JSON:
        """The JSON report: one document. Times are in seconds."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "ok": self.ok,
            "durationSeconds": round(self.seconds, 3),
            "sweptPods": list(self.swept),
            "nodes": [
                {
                    "node": node.target.node,
                    "osType": node.target.os_type,
                    "ok": node.ok,
                    "simulated": node.simulated,
                    "steps": [_entry(step) for step in node.steps],
                }
                for node in self.nodes
            ],
        }


def _entry(step: Step) -> JSON:
    skipped = step.verdict is Verdict.SKIPPED
    return {
        "name": step.name,
        "verdict": step.verdict.value,
        "durationSeconds": round(step.seconds, 3),
        "detail": step.detail,
        "cause": "" if skipped else step.cause,
        "fix": step.fix,
        "skipped": step.cause if skipped else "",
    }


class Observer(Protocol):
    """Who watches. Calls are synchronous; they print, they do not decide."""

    def started(self, target: NodeTarget, step: str) -> None: ...

    def finished(self, target: NodeTarget, step: Step) -> None: ...
