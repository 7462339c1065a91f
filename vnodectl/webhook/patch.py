"""What is added to a pod so that it runs on a virtual node of this connector. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vnodectl.settings import TAINT_KEY

JSON = dict[str, Any]

OPT_OUT: Mapping[str, str] = {"virtual-node-affinity-injection": "disabled", "alibabacloud.com/eci": "false"}
"""Labels by which a pod stays where it is, whatever its namespace says."""

_OS = "kubernetes.io/os"
_TYPE = "type"
_VIRTUAL = "virtual-kubelet"


@dataclass(frozen=True, slots=True)
class Rule:
    """The nodes that pods are sent to: `provider` is the value of their taint, of this key and effect;
    `os_type` is in lower case.

    The toleration names the provider, so of all virtual nodes in the cluster only this provider's fit.
    """

    provider: str
    os_type: str = "linux"
    taint_key: str = TAINT_KEY
    effect: str = "NoSchedule"


@dataclass(frozen=True, slots=True)
class Wish:
    """What settings of the cluster say of a pod: whether it belongs on the nodes, and what it is given."""

    selected: bool
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def wished(pod: JSON, rule: Rule, wish: Wish) -> list[JSON]:
    """As `patches`, for a pod that was not chosen by its labels alone; what it says itself wins."""
    if not wish.selected or not _may_land(pod, rule):
        return []
    metadata = pod.get("metadata") or {}
    return [
        *patches(pod, rule),
        *_adding(metadata.get("annotations"), wish.annotations, "/metadata/annotations"),
        *_adding(metadata.get("labels"), wish.labels, "/metadata/labels"),
    ]


def _adding(given: Mapping[str, str] | None, wanted: Mapping[str, str], path: str) -> list[JSON]:
    if not given:
        return [{"op": "add", "path": path, "value": dict(wanted)}] if wanted else []
    return [
        {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
        for key, value in wanted.items()
        if key not in given
    ]


def patches(pod: JSON, rule: Rule) -> list[JSON]:
    """JSON patch operations (RFC 6902) for a pod that is being created; [] where nothing is to be added.

    A second call for the patched pod adds nothing. Left alone is a pod that says by itself where it runs or
    that it does not want to, one of another OS or for another provider's nodes, and one of a DaemonSet, which
    is meant for one node already.
    """
    if not _may_land(pod, rule):
        return []
    spec: JSON = pod.get("spec") or {}
    wanted = {_TYPE: _VIRTUAL, _OS: rule.os_type}
    return _selecting(spec, wanted) + _tolerating(spec, rule)


def _may_land(pod: JSON, rule: Rule) -> bool:
    spec: JSON = pod.get("spec") or {}
    if spec.get("nodeName") or _unwilling(pod) or _of_daemon_set(pod) or _for_another(spec, rule):
        return False
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}
    # A pod that does not say is a Linux pod, as the scheduler's and everybody's convention has it.
    system = str((spec.get("os") or {}).get("name") or selector.get(_OS) or "linux")
    return system == rule.os_type and selector.get(_TYPE, _VIRTUAL) == _VIRTUAL


def _unwilling(pod: JSON) -> bool:
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return any(labels.get(key) == value for key, value in OPT_OUT.items())


def _of_daemon_set(pod: JSON) -> bool:
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("kind") == "DaemonSet" for owner in owners)


def _for_another(spec: JSON, rule: Rule) -> bool:
    """Whether it names the taint of another provider: by hand, or by the webhook of another connector."""
    return any(
        one.get("key") == rule.taint_key
        and one.get("operator") != "Exists"
        and one.get("value") != rule.provider
        for one in spec.get("tolerations") or ()
    )


def _selecting(spec: JSON, wanted: Mapping[str, str]) -> list[JSON]:
    return _adding(spec.get("nodeSelector"), wanted, "/spec/nodeSelector")


def _tolerating(spec: JSON, rule: Rule) -> list[JSON]:
    if any(_tolerates(one, rule) for one in spec.get("tolerations") or ()):
        return []
    toleration = {
        "key": rule.taint_key,
        "operator": "Equal",
        "value": rule.provider,
        "effect": rule.effect,
    }
    if not spec.get("tolerations"):
        return [{"op": "add", "path": "/spec/tolerations", "value": [toleration]}]
    return [{"op": "add", "path": "/spec/tolerations/-", "value": toleration}]


def _tolerates(toleration: JSON, rule: Rule) -> bool:
    """As the scheduler sees it: an empty key with Exists is every taint, an empty effect every effect."""
    if toleration.get("effect") not in (None, "", rule.effect):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    return toleration["key"] == rule.taint_key and (exists or toleration.get("value") == rule.provider)


def _escaped(key: str) -> str:
    """A key within a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
