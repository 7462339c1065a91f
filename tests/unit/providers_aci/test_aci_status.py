from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.aci.status import (
    OperationFailure,
    failed_operation,
    finished,
    pod_status,
    settled,
)

ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerInstance/containerGroups/web"
START, END = "2026-01-02T03:04:05.123+00:00", "2026-01-02T05:04:06Z"


def _group(
    *containers: dict[str, Any] | None,
    inits: tuple[dict[str, Any] | None, ...] = (),
    provisioning: str = "Succeeded",
    state: str | None = "Running",
    policy: str = "Always",
    events: list[dict[str, Any]] | None = None,
    ip: str = "",
) -> dict[str, Any]:
    def made(prefix: str, views: tuple[dict[str, Any] | None, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{prefix}{index}",
                "properties": {"image": "nginx", **({"instanceView": view} if view else {})},
            }
            for index, view in enumerate(views)
        ]

    properties: dict[str, Any] = {
        "provisioningState": provisioning,
        "restartPolicy": policy,
        "containers": made("c", containers),
        "initContainers": made("i", inits),
    }
    if state is not None:
        properties["instanceView"] = {"state": state, "events": events or []}
    if ip:
        properties["ipAddress"] = {"ip": ip}
    return {"id": ID, "name": "web", "properties": properties}


