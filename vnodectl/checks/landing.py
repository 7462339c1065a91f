"""Whether a pod may be scheduled onto a virtual node: tolerations, selector, node affinity. Pure.

As the scheduler decides (kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node and
…/taint-and-toleration).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from vnodectl.settings import TAINT_KEY

JSON = dict[str, Any]

VIRTUAL = "virtual-kubelet"
"""Value of the label `type` on every virtual node."""

_AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"


def labels(os_type: str = "Linux", name: str = "") -> dict[str, str]:
    """Those of a connector's node that selectors usually look at."""
    return {
        "type": VIRTUAL,
        "kubernetes.io/role": "agent",
        "kubernetes.io/os": os_type.lower(),
        "beta.kubernetes.io/os": os_type.lower(),
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
    }


def lands(pod_spec: JSON, node_labels: Mapping[str, str], taint_value: str = "azure") -> bool:
    """Whether a pod of this spec tolerates the virtual nodes' taint and selects a node of these labels."""
    return tolerates(pod_spec, taint_value) and selects(pod_spec, node_labels)


def tolerates(pod_spec: JSON, taint_value: str = "azure") -> bool:
    return any(_tolerates(one, taint_value) for one in pod_spec.get("tolerations") or ())


def selects(pod_spec: JSON, node_labels: Mapping[str, str]) -> bool:
    selector = pod_spec.get("nodeSelector") or {}
    if any(node_labels.get(key) != value for key, value in selector.items()):
        return False
    terms = _terms(pod_spec)
    return terms is None or any(_term(one, node_labels) for one in terms)


def exclusion(pod_spec: JSON) -> JSON:
    """A merge patch of a workload, after which its pods select no virtual node; all else stays as it is.

    Terms of a node affinity are alternatives, so each of them gets the condition.
    """
    terms = copy.deepcopy(_terms(pod_spec) or [{}])
    for term in terms:
        term.setdefault("matchExpressions", []).append(
            {"key": "type", "operator": "NotIn", "values": [VIRTUAL]}
        )
    affinity = {"nodeAffinity": {_AFFINITY: {"nodeSelectorTerms": terms}}}
    return {"spec": {"template": {"spec": {"affinity": affinity}}}}


def _tolerates(toleration: JSON, taint_value: str) -> bool:
    if toleration.get("effect") not in (None, "", "NoSchedule"):
        return False
    key, exists = toleration.get("key") or "", toleration.get("operator") == "Exists"
    if not key:
        return exists
    return bool(key == TAINT_KEY and (exists or (toleration.get("value") or "") == taint_value))


def _terms(pod_spec: JSON) -> list[JSON] | None:
    node_affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = node_affinity.get(_AFFINITY)
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def _term(term: JSON, node_labels: Mapping[str, str]) -> bool:
    """An empty term selects nothing. Of a node's fields only its name can be asked for."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    name = {"metadata.name": node_labels.get("kubernetes.io/hostname", "")}
    return bool(expressions or fields) and (
        all(_expression(one, node_labels) for one in expressions)
        and all(_expression(one, name) for one in fields)
    )


def _expression(expression: JSON, node_labels: Mapping[str, str]) -> bool:
    value = node_labels.get(str(expression.get("key")))
    values = [str(one) for one in expression.get("values") or ()]
    operator = expression.get("operator")
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        found, limit = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return found > limit if operator == "Gt" else found < limit
