"""The events that ACI keeps of a group and its containers, for the pod. Pure.

ACI words them as a kubelet does (Pulling, Pulled, Created, Started, Killing, Failed, BackOff) and keeps a
count and the time of the last one; a higher count or a later time is news.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vnodectl.runtime.provider import JSON, Happened, PodKey

_MOST = 1024
"""Characters of an event's message that the API server takes (events.k8s.io/v1 `note`)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What identifies an event, and how far it has gone."""

    container: str
    reason: str
    message: str
    count: int
    last: str


def events(group: JSON) -> list[Known]:
    """Every event of the group and of its containers, oldest first."""
    return sorted(_all(group), key=lambda one: one.last)


def news(key: PodKey, group: JSON, told: frozenset[Known]) -> tuple[list[Happened], frozenset[Known]]:
    """What happened since `told`, and what is told now."""
    warnings = {(name, one.get("name")) for name, one in _raw(group) if one.get("type") == "Warning"}
    found = events(group)
    fresh = [
        Happened(
            key,
            "Warning" if (one.container, one.reason) in warnings else "Normal",
            one.reason,
            one.message[:_MOST],
            one.container,
        )
        for one in found
        if one not in told
    ]
    return fresh, frozenset(found)


def _all(group: JSON) -> Iterator[Known]:
    for container, one in _raw(group):
        reason = str(one.get("name") or "")
        if reason:
            yield Known(
                container,
                reason,
                str(one.get("message") or ""),
                int(one.get("count") or 1),
                str(one.get("lastTimestamp") or one.get("firstTimestamp") or ""),
            )


def _raw(group: JSON) -> Iterator[tuple[str, JSON]]:
    properties = group.get("properties") or {}
    for one in (properties.get("instanceView") or {}).get("events") or ():
        yield "", one
    for kind in ("initContainers", "containers"):
        for container in properties.get(kind) or ():
            view = (container.get("properties") or {}).get("instanceView") or {}
            for one in view.get("events") or ():
                yield container["name"], one
