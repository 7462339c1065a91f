"""How DescribeContainerGroupStatus shows a container group: as the status of a pod. Pure.

The mixture of upper and lower case is the API's own, and so is `StartedAtstartedAt`, which its reference and
every SDK have; `StartedAt` is given beside it.
"""

from __future__ import annotations

import uuid

from vnodectl.emulator.alibaba.eci.events import stamp
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import ContainerState, ContainerStatus, Running, Terminated

_PHASES = {
    "Running": "Running",
    "Terminating": "Running",
    "Succeeded": "Succeeded",
    "Failed": "Failed",
    "Expired": "Failed",
    "ScheduleFailed": "Failed",
}
"""From "Lifecycle of a pod"; every other status of ECI is a pending pod."""


def uid(group: Group) -> str:
    """Of the pod that a group is."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, group.id))


def render(group: Group) -> JSON:
    containers = group.seen.containers if group.seen else ()
    status: JSON = {
        "Phase": _PHASES.get(group.status, "Pending"),
        "Conditions": _conditions(group),
        "ContainerStatuses": [_container(one) for one in containers],
        "QosClass": "Guaranteed",
        "HostIp": group.ip,
        "PodIp": group.ip,
        "PodIps": [{"Ip": group.ip}] if group.ip else [],
    }
    if group.scheduled is not None:
        status["StartTime"] = stamp(group.scheduled)
    return {
        "ContainerGroupId": group.id,
        "Name": group.name,
        "Namespace": "default",
        "Status": group.status,
        "uuid": uid(group),
        "Annotations": "{}",
        "PodStatus": status,
    }


def _conditions(group: Group) -> list[JSON]:
    created = group.scheduled is not None
    seen = group.seen
    initialized = seen is not None and all(
        isinstance(one.state, Terminated) and one.state.exit_code == 0 for one in seen.init_containers
    )
    ready = group.status == "Running" and seen is not None and all(one.ready for one in seen.containers)
    failure = next(
        ((one.reason, one.message) for one in group.events if group.state == "ScheduleFailed"), ("", "")
    )
    waiting = failure if failure[0] else ("", "") if created else ("Creating", "Creating")
    since = group.scheduled or group.created
    return [
        _condition("PodScheduled", created, since, *failure),
        _condition("ContainerInstanceCreated", created, since, *waiting),
        _condition("Initialized", initialized, group.changed),
        _condition("ContainersReady", ready, group.changed),
        _condition("Ready", ready, group.changed),
    ]


def _condition(kind: str, holds: bool, since: float, reason: str = "", message: str = "") -> JSON:
    return {
        "type": kind,
        "status": str(holds),
        "Reason": reason,
        "Message": message,
        "lastTransitionTime": stamp(since),
    }


def _container(one: ContainerStatus) -> JSON:
    return {
        "Name": one.name,
        "Image": one.image,
        "ImageID": one.image_id,
        "Ready": one.ready,
        "Started": one.started,
        "RestartCount": one.restarts,
        "State": _state(one.state),
        "LastState": _state(one.previous) if one.previous else {},
    }


def _state(state: ContainerState) -> JSON:
    if isinstance(state, Running):
        began = stamp(state.started_at)
        return {"Running": {"StartedAt": began, "StartedAtstartedAt": began}}
    if isinstance(state, Terminated):
        return {
            "Terminated": {
                "ContainerID": state.container_id,
                "ExitCode": state.exit_code,
                "Signal": state.signal,
                "Reason": state.reason,
                "Message": state.message,
                "StartedAt": stamp(state.started_at),
                "FinishedAt": stamp(state.finished_at),
            }
        }
    return {"Waiting": {"Reason": state.reason, "Message": state.message}}
