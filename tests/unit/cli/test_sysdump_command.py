"""`vnodectl sysdump` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.fake_api import threaded_cluster
from support.planted import Plants, kubeconfig, members, plant

from vnodectl.cli.app import run_program

RELEASE = "aci-connector-linux-eastus"
NODE = f"virtual-kubelet-{RELEASE}"


@pytest.fixture
def cluster(tmp_path: Path):
    plants = Plants()
    with threaded_cluster() as (api, url):
        plant(api, plants, namespace="vnode-system", release=RELEASE, node=NODE)
        yield api, kubeconfig(tmp_path / "config", url, plants), plants


def sysdump(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_program(["sysdump", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_an_archive(capsys, cluster, tmp_path: Path) -> None:
    _, config, plants = cluster
    path = tmp_path / "case-1.tar.gz"
    code, out, err = sysdump(capsys, "-f", str(path), "--kubeconfig", config)
    assert (code, out) == (0, f"{path}\n")
    assert "nodes: collected\n" in err
    assert "container groups: skipped (nobody is signed in to the cloud)" in err
    # Without a region nothing can be planned: that is said, and costs nothing else.
    assert "warning: plan could not be collected" in err
    assert plants.found(path) == []
    assert all(secret not in out + err for secret in plants.all.values())
    with tarfile.open(path) as packed:
        assert packed.getnames()[0] == "case-1/manifest.json"


def test_the_result_as_json_and_strict(capsys, cluster, tmp_path: Path) -> None:
    _, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    code, out, _ = sysdump(capsys, "-f", str(path), "--kubeconfig", config, "-o", "json", "--strict")
    document = json.loads(out)
    assert code == 3
    assert (document["kind"], document["schemaVersion"], document["complete"]) == ("Sysdump", 1, False)
    assert (document["path"], document["size"]) == (str(path), path.stat().st_size)
    assert document["sections"] == json.loads(members(path)["manifest.json"])["sections"]


def test_checks_are_replayed_from_it_with_the_same_verdicts(capsys, cluster, tmp_path: Path) -> None:
    _, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    assert sysdump(capsys, "-f", str(path), "--kubeconfig", config, "-l", "eastus")[0] == 0
    run_program(["check", "--from-sysdump", str(path), "-o", "json"])
    reports = (json.loads(members(path)["checks/report.json"]), json.loads(capsys.readouterr().out))
    verdicts = [{one["id"]: one["verdict"] for one in report["checks"]} for report in reports]
    assert verdicts[0] == verdicts[1]
    assert "passed" in verdicts[0].values()


def test_nothing_is_overwritten(capsys, cluster, tmp_path: Path) -> None:
    api, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    path.write_text("mine")
    code, out, err = sysdump(capsys, "-f", str(path), "--kubeconfig", config)
    assert (code, out) == (2, "")
    assert "overwrite it with --force" in err
    assert path.read_text() == "mine"
    assert api.requests == []
    assert sysdump(capsys, "-f", str(path), "--kubeconfig", config, "--force")[0] == 0
    assert tarfile.is_tarfile(path)


def test_the_name_that_it_gets_by_itself(
    capsys, cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config, _ = cluster
    monkeypatch.chdir(tmp_path)
    _, out, _ = sysdump(capsys, "--kubeconfig", config)
    assert out.startswith("vnodectl-sysdump-2")
    assert members(tmp_path / out.strip())["manifest.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kubeconfig", "/not/there"],
        ["--cloud", "gcp"],
        ["-f", "/not/there/a.tar.gz"],
        ["-f", "/tmp"],
        ["--namespace", "Not_A_Name"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys, cluster, tmp_path: Path, monkeypatch) -> None:
    _, config, _ = cluster
    monkeypatch.chdir(tmp_path)
    before = sorted(one.name for one in tmp_path.iterdir())
    given = arguments if "--kubeconfig" in arguments else [*arguments, "--kubeconfig", config]
    code, out, err = sysdump(capsys, *given)
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == before


def test_an_unreachable_cluster_still_makes_an_archive(capsys, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", Plants())
    path = tmp_path / "a.tar.gz"
    code, out, _ = sysdump(capsys, "-f", str(path), "--kubeconfig", config)
    assert (code, out) == (5, f"{path}\n")
    assert "checks/report.json" in members(path)


def test_without_any_kubeconfig_there_is_an_archive_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.tar.gz"
    code, out, err = sysdump(capsys, "-f", str(path))
    assert (code, out) == (1, f"{path}\n")
    assert "cluster could not be collected: no kubeconfig at" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_file(number: signal.Signals, cluster, tmp_path: Path) -> None:
    api, config, _ = cluster
    place = tmp_path / "out"
    place.mkdir()

    async def hang(request: str) -> None:
        if "/events" in request:
            process.send_signal(number)
            await api.until(lambda: False)

    api.before = hang
    process = subprocess.Popen(
        [sys.executable, "-m", "vnodectl", "sysdump", "-f", str(place / "a.tar.gz"), "--kubeconfig", config],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in err
    assert list(place.iterdir()) == []


def test_a_terminal_gets_a_bar(cluster, tmp_path: Path) -> None:
    _, config, plants = cluster
    ours, theirs = pty.openpty()
    path = tmp_path / "a.tar.gz"
    process = subprocess.Popen(
        [sys.executable, "-m", "vnodectl", "sysdump", "-f", str(path), "--kubeconfig", config],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # what reading says once nobody has the other end open
        pass
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"{path}\n")
    assert re.search(rb"\d+/17", shown)
    assert b": collected" not in shown
    assert plants.found(path) == []
