"""What installing and upgrading say of their checks and of each release, in a table or a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vnodectl.cli.output import complain, note, warn, write_table
from vnodectl.errors import EXIT_FAILED, EXIT_OK, EXIT_TIMEOUT

if TYPE_CHECKING:
    from vnodectl.checks.model import Report
    from vnodectl.connector.release import Installed

JSON = dict[str, Any]

_STUCK_RELEASE = "VN-REL-002"
"""The check for a release that an interrupted run left pending: both commands repair that themselves."""


def bearable(report: Report) -> Report:
    """The report without what installing and upgrading mend by themselves."""
    kept = (one for one in report.outcomes if not (one.stopped and one.check.id == _STUCK_RELEASE))
    return replace(report, outcomes=tuple(kept))


def tell_report(report: Report) -> None:
    """Warnings and failures of the checks, on stderr."""
    for problem in report.warnings:
        warn(f"{problem.check.id}: {problem.answer.cause}")
        if problem.answer.fix:
            note(f"  fix: {problem.answer.fix}")
    for problem in report.failures:
        cause, evidence = problem.answer.cause or problem.check.title, problem.answer.evidence
        seen = f" ({evidence})" if evidence and evidence not in cause else ""
        complain(f"{problem.check.id}: {cause}{seen}", problem.answer.fix)
    if not report.ok:
        note("nothing was changed")
    if mendable := [one.check.id for one in report.failures if one.answer.repair is not None]:
        note(f"{', '.join(mendable)} can be mended: vnodectl check --fix, with the same options")


def write_installed(results: Sequence[Installed]) -> None:
    """A row for each node."""
    write_table(
        ("OS", "NODE", "RELEASE", "STATUS", "TIME"),
        [
            (
                result.connector.os_type,
                node,
                result.connector.release,
                _status(result),
                f"{result.seconds:.0f}s",
            )
            for result in results
            for node in result.connector.node_names
        ],
    )


def came_out(result: Installed | None) -> JSON:
    """A release's part of a JSON document that says how it came out; None: it was not touched."""
    if result is None:
        return {"status": "not-installed"}
    return {
        "status": _status(result),
        "revision": result.revision,
        "removedNodes": list(result.retired),
        "message": result.message,
        "hint": result.hint,
        "durationSeconds": round(result.seconds, 3),
    }


def exit_code(results: Sequence[Installed]) -> int:
    """That of the failed releases where they agree, else 1; 0 where none failed."""
    codes = {result.exit_code for result in results if not result.ok}
    if not codes:
        return EXIT_OK
    return codes.pop() if len(codes) == 1 else EXIT_FAILED


def _status(result: Installed) -> str:
    """`ready` says that the nodes were seen Ready; `installed` that nobody waited for it."""
    if result.ok:
        return "ready" if result.node else "installed"
    return "timed-out" if result.exit_code == EXIT_TIMEOUT else "failed"
