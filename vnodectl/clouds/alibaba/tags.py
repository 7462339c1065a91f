"""The tags of a container group.

ECI takes 20 tags, a value has at most 128 characters: a pod's name of up to 253 is kept in two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnodectl.clouds.ownership import CONNECTOR, CREATED, NAMESPACE, NODE, POD, UID, Owner

VALUE_MAX = 128
TAGS_MAX = 20
POD_REST = "vnodectl-pod-rest"
"""What of the pod's name did not fit into `vnodectl-pod`."""

__all__ = [
    "CONNECTOR",
    "CREATED",
    "NAMESPACE",
    "NODE",
    "POD",
    "POD_REST",
    "TAGS_MAX",
    "UID",
    "VALUE_MAX",
    "Owner",
    "as_list",
    "of_resource",
]


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """`[{"Key": …, "Value": …}]`, as every API takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def of_resource(resource: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a resource as an API returned it."""
    return {str(one.get("Key") or ""): str(one.get("Value") or "") for one in resource.get("Tags") or ()}
