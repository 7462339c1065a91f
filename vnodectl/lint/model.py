"""What lint finds, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vnodectl.errors import EXIT_FAILED, EXIT_OK, EXIT_WARNINGS

JSON = dict[str, Any]
Step = str | int
"""One step of a path in an object: a key, or an index of a list."""
Steps = tuple[Step, ...]

SCHEMA_VERSION = 1
"""Of the JSON document. Raised when a field changes its meaning or goes away; new fields do not raise it."""


class Severity(StrEnum):
    """`error`: the pod does not run. `warning`: it runs otherwise than it says. `info`: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing at one place.

    `file` is a path, `-` for standard input or `namespace/kind/name` for an object of a cluster, which has
    `line` 0; else lines count from 1. `path` leads from the object (`spec.template.spec.hostNetwork`).
    """

    file: str
    line: int
    path: str
    code: str
    severity: Severity
    message: str
    suggestion: str = ""

    def document(self) -> JSON:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "file": self.file,
            "line": self.line,
            "path": self.path,
            "message": self.message,
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found, by file and line. `objects` were looked at, `pods` of them can land on the node.

    `suppressed` counts findings that an annotation or --ignore took away; `skipped` says, by rule code,
    why a rule could not be asked. `unread` are (what, why) of what may not be read: the report is partial.
    """

    findings: tuple[Finding, ...]
    objects: int = 0
    pods: int = 0
    suppressed: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    def count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)

    def exit_code(self, *, strict: bool = False) -> int:
        """1 where there is an error, else 0; with `strict` 3 where there is a warning, where not everything
        could be looked at, and where there was nothing to look at.
        """
        if self.count(Severity.ERROR):
            return EXIT_FAILED
        doubtful = self.count(Severity.WARNING) or self.unread or not self.objects
        return EXIT_WARNINGS if strict and doubtful else EXIT_OK

    def document(self) -> JSON:
        """`unread` is there only in a partial report."""
        unread = [{"what": what, "reason": reason} for what, reason in self.unread]
        return {
            "schemaVersion": SCHEMA_VERSION,
            "findings": [one.document() for one in self.findings],
            **({"unread": unread} if unread else {}),
        }
