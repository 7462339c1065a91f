"""`vnodectl validate` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
import yaml
from support.fake_api import exec_answer, threaded_cluster

from vnodectl.cli.app import run_program

LINUX = "virtual-kubelet-aci-connector-linux-eastus"
WINDOWS = "virtual-kubelet-aci-connector-windows-eastus"


def healthy(api) -> None:
    """A cluster with two virtual nodes whose pods run at once; on Windows they are simulated."""
    now = datetime.now(tz=UTC).isoformat().replace("+00:00", "Z")
    for name in (LINUX, WINDOWS):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        api.put("nodes", {"metadata": {"name": name, "labels": {"type": "virtual-kubelet"}}, "status": ready})
        api.put(
            "leases", {"metadata": {"name": name}, "spec": {"renewTime": now}}, namespace="kube-node-lease"
        )

    async def created(plural, pod):
        name = pod["metadata"]["name"]
        windows = pod["spec"]["os"]["name"] == "windows"
        api.logs[name] = "simulated\n" if windows else f"vnodectl-{name.rpartition('-')[2]}\n"
        api.images.append(pod["spec"]["containers"][0]["image"])
        status = {"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [{"state": {"running": {}}}]}
        api.put(
            "pods",
            {**pod, "spec": {**pod["spec"], "nodeName": WINDOWS if windows else LINUX}, "status": status},
        )

    async def execute(pod, command, socket):
        await exec_answer(socket, b"simulated\n" if "windows" in pod else f"{command[-1]}\n".encode())

    api.images = []
    api.created, api.execute = created, execute


@pytest.fixture
def cluster(tmp_path):
    with threaded_cluster() as (api, url):
        healthy(api)
        path = tmp_path / "config"
        body = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "here", "context": {"cluster": "c"}}],
        }
        path.write_text(yaml.safe_dump(body))
        yield api, str(path)


def invoke(capsys, *arguments: str) -> tuple[int, str, str]:
    code = run_program(["validate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_may_trouble_nodes_is_told_besides(capsys, cluster):
    api, kubeconfig = cluster
    api.put("nodes", {"metadata": {"name": "old-vnode", "labels": {"type": "virtual-kubelet"}}})
    spec = {"tolerations": [{"operator": "Exists"}], "containers": []}
    api.put(
        "daemonsets",
        {"metadata": {"name": "agent"}, "spec": {"template": {"spec": spec}}},
        namespace="kube-system",
    )
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig, "-o", "json")
    said = {one["id"]: one["verdict"] for one in json.loads(out)["checks"]["checks"]}
    assert code == 0
    assert said["VN-KUBE-006"] == said["VN-KUBE-007"] == "warning"
    assert "kubectl delete node old-vnode" in err
    assert "kubectl patch daemonset agent -n kube-system" in err


def test_a_cluster_that_is_too_old_fails_whatever_its_nodes_do(capsys, cluster):
    api, kubeconfig = cluster
    api.version["minor"] = "20"
    code, _, err = invoke(capsys, "--kubeconfig", kubeconfig)
    assert code == 1
    assert "VN-KUBE-002" in err


def test_everything_that_is_installed(capsys, cluster):
    api, kubeconfig = cluster
    code, out, _ = invoke(capsys, "--kubeconfig", kubeconfig)
    lines = out.splitlines()
    assert code == 0, out
    assert lines[0].split() == ["OS", "NODE", "STEP", "RESULT", "TIME", "DETAIL"]
    assert len(lines) == 15
    assert all(line.startswith("Linux  ") for line in lines[1:8])
    assert all(line.startswith("Windows (simulated)") for line in lines[8:])
    assert api.names("pods") == []


def test_json_is_one_document(capsys, cluster):
    _, kubeconfig = cluster
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig, "--os-type", "linux", "-o", "json")
    document = json.loads(out)
    assert code == 0
    assert (document["kind"], document["ok"]) == ("ConnectorValidation", True)
    assert [node["node"] for node in document["nodes"]] == [LINUX]
    assert LINUX in err  # progress is for people


def test_junit(capsys, cluster):
    api, kubeconfig = cluster

    async def silent(pod, command, socket):
        await exec_answer(socket, b"", code=1)

    api.execute = silent
    code, out, err = invoke(capsys, "--kubeconfig", kubeconfig, "--os-type", "Linux", "-o", "junit")
    (suite,) = ElementTree.fromstring(out.encode())  # noqa: S314 - our own output
    assert code == 1
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("7", "1")
    assert f"error: {LINUX}: exec: the command ended with code 1" in err


def test_the_image_comes_from_a_flag_or_the_environment(capsys, cluster, monkeypatch):
    api, kubeconfig = cluster
    monkeypatch.setenv("VNODECTL_SMOKE_IMAGE", "from-environment")
    invoke(capsys, "--kubeconfig", kubeconfig, "--os-type", "Linux")
    invoke(capsys, "--kubeconfig", kubeconfig, "--os-type", "Linux", "--image", "from-flag")
    invoke(capsys, "--kubeconfig", kubeconfig, "--os-type", "Windows")
    assert api.images == ["from-environment", "from-flag", "mcr.microsoft.com/windows/nanoserver:ltsc2022"]


def test_a_connector_that_is_not_there(capsys, cluster):
    _, kubeconfig = cluster
    code, out, err = invoke(
        capsys, "--kubeconfig", kubeconfig, "--connector-name", "other", "--os-type", "Both"
    )
    assert code == 1
    assert out.count("failed") == 2
    assert "hint: vnodectl install-connector" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kubeconfig", "/nowhere"],
        ["--os-type", "Plan9"],
        ["--connector-name", "Bad_Name!"],
        ["--namespace", "Bad_Name!"],
        ["--timeout", "soon"],
        ["-l", "no-such_region"],
        ["-n", "cluster-without-group"],
        ["-o", "short"],
    ],
)
def test_wrong_usage(capsys, arguments):
    code, out, err = invoke(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.strip()


def test_an_unreachable_cluster(capsys, tmp_path):
    path = tmp_path / "config"
    path.write_text(
        "current-context: a\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: a, context: {cluster: c}}]\n"
    )
    code, out, err = invoke(capsys, "--kubeconfig", str(path))
    assert (code, out) == (5, "")
    assert "cannot reach the Kubernetes API" in err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_the_smoke_pod(cluster, sign):
    api, kubeconfig = cluster
    asked = threading.Event()

    async def silent(pod, command, socket):
        asked.set()
        await socket.receive()

    api.execute = silent
    command = [sys.executable, "-m", "vnodectl", "validate", "--kubeconfig", kubeconfig, "--os-type", "Linux"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert asked.wait(60)
        assert len(api.names("pods")) == 1
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert api.names("pods") == []
