"""`vnodectl check --cloud alibaba`: what it asks of whom, without a cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vnodectl.cli.app import run_program

PLACE = ("--cloud", "alibaba", "--region", "cn-hangzhou")


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    run_program(["check", *arguments, "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    return {one["id"]: one for one in document["checks"]}


def test_offline_the_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, *PLACE, "--offline")
    assert found["VN-REL-001"]["evidence"] == "eci-connector-linux-cn-hangzhou"
    found = asked(capsys, *PLACE, "--offline", "--release-name", "ack-virtual-node")
    assert found["VN-REL-001"]["evidence"] == "ack-virtual-node"


def test_who_is_not_signed_in_is_told_how(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    found = asked(capsys, *PLACE)
    mine = [one for name, one in found.items() if name.startswith("VN-ALI-")]
    assert mine
    assert all("aliyun configure" in one["skipped"] for one in mine)
    assert not [name for name in found if name.startswith("VN-AZ-")]  # nobody asks the other cloud


def test_a_cloud_that_nobody_listens_for_is_told_soon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5t")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "planted-secret")
    monkeypatch.setenv("VNODECTL_ALIBABA_ENDPOINT", "127.0.0.1:1")
    code = run_program(["check", *PLACE, "--only", "VN-ALI-001", "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    found = {one["id"]: one for one in document["checks"]}["VN-ALI-001"]
    assert (code, found["verdict"], found["attempts"]) == (5, "failed", 3)
    assert "did not answer" in found["cause"]
    # The check's own pauses, 0.5 s and 1 s, are all that it waits for but for a moment.
    assert found["durationSeconds"] < 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PLACE, "--os-type", "Windows"), "runs no Windows containers"),
        (("--cloud", "alibaba", "--region", "hangzhou"), "bad region"),
        ((*PLACE, "-g", "x"), "-g is for the cloud azure only"),
        (("--vswitch", "vsw-1"), "--vswitch is for the cloud alibaba only"),
        (("--cloud", "moon"), "unknown cloud"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["check", *arguments]) == 2
    assert message in capsys.readouterr().err
