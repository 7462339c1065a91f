"""A container group as ARM's GET returns it, as a fragment of a Kubernetes PodStatus. Pure.

`properties.instanceView` (only GET has it) carries what the containers do: `currentState` and
`previousState` with `state` (Waiting, Running, Terminated), `exitCode` and `detailStatus`, the restart
count and events in the kubelet's words (Pulling, Failed, BackOff, …).

ACI does not say whether a readiness probe passes, so a running container counts as ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vnodectl.providers.times import with_time
from vnodectl.runtime.provider import JSON

UNKNOWN_EXIT_CODE = 137
"""What the kubelet reports, with reason ContainerStatusUnknown, where the true code is lost."""

_SETTLED = {"Succeeded", "Failed", "Unhealthy", "Repairing"}
_UP = {"Running", "Succeeded"}
_PULLING = {"ErrImagePull", "ImagePullBackOff"}


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """Why a long-running operation ended badly: ARM's code and message."""

    code: str
    message: str


def pod_status(group: JSON, failure: OperationFailure | None = None) -> JSON:
    """The status fragment. `failure` is what the create operation said, where it is known to have failed."""
    properties = group.get("properties") or {}
    view = properties.get("instanceView") or {}
    inits = [_init_status(one, group) for one in properties.get("initContainers") or ()]
    initialised = all((one["state"].get("terminated") or {}).get("exitCode") == 0 for one in inits)
    containers = [
        _container_status(one, group, initialised=initialised) for one in properties.get("containers") or ()
    ]
    status: JSON = {"containerStatuses": containers}
    if inits:
        status["initContainerStatuses"] = inits
    address = (properties.get("ipAddress") or {}).get("ip")
    if address:
        status["podIP"] = address
        status["podIPs"] = [{"ip": address}]
    if properties.get("provisioningState") == "Failed" and view.get("state") not in _UP:
        everybody = (*inits, *containers)
        started = any("waiting" not in one["state"] or one["lastState"] for one in everybody)
        pulling = any((one["state"].get("waiting") or {}).get("reason") in _PULLING for one in everybody)
        # A pull is tried again for ever, in Kubernetes as in ACI: the container says what is wrong.
        if not started and not pulling:
            why = failure or _why(view.get("events") or ())
            status |= {"phase": "Failed", "reason": why.code, "message": why.message}
    return status


def settled(group: JSON) -> bool:
    """Whether the group's last operation has ended and every container runs or has ended for good.

    A container that waits (for an image, or to be restarted) may change at any moment.
    """
    properties = group.get("properties") or {}
    if properties.get("provisioningState") not in _SETTLED:
        return False
    states = [_current(one).get("state") for one in properties.get("containers") or ()]
    return bool(states) and all(state in {"Running", "Terminated"} for state in states)


def finished(group: JSON) -> bool:
    """Whether every container has ended and the restart policy will start none of them again."""
    properties = group.get("properties") or {}
    policy = properties.get("restartPolicy") or "Always"
    current = [_current(one) for one in properties.get("containers") or ()]
    if not current or any(one.get("state") != "Terminated" for one in current):
        return False
    if policy == "Never":
        return True
    return policy == "OnFailure" and all(one.get("exitCode") == 0 for one in current)


def failed_operation(body: JSON) -> OperationFailure | None:
    """From the body of an `Azure-AsyncOperation` URL: the failure, or None while it runs or went well."""
    if str(body.get("status") or "") not in {"Failed", "Canceled"}:
        return None
    error = body.get("error") or (body.get("properties") or {}).get("error") or {}
    return OperationFailure(
        str(error.get("code") or "ProvisioningFailed"), str(error.get("message") or "the operation failed")
    )


def _why(events: Sequence[JSON]) -> OperationFailure:
    warning = next((one for one in reversed(_by_time(events)) if one.get("type") == "Warning"), None)
    if warning is None:
        return OperationFailure("ProvisioningFailed", "Azure could not provision the container group")
    return OperationFailure(
        str(warning.get("name") or "ProvisioningFailed"), str(warning.get("message") or "")
    )


