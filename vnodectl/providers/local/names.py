"""Which group is which pod's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from vnodectl.runtime.provider import PodKey

NAME_MAX = 63
UID_PART = 12  # hexadecimal digits: pods of one node do not meet in 48 bits

NAMESPACE = "io.vnodectl.pod.namespace"
NAME = "io.vnodectl.pod.name"
UID = "io.vnodectl.pod.uid"
NODE = "io.vnodectl.node"


def group_name(key: PodKey) -> str:
    """`<namespace and name, cut>-<part of a hash of the uid>`."""
    part = hashlib.sha256(key.uid.encode()).hexdigest()[:UID_PART]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{key.namespace}-{key.name}".lower()).strip("-")
    head = readable[: NAME_MAX - UID_PART - 1].strip("-")
    return f"{head}-{part}" if head else f"pod-{part}"


def group_labels(key: PodKey, node: str) -> dict[str, str]:
    return {NAMESPACE: key.namespace, NAME: key.name, UID: key.uid, NODE: node}


def pod_of(labels: Mapping[str, str], node: str) -> PodKey | None:
    """The pod behind a group's labels; None for a group that is not of this node."""
    if labels.get(NODE) != node or not labels.get(UID):
        return None
    return PodKey(labels[NAMESPACE], labels[NAME], labels[UID])
