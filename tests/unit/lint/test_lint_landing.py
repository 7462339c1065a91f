from __future__ import annotations

from typing import Any

import pytest
from support.linting import SELECTED

from vnodectl.lint.documents import Source
from vnodectl.lint.landing import Landing, landing, tolerated, virtual_node
from vnodectl.lint.workloads import workload
from vnodectl.runtime.provider import NodeInfo

AZURE = virtual_node("azure", "Linux")
TOLERATIONS = SELECTED["tolerations"]
SELECTOR = {"type": "virtual-kubelet"}
ELSEWHERE = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def requirement(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


TYPE_IN = requirement("type", "In", "virtual-kubelet")
TYPE_NOT_IN = requirement("type", "NotIn", "virtual-kubelet")


def where(spec: dict[str, Any], kind: str = "Deployment", namespace: dict[str, str] | None = None) -> Landing:
    template = {"spec": {"containers": [{"name": "a", "image": "b"}], **spec}}
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"template": template},
    }
    work = workload(Source("test.yaml", body))
    assert work is not None
    return landing(work, AZURE, namespace or {})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Landing.AWAY),
        (SELECTED, Landing.LANDS),
        ({"nodeSelector": SELECTOR}, Landing.NO_TOLERATION),
        # It is meant for the virtual nodes of the other cloud.
        ({"nodeSelector": SELECTOR, "tolerations": [ELSEWHERE]}, Landing.AWAY),
        ({"nodeSelector": SELECTOR, "tolerations": [ELSEWHERE, *TOLERATIONS]}, Landing.LANDS),
        ({"tolerations": TOLERATIONS}, Landing.NO_SELECTOR),
        ({"tolerations": [{"operator": "Exists"}]}, Landing.NO_SELECTOR),
        # A virtual node has no such label, and its taint keeps the rest away.
        ({"tolerations": TOLERATIONS, "nodeSelector": {"disk": "ssd"}}, Landing.AWAY),
        ({"nodeSelector": {"disk": "ssd"}}, Landing.AWAY),
        ({"tolerations": TOLERATIONS, "nodeSelector": {"kubernetes.io/os": "linux"}}, Landing.NO_SELECTOR),
        ({"tolerations": TOLERATIONS, "nodeSelector": {"kubernetes.io/os": "windows"}}, Landing.AWAY),
        ({**SELECTED, "nodeSelector": {**SELECTOR, "kubernetes.io/os": "windows"}}, Landing.AWAY),
        ({**SELECTED, "nodeSelector": {**SELECTOR, "zone": "1"}}, Landing.LANDS),
        # A name asks nobody, not even the taint.
        ({"nodeName": "virtual-kubelet"}, Landing.LANDS),
        ({"nodeName": "virtual-kubelet-aci-connector-linux-eastus"}, Landing.LANDS),
        ({"nodeName": "aks-nodepool1-0", **SELECTED}, Landing.AWAY),
        ({"nodeSelector": {"kubernetes.io/hostname": "virtual-kubelet"}}, Landing.NO_TOLERATION),
        ({"affinity": affinity([TYPE_IN]), "tolerations": TOLERATIONS}, Landing.LANDS),
        ({"affinity": affinity([TYPE_IN], [requirement("disk", "Exists")])}, Landing.AWAY),
        ({"affinity": affinity([TYPE_NOT_IN]), "tolerations": TOLERATIONS}, Landing.AWAY),
        (
            {"affinity": affinity([requirement("type", "DoesNotExist")]), "tolerations": TOLERATIONS},
            Landing.AWAY,
        ),
        (
            {
                "affinity": affinity([requirement("kubernetes.io/os", "In", "linux")]),
                "tolerations": TOLERATIONS,
            },
            Landing.NO_SELECTOR,
        ),
        ({"affinity": affinity([requirement("cores", "Gt", "3")]), "tolerations": TOLERATIONS}, Landing.AWAY),
    ],
)
def test_where_the_scheduler_may_put_it(spec: dict[str, Any], expected: Landing) -> None:
    assert where(spec) is expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "virtual-kubelet.io/provider", "operator": "Exists"}, True),
        ({"key": "virtual-kubelet.io/provider", "value": "azure"}, True),
        ({"key": "virtual-kubelet.io/provider", "operator": "Equal", "value": "alibabacloud"}, False),
        ({"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "azure.com/aci", "operator": "Exists"}, False),
        ({}, False),
    ],
)
def test_tolerations(toleration: dict[str, Any], expected: bool) -> None:
    assert tolerated(toleration, "azure") is expected


def test_a_namespace_whose_pods_are_sent_there_by_a_webhook() -> None:
    labels = {"virtual-node-affinity-injection": "enabled"}
    assert where({}, namespace=labels) is Landing.LANDS
    assert where({}, "DaemonSet", labels) is Landing.AWAY
    assert where({"nodeSelector": {"type": "real"}}, namespace=labels) is Landing.AWAY
    assert where({"nodeSelector": {"kubernetes.io/os": "windows"}}, namespace=labels) is Landing.AWAY


@pytest.mark.parametrize(
    ("labels", "cloud", "expected"),
    [
        ({"virtual-node-affinity-injection": "enabled"}, "azure", Landing.LANDS),
        ({"alibabacloud.com/eci": "true"}, "alibabacloud", Landing.LANDS),
        ({"alibabacloud.com/eci": "true"}, "azure", Landing.AWAY),
        ({"alibabacloud.com/eci": "false"}, "alibabacloud", Landing.AWAY),
    ],
)
def test_a_pod_that_asks_for_it_by_a_label(labels: dict[str, str], cloud: str, expected: Landing) -> None:
    spec = {"containers": [{"name": "a", "image": "b"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": labels}, "spec": spec}
    work = workload(Source("test.yaml", body))
    assert work is not None
    assert landing(work, virtual_node(cloud, "Linux"), {}) is expected


def test_a_pod_may_stay_where_its_namespace_would_send_it() -> None:
    labels = {"virtual-node-affinity-injection": "disabled"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}}
    work = workload(Source("test.yaml", body))
    assert work is not None
    assert landing(work, AZURE, {"virtual-node-affinity-injection": "enabled"}) is Landing.AWAY


def test_real_nodes_say_their_names_and_labels() -> None:
    def node(name: str, taint: str) -> dict[str, Any]:
        taints = [{"key": "virtual-kubelet.io/provider", "value": taint, "effect": "NoSchedule"}]
        return {"metadata": {"name": name, "labels": {"team": "a"}}, "spec": {"taints": taints}}

    found = virtual_node("azure", "Linux", [node("mine", "azure"), node("virtual-kubelet", "alibabacloud")])
    assert found.called("mine")
    assert not found.called("virtual-kubelet")
    assert found.labels["team"] == "a"


def test_the_labels_are_those_that_the_runtime_registers() -> None:
    from vnodectl.runtime.node import NodeConfig, labels

    config = NodeConfig("virtual-kubelet", (), 10250, "azure")
    assert AZURE.labels == labels(config, NodeInfo("linux", "amd64", {}))
