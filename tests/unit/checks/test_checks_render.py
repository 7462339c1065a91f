"""Golden reports: text, JSON and JUnit."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from vnodectl.checks import junit, render
from vnodectl.checks.model import (
    Answer,
    Check,
    Outcome,
    Report,
    Verdict,
    failed,
    not_applicable,
    passed,
    warned,
)


def outcome(id_: str, category: str, answer: Answer, seconds: float = 0.0, attempts: int = 1) -> Outcome:
    return Outcome(Check(id_, category, f"Is {id_} so?", None), answer, seconds, attempts)


REPORT = Report(
    (
        outcome("VN-T-001", "tools", passed("/usr/bin/tool"), 0.04),
        outcome("VN-T-002", "tools", not_applicable("needs the network"), attempts=0),
        outcome("VN-LONG-001", "cloud", failed("it is off", evidence="state off", fix="turn it on"), 1.26),
        outcome("VN-C-002", "cloud", warned("it is <old>", fix="renew it"), 0.5),
        outcome("VN-C-003", "cloud", Answer(Verdict.TIMED_OUT, cause="no answer within 5 s"), 5.0),
    ),
    5.04,
)


def test_table():
    assert (
        render.table(REPORT)
        == """\
tools
  ok    VN-T-001     Is VN-T-001 so?  (0.0s)
                     /usr/bin/tool
  skip  VN-T-002     Is VN-T-002 so?
                     needs the network

cloud
  FAIL  VN-LONG-001  Is VN-LONG-001 so?  (1.3s)
                     cause: it is off
                     seen:  state off
                     fix:   turn it on
  warn  VN-C-002     Is VN-C-002 so?  (0.5s)
                     cause: it is <old>
                     fix:   renew it
  TIME  VN-C-003     Is VN-C-003 so?  (5.0s)
                     cause: no answer within 5 s

1 passed, 1 warning, 1 failed, 1 timed-out, 1 skipped in 5.0s
"""
    )


def test_short():
    assert (
        render.short(REPORT)
        == """\
  FAIL  VN-LONG-001  Is VN-LONG-001 so?  (1.3s)
                     cause: it is off
                     seen:  state off
                     fix:   turn it on
  TIME  VN-C-003     Is VN-C-003 so?  (5.0s)
                     cause: no answer within 5 s
  warn  VN-C-002     Is VN-C-002 so?  (0.5s)
                     cause: it is <old>
                     fix:   renew it
1 passed, 1 warning, 1 failed, 1 timed-out, 1 skipped in 5.0s
"""
    )


def test_short_without_problems_is_one_line():
    assert render.short(Report(REPORT.outcomes[:1], 0.1)) == "1 passed in 0.1s\n"


def test_json_is_one_document_with_the_same_keys_everywhere():
    document = json.loads(json.dumps(REPORT.document()))
    assert {key: document[key] for key in document if key != "checks"} == {
        "schemaVersion": 1,
        "ok": False,
        "durationSeconds": 5.04,
        "summary": {"passed": 1, "warning": 1, "failed": 1, "timed-out": 1, "skipped": 1},
    }
    assert document["checks"][2] == {
        "id": "VN-LONG-001",
        "category": "cloud",
        "title": "Is VN-LONG-001 so?",
        "severity": "fatal",
        "verdict": "failed",
        "evidence": "state off",
        "cause": "it is off",
        "fix": "turn it on",
        "skipped": "",
        "fixable": False,
        "doc": "checks.md#vn-long-001",
        "attempts": 1,
        "durationSeconds": 1.26,
    }
    assert document["checks"][1]["skipped"] == "needs the network"
    assert len({frozenset(entry) for entry in document["checks"]}) == 1


def test_junit():
    root = ElementTree.fromstring(render.junit_xml(REPORT))  # noqa: S314 - our own output
    (suite,) = root
    assert suite.attrib == {
        "name": "vnodectl check",
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "5.040",
    }
    kinds = {case.attrib["name"].split()[0]: [child.tag for child in case] for case in suite}
    assert kinds == {
        "VN-T-001": ["system-out"],
        "VN-T-002": ["skipped"],
        "VN-LONG-001": ["failure"],
        "VN-C-002": ["system-out"],
        "VN-C-003": ["error"],
    }
    assert suite.find(".//failure").text == "it is off\nstate off\nfix: turn it on"


@pytest.mark.parametrize("text", ["\x00\x1b[31m", "\ud800", "]]>", "<&\"'", "line\nline"])
def test_junit_takes_any_text(text):
    case = junit.Case("c", text, failure=text, output=text)
    ElementTree.fromstring(junit.document("s", [case], 0).encode())  # noqa: S314 - our own output