def _view(state: str, *, events: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    restarts, previous = fields.pop("restarts", 0), fields.pop("previous", None)
    view: dict[str, Any] = {"restartCount": restarts, "currentState": {"state": state, **fields}}
    if previous is not None:
        view["previousState"] = {"state": "Terminated", **previous}
    view["events"] = events or []
    return view


def _event(name: str, message: str, at: str = "2026-01-01T00:00:00Z", kind: str = "Normal") -> dict[str, Any]:
    return {"name": name, "message": message, "lastTimestamp": at, "type": kind, "count": 1}


def test_a_running_container() -> None:
    status = pod_status(_group(_view("Running", startTime=START), ip="10.0.0.4"))
    assert status == {
        "podIP": "10.0.0.4",
        "podIPs": [{"ip": "10.0.0.4"}],
        "containerStatuses": [
            {
                "name": "c0",
                "image": "nginx",
                "imageID": "",
                "containerID": f"aci:/{ID}/c0",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
                "lastState": {},
            }
        ],
    }


@pytest.mark.parametrize(
    ("code", "detail", "reason", "message"),
    [
        (0, "Completed", "Completed", None),
        (0, "", "Completed", None),
        (3, "Error", "Error", None),
        (3, "", "Error", None),
        (137, "OOMKilled", "OOMKilled", None),
        (1, "ContainerCannotRun: no such file", "ContainerCannotRun", "no such file"),
        (1, "something went wrong", "Error", "something went wrong"),
    ],
)
def test_exit_codes_are_exact(code: int, detail: str, reason: str, message: str | None) -> None:
    view = _view("Terminated", exitCode=code, detailStatus=detail, startTime=START, finishTime=END)
    state = pod_status(_group(view, policy="Never"))["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], state.get("message")) == (code, reason, message)
    assert (state["startedAt"], state["finishedAt"]) == ("2026-01-02T03:04:05Z", "2026-01-02T05:04:06Z")


@given(st.integers(0, 255))
def test_every_exit_code_survives(code: int) -> None:
    status = pod_status(_group(_view("Terminated", exitCode=code)))["containerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == code
    assert not status["ready"]


def test_an_unknown_exit_code_is_not_called_success() -> None:
    state = pod_status(_group(_view("Terminated")))["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (137, "ContainerStatusUnknown")


def test_a_restarted_container_tells_its_last_end() -> None:
    view = _view(
        "Running",
        startTime=END,
        restarts=2,
        previous={"exitCode": 7, "detailStatus": "Error", "finishTime": END},
    )
    status = pod_status(_group(view))["containerStatuses"][0]
    assert status["restartCount"] == 2
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert status["ready"]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (None, "ContainerCreating"),
        (_view("Waiting"), "ContainerCreating"),
        (_view("Waiting", detailStatus="CrashLoopBackOff: back-off 10s"), "CrashLoopBackOff"),
        (_view("Waiting", restarts=1, previous={"exitCode": 1}), "CrashLoopBackOff"),
        (_view("Waiting", events=[_event("Failed", "Failed to pull image x: not found")]), "ErrImagePull"),
        (
            _view(
                "Waiting",
                events=[
                    _event("BackOff", "Back-off pulling image x", "2026-01-01T00:00:09Z"),
                    _event("Failed", "Failed to pull image x", "2026-01-01T00:00:05Z"),
                ],
            ),
            "ImagePullBackOff",
        ),
        (
            _view(
                "Waiting",
                events=[
                    _event("Failed", "Failed to pull image x", "2026-01-01T00:00:05Z"),
                    _event("Pulled", "Successfully pulled image x", "2026-01-01T00:00:09Z"),
                ],
            ),
            "ContainerCreating",
        ),
    ],
)
def test_why_a_container_waits(view: dict[str, Any] | None, reason: str) -> None:
    status = pod_status(_group(view, state="Pending"))["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] == reason
    assert not status["started"]


def test_containers_wait_for_init_containers() -> None:
    group = _group(None, inits=(_view("Terminated", exitCode=0), _view("Running")), state="Pending")
    status = pod_status(group)
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    assert [one["ready"] for one in status["initContainerStatuses"]] == [True, False]
    done = pod_status(_group(None, inits=(_view("Terminated", exitCode=0),), state="Pending"))
    assert done["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"


def test_a_failed_operation_is_the_pod_s_failure() -> None:
    failure = OperationFailure("ContainerGroupQuotaReached", "too many")
    status = pod_status(_group(None, provisioning="Failed", state="Failed"), failure)
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "ContainerGroupQuotaReached",
        "too many",
    )


def test_without_the_operation_the_last_warning_tells_why() -> None:
    events = [_event("Scheduled", "fine"), _event("NoCapacity", "no room", kind="Warning")]
    status = pod_status(_group(None, provisioning="Failed", state="Failed", events=events))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "NoCapacity", "no room")
    bare = pod_status(_group(None, provisioning="Failed", state=None))
    assert (bare["phase"], bare["reason"]) == ("Failed", "ProvisioningFailed")


def test_a_group_that_came_up_after_all_is_not_failed() -> None:
    assert "phase" not in pod_status(_group(None, provisioning="Failed", state="Running"))
    assert pod_status(_group(None, provisioning="Failed", state="Pending"))["phase"] == "Failed"


def test_an_image_that_cannot_be_pulled_stays_pending_as_in_kubernetes() -> None:
    view = _view("Waiting", events=[_event("Failed", "Failed to pull image x: not found")])
    assert "phase" not in pod_status(_group(view, provisioning="Failed", state="Pending"))


def test_containers_tell_more_than_a_failed_provisioning() -> None:
    status = pod_status(_group(_view("Running", startTime=START), provisioning="Failed"))
    assert "phase" not in status
    assert "reason" not in status
    crashed = _view("Waiting", restarts=1, previous={"exitCode": 1})
    assert "phase" not in pod_status(_group(crashed, provisioning="Failed", state="Pending"))


@pytest.mark.parametrize(
    ("group", "is_settled", "is_finished"),
    [
        (_group(None, provisioning="Creating"), False, False),
        (_group(_view("Running")), True, False),
        (_group(_view("Running"), _view("Waiting")), False, False),
        (_group(_view("Terminated", exitCode=1), policy="Never"), True, True),
        (_group(_view("Terminated", exitCode=1), policy="OnFailure"), True, False),
        (_group(_view("Terminated", exitCode=0), policy="OnFailure"), True, True),
        (_group(_view("Terminated", exitCode=0), _view("Running"), policy="Never"), True, False),
        (_group(_view("Terminated", exitCode=0), policy="Always"), True, False),
    ],
)
def test_when_a_change_is_likely(group: dict[str, Any], is_settled: bool, is_finished: bool) -> None:
    assert (settled(group), finished(group)) == (is_settled, is_finished)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ({"status": "InProgress"}, None),
        ({"status": "Succeeded"}, None),
        ({}, None),
        ({"status": "Failed", "error": {"code": "A", "message": "b"}}, OperationFailure("A", "b")),
        (
            {"status": "Failed", "properties": {"error": {"code": "A", "message": "b"}}},
            OperationFailure("A", "b"),
        ),
        ({"status": "Canceled"}, OperationFailure("ProvisioningFailed", "the operation failed")),
    ],
)
def test_how_an_operation_ended(body: dict[str, Any], failure: OperationFailure | None) -> None:
    assert failed_operation(body) == failure


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "yesterday", "", None])
def test_times_that_are_none_are_left_out(value: str | None) -> None:
    state = pod_status(_group(_view("Running", startTime=value)))["containerStatuses"][0]["state"]
    assert state == {"running": {}}


def test_what_keeps_the_group_from_starting_is_why_its_containers_wait() -> None:
    def waits(*events: dict[str, Any], **view: Any) -> Any:
        group = _group(_view("Waiting", **view), provisioning="Pending", events=list(events))
        return pod_status(group)["containerStatuses"][0]["state"]["waiting"]

    warning = _event("FailedScheduling", "no room in the region", kind="Warning")
    assert waits(warning) == {"reason": "FailedScheduling", "message": "no room in the region"}
    later = _event("Pulling", "pulling image", at="2026-01-01T00:00:09Z")
    assert waits(warning, later)["reason"] == "ContainerCreating", "it was overcome"
    pull = _event("Failed", "Failed to pull image", kind="Warning")
    assert waits(warning, events=[pull])["reason"] == "ErrImagePull", "the container knows better"
