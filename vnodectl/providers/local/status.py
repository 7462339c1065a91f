"""From a group's state to the fragment of a PodStatus that the runtime expects. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from vnodectl.engines.api import (
    ContainerState,
    ContainerStatus,
    GroupStatus,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.runtime.provider import JSON


def pod_status(group: GroupStatus) -> JSON:
    """The phase is left to the runtime, which derives it from the containers."""
    fragment: JSON = {
        "startTime": rfc3339(group.created_at),
        "containerStatuses": [_container(one) for one in group.containers],
    }
    if group.init_containers:
        fragment["initContainerStatuses"] = [_container(one) for one in group.init_containers]
    if group.ip:
        fragment["podIP"] = group.ip
        fragment["podIPs"] = [{"ip": group.ip}]
    return fragment


def rfc3339(moment: float) -> str:
    """UTC, whole seconds, as the API server keeps times."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _container(status: ContainerStatus) -> JSON:
    body: JSON = {
        "name": status.name,
        "image": status.image,
        "imageID": status.image_id,
        "ready": status.ready,
        "started": status.started,
        "restartCount": status.restarts,
        "state": _state(status.state),
        "lastState": _state(status.previous) if status.previous is not None else {},
    }
    if status.container_id:
        body["containerID"] = status.container_id
    return body


def _state(state: ContainerState) -> JSON:
    if isinstance(state, Running):
        return {"running": {"startedAt": rfc3339(state.started_at)}}
    if isinstance(state, Waiting):
        waiting = {"reason": state.reason}
        if state.message:
            waiting["message"] = state.message
        return {"waiting": waiting}
    return {"terminated": _terminated(state)}


def _terminated(state: Terminated) -> JSON:
    body: JSON = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": rfc3339(state.started_at),
        "finishedAt": rfc3339(state.finished_at),
    }
    if state.message:
        body["message"] = state.message
    if state.signal:
        body["signal"] = state.signal
    if state.container_id:
        body["containerID"] = state.container_id
    return body
