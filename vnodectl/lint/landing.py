"""Can a pod land on a virtual node of this cloud, and does it mean to?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vnodectl.lint.model import JSON
from vnodectl.lint.workloads import Workload, mapping, objects
from vnodectl.runtime.node import NodeConfig, labels
from vnodectl.runtime.provider import NodeInfo
from vnodectl.settings import NODE_PREFIX, TAINT_KEY
from vnodectl.webhook.patch import Rule, patches

HOSTNAME = "kubernetes.io/hostname"
_OS_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")
_ECI_NODE = "virtual-kubelet"
"""The node's name that users of ack-virtual-node know."""

_SENT = {"virtual-node-affinity-injection": "enabled"}
_SENT_TO_ECI = {**_SENT, "alibabacloud.com/eci": "true"}
"""Labels of a namespace or a pod by which the connectors' admission webhook adds selector and toleration."""


class Landing(StrEnum):
    """`away`: it cannot land there. `lands`: it can, and asks for it. The others are half of that."""

    AWAY = "away"
    LANDS = "lands"
    NO_TOLERATION = "no-toleration"
    NO_SELECTOR = "no-selector"


@dataclass(frozen=True, slots=True)
class VirtualNode:
    """A node as the scheduler sees it. `taint` is the value of the provider's taint; `names` are those of
    real nodes, where they are known."""

    taint: str
    os: str
    labels: Mapping[str, str]
    names: frozenset[str] = frozenset()

    def called(self, name: str) -> bool:
        """Whether a node of this name is a virtual one."""
        return name in self.names if self.names else name == _ECI_NODE or name.startswith(NODE_PREFIX)


def virtual_node(taint: str, os_type: str, found: Sequence[JSON] = ()) -> VirtualNode:
    """What the runtime registers; `found` are nodes (API objects) of a cluster, if one was read."""
    config = NodeConfig(_ECI_NODE, (), 10250, taint)
    standard = labels(config, NodeInfo(os_type.lower(), "amd64", {}))
    own = [
        one
        for one in found
        if any(
            taint_of.get("key") == TAINT_KEY and taint_of.get("value") == taint
            for taint_of in objects(mapping(one.get("spec")).get("taints"))
        )
    ]
    shared: dict[str, str] = {}
    for node in own:  # users may label them besides
        shared |= mapping(mapping(node.get("metadata")).get("labels"))
    return VirtualNode(
        taint,
        os_type.lower(),
        {**shared, **standard},
        frozenset(str(one["metadata"]["name"]) for one in own),
    )


def landing(work: Workload, node: VirtualNode, namespace_labels: Mapping[str, str]) -> Landing:
    """Where the scheduler may put the workload's pods."""
    spec = work.spec
    if spec.get("nodeName"):  # no scheduler is asked, and NoSchedule keeps nobody away who is there
        return Landing.LANDS if node.called(str(spec["nodeName"])) else Landing.AWAY
    if work.kind != "DaemonSet" and _sent(work, node, namespace_labels):
        return Landing.LANDS
    demands = demanded(spec, node)
    if not demands and not could(spec, node):
        return Landing.AWAY
    if demands and _other_os(spec, node):
        return Landing.AWAY
    tolerates = any(tolerated(one, node.taint) for one in objects(spec.get("tolerations")))
    if demands and not tolerates:
        return Landing.AWAY if _for_another(spec, node) else Landing.NO_TOLERATION
    if demands:
        return Landing.LANDS
    return Landing.NO_SELECTOR if tolerates else Landing.AWAY


def _sent(work: Workload, node: VirtualNode, namespace_labels: Mapping[str, str]) -> bool:
    """Whether the webhook would make it land there: it is asked itself."""
    wanted = _SENT_TO_ECI if node.taint == "alibabacloud" else _SENT
    if not any(
        labels.get(key) == value
        for labels in (namespace_labels, work.labels)
        for key, value in wanted.items()
    ):
        return False
    spec = {
        "nodeSelector": mapping(work.spec.get("nodeSelector")),
        "tolerations": objects(work.spec.get("tolerations")),
        "os": mapping(work.spec.get("os")),
    }
    return bool(patches({"metadata": {"labels": work.labels}, "spec": spec}, Rule(node.taint, node.os)))


def tolerated(toleration: JSON, taint: str) -> bool:
    """Whether a toleration covers `virtual-kubelet.io/provider=<taint>:NoSchedule`."""
    if str(toleration.get("effect") or "") not in {"", "NoSchedule"}:
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    return toleration["key"] == TAINT_KEY and (exists or str(toleration.get("value") or "") == taint)


def _for_another(spec: JSON, node: VirtualNode) -> bool:
    """Whether it tolerates the nodes of another cloud, by name."""
    return any(
        one.get("key") == TAINT_KEY
        and one.get("operator") != "Exists"
        and one.get("value") not in {None, node.taint}
        for one in objects(spec.get("tolerations"))
        if isinstance(one.get("value"), str | None)
    )


def could(spec: JSON, node: VirtualNode) -> bool:
    """Whether nodeSelector and required affinity allow a virtual node."""
    pairs = mapping(spec.get("nodeSelector"))
    if not all(_has(node, str(key), str(value)) for key, value in pairs.items()):
        return False
    terms = _terms(spec)
    return not terms or any(all(_holds(one, node) for one in _expressions(term)) for term in terms)


def demanded(spec: JSON, node: VirtualNode) -> bool:
    """Whether nodeSelector or required affinity allow nothing but virtual nodes."""
    if any(_virtual(node, str(key), [value]) for key, value in mapping(spec.get("nodeSelector")).items()):
        return True
    terms = _terms(spec)
    return bool(terms) and all(
        any(
            one.get("operator") == "In" and _virtual(node, str(one.get("key")), one.get("values") or [])
            for one in _expressions(term)
        )
        for term in terms
    )


def _virtual(node: VirtualNode, key: str, values: Sequence[Any]) -> bool:
    if not values:
        return False
    if key in {HOSTNAME, "metadata.name"}:
        return all(node.called(str(value)) for value in values)
    return key == "type" and all(value == "virtual-kubelet" for value in values)


def _has(node: VirtualNode, key: str, value: str) -> bool:
    return node.called(value) if key == HOSTNAME else node.labels.get(key) == value


def _other_os(spec: JSON, node: VirtualNode) -> bool:
    wanted = mapping(spec.get("nodeSelector"))
    return any(str(wanted.get(key, node.os)) != node.os for key in _OS_LABELS)


def _terms(spec: JSON) -> list[JSON]:
    affinity = mapping(mapping(spec.get("affinity")).get("nodeAffinity"))
    required = mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    return objects(required.get("nodeSelectorTerms"))


def _expressions(term: JSON) -> list[JSON]:
    return [*objects(term.get("matchExpressions")), *objects(term.get("matchFields"))]


def _holds(one: JSON, node: VirtualNode) -> bool:
    """A requirement of affinity; of names it is enough that a virtual node could have one."""
    key, operator, values = str(one.get("key")), one.get("operator"), one.get("values") or []
    if key in {HOSTNAME, "metadata.name"}:
        return operator != "In" or any(node.called(str(value)) for value in values)
    label = node.labels.get(key)
    match operator:
        case "In":
            return label in values
        case "NotIn":
            return label not in values
        case "Exists":
            return label is not None
        case "DoesNotExist":
            return label is None
        case _:  # Gt and Lt compare numbers, which none of a virtual node's labels is
            return False