def _container_status(container: JSON, group: JSON, *, initialised: bool) -> JSON:
    status = _base(container, group, "ContainerCreating" if initialised else "PodInitializing")
    running = "running" in status["state"]
    return {**status, "ready": running, "started": running}


def _init_status(container: JSON, group: JSON) -> JSON:
    status = _base(container, group, "PodInitializing")
    done = (status["state"].get("terminated") or {}).get("exitCode") == 0
    return {**status, "ready": done, "started": "running" in status["state"]}


def _base(container: JSON, group: JSON, waiting_reason: str) -> JSON:
    properties = container.get("properties") or {}
    view = properties.get("instanceView") or {}
    container_id = f"aci://{str(group.get('id') or group.get('name') or '').lstrip('/')}/{container['name']}"
    current, previous = view.get("currentState") or {}, view.get("previousState") or {}
    restarts = int(view.get("restartCount") or 0)
    last = _terminated(previous, container_id) if previous.get("state") == "Terminated" else None
    match current.get("state"):
        case "Running":
            state: JSON = {"running": with_time({}, "startedAt", current.get("startTime"))}
        case "Terminated":
            state = {"terminated": _terminated(current, container_id)}
        case _:
            group_events = ((group.get("properties") or {}).get("instanceView") or {}).get("events") or ()
            events = view.get("events") or ()
            state = {"waiting": _waiting(current, events, group_events, last, waiting_reason)}
    return {
        "name": container["name"],
        "image": properties.get("image") or "",
        "imageID": "",
        "containerID": container_id if "waiting" not in state or last else "",
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def _terminated(state: JSON, container_id: str) -> JSON:
    code = state.get("exitCode")
    detail = str(state.get("detailStatus") or "")
    if code is None:
        body: JSON = {
            "exitCode": UNKNOWN_EXIT_CODE,
            "reason": "ContainerStatusUnknown",
            "message": detail or "Azure does not say how the container ended",
        }
    else:
        word, _, rest = detail.partition(":")
        named = word.strip() if word.strip().isalnum() else ""
        body = {"exitCode": int(code), "reason": named or ("Completed" if int(code) == 0 else "Error")}
        message = rest.strip() if named else detail
        if message:
            body["message"] = message
    body["containerID"] = container_id
    with_time(body, "startedAt", state.get("startTime"))
    return with_time(body, "finishedAt", state.get("finishTime"))


def _waiting(
    current: JSON, events: Sequence[JSON], group_events: Sequence[JSON], last: JSON | None, default: str
) -> JSON:
    detail = str(current.get("detailStatus") or "")
    word, _, rest = detail.partition(":")
    if word.strip().isalnum() and word.strip() != "Waiting":
        return _reason(word.strip(), rest.strip())
    pull = _pull_problem(events)
    if pull is not None:
        return pull
    if last is not None:
        return _reason("CrashLoopBackOff", detail or "back-off restarting failed container")
    trouble = _by_time(group_events)[-1:]
    if not detail and trouble and trouble[0].get("type") == "Warning" and trouble[0].get("name"):
        # What keeps the whole group from starting: no room for it, no address for it.
        return _reason(str(trouble[0]["name"]), str(trouble[0].get("message") or ""))
    return _reason(default, detail)


def _pull_problem(events: Sequence[JSON]) -> JSON | None:
    """The image pull's failure, where the newest event about the image is one."""
    for event in reversed(_by_time(events)):
        name, message = str(event.get("name") or ""), str(event.get("message") or "")
        if name in {"Pulled", "Created", "Started"}:
            return None
        if name == "BackOff" and "pulling image" in message.lower():
            return _reason("ImagePullBackOff", message)
        if name == "Failed" and "pull" in message.lower():
            return _reason("ErrImagePull", message)
    return None


def _reason(reason: str, message: str) -> JSON:
    return {"reason": reason, "message": message} if message else {"reason": reason}


def _by_time(events: Sequence[JSON]) -> list[JSON]:
    return sorted(events, key=lambda one: str(one.get("lastTimestamp") or one.get("firstTimestamp") or ""))


def _current(container: JSON) -> JSON:
    view = (container.get("properties") or {}).get("instanceView") or {}
    current: JSON = view.get("currentState") or {}
    return current
