"""JSON patches (RFC 6902) that mend what can be mended without knowing more. Pure."""

from __future__ import annotations

from typing import Any

from vnodectl.lint import asked as rules
from vnodectl.lint.model import JSON, Steps
from vnodectl.lint.paths import deepest, look, pointer
from vnodectl.lint.rule import Rule
from vnodectl.lint.workloads import Workload, mapping
from vnodectl.settings import TAINT_KEY

_TOLERATION: JSON = {"key": TAINT_KEY, "operator": "Exists", "effect": "NoSchedule"}
_AWAY: JSON = {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def patch(rule: Rule, work: Workload, at: Steps) -> list[JSON]:
    """The operations for one finding, on the whole object; [] where a person has to decide."""
    body = work.source.body
    spec = work.steps(("spec",))
    if rule is rules.NO_TOLERATION:
        return _append(body, (*spec, "tolerations"), _TOLERATION)
    if rule is rules.NO_SELECTOR:
        return _set(body, (*spec, "nodeSelector"), "type", "virtual-kubelet")
    if rule is rules.SERVICE_LINKS:
        return [{"op": "add", "path": pointer((*spec, "enableServiceLinks")), "value": False}]
    if rule is rules.DAEMON_SET:
        return _keep_off(body, spec)
    if rule.removable and deepest(body, at) == at and work.kind != "Pod":
        return [{"op": "remove", "path": pointer(at)}]  # a pod that exists cannot be changed so
    return []


def _append(body: JSON, at: Steps, value: Any) -> list[JSON]:
    if isinstance(look(body, at), list):
        return [{"op": "add", "path": f"{pointer(at)}/-", "value": value}]
    return [{"op": "add", "path": pointer(at), "value": [value]}]


def _set(body: JSON, at: Steps, key: str, value: str) -> list[JSON]:
    if isinstance(look(body, at), dict):
        return [{"op": "add", "path": pointer((*at, key)), "value": value}]
    return [{"op": "add", "path": pointer(at), "value": {key: value}}]


def _keep_off(body: JSON, spec: Steps) -> list[JSON]:
    """One more requirement in every term: terms are alternatives, requirements of one must all hold."""
    where: Steps = (*spec, "affinity")
    affinity = mapping(look(body, where))
    node = mapping(affinity.get("nodeAffinity"))
    terms = mapping(node.get(_REQUIRED)).get("nodeSelectorTerms")
    if isinstance(terms, list) and terms:
        at: Steps = (*where, "nodeAffinity", _REQUIRED, "nodeSelectorTerms")
        return [
            operation
            for index in range(len(terms))
            for operation in _append(body, (*at, index, "matchExpressions"), _AWAY)
        ]
    required = {"nodeSelectorTerms": [{"matchExpressions": [_AWAY]}]}
    value = {**affinity, "nodeAffinity": {**node, _REQUIRED: required}}
    return [{"op": "add", "path": pointer(where), "value": value}]
