"""`vnodectl show-connector` from its arguments to its exit code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vnodectl.cli.app import run_program

RELEASE = "aci-connector-linux-eastus"
NODE = f"virtual-kubelet-{RELEASE}"


def show(*arguments: str) -> int:
    return run_program(["show-connector", *arguments])


def node(kube: Any, name: str, *, ready: str = "True", lease_age: float | None = 3.0) -> None:
    kube.put(
        f"/api/v1/nodes/{name}",
        metadata={"labels": {"type": "virtual-kubelet"}},
        spec={},
        status={"conditions": [{"type": "Ready", "status": ready, "reason": "CloudUnreachable"}]},
    )
    if lease_age is not None:
        renewed = datetime.now(tz=UTC) - timedelta(seconds=lease_age)
        kube.put(
            f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}",
            spec={"renewTime": renewed.isoformat(), "leaseDurationSeconds": 40},
        )


def deployment(kube: Any, *, nodes: int = 1, available: int = 1) -> None:
    kube.put(
        f"/apis/apps/v1/namespaces/vnode-system/deployments/{RELEASE}",
        metadata={
            "labels": {
                "app.kubernetes.io/part-of": "vnodectl",
                "app.kubernetes.io/version": "0.1.0",
                "vnodectl.io/connector": "aci-connector",
                "vnodectl.io/os": "linux",
                "vnodectl.io/region": "eastus",
            },
            "annotations": {"vnodectl.io/node": NODE},
        },
        spec={
            "replicas": 1,
            "template": {
                "metadata": {"labels": {"vnodectl.io/nodes": str(nodes)}},
                "spec": {"containers": [{"image": "registry.example/vnodectl:0.1.0"}]},
            },
        },
        status={"availableReplicas": available},
    )


@pytest.fixture
def installed(world: Any, kube: Any, helm_program: Any) -> Any:
    helm_program.put(RELEASE, "deployed", namespace="all")
    deployment(kube)
    node(kube, NODE)
    return kube


def shown(capsys: pytest.CaptureFixture[str]) -> tuple[list[list[str]], str]:
    text = capsys.readouterr()
    return [line.split() for line in text.out.splitlines()[1:]], text.err


def test_a_connector_that_is_well(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name, phase in (("web", "Running"), ("job", "Succeeded")):
        installed.put(
            f"/api/v1/namespaces/default/pods/{name}", spec={"nodeName": NODE}, status={"phase": phase}
        )
    assert show() == 0
    (row,), told = shown(capsys)
    assert row[:6] == ["Linux", NODE, RELEASE, "vnode-system", "0.1.0", "ready"]
    assert 3 <= int(row[6].removesuffix("s")) <= 40
    assert row[7] == "1"
    assert "warning" not in told


def test_a_node_that_only_looks_ready(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The API server goes on saying Ready for a while after the connector has died."""
    node(installed, NODE, lease_age=300)
    assert show() == 0
    (row,), told = shown(capsys)
    assert row[5] == "stale"
    age = int(row[6].removesuffix("s"))
    assert 300 <= age < 400
    assert f"node {NODE} is Ready but its Lease is {age} s old" in told


@pytest.mark.parametrize(
    ("break_it", "status", "problem"),
    [
        (lambda kube: node(kube, NODE, ready="False"), "not-ready", "is not Ready (CloudUnreachable)"),
        (lambda kube: kube.objects.pop(f"/api/v1/nodes/{NODE}"), "missing", "is not registered"),
        (lambda kube: deployment(kube, available=0), "ready", "0 of 1 pods of the connector are available"),
        (lambda kube: deployment(kube, nodes=2), "ready", f"node {NODE}-2 is not registered"),
    ],
)
def test_what_is_wrong_is_said(
    break_it: Any, status: str, problem: str, installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(installed)
    assert show() == 0
    rows, told = shown(capsys)
    assert rows[0][5] == status
    assert problem in told


def test_a_node_too_many(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    node(installed, f"{NODE}-2")
    assert show("-o", "json") == 0
    text = capsys.readouterr()
    (one,) = json.loads(text.out)["connectors"]
    assert [view["name"] for view in one["nodes"]] == [NODE, f"{NODE}-2"]
    assert not one["ready"]
    assert "left over" in one["problems"][0]


def test_a_release_that_an_interrupted_run_left(
    world: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    helm_program.put(RELEASE, "pending-install", namespace="all")
    assert show() == 0
    (row,), told = shown(capsys)
    assert (row[1], row[2], row[5]) == ("-", RELEASE, "pending-install")
    assert "install-connector repairs it" in told


def test_nodes_that_outlived_their_connector(
    world: Any, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    node(kube, NODE, ready="Unknown", lease_age=None)
    assert show("--os-type", "Linux", "--connector-name", "aci-connector") == 0
    (row,), told = shown(capsys)
    assert (row[0], row[1], row[5]) == ("-", NODE, "lost")
    assert f"kubectl delete node {NODE}" in told
    assert show("--os-type", "Windows", "--connector-name", "aci-connector") == 1


def test_only_those_that_are_meant(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert show("--connector-name", "aci-connector", "-l", "East US", "--os-type", "both") == 0
    assert show("--connector-name", "other") == 1
    assert show("--os-type", "Windows") == 0
    assert show("--release-name", RELEASE) == 0
    assert show("--namespace", "default") == 0
    text = capsys.readouterr()
    assert text.out.count(RELEASE) == 4  # in two tables, as release and in the node's name
    assert text.err.count("no such connector is installed here") == 3


def test_names_that_can_be_nobodys(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert show("--connector-name", "A_b!") == 2
    assert "error: bad connector name" in capsys.readouterr().err


def test_a_cordoned_node_takes_no_pods(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    installed.objects[f"/api/v1/nodes/{NODE}"]["spec"]["unschedulable"] = True
    assert show() == 0
    (row,), told = shown(capsys)
    assert row[5] == "cordoned"
    assert f"node {NODE} is cordoned, no new pod goes there: kubectl uncordon {NODE}" in told
