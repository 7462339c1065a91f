"""A pod's status from what was seen."""

from __future__ import annotations

import pytest

from vnodectl.runtime.status import Trouble, compute, differs, patch, phase

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def container(name="c", *, state=None, ready=False, last=None, restarts=0):
    return {
        "name": name,
        "image": "i",
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "ContainerCreating"}},
        "lastState": last or {},
    }


RUNNING = {"running": {"startedAt": NOW}}


def ended(code):
    return {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}}


def pod(status=None, **spec):
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u-1"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always", **spec},
        "status": status or {},
    }


def conditions(status):
    return {one["type"]: one["status"] for one in status["conditions"]}


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [RUNNING, RUNNING], "Running"),
        ("Always", [RUNNING, {"waiting": {}}], "Pending"),
        ("Always", [ended(0), ended(1)], "Running"),
        ("OnFailure", [ended(0), ended(0)], "Succeeded"),
        ("OnFailure", [ended(0), ended(2)], "Running"),
        ("Never", [ended(0), ended(2)], "Failed"),
        ("Never", [ended(0), RUNNING], "Running"),
        ("Never", [], "Pending"),
    ],
)
def test_phase(policy, states, expected):
    names = [f"c{index}" for index in range(len(states))]
    spec = {"restartPolicy": policy, "containers": [{"name": name} for name in names]}
    found = [container(name, state=state) for name, state in zip(names, states, strict=True)]
    assert phase(spec, {"containerStatuses": found}) == expected


def test_a_container_between_two_attempts_keeps_the_pod_running():
    waiting = container(state={"waiting": {"reason": "CrashLoopBackOff"}}, last=ended(1), restarts=3)
    assert phase({"containers": [{"name": "c"}]}, {"containerStatuses": [waiting]}) == "Running"


@pytest.mark.parametrize(
    ("policy", "state", "expected"),
    [
        ("Always", RUNNING, "Pending"),
        ("Always", ended(1), "Pending"),
        ("Never", ended(1), "Failed"),
        ("Never", ended(0), "Running"),
    ],
)
def test_init_containers_hold_the_phase(policy, state, expected):
    spec = {"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}
    status = {
        "initContainerStatuses": [container("i", state=state)],
        "containerStatuses": [container(state=RUNNING)],
    }
    assert phase(spec, status) == expected


def test_running_and_ready_has_the_standard_conditions_and_addresses():
    seen = {"podIP": "10.1.0.1", "containerStatuses": [container(state=RUNNING, ready=True)]}
    status = compute(pod(), seen, now=NOW, host_ips=("10.0.0.1",))
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": "10.1.0.1"}]
    assert (status["hostIP"], status["startTime"]) == ("10.0.0.1", NOW)
    assert conditions(status) == {
        "PodScheduled": "True",
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "ContainersReady": "True",
        "Ready": "True",
    }


INITIALIZED = {"type": "Initialized", "status": "True"}
NOT_INITIALIZED = {
    "type": "Initialized",
    "status": "False",
    "reason": "ContainersNotInitialized",
    "message": "containers with incomplete status: [i]",
}


@pytest.mark.parametrize(
    ("init", "status", "expected"),
    [
        (None, None, INITIALIZED),
        ({}, {"state": {"waiting": {"reason": "PodInitializing"}}}, NOT_INITIALIZED),
        ({}, {"state": RUNNING}, NOT_INITIALIZED),
        ({}, {"state": ended(1)}, NOT_INITIALIZED),
        ({}, {"state": ended(0)}, INITIALIZED),
        ({"restartPolicy": "Always"}, {"state": RUNNING, "started": False}, NOT_INITIALIZED),
        ({"restartPolicy": "Always"}, {"state": RUNNING, "started": True}, INITIALIZED),
    ],
)
def test_a_pod_is_initialized_once_its_init_containers_are_done(init, status, expected):
    """As in a kubelet: whatever the images of the other containers are waiting for."""
    waiting = container(state={"waiting": {"reason": "ImagePullBackOff"}})
    made, seen = pod(), {"containerStatuses": [waiting]}
    if init is not None:
        made["spec"]["initContainers"] = [{"name": "i", **init}]
        seen["initContainerStatuses"] = [{**container("i"), **status}]
    found = compute(made, seen, now=NOW, host_ips=("h",))["conditions"]
    shown = next(one for one in found if one["type"] == "Initialized")
    assert {key: value for key, value in shown.items() if "Time" not in key} == expected


def test_what_the_server_already_says_needs_no_patch_and_times_are_kept():
    seen = {"podIP": "10.1.0.1", "containerStatuses": [container(state=RUNNING, ready=True)]}
    stored = pod(compute(pod(), seen, now=NOW, host_ips=("h",)))
    again = compute(stored, seen, now=LATER, host_ips=("h",))
    assert not differs(stored, again)
    unready = {**seen, "containerStatuses": [container(state=RUNNING, ready=False)]}
    changed = compute(stored, unready, now=LATER, host_ips=("h",))
    assert differs(stored, changed)
    times = {one["type"]: one["lastTransitionTime"] for one in changed["conditions"]}
    assert times["Ready"] == LATER
    assert times["Initialized"] == NOW


def test_a_reason_that_no_longer_holds_is_taken_away_by_name():
    seen = {"containerStatuses": [container(state=RUNNING, ready=False)]}
    stored = pod(compute(pod(), seen, now=NOW, host_ips=(), trouble=None) | {"reason": "Old", "message": "m"})
    ready = {"containerStatuses": [container(state=RUNNING, ready=True)]}
    wanted = compute(stored, ready, now=LATER, host_ips=())
    body = patch(stored, wanted)
    assert body["metadata"] == {"uid": "u-1"}
    assert body["status"]["reason"] is None
    condition = next(one for one in body["status"]["conditions"] if one["type"] == "Ready")
    assert condition["status"] == "True"
    assert condition["reason"] is None


def test_readiness_gates_hold_back_ready_only():
    subject = pod(readinessGates=[{"conditionType": "lb"}])
    seen = {"containerStatuses": [container(state=RUNNING, ready=True)]}
    found = conditions(compute(subject, seen, now=NOW, host_ips=()))
    assert (found["ContainersReady"], found["Ready"]) == ("True", "False")
    subject["status"] = {"conditions": [{"type": "lb", "status": "True"}]}
    assert conditions(compute(subject, seen, now=NOW, host_ips=()))["Ready"] == "True"


def test_trouble_waits_or_fails():
    wait = compute(pod(), None, now=NOW, host_ips=(), trouble=Trouble("Quota", "Quota", "none left"))
    assert wait["phase"] == "Pending"
    assert wait["containerStatuses"][0]["state"] == {"waiting": {"reason": "Quota", "message": "none left"}}
    assert (wait["reason"], wait["message"]) == ("Quota", "none left")
    failed = compute(pod(), None, now=NOW, host_ips=(), trouble=Trouble("Bad", "Bad", "never", fatal=True))
    assert failed["phase"] == "Failed"


def test_a_terminal_phase_is_never_left():
    stored = pod({"phase": "Succeeded"}, restartPolicy="Never")
    seen = {"containerStatuses": [container(state=RUNNING, ready=True)]}
    assert compute(stored, seen, now=NOW, host_ips=())["phase"] == "Succeeded"


def test_conditions_of_others_are_not_ours_to_send():
    stored = pod({"conditions": [{"type": "DisruptionTarget", "status": "True"}]})
    wanted = compute(stored, None, now=NOW, host_ips=())
    assert "DisruptionTarget" not in conditions(wanted)
    assert differs(stored, wanted)


def sidecar(**changes):
    return {**container("s", state=RUNNING, ready=True), **changes}


@pytest.mark.parametrize(
    ("side", "app", "expected"),
    [
        (sidecar(), container(state=RUNNING), "Running"),
        (sidecar(started=False), container(), "Pending"),
        (sidecar(), container(), "Pending"),
        (sidecar(state={"waiting": {}}, started=False), container(state=RUNNING), "Running"),
        # The others are done: the pod is over when its sidecars are, whatever they end with.
        (sidecar(), container(state=ended(0)), "Running"),
        (sidecar(state=ended(143), started=False), container(state=ended(0)), "Succeeded"),
        (sidecar(state=ended(143), started=False), container(state=ended(3)), "Failed"),
    ],
)
def test_sidecars_hold_the_phase_as_long_as_they_run(side, app, expected):
    spec = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "c"}],
    }
    assert phase(spec, {"initContainerStatuses": [side], "containerStatuses": [app]}) == expected


