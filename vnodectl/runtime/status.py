"""What a pod's status should say, from what the provider saw. Pure; JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vnodectl.runtime.provider import JSON

_FRAGMENT_KEYS = (
    "phase",
    "reason",
    "message",
    "podIP",
    "podIPs",
    "hostIP",
    "startTime",
    "containerStatuses",
    "initContainerStatuses",
)
_TERMINAL = ("Succeeded", "Failed")
_DEBUG = "ephemeralContainerStatuses"
NOT_SUPPORTED = "EphemeralContainersNotSupported"
"""Why an ephemeral container waits, for ever."""
_CLEARED = ("reason", "message")
_OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod is not there (yet). `waiting` is the reason its containers show."""

    waiting: str
    reason: str
    message: str
    fatal: bool = False


def no_debugging(provider: str) -> str:
    """What `kubectl debug POD` prints, as the message of a container that waits."""
    return (
        f"the {provider} provider cannot add a container to a running pod; use kubectl exec, or "
        "kubectl debug --copy-to"
    )


def compute(
    pod: JSON,
    seen: JSON | None,
    *,
    now: str,
    host_ips: Sequence[str],
    trouble: Trouble | None = None,
    provider: str = "",
) -> JSON:
    """The whole status of `pod`: from the provider's fragment where there is one, else from its trouble.

    `now` is RFC 3339 (seconds). Transition times of `pod["status"]` are kept where nothing changed, and
    so are conditions that are not ours.
    """
    old: JSON = pod.get("status") or {}
    status: JSON = {key: seen[key] for key in _FRAGMENT_KEYS if seen and key in seen}
    status["startTime"] = old.get("startTime") or status.get("startTime") or now
    if host_ips:
        status.setdefault("hostIP", host_ips[0])
        status["hostIPs"] = [{"ip": ip} for ip in host_ips]
    if status.get("podIP"):
        status.setdefault("podIPs", [{"ip": status["podIP"]}])
    spec = pod["spec"]
    if seen is None or "containerStatuses" not in seen:
        waiting = trouble.waiting if trouble else "ContainerCreating"
        message = trouble.message if trouble else ""
        status["containerStatuses"] = [
            _unstarted(container, old.get("containerStatuses"), waiting, message)
            for container in spec["containers"]
        ]
        if init_containers := spec.get("initContainers"):
            status["initContainerStatuses"] = [
                _unstarted(container, old.get("initContainerStatuses"), waiting, message)
                for container in init_containers
            ]
    if spec.get("initContainers"):
        # Of these kubectl counts the ones that are done (Init:0/1); any other reason it shows instead.
        for kind in ("containerStatuses", "initContainerStatuses"):
            if kind in status:
                status[kind] = [_initializing(one) for one in status[kind]]
    if ephemeral := spec.get("ephemeralContainers"):
        message = no_debugging(provider)
        status[_DEBUG] = [_unstarted(one, old.get(_DEBUG), NOT_SUPPORTED, message) for one in ephemeral]
    if trouble is not None:
        status["reason"], status["message"] = trouble.reason, trouble.message
    if trouble is not None and trouble.fatal:
        status["phase"] = "Failed"
    else:
        status.setdefault("phase", phase(spec, status))
    if old.get("phase") in _TERMINAL:
        # Kubernetes never lets a pod leave a terminal phase; why it got there stays true as well.
        status["phase"] = old["phase"]
        for key in _CLEARED:
            if old.get(key):
                status[key] = old[key]
    for kind in ("containerStatuses", "initContainerStatuses"):
        if kind in status:
            status[kind] = [_continued(one, old.get(kind), now) for one in status[kind]]
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    status["conditions"] = _conditions(pod, status, (seen or {}).get("conditions") or (), now)
    return status


