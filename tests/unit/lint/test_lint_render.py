from __future__ import annotations

from dataclasses import replace
from typing import Any

from vnodectl.lint.catalogue import RULES
from vnodectl.lint.model import Finding, Report, Severity
from vnodectl.lint.render import sarif, summary, table, uri

ERROR = Finding(
    "a b.yaml", 3, "spec.hostNetwork", "VN-L-020", Severity.ERROR, "nothing is shared", "Remove it."
)
LIVE = Finding("web/Pod/a", 0, "spec", "VN-L-011", Severity.WARNING, "no selector")
REPORT = Report((ERROR, LIVE), objects=2, pods=1, suppressed=3)


def test_the_table() -> None:
    assert table(REPORT) == (
        "a b.yaml\n"
        "  error    VN-L-020  3: spec.hostNetwork\n"
        "           nothing is shared\n"
        "           fix: Remove it.\n"
        "\n"
        "web/Pod/a\n"
        "  warning  VN-L-011  spec\n"
        "           no selector\n"
        "\n"
        "1 error, 1 warning, 3 suppressed (2 objects, 1 for virtual nodes)\n"
    )
    assert summary(Report((), objects=1, pods=0)) == "nothing found (1 object, 0 for virtual nodes)"


def test_a_whole_document_has_a_line_and_no_path() -> None:
    assert table(Report((replace(ERROR, path=""),))).splitlines()[1] == "  error    VN-L-020  3"


def test_json_is_exactly_what_is_documented() -> None:
    assert Report((ERROR,)).document() == {
        "schemaVersion": 1,
        "findings": [
            {
                "code": "VN-L-020",
                "severity": "error",
                "file": "a b.yaml",
                "line": 3,
                "path": "spec.hostNetwork",
                "message": "nothing is shared",
                "suggestion": "Remove it.",
            }
        ],
    }


PARTIAL = replace(REPORT, unread=(("NetworkPolicy", "it is forbidden"),))


def test_a_partial_report_says_so_in_every_form() -> None:
    assert table(PARTIAL).splitlines()[-2:] == [
        "not looked at: NetworkPolicy: it is forbidden",
        "1 error, 1 warning, 3 suppressed (2 objects, 1 for virtual nodes), but not everything was looked at",
    ]
    assert PARTIAL.document()["unread"] == [{"what": "NetworkPolicy", "reason": "it is forbidden"}]
    (invocation,) = sarif(PARTIAL)["runs"][0]["invocations"]
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification == {
        "level": "warning",
        "message": {"text": "not looked at: NetworkPolicy: it is forbidden"},
    }
    (whole,) = sarif(REPORT)["runs"][0]["invocations"]
    assert whole == {"executionSuccessful": True}


def test_a_partial_report_is_doubtful() -> None:
    clean = Report((), objects=1)
    partial = replace(clean, unread=PARTIAL.unread)
    empty = Report(())
    assert [one.exit_code() for one in (clean, partial, empty, PARTIAL)] == [0, 0, 0, 1]
    assert [one.exit_code(strict=True) for one in (clean, partial, empty, PARTIAL)] == [0, 3, 3, 1]


EVIL = "a\x1b[31m\n0 errors\r\x9b2J\u202e[red]\udcff"
SHOWN = "a\\x1b[31m\\n0 errors\\r\\x9b2J\\u202e[red]\\udcff"


def test_what_users_wrote_cannot_write_on_their_terminal() -> None:
    one = replace(ERROR, file=EVIL, path=EVIL, message=EVIL, suggestion=EVIL)
    text = table(replace(PARTIAL, findings=(one,), unread=((EVIL, EVIL),)))
    assert text.splitlines() == [
        SHOWN,
        f"  error    VN-L-020  3: {SHOWN}",
        f"           {SHOWN}",
        f"           fix: {SHOWN}",
        "",
        f"not looked at: {SHOWN}: {SHOWN}",
        "1 error, 3 suppressed (2 objects, 1 for virtual nodes), but not everything was looked at",
    ]
    assert all(line.isprintable() for line in text.splitlines())


def test_what_is_very_long_is_cut_in_the_table() -> None:
    one = replace(ERROR, message="m" * 5000, suggestion="s" * 5000)
    lines = table(Report((one,), objects=1)).splitlines()
    assert lines[2] == f"           {'m' * 499}…"
    assert lines[3] == f"           fix: {'s' * 5000}"  # a patch has to be whole


def required(value: dict[str, Any], *keys: str) -> None:
    assert set(keys) <= value.keys()


def test_sarif_has_what_its_schema_asks_for() -> None:
    """What SARIF 2.1.0 requires (section 3 of the standard), and the enumerations that are used."""
    found = sarif(REPORT)
    required(found, "version", "runs")
    assert found["version"] == "2.1.0"
    (run,) = found["runs"]
    driver = run["tool"]["driver"]
    required(driver, "name", "rules")
    for one in driver["rules"]:
        required(one, "id", "shortDescription")
        assert one["shortDescription"]["text"]
        assert one["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    ids = [one["id"] for one in driver["rules"]]
    assert len(set(ids)) == len(ids) == len(RULES)
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    for result in run["results"]:
        required(result, "message", "ruleId", "ruleIndex", "level", "locations")
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        for location in result["locations"]:
            physical = location.get("physicalLocation")
            if physical:
                assert physical["region"]["startLine"] >= 1
                assert " " not in physical["artifactLocation"]["uri"]
    in_file, live = run["results"]
    assert in_file["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.yaml"
    assert "physicalLocation" not in live["locations"][0]
    logical = live["locations"][0]["logicalLocations"][0]
    assert logical == {"fullyQualifiedName": "web/Pod/a#spec", "kind": "resource"}


def test_uris() -> None:
    assert uri("-") == "stdin"
    assert uri("deploy/a.yaml") == "deploy/a.yaml"
    assert uri("/srv/a b.yaml") == "file:///srv/a%20b.yaml"
    assert uri("a\udcff\n.yaml") == "a%FF%0A.yaml"
    assert uri("/a\udcff.yaml") == "file:///a%FF.yaml"


def test_an_information_is_a_note() -> None:
    found = sarif(Report((replace(ERROR, severity=Severity.INFO),)))
    assert found["runs"][0]["results"][0]["level"] == "note"
