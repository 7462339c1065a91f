"""A group's name and tags: deterministic from the pod, and back from the tags to the pod."""

from __future__ import annotations

from collections.abc import Mapping

from vnodectl.clouds.azure import tags as tag
from vnodectl.clouds.azure.tags import Owner
from vnodectl.providers.names import readable_name
from vnodectl.runtime.provider import JSON, PodKey

NAME_MAX = 63
"""ACI's limit for a group's name, of [a-z0-9-], no hyphen first, last or twice in a row."""


def group_name(key: PodKey) -> str:
    """`<namespace and name, cut>-<uid>`. Two pods never share one, as no two pods share a UID."""
    return readable_name(key, NAME_MAX)


def group_tags(key: PodKey, owner: Owner, created: str) -> dict[str, str]:
    """`created` is the pod's creationTimestamp, so that the same pod always has the same tags."""
    return {
        tag.NAMESPACE: key.namespace,
        tag.POD: key.name,
        tag.UID: key.uid,
        tag.NODE: owner.node,
        tag.CONNECTOR: owner.connector,
        tag.CREATED: created,
    }


def pod_of(group: JSON, owner: Owner) -> PodKey | None:
    """The pod that a group (ARM JSON) runs for `owner`; None for a foreign group."""
    tags: Mapping[str, str] = group.get("tags") or {}
    if not owner.owns(tags):
        return None
    namespace, name, uid = tags.get(tag.NAMESPACE), tags.get(tag.POD), tags.get(tag.UID)
    if not (namespace and name and uid):
        return None
    return PodKey(namespace, name, uid)
