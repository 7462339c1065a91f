"""What of a Node is ours, so that what is no longer wanted goes and what others put there stays. Pure.

The Node itself remembers it, in an annotation: nothing else survives this process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vnodectl.kube.client import JSON

ANNOTATION = "vnodectl.io/managed"


@dataclass(frozen=True, slots=True)
class Managed:
    """Keys of labels and of resources (capacity), and taints as `key:effect`."""

    labels: frozenset[str] = frozenset()
    taints: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()

    def text(self) -> str:
        """The annotation's value; the same for the same content."""
        parts = {"labels": self.labels, "taints": self.taints, "resources": self.resources}
        return json.dumps({name: sorted(keys) for name, keys in parts.items()}, separators=(",", ":"))


def managed(labels: Mapping[str, str], taints: Iterable[JSON], resources: Mapping[str, str]) -> Managed:
    return Managed(frozenset(labels), frozenset(map(taint_name, taints)), frozenset(resources))


def taint_name(taint: JSON) -> str:
    return f"{taint['key']}:{taint.get('effect') or ''}"


def read(node: JSON) -> Managed:
    """What the Node says is ours; nothing where it says nothing that can be understood."""
    try:
        body = json.loads((node["metadata"].get("annotations") or {}).get(ANNOTATION) or "{}")
        return Managed(
            *(frozenset(map(str, body.get(name) or ())) for name in ("labels", "taints", "resources"))
        )
    except (ValueError, AttributeError, TypeError):
        return Managed()
