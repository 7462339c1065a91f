"""A report as a table for people, and as SARIF 2.1.0 for code scanning. Pure."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from urllib.parse import quote

from vnodectl import __version__
from vnodectl.lint.catalogue import RULES
from vnodectl.lint.model import JSON, Finding, Report, Severity
from vnodectl.plain import one_line

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_WIDEST = 500
"""Of what is shown of a path or a message in the table; the other forms have all of it."""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def table(report: Report) -> str:
    """Findings by file; below each, what to do. Ends with one line that sums up."""
    lines: list[str] = []
    file = None
    for one in report.findings:
        if one.file != file:
            lines += [*([""] if lines else []), one_line(one.file)]
            file = one.file
        place = ": ".join(filter(None, (str(one.line or ""), _short(one.path))))
        lines.append(f"  {one.severity.value:<7}  {one.code}  {place}")
        lines.append(f"           {_short(one.message)}")
        if one.suggestion:
            lines.append(f"           fix: {one_line(one.suggestion)}")
    lines += [""] if lines else []
    lines += [one_line(f"not looked at: {what}: {reason}") for what, reason in report.unread]
    return "\n".join([*lines, summary(report)]) + "\n"


def _short(text: str) -> str:
    shown = one_line(text)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"


def summary(report: Report) -> str:
    counts = Counter(one.severity for one in report.findings)
    said = [f"{counts[kind]} {_plural(kind.value, counts[kind])}" for kind in Severity if counts[kind]]
    looked = f"{report.objects} {_plural('object', report.objects)}, {report.pods} for virtual nodes"
    hidden = f", {report.suppressed} suppressed" if report.suppressed else ""
    partial = ", but not everything was looked at" if report.unread else ""
    return f"{', '.join(said) or 'nothing found'}{hidden} ({looked}){partial}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 or word == "info" else f"{word}s"


def sarif(report: Report) -> JSON:
    """One run. Objects of a cluster have no file: they are logical locations."""
    index = {rule.code: number for number, rule in enumerate(RULES)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "vnodectl",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": rule.code,
                                "name": rule.name,
                                "shortDescription": {"text": rule.title},
                                "fullDescription": {"text": rule.why},
                                "help": {"text": rule.remedy},
                                "defaultConfiguration": {"level": _LEVELS[rule.severity]},
                            }
                            for rule in RULES
                        ],
                    }
                },
                "invocations": [_invocation(report)],
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, index[one.code]) for one in report.findings],
            }
        ],
    }


def _invocation(report: Report) -> JSON:
    """That it ran to its end; what could not be looked at are notifications."""
    said = [
        {"level": "warning", "message": {"text": f"not looked at: {what}: {reason}"}}
        for what, reason in report.unread
    ]
    return {"executionSuccessful": True, **({"toolExecutionNotifications": said} if said else {})}


def _result(one: Finding, rule: int) -> JSON:
    logical: JSON = {"fullyQualifiedName": one.path or one.file}
    location: JSON = {"logicalLocations": [logical]}
    if one.line:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": uri(one.file)},
            "region": {"startLine": one.line},
        }
    else:
        logical["fullyQualifiedName"] = f"{one.file}#{one.path}" if one.path else one.file
        logical["kind"] = "resource"
    text = f"{one.message}. {one.suggestion}" if one.suggestion else one.message
    return {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": _LEVELS[one.severity],
        "message": {"text": text},
        "locations": [location],
    }


def uri(file: str) -> str:
    """A file's URI reference: relative paths stay relative, as code scanning wants them."""
    if file == "-":
        return "stdin"
    path = PurePosixPath(file)
    return path.as_uri() if path.is_absolute() else quote(str(path), errors="surrogateescape")
