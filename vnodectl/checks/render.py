"""A report as text for people, and as JUnit. Pure: nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vnodectl.checks import junit
from vnodectl.checks.junit import Case
from vnodectl.checks.model import Check, Outcome, Report, Verdict

_WORDS = {
    Verdict.PASSED: "ok",
    Verdict.WARNING: "warn",
    Verdict.FAILED: "FAIL",
    Verdict.TIMED_OUT: "TIME",
    Verdict.SKIPPED: "skip",
}


def table(report: Report) -> str:
    """Every outcome, by category; below a problem, its evidence and its fix."""
    width = max((len(outcome.check.id) for outcome in report.outcomes), default=0)
    lines: list[str] = []
    category = ""
    for outcome in report.outcomes:
        if outcome.check.category != category:
            category = outcome.check.category
            lines += [*([""] if lines else []), category]
        lines += _block(outcome, width)
    return "\n".join([*lines, "", _summary(report)]) + "\n"


def short(report: Report) -> str:
    """Only problems, and one line that sums up."""
    problems = [*report.failures, *report.warnings]
    width = max((len(outcome.check.id) for outcome in problems), default=0)
    lines = [line for outcome in problems for line in _block(outcome, width)]
    return "\n".join([*lines, _summary(report)]) + "\n"


def junit_xml(report: Report) -> str:
    """Warnings pass, with their text in system-out: CI systems know no warnings."""
    return junit.document("vnodectl check", [_case(outcome) for outcome in report.outcomes], report.seconds)


def listing(checks: Iterable[Check]) -> Sequence[tuple[str, ...]]:
    """A row per check: id, category, severity, what it needs, question."""
    return [
        (check.id, check.category, check.severity.value, ", ".join(check.needs) or "-", check.title)
        for check in checks
    ]


def _block(outcome: Outcome, width: int) -> list[str]:
    check, answer = outcome.check, outcome.answer
    time = f"  ({outcome.seconds:.1f}s)" if outcome.attempts else ""
    lines = [f"  {_WORDS[answer.verdict]:<4}  {check.id:<{width}}  {check.title}{time}"]
    indent = " " * (10 + width)
    if answer.verdict is Verdict.PASSED:
        lines += [f"{indent}{answer.evidence}"] if answer.evidence else []
        return lines
    if answer.verdict is Verdict.SKIPPED:
        return [*lines, f"{indent}{answer.cause}"]
    for label, text in (("cause", answer.cause), ("seen", answer.evidence), ("fix", answer.fix)):
        if text:
            lines.append(f"{indent}{label + ':':<6} {text}")
    return lines


def _summary(report: Report) -> str:
    counts = dict.fromkeys(Verdict, 0)
    for outcome in report.outcomes:
        counts[outcome.verdict] += 1
    said = [f"{count} {verdict.value}" for verdict, count in counts.items() if count]
    return f"{', '.join(said) or 'no checks'} in {report.seconds:.1f}s"


def _case(outcome: Outcome) -> Case:
    check, answer = outcome.check, outcome.answer
    text = "\n".join(filter(None, (answer.cause, answer.evidence, answer.fix and f"fix: {answer.fix}")))
    return Case(
        classname=check.category,
        name=f"{check.id} {check.title}",
        seconds=outcome.seconds,
        failure=text if answer.verdict is Verdict.FAILED else "",
        error=text if answer.verdict is Verdict.TIMED_OUT else "",
        skipped=answer.cause if answer.verdict is Verdict.SKIPPED else "",
        output=text if answer.verdict in {Verdict.PASSED, Verdict.WARNING} else "",
    )
