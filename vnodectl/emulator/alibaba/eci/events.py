"""Events of container groups: those of the service itself, and those that the engine tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import GroupEvent

MOST = 50
"""So many of the latest events of a group are shown."""

SERVICE, AGENT = "EciService", "K8sAgent"


@dataclass(slots=True)
class Counted:
    """Equal events, told once. Moments in seconds since the epoch."""

    event: GroupEvent
    source: str
    first: float
    last: float
    count: int = 1


def stamp(moment: float) -> str:
    """RFC 3339 in whole seconds, as ECI writes moments."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def events_of(group: Group, source: str = "") -> list[Counted]:
    """The latest ones, oldest first; `source` narrows them."""
    told: list[tuple[str, GroupEvent]] = [(SERVICE, event) for event in group.events]
    told += [(AGENT, event) for event in (group.seen.events if group.seen else ())]
    counted: dict[tuple[str, str, str, str, str], Counted] = {}
    for origin, event in sorted(told, key=lambda one: one[1].time):
        key = (origin, event.type, event.reason, event.message, event.container)
        if (known := counted.get(key)) is not None:
            known.count, known.last = known.count + 1, event.time
        else:
            counted[key] = Counted(event, origin, event.time, event.time)
    chosen = (one for one in counted.values() if source in ("", one.source))
    return sorted(chosen, key=lambda one: one.last)[-MOST:]


def short(events: Iterable[Counted], group: Group) -> list[JSON]:
    """As DescribeContainerGroups shows them."""
    return [
        {
            "Name": _name(group, one),
            "Type": one.event.type,
            "Reason": one.event.reason,
            "Message": _message(one),
            "Count": one.count,
            "FirstTimestamp": stamp(one.first),
            "LastTimestamp": stamp(one.last),
        }
        for one in events
    ]


def long(events: Iterable[Counted], group: Group) -> list[JSON]:
    """As DescribeContainerGroupEvents shows them."""
    return [
        {
            "Type": one.event.type,
            "Reason": one.event.reason,
            "Message": _message(one),
            "Count": one.count,
            "FirstTimestamp": stamp(one.first),
            "LastTimestamp": stamp(one.last),
            "ReportingComponent": "",
            "ReportingInstance": "",
            "Source": {"Component": SERVICE if one.source == SERVICE else "kubelet", "Host": "eci"},
            "involvedObject": {
                "Kind": "Pod",
                "ApiVersion": "v1",
                "Name": group.name,
                "Namespace": "default",
                "Uid": group.id,
            },
            "Metadata": {"Name": _name(group, one), "Namespace": "default"},
        }
        for one in events
    ]


def _name(group: Group, one: Counted) -> str:
    return f"{group.name}.{int(one.first * 1e9):x}"


def _message(one: Counted) -> str:
    """An engine's event may be of one container: ECI's have no field for that."""
    event = one.event
    return f"{event.message} (container {event.container})" if event.container else event.message
