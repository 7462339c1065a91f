"""Two replicas are two nodes, with a workload on each: whatever becomes of a replica, the workloads go on."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from support.sandboxes import Sandbox

from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.resources import LEASES, NODE_LEASE_NAMESPACE, NODES, PODS

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

log = logging.getLogger(__name__)

JSON = dict[str, Any]
SYSTEM = "vnode-system"
RELEASE = "shared-linux-eastus"
NODE = f"virtual-kubelet-{RELEASE}"
PATIENCE = 90
"""Seconds. How soon a node is taken over is told in virtual time, by test_runtime_sharing."""
AT = ("-g", "demo-aks", "-n", "demo", "--aci-resource-group", "demo-aci", "--connector-name", "shared")
OWN = f"app.kubernetes.io/name=vnode-connector,app.kubernetes.io/instance={RELEASE}"


def workload(name: str, node: str, image: str) -> JSON:
    size = {"cpu": "250m", "memory": "256Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"test": "replicas"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"key": "virtual-kubelet.io/provider", "operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "c",
                    "image": image,
                    "command": ["sh", "-c", f"echo this is {name}; sleep 3600"],
                    "resources": {"requests": size, "limits": size},
                }
            ],
        },
    }


def nodes_of(done: Any) -> list[str]:
    (connector,) = json.loads(done.stdout)["connectors"]
    return list(connector["nodes"])


@pytest.fixture(scope="module")
def shell(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox with a connector of two nodes and two replicas, and one pod on each node."""
    numbers = ("--nodes", "2", "--replicas", "2")
    try:
        done = sandbox.run("vnodectl", "install-connector", *AT, *numbers, "-o", "json")
        for node in nodes_of(done):
            pod = workload(f"on-{node}", node, sandbox.environment["VNODECTL_SMOKE_IMAGE"])
            sandbox.run("kubectl", "create", "-f", "-", stdin=json.dumps(pod))
        sandbox.run("kubectl", "wait", "pod", "-l", "test=replicas", "--for=condition=Ready", "--timeout=90s")
        yield sandbox
    finally:
        sandbox.run("vnodectl", "remove-connector", *AT, "--drain", "--timeout", "90s")
        kinds = "nodes,leases,roles,rolebindings,clusterroles,clusterrolebindings"
        left = sandbox.run("kubectl", "get", kinds, "-A", "-o", "name").stdout
        assert RELEASE not in left


@dataclass
class Fleet:
    """What the cluster says of the connector."""

    kube: KubeClient
    pods: dict[str, JSON] = field(default_factory=dict)
    """The replicas: their pods, by name."""
    holders: dict[str, str] = field(default_factory=dict)
    """Who is which node."""
    renewed: dict[str, datetime] = field(default_factory=dict)
    """When the nodes' own Leases were renewed."""

    async def look(self) -> None:
        pods, _ = await self.kube.list(PODS.path(SYSTEM), {"labelSelector": OWN})
        self.pods = {
            pod["metadata"]["name"]: pod for pod in pods if not pod["metadata"].get("deletionTimestamp")
        }
        for node in (NODE, f"{NODE}-2"):
            share = await self.kube.get(LEASES.path(SYSTEM, f"node-{node}"))
            self.holders[node] = share["spec"].get("holderIdentity") or ""
            lease = await self.kube.get(LEASES.path(NODE_LEASE_NAMESPACE, node))
            self.renewed[node] = datetime.fromisoformat(lease["spec"]["renewTime"])

    async def until(self, condition: Any, seconds: float) -> float:
        """Look until the condition holds; how long that took."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while True:
                await self.look()
                if condition():
                    return time.monotonic() - began
                await asyncio.sleep(0.1)

    def settled(self) -> bool:
        """Two replicas are Ready, and each is one node."""
        return (
            len(self.pods) == 2
            and all(ready(pod) for pod in self.pods.values())
            and set(self.holders.values()) == set(self.pods)
        )


def ready(one: JSON) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest_asyncio.fixture
async def fleet(shell: Sandbox, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Fleet]:
    caplog.set_level(logging.INFO, log.name)
    async with await connect(shell.kubeconfig) as kube:
        found = Fleet(kube)
        await found.until(found.settled, 60)
        yield found


async def workloads(kube: KubeClient) -> dict[str, JSON]:
    """What would differ if a container group had been touched."""
    pods, _ = await kube.list(PODS.path("default"), {"labelSelector": "test=replicas"})
    return {
        pod["metadata"]["name"]: {
            "uid": pod["metadata"]["uid"],
            "ready": ready(pod),
            "containers": [
                {key: one.get(key) for key in ("restartCount", "state", "lastState", "containerID")}
                for one in pod["status"]["containerStatuses"]
            ],
        }
        for pod in pods
    }


async def unready(kube: KubeClient, path: str, query: dict[str, str], seen: list[str]) -> None:
    """Notes whatever is not Ready, until cancelled."""
    items, version = await kube.list(path, query)
    seen += [item["metadata"]["name"] for item in items if not ready(item)]
    async with aclosing(kube.watch(path, {**query, "resourceVersion": version})) as events:
        async for event in events:
            if event["type"] in ("ADDED", "MODIFIED") and not ready(event["object"]):
                seen.append(event["object"]["metadata"]["name"])


def signal(pod: JSON, name: str, *, check: bool = True) -> None:
    """Send a signal to the connector's process, from outside."""
    engine, _, container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")
    if engine not in ("podman", "docker"):
        pytest.skip("no container engine works here")
    subprocess.run([engine, "kill", "--signal", name, container], check=check, capture_output=True)


