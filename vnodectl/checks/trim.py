"""What a recording keeps of the cluster's objects: an allow-list, so that nothing secret can be in it.

Checks are given the same when they are recorded and when they are replayed: a check that needs a field
which is not kept fails its tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

JSON = dict[str, Any]

MASK = "***"

_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?.*"
)
_META = (
    "name",
    "namespace",
    "uid",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)
_ANNOTATIONS = re.compile(r"(vnodectl|virtual-kubelet|meta\.helm|azure\.workload\.identity)[\w.-]*/")
_SECRET_KEY = re.compile(
    r"(?i)(password|passphrase|secret(text|value)?|token|access_?key_?(secret)?|private_?key|connection_?string)$"
)

_POD_SPEC = (
    "tolerations",
    "nodeSelector",
    "affinity",
    "nodeName",
    "hostNetwork",
    "schedulerName",
    "imagePullSecrets",
)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "nodes": (
        "spec.taints",
        "spec.unschedulable",
        "status.conditions",
        "status.nodeInfo",
        "status.addresses",
    ),
    "pods": (*(f"spec.{name}" for name in _POD_SPEC), "status.phase", "status.reason"),
    "daemonsets": (
        "status",
        "spec.selector",
        "spec.template.metadata.labels",
        *(f"spec.template.spec.{name}" for name in _POD_SPEC),
    ),
    "deployments": ("status", "spec.replicas", "spec.selector", "spec.template.metadata.labels"),
    "leases": ("spec",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "serviceaccounts": (),
    "resourcequotas": ("spec", "status"),
    "limitranges": ("spec",),
    "selfsubjectaccessreviews": ("spec", "status"),
    "subjectaccessreviews": ("spec", "status"),
}


def kube(path: str, body: JSON) -> JSON:
    """Of an object of the Kubernetes API. One of no known kind loses everything but its names."""
    if path == "/version":
        return body
    match = _PATH.fullmatch(path)
    if match is None:  # discovery, /openid/v1/jwks …: public by nature
        return body
    return _object(match["plural"], body)


def kube_items(path: str, items: list[JSON]) -> list[JSON]:
    match = _PATH.fullmatch(path)
    return [_object(match["plural"] if match else "", item) for item in items]


def cloud(value: Any) -> Any:
    """Of a cloud's answer: everything, with the values of keys that sound secret masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(one, str) and one and _SECRET_KEY.search(key) else cloud(one)
            for key, one in value.items()
        }
    return [cloud(one) for one in value] if isinstance(value, list) else value


def texts(value: Any, clean: Callable[[str], str]) -> Any:
    """`clean` applied to every string."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: texts(one, clean) for key, one in value.items()}
    return [texts(one, clean) for one in value] if isinstance(value, list) else value


def _object(plural: str, body: JSON) -> JSON:
    meta = body.get("metadata") or {}
    kept = {key: meta[key] for key in _META if key in meta}
    annotations = {
        key: value for key, value in (meta.get("annotations") or {}).items() if _ANNOTATIONS.match(key)
    }
    if annotations:
        kept["annotations"] = annotations
    found: JSON = {"metadata": kept}
    for path in _FIELDS.get(plural, ()):
        _copy(body, found, path.split("."))
    return found


def _copy(source: Any, into: JSON, path: list[str]) -> None:
    for part in path[:-1]:
        source = source.get(part) if isinstance(source, Mapping) else None
        if not isinstance(source, Mapping):
            return
        into = into.setdefault(part, {})
    if path[-1] in source:
        into[path[-1]] = source[path[-1]]
