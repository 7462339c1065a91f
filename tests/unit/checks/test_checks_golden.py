"""One whole report as people and programs see it, from a recording: a broken world, replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vnodectl.checks import render
from vnodectl.checks.catalog import all_checks
from vnodectl.checks.model import Report
from vnodectl.checks.recording import replay
from vnodectl.checks.runner import run

HERE = Path(__file__).parent / "golden"


async def report() -> Report:
    """With a clock that stands still: durations are not what this is about."""
    recording = json.loads((HERE / "recording.json").read_text(encoding="utf-8"))
    return await run(all_checks(), replay(recording), clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.txt", render.table),
        ("report-short.txt", render.short),
        ("report.json", lambda found: json.dumps(found.document(), indent=2, ensure_ascii=False) + "\n"),
        ("report.xml", render.junit_xml),
    ],
)
async def test_a_whole_report(name, text):
    assert text(await report()) == (HERE / name).read_text(encoding="utf-8")


async def test_the_world_of_the_report_is_broken_in_many_ways():
    found = await report()
    verdicts = {outcome.verdict.value for outcome in found.outcomes}
    assert verdicts >= {"passed", "warning", "failed", "timed-out", "skipped"}
    assert found.exit_code() == 1