@pytest.mark.parametrize("how", ["killed", "frozen", "deleted"])
async def test_nodes_of_a_replica_that_is_lost_are_taken_over(how: str, shell: Sandbox, fleet: Fleet) -> None:
    before = await workloads(fleet.kube)
    lost = fleet.holders[NODE]
    pod = fleet.pods[lost]
    try:
        moment = datetime.now(tz=UTC)
        if how == "killed":
            signal(pod, "KILL")
        elif how == "frozen":
            signal(pod, "STOP")
        else:
            gone = ("delete", "pod", lost, "--grace-period=0", "--force")
            shell.run("kubectl", "-n", SYSTEM, *gone)

        def served() -> bool:
            # A process that was killed starts again in its pod, and may go on with what was its own.
            holds = how == "killed" or fleet.holders[NODE] not in ("", lost)
            return holds and fleet.renewed[NODE] > moment

        took = await fleet.until(served, PATIENCE)
        log.info("a replica was %s: its node was served again after %.1f s", how, took)
        said = shell.run("kubectl", "logs", f"on-{NODE}").stdout
        assert said == f"this is on-{NODE}\n", "the API server finds the node where it is now"
        assert await workloads(fleet.kube) == before
    finally:
        if how == "frozen":
            signal(pod, "CONT", check=False)
    await fleet.until(fleet.settled, 60)
    assert await workloads(fleet.kube) == before


async def test_a_rolling_restart_keeps_nodes_and_workloads_ready(shell: Sandbox, fleet: Fleet) -> None:
    before, old = await workloads(fleet.kube), set(fleet.pods)
    seen: list[str] = []
    watches = [
        asyncio.create_task(unready(fleet.kube, path, query, seen), name=f"watch {path}")
        for path, query in (
            (NODES.path(), {"labelSelector": "type=virtual-kubelet"}),
            (PODS.path("default"), {"labelSelector": "test=replicas"}),
        )
    ]
    try:
        shell.run("kubectl", "-n", SYSTEM, "rollout", "restart", "deployment", RELEASE)
        took = await fleet.until(lambda: fleet.settled() and old.isdisjoint(fleet.pods), 120)
        log.info("a rolling restart took %.1f s", took)
    finally:
        for watch in watches:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
    assert seen == []
    assert await workloads(fleet.kube) == before


def test_growing_and_shrinking(shell: Sandbox) -> None:
    """A third node comes and goes; while a pod is there it stays."""
    numbers = ("--replicas", "2", "-o", "json")
    grown = shell.run("vnodectl", "install-connector", *AT, "--nodes", "3", *numbers)
    third = nodes_of(grown)[2]
    shell.run("helm", "-n", SYSTEM, "test", RELEASE)
    pod = workload("on-third", third, shell.environment["VNODECTL_SMOKE_IMAGE"])
    pod["metadata"]["labels"] = {}
    shell.run("kubectl", "create", "-f", "-", stdin=json.dumps(pod))
    shell.run("kubectl", "wait", "pod/on-third", "--for=condition=Ready", "--timeout=90s")
    report = json.loads(
        shell.run(
            *("vnodectl", "validate", "--connector-name", "shared", "-o", "json"),
            *("--image", shell.environment["VNODECTL_SMOKE_IMAGE"]),
        ).stdout
    )
    assert [(one["node"], one["ok"]) for one in report["nodes"]] == [(node, True) for node in nodes_of(grown)]

    fewer = ("vnodectl", "install-connector", *AT, "--nodes", "2", *numbers)
    refused = shell.run(*fewer, check=False)
    assert refused.returncode == 1
    assert f"1 pod still on node {third}: default/on-third" in refused.stderr
    drained = shell.run(*fewer, "--drain")
    (connector,) = json.loads(drained.stdout)["connectors"]
    assert connector["removedNodes"] == [third]
    gone = shell.run("kubectl", "get", "node", third, "--ignore-not-found", "-o", "name").stdout
    assert gone == ""
    assert "on-third" not in shell.run("kubectl", "get", "pods", "-o", "name").stdout
