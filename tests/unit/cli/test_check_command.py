"""`vnodectl check` as a user runs it: exit codes, one document on stdout, people's words on stderr."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
import yaml
from support.fake_api import threaded_cluster

from vnodectl.checks.catalog import all_checks
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
    assert [entry["id"] for entry in document["checks"]] == [check.id for check in all_checks()]
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
    assert suite.attrib["tests"] == str(len(all_checks()))


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
        ["-g", "group-without-cluster"],
        ["--wait", "soon"],
        ["--list", "-o", "junit"],
        ["-o", "xml"],
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


def test_half_a_service_principal(capsys, cluster, helm, monkeypatch):
    _, kubeconfig = cluster
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "sub-1")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s3cr3t-marker")
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig)
    assert (code, out) == (2, "")
    assert "AZURE_TENANT_ID" in err
    assert "s3cr3t-marker" not in err
