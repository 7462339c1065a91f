from __future__ import annotations

from typing import Any

import pytest

from vnodectl.connector.drain import cordon, drain, in_the_way, pods_on, uncordon
from vnodectl.errors import TimedOut

NODE = "virtual-kubelet-aci-linux-eastus"


def put_pod(kube: Any, name: str, phase: str = "Running", owner: str = "ReplicaSet", node: str = NODE) -> str:
    path = f"/api/v1/namespaces/default/pods/{name}"
    kube.put(
        path,
        metadata={"ownerReferences": [{"kind": owner, "controller": True}]},
        spec={"nodeName": node},
        status={"phase": phase},
    )
    return path


async def test_only_what_somebody_would_miss_is_in_the_way(kube: Any) -> None:
    put_pod(kube, "web")
    put_pod(kube, "waiting", phase="Pending")
    put_pod(kube, "job", phase="Succeeded")
    put_pod(kube, "broken", phase="Failed")
    put_pod(kube, "proxy", owner="DaemonSet")
    put_pod(kube, "elsewhere", node="other")
    names = [pod["metadata"]["name"] for pod in in_the_way(await pods_on(kube, NODE))]
    assert names == ["web", "waiting"]


async def test_draining_cordons_and_evicts_all_but_resident_pods(kube: Any) -> None:
    node = kube.put(f"/api/v1/nodes/{NODE}", spec={})
    put_pod(kube, "web")
    put_pod(kube, "job", phase="Succeeded")
    resident = put_pod(kube, "proxy", owner="DaemonSet")
    foreign = put_pod(kube, "elsewhere", node="other")
    said: list[str] = []
    await drain(kube, NODE, timeout=5, say=said.append, interval=0)
    assert node["spec"]["unschedulable"] is True
    assert {path for path in kube.objects if "/pods/" in path} == {resident, foreign}
    assert said == [f"draining {NODE}: 2 pods left"]


async def test_an_eviction_that_a_budget_refuses_is_tried_again(kube: Any) -> None:
    web = put_pod(kube, "web")
    kube.blocked.add(web)

    def allow(method: str, path: str) -> None:
        if [call[0] for call in kube.calls].count("EVICT") == 2:
            kube.blocked.clear()

    kube.hooks.append(allow)
    await drain(kube, NODE, timeout=5, say=lambda _: None, interval=0)
    assert web not in kube.objects


async def test_a_drain_that_does_not_end_names_the_pods_and_why(kube: Any) -> None:
    kube.blocked.add(put_pod(kube, "web"))
    with pytest.raises(TimedOut, match="default/web: it would violate the pod's disruption budget"):
        await drain(kube, NODE, timeout=0.01, say=lambda _: None, interval=1)


async def test_cordoning_a_node_that_is_gone_is_fine(kube: Any) -> None:
    await cordon(kube, NODE)
    assert kube.calls == [("GET", f"/api/v1/nodes/{NODE}")]
    assert kube.objects == {}


async def test_what_we_cordoned_comes_back_into_service(kube: Any) -> None:
    node = kube.put(f"/api/v1/nodes/{NODE}", spec={})
    await cordon(kube, NODE)
    await uncordon(kube, NODE)
    assert not node["spec"]["unschedulable"]


async def test_what_somebody_else_cordoned_stays_so(kube: Any) -> None:
    node = kube.put(f"/api/v1/nodes/{NODE}", spec={"unschedulable": True})
    await cordon(kube, NODE)
    await uncordon(kube, NODE)
    await uncordon(kube, "gone")
    assert node["spec"]["unschedulable"]
