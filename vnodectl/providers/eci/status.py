"""What ECI says of a group, as a fragment of a Kubernetes PodStatus. Pure.

A row of DescribeContainerGroupStatus has a PodStatus of its own, without init containers; an entry of
DescribeContainerGroups has those, and events. Keys are read whatever their case: the API's own documents
and examples do not agree on it (`lastTransitionTime` beside `Reason`, `StartedAtstartedAt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vnodectl.providers.times import with_time
from vnodectl.runtime.provider import JSON

UNKNOWN_EXIT_CODE = 137
"""What the kubelet reports, with reason ContainerStatusUnknown, where the true code is lost."""

NEVER_MADE = "ScheduleFailed"
SCHEDULING = "Scheduling"
LEAVING = "Terminating"
ENDED = frozenset({"Succeeded", "Failed", "Expired"})
_ON_ITS_WAY = frozenset({SCHEDULING, "Pending", "Restarting", "Updating", LEAVING})
_OWN_CONDITIONS = frozenset({"ContainerInstanceCreated", "ContainerHasSufficientDisk", "SandboxReady"})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a group could not be made. `reason` is CamelCase, e.g. NoStock."""

    reason: str
    message: str


def folded(value: Any) -> Any:
    """JSON with every key in lower case."""
    if isinstance(value, dict):
        return {key.lower(): folded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [folded(one) for one in value]
    return value


def group_id(row: JSON) -> str:
    return str(row.get("containergroupid") or "")


def group_status(row: JSON) -> str:
    """`Scheduling`, `Pending`, `Running`, `Succeeded`, … of a folded row or group."""
    return str(row.get("status") or "")


def address(row: JSON) -> str:
    """The pod's first address; "" while there is none."""
    return str((row.get("podstatus") or {}).get("podip") or "")


def moving(row: JSON) -> bool:
    """Whether the group is between two states, so that another look soon is worth it."""
    return group_status(row) in _ON_ITS_WAY


def initialised(group: JSON) -> bool:
    """Whether every init container of a folded group has ended well."""
    return all(_code(one.get("currentstate") or {}) == 0 for one in group.get("initcontainers") or ())


def pod_status(row: JSON, group: JSON | None = None) -> JSON:
    """The status fragment from a folded row and, where it is known, the folded group."""
    pod = row.get("podstatus") or {}
    status: JSON = {}
    statuses = [_container(one, row) for one in pod.get("containerstatuses") or ()]
    if not statuses and group is not None:
        statuses = [_described(one, row) for one in group.get("containers") or ()]
    if statuses:
        status["containerStatuses"] = statuses
    inits = [_described(one, row, init=True) for one in (group or {}).get("initcontainers") or ()]
    if inits:
        status["initContainerStatuses"] = inits
    status.update(_addresses(pod, group or {}))
    with_time(status, "startTime", pod.get("starttime"))
    conditions = [
        _condition(one) for one in pod.get("conditions") or () if one.get("type") in _OWN_CONDITIONS
    ]
    if conditions:
        status["conditions"] = conditions
    status.update(_ending(row, group, statuses))
    return status


def cause(row: JSON, group: JSON | None = None) -> Cause | None:
    """Why the group could not be made, as its conditions or its events say; None where neither does."""
    for condition in (row.get("podstatus") or {}).get("conditions") or ():
        made = condition.get("type") == "ContainerInstanceCreated"
        if made and condition.get("status") == "False" and condition.get("reason") not in {None, "Creating"}:
            return _cause(condition.get("reason"), condition.get("message"))
    for event in reversed(_by_time((group or {}).get("events") or ())):
        if event.get("type") == "Warning":
            return _cause(event.get("reason") or event.get("name"), event.get("message"))
    return None


def _cause(reason: object, message: object) -> Cause:
    # Some are written ContainerGroup.NoStock.
    return Cause(str(reason or "ScheduleFailed").rpartition(".")[2], str(message or "ECI gave no reason"))


def _ending(row: JSON, group: JSON | None, statuses: Sequence[JSON]) -> JSON:
    """`phase` where the containers do not tell it."""
    state = group_status(row)
    if state == "Expired":
        return {
            "phase": "Failed",
            "reason": "Preempted",
            "message": "the preemptible instance was taken back",
        }
    if state == "Failed" and not any("terminated" in one["state"] for one in statuses):
        why = cause(row, group) or Cause("ContainerGroupFailed", "ECI says that the group failed")
        return {"phase": "Failed", "reason": why.reason, "message": why.message}
    if state == "Succeeded" and not statuses:
        return {"phase": "Succeeded"}
    return {}


def _addresses(pod: JSON, group: JSON) -> JSON:
    first = pod.get("podip") or group.get("intranetip")
    if not first:
        return {}
    everyone = [str(first)]
    others = [one.get("ip") for one in pod.get("podips") or ()]
    for address in (*others, group.get("ipv6address")):
        if address and str(address) not in everyone:
            everyone.append(str(address))
    return {"podIP": str(first), "podIPs": [{"ip": one} for one in everyone]}


def _condition(condition: JSON) -> JSON:
    body: JSON = {"type": condition["type"], "status": str(condition.get("status") or "Unknown")}
    for key in ("reason", "message"):
        if condition.get(key):
            body[key] = str(condition[key])
    return with_time(body, "lastTransitionTime", condition.get("lasttransitiontime"))


# --- containers of DescribeContainerGroupStatus ---------------------------------------------------


def _container(container: JSON, row: JSON) -> JSON:
    name = str(container.get("name") or "")
    made_id = f"eci://{group_id(row)}/{name}"
    state = _state(container.get("state") or {}, made_id)
    last = _state(container.get("laststate") or {}, made_id)
    running = "running" in state
    return {
        "name": name,
        "image": str(container.get("image") or ""),
        "imageID": str(container.get("imageid") or ""),
        "containerID": made_id if "waiting" not in state or "terminated" in last else "",
        "restartCount": int(container.get("restartcount") or 0),
        "ready": bool(container.get("ready")) and running,
        "started": running if container.get("started") is None else bool(container["started"]) and running,
        "state": state,
        "lastState": {"terminated": last["terminated"]} if "terminated" in last else {},
    }


def _state(state: JSON, made_id: str) -> JSON:
    """One of waiting, running and terminated; the API may name the others as null or empty."""
    given = {key: state[key] for key in ("terminated", "running", "waiting") if state.get(key) is not None}
    filled = [key for key, value in given.items() if value]
    kind = next(iter(filled or given), "waiting")
    value = given.get(kind) or {}
    if kind == "running":
        return {
            "running": with_time({}, "startedAt", value.get("startedat") or value.get("startedatstartedat"))
        }
    if kind == "terminated":
        return {"terminated": _terminated(value, made_id, "startedat", "finishedat")}
    return {"waiting": _waiting(value.get("reason"), value.get("message"))}


# --- containers of DescribeContainerGroups --------------------------------------------------------


def _described(container: JSON, row: JSON, *, init: bool = False) -> JSON:
    name = str(container.get("name") or "")
    made_id = f"eci://{group_id(row)}/{name}"
    current, previous = container.get("currentstate") or {}, container.get("previousstate") or {}
    match str(current.get("state") or ""):
        case "Running":
            state: JSON = {"running": with_time({}, "startedAt", current.get("starttime"))}
        case "Terminated":
            state = {"terminated": _terminated(current, made_id, "starttime", "finishtime")}
        case _:
            default = "PodInitializing" if init else "ContainerCreating"
            state = {"waiting": _waiting(current.get("reason") or default, current.get("message"))}
    ended_before = str(previous.get("state") or "") == "Terminated"
    last = _terminated(previous, made_id, "starttime", "finishtime") if ended_before else None
    running = "running" in state
    done = (state.get("terminated") or {}).get("exitCode") == 0
    return {
        "name": name,
        "image": str(container.get("image") or ""),
        "imageID": "",
        "containerID": made_id if "waiting" not in state or last else "",
        "restartCount": int(container.get("restartcount") or 0),
        "ready": done if init else running and bool(container.get("ready", True)),
        "started": running,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def _terminated(state: JSON, made_id: str, started: str, finished: str) -> JSON:
    code = _code(state)
    message = str(state.get("message") or "")
    if code is None:
        body: JSON = {
            "exitCode": UNKNOWN_EXIT_CODE,
            "reason": "ContainerStatusUnknown",
            "message": message or "ECI does not say how the container ended",
        }
    else:
        body = {
            "exitCode": code,
            "reason": str(state.get("reason") or ("Completed" if code == 0 else "Error")),
        }
        if message:
            body["message"] = message
    if state.get("signal"):
        body["signal"] = int(state["signal"])
    body["containerID"] = made_id
    with_time(body, "startedAt", state.get(started))
    return with_time(body, "finishedAt", state.get(finished))


def _code(state: JSON) -> int | None:
    code = state.get("exitcode")
    return None if code is None else int(code)


def _waiting(reason: object, message: object) -> JSON:
    body = {"reason": str(reason or "ContainerCreating")}
    return {**body, "message": str(message)} if message else body


def _by_time(events: Sequence[JSON]) -> list[JSON]:
    return sorted(events, key=lambda one: str(one.get("lasttimestamp") or one.get("firsttimestamp") or ""))