def phase(spec: JSON, status: JSON) -> str:
    """The phase that the containers' states amount to, as a kubelet derives it."""
    policy = spec.get("restartPolicy") or "Always"
    sidecars = {
        container["name"]
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    inits = status.get("initContainerStatuses") or ()
    for init in inits:
        ended = (init.get("state") or {}).get("terminated")
        if init["name"] in sidecars:
            continue
        if ended is None:
            # A waiting init container that already failed once is retried, unless it must not be.
            return "Pending"
        if ended.get("exitCode") != 0:
            return "Failed" if policy == "Never" else "Pending"
    running = waiting = stopped = failed = 0
    begun = any("waiting" not in (one.get("state") or {}) for one in status.get("containerStatuses") or ())
    for sidecar in (init for init in inits if init["name"] in sidecars):
        # One that runs keeps the pod Running; until it has started, nothing after it has.
        state = sidecar.get("state") or {}
        running += "running" in state
        if not begun and not sidecar.get("started") and "terminated" not in state:
            return "Pending"
    names = {container["name"] for container in spec["containers"]}
    for container in status.get("containerStatuses") or ():
        if container["name"] not in names:
            continue
        state = container.get("state") or {}
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            failed += state["terminated"].get("exitCode") != 0
        elif (container.get("lastState") or {}).get("terminated"):
            stopped += 1
            failed += container["lastState"]["terminated"].get("exitCode") != 0
            # Between two attempts a container counts as stopped, but the pod still runs.
            running += policy != "Never"
        else:
            waiting += 1
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if stopped and policy == "Always":
        return "Running"
    if stopped and not failed:
        return "Succeeded"
    if stopped:
        return "Failed" if policy == "Never" else "Running"
    return "Pending"


def differs(pod: JSON, wanted: JSON) -> bool:
    """Whether the API server's status has to be changed to say what `wanted` says."""
    old: JSON = pod.get("status") or {}
    if any(
        old.get(key) != wanted.get(key)
        for key in (*_FRAGMENT_KEYS, "hostIPs", _DEBUG)
        if key in wanted or key in _CLEARED
    ):
        return True
    # Servers that do not know this field drop it: only one that is there can be behind.
    if old.get("observedGeneration") not in (None, wanted.get("observedGeneration")):
        return True
    known = {condition["type"]: condition for condition in old.get("conditions") or ()}
    return any(_tells_more(known.get(condition["type"]), condition) for condition in wanted["conditions"])


def _tells_more(known: JSON | None, condition: JSON) -> bool:
    """A null says the same as nothing."""
    if known is None:
        return True
    return known != condition and _without_nulls(known) != _without_nulls(condition)


def _without_nulls(condition: JSON) -> JSON:
    return {key: value for key, value in condition.items() if value is not None}


def patch(pod: JSON, wanted: JSON) -> JSON:
    """A strategic merge patch of `pods/status`. The UID makes it fail on a pod of the same name; a patch that
    ends the pod fails on any version but `pod`'s."""
    status: JSON = dict(wanted)
    old: JSON = pod.get("status") or {}
    for key in _CLEARED:
        if key not in wanted and old.get(key):
            status[key] = None
    for key in ("podIPs", "hostIPs"):
        # Merged by address: those of a group that is no more would stay beside the new ones.
        if old.get(key) and old[key] != wanted.get(key):
            status[key] = [*(wanted.get(key) or ()), {"$patch": "replace"}]
    before = {condition["type"]: condition for condition in old.get("conditions") or ()}
    # Entries of this list are merged by type, so what is no longer said must be taken away by name.
    status["conditions"] = [
        {**{key: None for key in before.get(condition["type"], ()) if key not in condition}, **condition}
        for condition in wanted["conditions"]
    ]
    metadata = {"uid": pod["metadata"]["uid"]}
    if wanted.get("phase") in _TERMINAL and old.get("phase") not in _TERMINAL:
        # A last word is said once: not onto a version that may have another one already.
        metadata["resourceVersion"] = pod["metadata"].get("resourceVersion")
    return {"metadata": metadata, "status": status}


def _unstarted(container: JSON, before: Iterable[JSON] | None, reason: str, message: str) -> JSON:
    last = next((one for one in before or () if one["name"] == container["name"]), {})
    state: JSON = {"reason": reason}
    if message:
        state["message"] = message
    return {
        "name": container["name"],
        "image": container.get("image") or "",
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": last.get("restartCount") or 0,
        "state": {"waiting": state},
        "lastState": last.get("lastState") or {},
    }


def _initializing(status: JSON) -> JSON:
    """As a kubelet words it: in a pod with init containers nothing is ever ContainerCreating."""
    waiting = (status.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") != "ContainerCreating":
        return status
    return {**status, "state": {"waiting": {**waiting, "reason": "PodInitializing"}}}


def _continued(status: JSON, before: Iterable[JSON] | None, now: str) -> JSON:
    """`status` as the next chapter of what the API server knows of the container.

    A group that had to be made again counts its restarts from 0: for the pod it is one more restart, and
    what ran before has ended in a way that nobody saw.
    """
    last = next((one for one in before or () if one["name"] == status["name"]), None)
    if last is None or not last.get("containerID") or not status.get("containerID"):
        return status
    if before is not None and last == status:
        return status
    told, known = int(status.get("restartCount") or 0), int(last.get("restartCount") or 0)
    if status["containerID"] == last["containerID"]:
        last_state = status.get("lastState") or last.get("lastState") or {}
        return {**status, "restartCount": max(told, known), "lastState": last_state}
    if told > known:
        return status
    continued = {**status, "restartCount": known + 1}
    if not status.get("lastState"):
        state = last.get("state") or {}
        lost = "terminated" not in state
        continued["lastState"] = {"terminated": _lost(last, now)} if lost else state
    return continued


def _lost(status: JSON, now: str) -> JSON:
    """The end of a container that vanished, as a kubelet words it."""
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": ((status.get("state") or {}).get("running") or {}).get("startedAt"),
        "finishedAt": now,
        "containerID": status["containerID"],
    }


def _conditions(pod: JSON, status: JSON, extra: Iterable[JSON], now: str) -> list[JSON]:
    spec = pod["spec"]
    ended = status["phase"] in ("Succeeded", "Failed")
    uninitialized = [
        container["name"]
        for container in spec.get("initContainers") or ()
        if not _initialized(status, container)
    ]
    started = any("waiting" not in (one.get("state") or {}) for one in status["containerStatuses"])
    unready = [one["name"] for one in status["containerStatuses"] if not one.get("ready")]
    old = {one["type"]: one for one in (pod.get("status") or {}).get("conditions") or ()}
    gates = [
        gate["conditionType"]
        for gate in spec.get("readinessGates") or ()
        if (old.get(gate["conditionType"]) or {}).get("status") != "True"
    ]
    why = {"reason": "PodCompleted"} if status["phase"] == "Succeeded" else {}
    if status["phase"] == "Failed":
        why = {"reason": "PodFailed"}
    elif unready and not why:
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: {unready}"}
    gated = why
    if not why and gates:
        gated = {"reason": "ReadinessGatesNotReady", "message": f"readiness gates not ready: {gates}"}
    initialized: JSON = {"type": "Initialized", "status": "True"}
    if uninitialized and not started and status["phase"] != "Succeeded":
        incomplete = f"containers with incomplete status: [{' '.join(uninitialized)}]"
        initialized |= {"status": "False", "reason": "ContainersNotInitialized", "message": incomplete}
    wanted: list[JSON] = [
        {"type": "PodReadyToStartContainers", "status": _truth(started or bool(status.get("podIP")))},
        initialized,
        {"type": "ContainersReady", "status": _truth(not unready and not ended), **why},
        {
            "type": "Ready",
            "status": _truth(not unready and not ended and not gates),
            **gated,
        },
    ]
    if "PodScheduled" not in old:
        wanted.insert(0, {"type": "PodScheduled", "status": "True"})
    wanted += [dict(condition) for condition in extra if condition["type"] not in _OWN_CONDITIONS]
    for condition in wanted:
        before = old.get(condition["type"])
        same = before is not None and before.get("status") == condition["status"]
        condition["lastProbeTime"] = None
        condition.setdefault("lastTransitionTime", now)
        if before is not None and same:
            condition["lastTransitionTime"] = before.get("lastTransitionTime") or now
        if before is not None and "observedGeneration" in before:
            condition["observedGeneration"] = before["observedGeneration"]
    return wanted


def _initialized(status: JSON, container: JSON) -> bool:
    """Whether an init container has done its part: a side-car has started, any other has ended well."""
    for one in status.get("initContainerStatuses") or ():
        if one["name"] == container["name"]:
            if container.get("restartPolicy") == "Always":
                return bool(one.get("started"))
            ended = (one.get("state") or {}).get("terminated") or {}
            return ended.get("exitCode") == 0
    return False


def _truth(value: bool) -> str:
    return "True" if value else "False"
