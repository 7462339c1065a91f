"""The checks, asked as `vnodectl check` asks them, with everything that they were told: for a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vnodectl.checks import render
from vnodectl.checks.archive import MEMBER
from vnodectl.checks.catalog import checks_for
from vnodectl.checks.recording import Recorder
from vnodectl.checks.runner import run
from vnodectl.connector.redact import Redactor
from vnodectl.sysdump.bundle import Files

if TYPE_CHECKING:
    from vnodectl.checks.context import Context


async def checks(context: Context, clean: Redactor) -> tuple[Files, Sequence[str]]:
    """The report as JSON and as text, and the recording."""
    recorder = Recorder(redact=clean)
    report = await run(checks_for(context.target.cloud), recorder.wrap(context))
    return {
        "checks/report.json": report.document(),
        "checks/report.txt": render.table(report),
        MEMBER: recorder.document(),
    }, ()
