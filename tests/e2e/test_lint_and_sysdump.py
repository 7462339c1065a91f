"""Lint and the support archive on a real cluster, with a connector that runs beside an emulated Azure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.planted import Plants, members
from support.sandboxes import Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

PLACE = ("-g", "demo-aks", "-n", "demo", "--aci-resource-group", "demo-aci")
RELEASE = "aci-connector-linux-eastus"
NODE = f"virtual-kubelet-{RELEASE}"
NAMESPACE = "lint-me"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
"""It ends when it is asked to, so that nobody waits for its grace period."""


@pytest.fixture(scope="module")
def connected(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A connector, and a namespace of its own for workloads; both are taken away."""
    sandbox.run("vnodectl", "install-connector", *PLACE)
    sandbox.run("kubectl", "create", "namespace", NAMESPACE)
    yield sandbox
    sandbox.run("kubectl", "delete", "namespace", NAMESPACE, "--timeout=120s")
    sandbox.run("vnodectl", "remove-connector", *PLACE, "--force", "--delete-groups")


def findings(done: Any) -> set[tuple[str, str, str]]:
    return {(one["file"], one["code"], one["path"]) for one in json.loads(done.stdout)["findings"]}


def test_what_lint_finds_is_what_the_runtime_rejects_and_the_rest_runs(connected: Sandbox) -> None:
    """The same pod in a file, in the cluster, and on the node."""
    image = connected.environment["VNODECTL_SMOKE_IMAGE"]
    spec: dict[str, Any] = {
        "nodeName": NODE,
        "containers": [{"name": "main", "image": image, "command": SLEEP}],
    }
    bad = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad", "namespace": NAMESPACE},
        "spec": {**spec, "shareProcessNamespace": True},
    }
    good = {**bad, "metadata": {"name": "good", "namespace": NAMESPACE}, "spec": spec}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": NAMESPACE},
        "spec": {"podSelector": {}},
    }
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [bad, good, policy]})
    expected = {("VN-L-021", "spec.shareProcessNamespace"), ("VN-L-060", "spec.podSelector")}
    done = connected.run("vnodectl", "lint", "-", "-o", "json", check=False, stdin=text)
    assert done.returncode == 1, done.stderr
    assert {(code, path) for _, code, path in findings(done)} == expected
    connected.run("kubectl", "apply", "-f", "-", stdin=text)
    connected.run("kubectl", "-n", NAMESPACE, "wait", "pod/good", "--for=condition=Ready", "--timeout=60s")
    connected.run(
        "kubectl",
        "-n",
        NAMESPACE,
        "wait",
        "pod/bad",
        "--for=jsonpath={.status.phase}=Failed",
        "--timeout=60s",
    )
    for where in (["-n", NAMESPACE], ["-A"]):
        done = connected.run("vnodectl", "lint", *where, "-o", "json", check=False)
        assert done.returncode == 1, done.stderr
        assert {
            (f"{NAMESPACE}/Pod/bad", "VN-L-021", "spec.shareProcessNamespace"),
            (f"{NAMESPACE}/NetworkPolicy/deny", "VN-L-060", "spec.podSelector"),
        } <= findings(done)
        assert not [one for one in findings(done) if one[0].endswith("/good")]
    shown = connected.run("kubectl", "-n", NAMESPACE, "get", "pod", "bad", "-o", "json").stdout
    assert "spec.shareProcessNamespace" in json.loads(shown)["status"]["message"]


def test_the_output_of_helm_template(connected: Sandbox, repository: Path) -> None:
    """The connector's own chart keeps off virtual nodes."""
    chart = str(repository / "charts" / "vnode-connector")
    values = "azure.subscriptionId=s,azure.tenantId=t,azure.resourceGroup=g,azure.region=eastus"
    made = connected.run(
        *("helm", "template", "web", chart, "--set", values, "--set", "azure.identity.clientId=c"),
        *("--set", "azure.identity.existingSecret=s"),
    )
    done = connected.run("vnodectl", "lint", "-", "--strict", "-o", "json", stdin=made.stdout)
    assert json.loads(done.stdout)["findings"] == []


def test_sysdump(connected: Sandbox, tmp_path: Path) -> None:
    plants = Plants()
    plants.all["client-secret"] = connected.environment["AZURE_CLIENT_SECRET"]
    secret = plants.at("pod-secret")
    container = {
        "name": "main",
        "image": connected.environment["VNODECTL_SMOKE_IMAGE"],
        "command": SLEEP,
        "env": [
            {"name": "PLAIN", "value": plants.at("pod-env")},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
    }
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": NAMESPACE},
            "stringData": {"k": secret},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "dumped",
                "namespace": NAMESPACE,
                "annotations": {"example.com/a": plants.at("annotation")},
            },
            "spec": {"nodeName": NODE, "containers": [container]},
        },
    ]
    connected.run(
        "kubectl",
        "apply",
        "-f",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )
    connected.run("kubectl", "-n", NAMESPACE, "wait", "pod/dumped", "--for=condition=Ready", "--timeout=60s")
    path = tmp_path / "dump.tar.gz"
    done = connected.run("vnodectl", "sysdump", *PLACE, "-f", str(path), "--strict", check=False)
    assert done.returncode == 0, done.stderr
    assert plants.found(path) == []
    files = members(path)
    manifest = json.loads(files["manifest.json"])
    assert {one["name"]: one["outcome"] for one in manifest["sections"]} == dict.fromkeys(
        (
            *("versions", "checks", "plan", "cluster", "namespace", "deployments", "connector pods"),
            *("secret names", "config map names", "shares", "releases", "nodes", "pods", "events", "logs"),
            *("container groups", "cloud"),
        ),
        "collected",
    )
    assert {one["path"]: one["size"] for part in manifest["sections"] for one in part["files"]} == {
        name: len(content) for name, content in files.items() if name != "manifest.json"
    }
    (node,) = json.loads(files["kube/nodes.json"])
    assert node["metadata"]["name"] == NODE
    assert "dumped" in {one["metadata"]["name"] for one in json.loads(files["kube/pods.json"])}
    groups = json.loads(files["cloud/azure/container-groups.json"])
    (group,) = [one for one in groups if one["tags"]["vnodectl-pod"] == "dumped"]
    assert (
        group["properties"]["containers"][0]["properties"]["instanceView"]["currentState"]["state"]
        == "Running"
    )
    (history,) = [name for name in files if name.startswith("helm/")]
    assert json.loads(files[history])[-1]["status"] == "deployed"
    logs = [name for name in files if name.startswith("logs/") and name.endswith("/connector.log")]
    assert logs
    assert all(files[name].strip() for name in logs)
    replayed = connected.run("vnodectl", "check", "--from-sysdump", str(path), "-o", "json", check=False)
    verdicts = [
        {one["id"]: one["verdict"] for one in report["checks"]}
        for report in (json.loads(files["checks/report.json"]), json.loads(replayed.stdout))
    ]
    assert verdicts[0] == verdicts[1]
    assert "passed" in verdicts[0].values()
