"""How a container group looks from outside: as sent, less its secrets, plus what the engine sees. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vnodectl.emulator.clock import iso
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import (
    ContainerState,
    ContainerStatus,
    GroupEvent,
    GroupPhase,
    GroupStatus,
    Running,
    Terminated,
    Waiting,
)

_SECRETS = {
    "environmentVariables": "secureValue",
    "imageRegistryCredentials": "password",
    "extensions": "protectedSettings",
}


def without_secrets(properties: JSON) -> JSON:
    """A copy for the caller, less secure values, keys, passwords and the contents of secret volumes."""
    shown: JSON = {}
    for name, value in properties.items():
        if name in ("containers", "initContainers"):
            shown[name] = [entry | {"properties": _without(entry["properties"])} for entry in value or ()]
        elif name == "volumes":
            shown[name] = [_volume(entry) for entry in value or ()]
        elif name == "diagnostics" and value:
            analytics = value.get("logAnalytics") or {}
            for secret in ("workspaceKey", "workspaceResourceId"):
                analytics = _drop(analytics, secret)
            shown[name] = value | {"logAnalytics": analytics}
        elif name == "extensions":
            shown[name] = [
                entry | {"properties": _drop(entry.get("properties") or {}, "protectedSettings")}
                for entry in value or ()
            ]
        else:
            shown[name] = value
    return _without(shown)


def _without(properties: JSON) -> JSON:
    return {
        name: [_drop(entry, _SECRETS[name]) for entry in value or ()] if name in _SECRETS else value
        for name, value in properties.items()
    }


def _drop(value: JSON, name: str) -> JSON:
    return {key: one for key, one in value.items() if key != name}


def _volume(entry: JSON) -> JSON:
    shown = dict(entry)
    if shown.get("secret") is not None:
        shown["secret"] = {}
    if shown.get("azureFile") is not None:
        shown["azureFile"] = _drop(shown["azureFile"], "storageAccountKey")
    return shown


def instance_view(status: GroupStatus | None, state: str) -> JSON:
    """Of the group; `state` is used while the engine has nothing to say."""
    if status is None:
        return {"events": [], "state": state}
    return {"events": _events(status.events, ""), "state": status.phase.value}


def container_views(status: GroupStatus) -> dict[str, JSON]:
    """By container name, init containers included."""
    return {one.name: _container(one, status.events) for one in (*status.init_containers, *status.containers)}


def started(status: GroupStatus | None) -> bool:
    """Whether the group came up: each container has been started, or all have come to an end."""
    if status is None:
        return False
    if status.phase in (GroupPhase.SUCCEEDED, GroupPhase.FAILED):
        return True
    return bool(status.containers) and all(_was_started(one) for one in status.containers)


def _was_started(one: ContainerStatus) -> bool:
    return not isinstance(one.state, Waiting) or one.previous is not None or one.restarts > 0


def _container(one: ContainerStatus, events: Iterable[GroupEvent]) -> JSON:
    view: JSON = {"restartCount": one.restarts, "currentState": _state(one.state)}
    if one.previous is not None:
        view["previousState"] = _state(one.previous)
    return view | {"events": _events(events, one.name)}


def _state(state: ContainerState) -> JSON:
    if isinstance(state, Running):
        return {"state": "Running", "startTime": iso(state.started_at), "detailStatus": ""}
    if isinstance(state, Terminated):
        return {
            "state": "Terminated",
            "startTime": iso(state.started_at),
            "exitCode": state.exit_code,
            "finishTime": iso(state.finished_at),
            "detailStatus": state.reason,
        }
    detail = "" if state.reason in ("ContainerCreating", "PodInitializing") else state.reason
    return {
        "state": "Waiting",
        "detailStatus": f"{detail}: {state.message}" if detail and state.message else detail,
    }


def _events(events: Iterable[GroupEvent], container: str) -> list[JSON]:
    """Those of one container ("": of the group), equal ones counted together, oldest first."""
    counted: dict[tuple[str, str, str], dict[str, Any]] = {}
    for event in events:
        if event.container != container:
            continue
        key = (event.type, event.reason, event.message)
        entry = counted.setdefault(
            key,
            {
                "count": 0,
                "firstTimestamp": iso(event.time),
                "lastTimestamp": "",
                "name": event.reason,
                "message": event.message,
                "type": event.type,
            },
        )
        entry["count"] += 1
        entry["lastTimestamp"] = iso(event.time)
    return list(counted.values())