def test_a_failed_init_container_fails_the_pod_though_its_sidecar_was_ended():
    spec = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        "containers": [{"name": "c"}],
    }
    inits = [sidecar(state=ended(143), started=False), container("i", state=ended(1))]
    assert phase(spec, {"initContainerStatuses": inits, "containerStatuses": [container()]}) == "Failed"


def test_a_last_word_is_only_said_onto_the_version_it_is_about():
    subject = pod(restartPolicy="Never")
    subject["metadata"]["resourceVersion"] = "7"
    running = compute(
        subject, {"containerStatuses": [container(state=RUNNING, ready=True)]}, now=NOW, host_ips=[]
    )
    assert "resourceVersion" not in patch(subject, running)["metadata"]
    over = compute(subject, {"containerStatuses": [container(state=ended(0))]}, now=NOW, host_ips=[])
    assert patch(subject, over)["metadata"] == {"uid": "u-1", "resourceVersion": "7"}
    subject["status"] = over
    assert "resourceVersion" not in patch(subject, over)["metadata"]


CREATING, INITIALIZING = ({"waiting": {"reason": one}} for one in ("ContainerCreating", "PodInitializing"))
PULL = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}


@pytest.mark.parametrize(
    ("init", "state", "shown"),
    [
        ([], CREATING, CREATING),
        ([{"name": "i"}], CREATING, INITIALIZING),
        ([{"name": "i"}], PULL, PULL),
    ],
)
def test_in_a_pod_with_init_containers_what_has_not_started_is_initializing(init, state, shown):
    """kubectl shows Init:0/1 for that reason only."""
    seen = {"containerStatuses": [container(state=state)]}
    if init:
        seen["initContainerStatuses"] = [container("i", state=state)]
    status = compute(pod(initContainers=init), seen, now=NOW, host_ips=())
    assert {
        kind: [one["state"] for one in status.get(kind, ())]
        for kind in ("containerStatuses", "initContainerStatuses")
    } == {"containerStatuses": [shown], "initContainerStatuses": [shown] if init else []}
    assert "initContainerStatuses" not in compute(
        pod(initContainers=init), {"containerStatuses": []}, now=NOW, host_ips=()
    )


def test_a_deadline_over_before_the_start_ends_a_pod_that_was_initializing():
    status = compute(
        pod(initContainers=[{"name": "i"}]),
        None,
        now=NOW,
        host_ips=(),
        trouble=Trouble("ContainerCreating", "r", "m"),
    )
    assert status["initContainerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
