"""`vnodectl check` as a user runs it: exit codes, one document on stdout, people's words on stderr."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from support.fake_api import threaded_cluster

from vnodectl.checks.catalog import all_checks, checks_for
from vnodectl.cli.app import run_program


@pytest.fixture
def cluster(tmp_path):
    """A cluster and a kubeconfig for it."""
    with threaded_cluster() as (api, url):
        path = tmp_path / "config"
        body = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "s3cr3t-marker"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(body))
        yield api, str(path)


@pytest.fixture
def helm(tmp_path, monkeypatch):
    path = tmp_path / "bin"
    path.mkdir()
    (path / "helm").write_text("#!/bin/sh\nprintf v4.3.1\n")
    (path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")


def invoke(capsys, *arguments: str) -> tuple[int, str, str]:
    code = run_program(["check", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_cluster_without_a_cloud(capsys, cluster, helm):
    _, kubeconfig = cluster
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig, "-l", "East US", "-o", "json")
    document = json.loads(out)
    assert code == 0, out
    assert (document["schemaVersion"], document["kind"], document["ok"]) == (1, "CheckReport", True)
    assert [entry["id"] for entry in document["checks"]] == [check.id for check in checks_for("azure")]
    said = {entry["id"]: entry for entry in document["checks"]}
    assert said["VN-KUBE-001"]["verdict"] == "passed"
    assert said["VN-REL-001"]["evidence"] == "aci-connector-linux-eastus"
    assert "az login" in said["VN-AZ-001"]["skipped"]
    assert "s3cr3t-marker" not in out + err


def test_a_failure_is_on_stdout_with_its_fix(capsys, cluster, helm):
    api, kubeconfig = cluster
    api.version["minor"] = "20"
    code, out, _ = invoke(capsys, "--kubeconfig", kubeconfig)
    assert code == 1
    assert "FAIL  VN-KUBE-002" in out
    assert "fix:   az aks upgrade" in out


def test_warnings_count_only_when_asked_for(capsys, cluster, helm):
    api, kubeconfig = cluster
    api.version["minor"] = "99"
    assert invoke(capsys, "--kubeconfig", kubeconfig, "-o", "short")[0] == 0
    code, out, _ = invoke(capsys, "--kubeconfig", kubeconfig, "-o", "short", "--strict")
    assert code == 3
    assert out.startswith("  warn  VN-KUBE-002")


def test_junit(capsys, cluster, helm):
    _, kubeconfig = cluster
    code, out, _ = invoke(capsys, "--kubeconfig", kubeconfig, "-o", "junit", "--only", "tools,cluster")
    (suite,) = ElementTree.fromstring(out.encode())  # noqa: S314 - our own output
    assert code == 0
    assert suite.attrib["tests"] == str(len(checks_for("azure")))


def test_an_unreachable_cluster(capsys, tmp_path, helm):
    path = tmp_path / "config"
    path.write_text(
        "current-context: a\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: a, context: {cluster: c}}]\n"
    )
    code, out, _ = invoke(capsys, "--kubeconfig", str(path), "-o", "json")
    assert code == 5
    assert json.loads(out)["summary"]["failed"] == 1


def test_no_kubeconfig_anywhere_is_a_failure_of_the_first_check(capsys, helm):
    code, out, _ = invoke(capsys, "-o", "json")
    said = {entry["id"]: entry for entry in json.loads(out)["checks"]}
    assert code == 1
    assert "no kubeconfig at" in said["VN-KUBE-001"]["cause"]
    assert said["VN-KUBE-002"]["skipped"] == "needs VN-KUBE-001, which failed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kubeconfig", "/nowhere"],
        ["--only", "VN-NOPE-*"],
        ["--skip", "nothing"],
        ["--os-type", "Plan9"],
        ["--connector-name", "Bad_Name!"],
        ["--subnet-id", "aci"],
        ["-g", "group-without-cluster"],
        ["--wait", "soon"],
        ["--list", "-o", "junit"],
        ["-o", "xml"],
        ["--fix"],  # nobody is there to ask
        ["--yes"],
        ["--fix", "--yes", "--offline"],
        ["--from-sysdump", "/nowhere"],
        ["--from-sysdump", "/nowhere", "--fix", "--yes"],
        ["--from-sysdump", "/nowhere", "--wait", "5m"],
        ["--size", "big"],
        ["--size", "8"],
        ["--size", "8:nan"],
        ["--size", "-1:4"],
        ["--size", "4:inf"],
        ["--list", "--role-definition"],
        ["--list", "--fix", "--yes"],
        ["--role-definition", "--wait", "5m"],
        ["--list", "--only", "VN-NOPE"],
        ["--only", "alibaba"],
    ],
)
def test_wrong_usage(capsys, arguments):
    code, out, err = invoke(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.strip()


def test_offline_opens_nothing(capsys, helm, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    code, out, _ = invoke(capsys, "--offline", "-l", "eastus", "-o", "json")
    asked = [entry["id"] for entry in json.loads(out)["checks"] if entry["attempts"]]
    assert code == 0
    assert asked == ["VN-TOOL-001", "VN-TOOL-002", "VN-REL-001", "VN-REL-004"]


def test_waiting_ends_when_nothing_fails_any_more(capsys, cluster, helm, mocker):
    api, kubeconfig = cluster
    api.version["minor"] = "20"

    async def upgraded(_):
        api.version["minor"] = "36"

    mocker.patch("vnodectl.checks.runner.asyncio.sleep", new=upgraded)
    code, out, _ = invoke(capsys, "--kubeconfig", kubeconfig, "--wait", "1m", "-o", "short")
    assert code == 0
    assert "failed" not in out


def test_listing(capsys):
    code, out, _ = invoke(capsys, "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ID", *(check.id for check in all_checks())]
    assert json.loads(invoke(capsys, "--list", "-o", "json")[1])["checks"][0]["id"] == "VN-TOOL-001"
    assert invoke(capsys, "--list", "-o", "short")[1].splitlines()[0] == "VN-TOOL-001"


def test_listing_some(capsys):
    """With what they need: that is asked as well."""
    code, out, _ = invoke(capsys, "--list", "--only", "alibaba", "--skip", "VN-ALI-003", "-o", "short")
    listed = out.split()
    assert code == 0
    assert "VN-ALI-001" in listed
    assert "VN-ALI-003" not in listed
    assert not [one for one in listed if one.startswith("VN-AZ-")]


def test_half_a_service_principal(capsys, cluster, helm, monkeypatch):
    _, kubeconfig = cluster
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "sub-1")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s3cr3t-marker")
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig)
    assert (code, out) == (2, "")
    assert "AZURE_TENANT_ID" in err
    assert "s3cr3t-marker" not in err


# --- archives -------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "checks" / "golden"


@pytest.fixture
def archive(tmp_path):
    """An archive with these members below its top folder."""

    def make(name="dump.tar.gz", **members: str | bytes) -> str:
        path = tmp_path / name
        with tarfile.open(path, "w:gz") as made:
            for member, content in members.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(f"dump/{member}")
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        return str(path)

    return make


def test_a_replay_of_an_archive_comes_to_the_same_verdicts(capsys, archive, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")  # nothing of this machine is looked at
    recording = (GOLDEN / "recording.json").read_text()
    path = archive(**{"manifest.json": "{}", "checks/recording.json": recording})
    code, out, err = invoke(capsys, "--from-sysdump", path, "-o", "json")
    report = json.loads(out)
    wanted = {one["id"]: one for one in json.loads((GOLDEN / "report.json").read_text())["checks"]}
    assert code == 1
    assert err == ""
    for one in report["checks"]:
        for field in ("verdict", "cause", "evidence", "fix", "skipped"):
            assert one[field] == wanted[one["id"]][field]
    assert not [one for one in report["checks"] if one["category"] == "alibaba"]


def test_a_replay_of_some_checks(capsys, archive):
    path = archive(**{"checks/recording.json": (GOLDEN / "recording.json").read_text()})
    code, out, _ = invoke(capsys, "--from-sysdump", path, "--only", "VN-KUBE-006", "-o", "short", "--strict")
    assert code == 3
    assert out.startswith("  warn  VN-KUBE-006")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"checks/recording.json": "not json"},
        {"checks/recording.json": "[]"},
        {"checks/recording.json": "{}"},
        {"checks/recording.json": '{"schemaVersion": 99}'},
    ],
)
def test_archives_that_hold_no_recording(capsys, archive, members):
    code, out, err = invoke(capsys, "--from-sysdump", archive(**members))
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_what_is_no_archive(capsys, tmp_path):
    path = tmp_path / "dump.tar.gz"
    path.write_text("no archive")
    code, _, err = invoke(capsys, "--from-sysdump", str(path))
    assert code == 2
    assert "no archive of vnodectl sysdump" in err


# --- roles ----------------------------------------------------------------------------------------


def test_a_role_of_least_rights(capsys):
    code, out, _ = invoke(capsys, "--role-definition", "--subscription", "sub-1")
    role = json.loads(out)
    assert code == 0
    assert role["AssignableScopes"] == ["/subscriptions/sub-1"]
    assert "Microsoft.ContainerInstance/containerGroups/write" in role["Actions"]


def test_a_policy_of_least_rights(capsys):
    code, out, _ = invoke(capsys, "--role-definition", "--cloud", "alibaba")
    assert code == 0
    assert "eci:CreateContainerGroup" in json.loads(out)["Statement"][0]["Action"]


def test_a_role_wants_a_subscription(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    monkeypatch.delenv("AZURE_CONFIG_DIR", raising=False)
    assert invoke(capsys, "--role-definition")[0] == 2
