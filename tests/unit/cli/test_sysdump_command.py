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
from support.fake_api import FakeApi, status, threaded_cluster
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
    # Nobody said who the connector is: that there is no plan then is no failure.
    assert "plan: skipped (these settings make no plan: " in err
    assert "warning" not in err
    assert plants.found(path) == []
    assert all(secret not in out + err for secret in plants.all.values())
    with tarfile.open(path) as packed:
        assert packed.getnames()[0] == "case-1/manifest.json"


def without(api: FakeApi, *plurals: str) -> None:
    """The caller has no right to read some kinds of objects."""
    api.refuse = lambda _, plural, __: (
        status(403, "Forbidden", f'{plural} is forbidden: User "me" cannot list')
        if plural in plurals
        else None
    )


def test_the_result_as_json_and_strict(capsys, cluster, tmp_path: Path) -> None:
    api, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    arguments = ("-f", str(path), "--kubeconfig", config, "-o", "json")
    assert sysdump(capsys, *arguments, "--strict")[0] == 0
    without(api, "namespaces")
    code, out, err = sysdump(capsys, *arguments, "--strict", "--force")
    document = json.loads(out)
    assert code == 3
    assert 'warning: namespace could not be collected: namespaces is forbidden: User "me"' in err
    assert err.endswith("1 of 17 sections are missing in the archive\n")
    assert (document["kind"], document["schemaVersion"], document["complete"]) == ("Sysdump", 1, False)
    assert (document["path"], document["size"]) == (str(path), path.stat().st_size)
    assert document["sections"] == json.loads(members(path)["manifest.json"])["sections"]


def test_who_may_read_something_gets_an_archive_and_one_warning_for_each_reason(
    capsys, cluster, tmp_path: Path
) -> None:
    api, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    without(api, "nodes", "deployments", "secrets")
    code, _, err = sysdump(capsys, "-f", str(path), "--kubeconfig", config)
    assert code == 0
    assert "\nnodes: failed\n" in err
    assert "warning: nodes, pods, events could not be collected: nodes is forbidden" in err
    assert err.count("nodes is forbidden") == 1
    assert "6 of 17 sections are missing" in err


def test_who_may_read_nothing_gets_an_archive_and_code_1(capsys, cluster, tmp_path: Path) -> None:
    """The server's version is no answer about the cluster: everybody is told that."""
    api, config, _ = cluster
    path = tmp_path / "a.tar.gz"
    plurals = ("namespaces", "deployments", "pods", "secrets", "configmaps", "leases", "nodes", "events")
    without(api, *plurals)
    code, out, err = sysdump(capsys, "-f", str(path), "--kubeconfig", config, "-o", "json")
    assert (code, json.loads(out)["complete"]) == (1, False)
    assert "kube/version.json" in members(path)
    assert "error: nothing of the cluster could be read\nhint: " in err


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
        ["-f", "-"],
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


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(
    capsys, cluster, tmp_path: Path, mocker
) -> None:
    api, config, _ = cluster
    mocker.patch("vnodectl.sysdump.archive.os.access", return_value=False)  # root may write everywhere
    code, out, err = sysdump(capsys, "-f", str(tmp_path / "a.tar.gz"), "--kubeconfig", config)
    assert (code, out) == (2, "")
    assert "cannot be written to" in err
    assert api.requests == []


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
