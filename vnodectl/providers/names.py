"""Names of container groups: deterministic from the pod, and readable."""

from __future__ import annotations

import hashlib
import re

from vnodectl.runtime.provider import PodKey

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def readable_name(key: PodKey, most: int) -> str:
    """`<namespace and name, cut>-<uid>`, of [a-z0-9-], at most `most` characters.

    Two pods never share one, as no two pods share a UID. A UID that is no UUID (static pods have hashes)
    is replaced by a hash of itself.
    """
    uid = key.uid.lower()
    part = uid if _UUID.fullmatch(uid) else hashlib.sha256(key.uid.encode()).hexdigest()[:32]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{key.namespace}-{key.name}".lower()).strip("-")
    head = readable[: most - len(part) - 1].strip("-")
    return f"{head}-{part}" if head else part
