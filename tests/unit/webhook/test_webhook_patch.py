"""What is added to pods: exactly what they lack, and nothing twice."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.webhook.patch import Rule, patches

JSON = dict[str, Any]
RULE = Rule(provider="alibabacloud")
TOLERATION = {
    "key": "virtual-kubelet.io/provider",
    "operator": "Equal",
    "value": "alibabacloud",
    "effect": "NoSchedule",
}
EVERYWHERE = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}


def applied(pod: JSON, operations: list[JSON]) -> JSON:
    """RFC 6902, the part that is used: `add` to objects and at the end of lists."""
    made = copy.deepcopy(pod)
    for operation in operations:
        assert operation["op"] == "add"
        *parents, last = (
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        )
        where: Any = made
        for part in parents:
            where = where[part]
        if isinstance(where, list):
            assert last == "-"
            where.append(operation["value"])
        else:
            where[last] = operation["value"]
    return made


def pod(**spec: Any) -> JSON:
    meta = {"labels": spec.pop("labels", {}), "ownerReferences": spec.pop("owners", [])}
    return {"metadata": meta, "spec": {"containers": [{"name": "web"}], **spec}}


def test_a_plain_pod_gets_a_selector_and_a_toleration() -> None:
    made = applied(pod(), patches(pod(), RULE))
    assert made["spec"]["nodeSelector"] == {"type": "virtual-kubelet", "kubernetes.io/os": "linux"}
    assert made["spec"]["tolerations"] == [TOLERATION]


def test_what_is_there_stays() -> None:
    given_ = pod(nodeSelector={"zone": "a"}, tolerations=[EVERYWHERE])
    made = applied(given_, patches(given_, RULE))
    assert made["spec"]["nodeSelector"] == {
        "zone": "a",
        "type": "virtual-kubelet",
        "kubernetes.io/os": "linux",
    }
    assert made["spec"]["tolerations"] == [EVERYWHERE, TOLERATION]


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "virtual-kubelet.io/provider", "operator": "Exists"},
        {"key": "virtual-kubelet.io/provider", "value": "alibabacloud"},
        {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"},
    ],
)
def test_a_toleration_that_is_enough_is_enough(toleration: JSON) -> None:
    assert not [one for one in patches(pod(tolerations=[toleration]), RULE) if "tolerations" in one["path"]]


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute"},
        {"key": "other", "operator": "Exists"},
        {"key": "other", "value": "azure"},
        {"value": "alibabacloud"},
    ],
)
def test_a_toleration_of_something_else_is_not(toleration: JSON) -> None:
    made = applied(pod(tolerations=[toleration]), patches(pod(tolerations=[toleration]), RULE))
    assert made["spec"]["tolerations"] == [toleration, TOLERATION]


@pytest.mark.parametrize(
    "alone",
    [
        {"nodeName": "virtual-kubelet"},
        {"labels": {"virtual-node-affinity-injection": "disabled"}},
        {"labels": {"alibabacloud.com/eci": "false"}},
        {"owners": [{"kind": "DaemonSet", "controller": True, "name": "logs"}]},
        {"os": {"name": "windows"}},
        {"nodeSelector": {"kubernetes.io/os": "windows"}},
        {"nodeSelector": {"type": "bare-metal"}},
        {"tolerations": [{"key": "virtual-kubelet.io/provider", "value": "azure"}]},
    ],
)
def test_a_pod_that_belongs_elsewhere_is_left_alone(alone: JSON) -> None:
    assert patches(pod(**alone), RULE) == []


def test_a_connector_for_windows_takes_windows_pods_alone() -> None:
    rule = Rule(provider="azure", os_type="windows")
    assert patches(pod(os={"name": "linux"}), rule) == []
    assert patches(pod(), rule) == [], "a pod that does not say is a Linux pod"
    windows = pod(os={"name": "windows"})
    made = applied(windows, patches(windows, rule))
    assert made["spec"]["nodeSelector"]["kubernetes.io/os"] == "windows"


def test_of_two_connectors_the_first_that_is_asked_takes_the_pod() -> None:
    azure = Rule(provider="azure")
    for first, second in ((azure, RULE), (RULE, azure)):
        taken = applied(pod(), patches(pod(), first))
        assert patches(taken, second) == []


def test_a_replica_set_s_pod_is_no_daemon_set_s() -> None:
    owned = pod(owners=[{"kind": "ReplicaSet", "controller": True}, {"kind": "DaemonSet"}])
    assert patches(owned, RULE)


KEYS = st.sampled_from(["type", "kubernetes.io/os", "zone", "a~b/c"])
SELECTORS = st.dictionaries(KEYS, st.sampled_from(["virtual-kubelet", "linux", "windows", "x"]), max_size=3)
TOLERATIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "key": st.sampled_from(["", "virtual-kubelet.io/provider", "other"]),
            "operator": st.sampled_from(["Exists", "Equal"]),
            "value": st.sampled_from(["azure", "alibabacloud", ""]),
            "effect": st.sampled_from(["", "NoSchedule", "NoExecute"]),
        },
    ),
    max_size=3,
)
PODS = st.builds(
    lambda selector, tolerations, node: pod(
        **{
            key: value
            for key, value in {
                "nodeSelector": selector,
                "tolerations": tolerations,
                "nodeName": node,
            }.items()
            if value is not None
        }
    ),
    st.none() | SELECTORS,
    st.none() | TOLERATIONS,
    st.sampled_from([None, "", "n"]),
)


@given(PODS, st.sampled_from(["linux", "windows"]))
def test_a_second_call_adds_nothing_and_nothing_is_ever_changed(given_: JSON, system: str) -> None:
    rule = Rule(provider="alibabacloud", os_type=system)
    before = copy.deepcopy(given_)
    operations = patches(given_, rule)
    assert given_ == before, "pure"
    made = applied(given_, operations)
    assert patches(made, rule) == []
    was, now = given_["spec"], made["spec"]
    for key, value in (was.get("nodeSelector") or {}).items():
        assert now["nodeSelector"][key] == value
    assert (now.get("tolerations") or [])[: len(was.get("tolerations") or [])] == (
        was.get("tolerations") or []
    )
