"""How pods end: deadlines, and the last word on containers that nobody saw end. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vnodectl.runtime import clock as clocks
from vnodectl.runtime.provider import JSON
from vnodectl.runtime.status import Trouble

DEFAULT_GRACE = 30.0
_KILLED = 137  # 128 + SIGKILL
EXPIRED = Trouble(
    "ContainerCreating",
    "DeadlineExceeded",
    "Pod was active on the node longer than the specified deadline",
    fatal=True,
)


def grace_of(pod: JSON) -> float:
    """Seconds between TERM and KILL: the deletion's, else the pod's own."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    if given is None:
        given = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if given is None else float(given)


def deadline_of(pod: JSON) -> float | None:
    """When `activeDeadlineSeconds` is over, in seconds since the epoch; it counts from the pod's start."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    started = (pod.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return clocks.parse(started) + float(seconds)


def over(pod: JSON, seen: JSON) -> bool:
    """Whether every container of the pod has ended, by what was seen last; one may wait for a restart."""
    known = {one["name"]: one for one in seen.get("containerStatuses") or ()}
    names = (container["name"] for container in pod["spec"]["containers"])
    return all("terminated" in ((known.get(name) or {}).get("state") or {}) for name in names)


def runs_on(seen: JSON) -> bool:
    """Whether a container runs in a group that has not ended by itself."""
    if seen.get("phase") in ("Succeeded", "Failed"):
        return False
    return any(
        "running" in (one.get("state") or {})
        for kind in ("initContainerStatuses", "containerStatuses")
        for one in seen.get(kind) or ()
    )


def ended(pod: JSON, seen: JSON | None, now: str) -> JSON:
    """The last fragment, with every container that was not seen to end marked so, as kubelets do.

    `now` is RFC 3339. A container that never started is said to have no start.
    """
    fragment: JSON = dict(seen or {})
    spec = pod["spec"]
    fragment["containerStatuses"] = states = _all_ended(
        spec["containers"], fragment.get("containerStatuses"), now
    )
    if spec.get("initContainers"):
        begun = {one["name"]: one for one in fragment.get("initContainerStatuses") or ()}
        fragment["initContainerStatuses"] = [
            one if "terminated" in (one.get("state") or {}) else _end(one, now)
            for one in (begun.get(init["name"]) or _blank(init) for init in spec["initContainers"])
        ]
    failed = any(one["state"]["terminated"].get("exitCode") != 0 for one in states)
    fragment["phase"] = "Failed" if failed else "Succeeded"
    return fragment


def _all_ended(specs: Iterable[JSON], statuses: Iterable[JSON] | None, now: str) -> list[JSON]:
    known = {one["name"]: one for one in statuses or ()}
    return [_end(known.get(container["name"]) or _blank(container), now) for container in specs]


def _end(status: JSON, now: str) -> JSON:
    state = status.get("state") or {}
    ending = {"ready": False, "started": False}
    if "terminated" in state:
        return {**status, **ending}
    terminated: JSON = {
        "exitCode": _KILLED,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": (state.get("running") or {}).get("startedAt"),
        "finishedAt": now,
    }
    if status.get("containerID"):
        terminated["containerID"] = status["containerID"]
    return {**status, "state": {"terminated": terminated}, **ending}


def _blank(container: JSON) -> JSON:
    return {
        "name": container["name"],
        "image": container.get("image") or "",
        "imageID": "",
        "restartCount": 0,
        "lastState": {},
    }
