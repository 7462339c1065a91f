"""`vnodectl check` as a user of the sandbox runs it: all is well, something is broken, it is mended."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.sandboxes import Sandbox

pytestmark = pytest.mark.e2e

ACI = "Microsoft.ContainerInstance"
PLACE = ("-g", "demo-aks", "-n", "demo", "--aci-resource-group", "demo-aci")


def check(sandbox: Sandbox, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = sandbox.run("vnodectl", "check", "-o", "json", *PLACE, *arguments, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def bad(report: dict[str, Any]) -> dict[str, str]:
    return {
        one["id"]: one["cause"] for one in report["checks"] if one["verdict"] not in {"passed", "skipped"}
    }


def control(sandbox: Sandbox, method: str, path: str, body: Any) -> None:
    """Tell the emulated cloud something."""
    url = sandbox.environment["VNODECTL_EMULATOR_CONTROL"] + path
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.status < 300


@pytest.fixture
def unregistered(sandbox: Sandbox) -> Iterator[None]:
    control(sandbox, "PUT", "/providers", {ACI: "NotRegistered"})
    try:
        yield
    finally:
        control(sandbox, "PUT", "/providers", {ACI: "Registered"})


def test_where_all_is_well(sandbox: Sandbox) -> None:
    code, report, stderr = check(sandbox)
    fatal = {one["id"] for one in report["checks"] if one["verdict"] in {"failed", "timed-out"}}
    assert (code, fatal) == (0, set()), (bad(report), stderr)
    passed = {one["id"] for one in report["checks"] if one["verdict"] == "passed"}
    assert passed >= {"VN-KUBE-003", "VN-KUBE-005", "VN-AZ-001", "VN-AZ-002", "VN-AZ-015", "VN-REL-003"}


def test_what_is_broken_is_found_mended_and_asked_for_again(sandbox: Sandbox, unregistered: None) -> None:
    code, report, _ = check(sandbox)
    assert code == 1
    assert "VN-AZ-002" in bad(report)
    code, report, stderr = check(sandbox, "--fix", "--yes")
    assert code == 0, (bad(report), stderr)
    assert [(one["id"], one["applied"], one["passes"]) for one in report["fixes"]] == [
        ("VN-AZ-002", True, True)
    ]
    assert "VN-AZ-002: mended" in stderr


def test_nobody_to_ask_changes_nothing(sandbox: Sandbox, unregistered: None) -> None:
    done = sandbox.run("vnodectl", "check", "--fix", check=False)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "VN-AZ-002" in bad(check(sandbox)[1])
