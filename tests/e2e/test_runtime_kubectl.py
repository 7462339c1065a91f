"""What people do to workloads with kubectl and an autoscaler, on a node whose containers are simulated.

One sandbox with metrics-server, so that usage takes its real way: node, metrics-server, API server, HPA.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sandboxes import Sandbox, start, stop

pytestmark = pytest.mark.e2e

JSON = dict[str, Any]
PATIENCE = 90.0


@pytest.fixture(scope="module")
def cluster(cache: Path, kubernetes: tuple[str, ...]) -> Iterator[Sandbox]:
    name = f"test-use-{os.getpid()}"
    options = ("--nodes", "2", "--cloud", "none", "--engine", "simulated", "--metrics-server")
    try:
        yield start(cache, name, *options, *kubernetes)
    finally:
        stop(cache, name)


def kubectl(cluster: Sandbox, *argv: str, stdin: str = "") -> str:
    return cluster.run("kubectl", *argv, stdin=stdin).stdout


def read(cluster: Sandbox, *argv: str) -> JSON:
    found: JSON = json.loads(kubectl(cluster, "get", *argv, "-o", "json"))
    return found


def until(look: Callable[[], Any], wanted: Callable[[Any], bool] = bool) -> Any:
    """What `look` gives once it is wanted."""
    end = time.monotonic() + PATIENCE
    while not wanted(seen := look()):
        assert time.monotonic() < end, f"not in time; last seen: {seen}"
        time.sleep(0.3)
    return seen


def deployment(name: str, replicas: int, **template: Any) -> str:
    labels = {"app": name}
    container = {"name": "main", "image": "any", "resources": {"requests": {"cpu": "1m"}}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **template}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


@pytest.fixture
def deployed(cluster: Sandbox) -> Iterator[Callable[..., str]]:
    names = []

    def deploy(name: str, replicas: int, **template: Any) -> str:
        names.append(name)
        kubectl(cluster, "apply", "-f", "-", stdin=deployment(name, replicas, **template))
        kubectl(cluster, "rollout", "status", f"deployment/{name}", "--timeout=60s")
        return name

    yield deploy
    for name in names:
        kubectl(cluster, "delete", "deployment", name, "--timeout=60s")
        kubectl(cluster, "wait", "pod", "-l", f"app={name}", "--for=delete", "--timeout=60s")


def pods(cluster: Sandbox, name: str) -> list[JSON]:
    found: list[JSON] = read(cluster, "pods", "-l", f"app={name}")["items"]
    return found


def test_a_rollout_goes_forth_and_back(cluster: Sandbox, deployed: Callable[..., str]) -> None:
    deployed("rolled", 3)
    first = {pod["metadata"]["uid"] for pod in pods(cluster, "rolled")}
    kubectl(cluster, "set", "image", "deployment/rolled", "main=other")
    kubectl(cluster, "rollout", "status", "deployment/rolled", "--timeout=60s")
    kubectl(cluster, "rollout", "undo", "deployment/rolled")
    kubectl(cluster, "rollout", "status", "deployment/rolled", "--timeout=60s")
    living = [pod for pod in pods(cluster, "rolled") if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["spec"]["containers"][0]["image"] for pod in living} == {"any"}
    assert not first & {pod["metadata"]["uid"] for pod in living}


def test_drain_moves_pods_to_the_other_node(cluster: Sandbox, deployed: Callable[..., str]) -> None:
    deployed("drained", 6)
    try:
        kubectl(cluster, "drain", "sandbox", "--delete-emptydir-data", "--timeout=60s")
        node = read(cluster, "node", "sandbox")
        assert node["spec"]["unschedulable"] is True
        kubectl(cluster, "rollout", "status", "deployment/drained", "--timeout=60s")
        assert {pod["spec"]["nodeName"] for pod in pods(cluster, "drained")} == {"sandbox-2"}
    finally:
        kubectl(cluster, "uncordon", "sandbox")


def test_wait_sees_readiness_completion_and_the_end(cluster: Sandbox) -> None:
    kubectl(cluster, "run", "waited", "--image=any")
    kubectl(cluster, "wait", "pod/waited", "--for=condition=Ready", "--timeout=30s")
    kubectl(cluster, "wait", "pod/waited", "--for=jsonpath={.status.podIP}", "--timeout=30s")
    kubectl(cluster, "delete", "pod", "waited", "--wait=false")
    kubectl(cluster, "wait", "pod/waited", "--for=delete", "--timeout=30s")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "waited"},
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": "any", "command": ["sh", "-c", "exit 0"]}],
                }
            }
        },
    }
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(job))
    kubectl(cluster, "wait", "job/waited", "--for=condition=Complete", "--timeout=30s")
    kubectl(cluster, "delete", "job", "waited", "--timeout=30s")


def test_top_and_an_autoscaler(cluster: Sandbox, deployed: Callable[..., str]) -> None:
    """A simulated container uses 1m of CPU and 1 MiB: twice what the autoscaler wants."""
    deployed("scaled", 1)
    target = {"type": "Utilization", "averageUtilization": 50}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaled"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(scaler))
    try:
        [pod] = pods(cluster, "scaled")
        name = pod["metadata"]["name"]
        until(lambda: cluster.run("kubectl", "top", "pod", name, "--no-headers", check=False).stdout)
        _, cpu, memory = kubectl(cluster, "top", "pod", name, "--no-headers").split()
        assert cpu in ("1m", "2m"), "it is rounded up"
        assert memory == "1Mi"
        nodes = kubectl(cluster, "top", "node", "--no-headers")
        assert {line.split()[0] for line in nodes.splitlines()} == {"sandbox", "sandbox-2"}
        until(lambda: read(cluster, "deployment", "scaled")["spec"]["replicas"], lambda count: count >= 2)
        kubectl(cluster, "rollout", "status", "deployment/scaled", "--timeout=60s")
        status = read(cluster, "hpa", "scaled")["status"]
        conditions = {one["type"]: one["status"] for one in status["conditions"]}
        assert conditions["ScalingActive"] == "True"
    finally:
        kubectl(cluster, "delete", "hpa", "scaled")


def test_debug_says_why_nothing_comes_of_it(cluster: Sandbox) -> None:
    kubectl(cluster, "run", "broken", "--image=any")
    kubectl(cluster, "wait", "pod/broken", "--for=condition=Ready", f"--timeout={PATIENCE:g}s")
    program = ("timeout", f"{PATIENCE:g}", "kubectl", "debug", "broken", "-i", "--image=any", "-c", "tools")
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        program, env=dict(cluster.environment), stdin=pipe, stdout=none, stderr=pipe
    ) as debug:
        try:
            assert debug.stderr is not None
            said = b""
            while b"container tools: the local provider cannot add a container" not in said:
                line = debug.stderr.readline()
                assert line, said
                said += line
        finally:
            debug.terminate()  # which ends kubectl too
    pod = read(cluster, "pod", "broken")
    [status] = pod["status"]["ephemeralContainerStatuses"]
    assert status["state"]["waiting"]["reason"] == "EphemeralContainersNotSupported"
    conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    assert (pod["status"]["phase"], conditions["Ready"]) == ("Running", "True")
    selector = "involvedObject.name=broken,reason=EphemeralContainersNotSupported"
    [event] = until(lambda: read(cluster, "events", f"--field-selector={selector}")["items"])
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert event["involvedObject"]["fieldPath"] == "spec.ephemeralContainers{tools}"
    kubectl(cluster, "delete", "pod", "broken", "--now")
