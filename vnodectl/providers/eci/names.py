"""A group's name, token and tags: deterministic from the pod, and back from the tags to the pod."""

from __future__ import annotations

from vnodectl.clouds.alibaba import tags as tag
from vnodectl.clouds.alibaba.tags import VALUE_MAX, Owner
from vnodectl.providers.names import readable_name
from vnodectl.runtime.provider import JSON, PodKey

NAME_MAX = 128
"""ECI's limit for a group's name, of [a-z0-9-], no hyphen first or last."""

HOST_NAME_MAX = 63


def group_name(key: PodKey) -> str:
    return readable_name(key, NAME_MAX)


def client_token(key: PodKey, attempt: int) -> str:
    """What makes a create idempotent: the UID, and for a group that replaces a failed one its number.

    At most 64 ASCII characters. A UID that is longer (or not ASCII) is replaced by what the name has of it.
    """
    uid = key.uid if key.uid.isascii() and len(key.uid) <= 56 else group_name(key)[-32:]
    return uid if attempt == 1 else f"{uid}-{attempt}"


def group_tags(key: PodKey, owner: Owner, created: str) -> dict[str, str]:
    """`created` is the pod's creationTimestamp, so that the same pod always has the same tags."""
    found = {
        tag.NAMESPACE: key.namespace,
        tag.POD: key.name[:VALUE_MAX],
        tag.UID: key.uid,
        tag.NODE: owner.node,
        tag.CONNECTOR: owner.connector,
        tag.CREATED: created,
    }
    if len(key.name) > VALUE_MAX:
        found[tag.POD_REST] = key.name[VALUE_MAX:]
    return found


def pod_of(group: JSON, owner: Owner) -> PodKey | None:
    """The pod that a group (of DescribeContainerGroups) runs for `owner`; None for a foreign group."""
    tags = tag.of_resource(group)
    if not owner.owns(tags):
        return None
    namespace, name, uid = tags.get(tag.NAMESPACE), tags.get(tag.POD), tags.get(tag.UID)
    if not (namespace and name and uid):
        return None
    return PodKey(namespace, name + tags.get(tag.POD_REST, ""), uid)
