from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vnodectl.connector.names import Connector
from vnodectl.connector.node import node_state, wait_connector, wait_node
from vnodectl.errors import ClusterUnreachable, TimedOut

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
CONNECTOR = Connector("aci", "Linux", "eastus")
NODE = "/api/v1/nodes/virtual-kubelet-aci-linux-eastus"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/virtual-kubelet-aci-linux-eastus"
DEPLOYMENT = "/apis/apps/v1/namespaces/vnode-system/deployments/aci-linux-eastus"
POD = "/api/v1/namespaces/vnode-system/pods/aci-linux-eastus-1"


def now() -> datetime:
    return NOW


def put_node(kube: Any, ready: str = "True") -> None:
    kube.put(
        NODE,
        status={
            "conditions": [{"type": "Ready", "status": ready, "reason": "Down", "message": "cloud is away"}]
        },
    )


def put_lease(kube: Any, age: float) -> None:
    renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    kube.put(LEASE, spec={"renewTime": renewed, "leaseDurationSeconds": 40})


def put_deployment(kube: Any, available: int, generation: int = 1) -> None:
    kube.put(
        DEPLOYMENT,
        metadata={"generation": generation},
        spec={"replicas": 1},
        status={"observedGeneration": 1, "availableReplicas": available, "updatedReplicas": 1},
    )


@pytest.mark.parametrize(
    ("ready", "age", "text", "alive"),
    [
        ("True", 5, "is Ready", True),
        ("True", 40, "is Ready", True),
        ("True", 41, "its Lease is 41 s old", False),
        ("True", None, "has no Lease", False),
        ("False", 5, "is not Ready (Down: cloud is away)", False),
        ("Unknown", 300, "is not Ready", False),
        (None, None, "is not registered", False),
    ],
)
async def test_a_node_is_alive_when_ready_with_a_fresh_lease(
    kube: Any, ready: str | None, age: float | None, text: str, alive: bool
) -> None:
    if ready:
        put_node(kube, ready)
    if age is not None:
        put_lease(kube, age)
    state = await node_state(kube, CONNECTOR.node, now)
    assert text in str(state)
    assert state.alive is alive


async def test_waiting_ends_when_the_lease_is_renewed(kube: Any) -> None:
    put_node(kube)
    put_lease(kube, 100)

    def renew(method: str, path: str) -> None:
        if len(kube.calls) == 6:
            put_lease(kube, 1)

    kube.hooks.append(renew)
    assert (await wait_node(kube, CONNECTOR.node, timeout=5, interval=0, now=now)).alive


async def test_waiting_rides_out_a_cluster_that_does_not_answer(kube: Any) -> None:
    put_node(kube)
    put_lease(kube, 1)

    def fail_first(method: str, path: str) -> None:
        if len(kube.calls) == 1:
            raise ClusterUnreachable("away")

    kube.hooks.append(fail_first)
    assert (await wait_node(kube, CONNECTOR.node, timeout=5, interval=0, now=now)).alive


async def test_a_timeout_says_what_was_seen_last(kube: Any) -> None:
    with pytest.raises(TimedOut, match=r"after 0 s: node .* is not registered"):
        await wait_node(kube, CONNECTOR.node, timeout=0.01, interval=1, now=now)


async def wait(kube: Any, said: list[str], timeout: float = 5, interval: float = 0) -> None:
    await wait_connector(
        kube,
        CONNECTOR,
        namespace="vnode-system",
        timeout=timeout,
        say=said.append,
        interval=interval,
        now=now,
    )


async def test_the_deployment_comes_first_and_each_change_is_told_once(kube: Any) -> None:
    put_node(kube)
    put_lease(kube, 1)
    put_deployment(kube, 0)

    def available(method: str, path: str) -> None:
        if len(kube.calls) == 4:
            put_deployment(kube, 1)

    kube.hooks.append(available)
    said: list[str] = []
    await wait(kube, said)
    assert said == [
        "Deployment aci-linux-eastus has 0 of 1 pods available",
        "node virtual-kubelet-aci-linux-eastus is Ready",
    ]


async def test_progress_names_a_cause_once_however_its_message_changes(kube: Any) -> None:
    put_deployment(kube, 1)
    put_node(kube, "False")
    put_lease(kube, 1)

    def change(method: str, path: str) -> None:
        if path != NODE:
            return
        looks = kube.calls.count(("GET", NODE))
        kube.objects[NODE]["status"]["conditions"][0]["message"] = f"trace {looks}"
        if looks == 4:
            put_node(kube)

    kube.hooks.append(change)
    said: list[str] = []
    await wait(kube, said)
    assert said == [f"node {CONNECTOR.node} is not Ready (Down)", f"node {CONNECTOR.node} is Ready"]


async def test_a_deployment_of_an_older_generation_does_not_count(kube: Any) -> None:
    put_node(kube)
    put_lease(kube, 1)
    put_deployment(kube, 1, generation=2)
    with pytest.raises(TimedOut, match="0 of 1 pods"):
        await wait(kube, [], timeout=0.01, interval=1)


async def test_a_timeout_brings_the_pods_reasons_and_its_last_log_lines(kube: Any) -> None:
    put_deployment(kube, 0)
    kube.put(
        POD,
        metadata={
            "labels": {
                "app.kubernetes.io/name": "vnode-connector",
                "app.kubernetes.io/instance": "aci-linux-eastus",
            }
        },
        status={
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}],
            "containerStatuses": [
                {
                    "name": "connector",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 5, "reason": "Error"}},
                }
            ],
        },
    )
    entry = {"time": "now", "level": "error", "message": "cannot sign in\nmore"}
    kube.logs[POD] = f"one\nerror: AADSTS700016\n{json.dumps(entry)}\n{'x' * 500}\n"
    with pytest.raises(TimedOut) as caught:
        await wait(kube, [], timeout=0.01, interval=1)
    for seen in ("CrashLoopBackOff: back-off", "code 5: Error", "no room", "    error: AADSTS700016"):
        assert seen in caught.value.message
    assert "    error: cannot sign in\n" in caught.value.message
    assert "x" * 240 + "…" in caught.value.message
    assert "describe pod" in caught.value.hint
