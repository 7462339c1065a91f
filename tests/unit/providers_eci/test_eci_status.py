from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.eci.status import (
    Cause,
    cause,
    folded,
    group_id,
    group_status,
    initialised,
    moving,
    pod_status,
)

AT = "2026-01-02T03:04:05Z"


def row(status: str = "Running", **pod: Any) -> Any:
    return folded({"ContainerGroupId": "eci-1", "Name": "n", "Status": status, "PodStatus": pod})


def container(**changes: Any) -> dict[str, Any]:
    return {
        "Name": "main",
        "Image": "nginx",
        "ImageID": "nginx@sha256:1",
        "Ready": True,
        "Started": True,
        "RestartCount": 0,
        "State": {"Running": {"StartedAt": AT}},
        "LastState": {},
        **changes,
    }


def _one(**changes: Any) -> dict[str, Any]:
    (found,) = pod_status(row(ContainerStatuses=[container(**changes)]))["containerStatuses"]
    status: dict[str, Any] = found
    return status


def test_a_running_pod() -> None:
    status = pod_status(
        row(
            ContainerStatuses=[container()],
            PodIp="172.16.0.5",
            PodIps=[{"Ip": "172.16.0.5"}, {"Ip": "2001:db8::1"}],
            StartTime="2026-01-02T11:04:05+08:00",
            Conditions=[
                {"type": "Ready", "status": "True"},
                {
                    "type": "ContainerInstanceCreated",
                    "status": "True",
                    "Reason": "",
                    "Message": "ok",
                    "lastTransitionTime": AT,
                },
            ],
        )
    )
    assert status == {
        "podIP": "172.16.0.5",
        "podIPs": [{"ip": "172.16.0.5"}, {"ip": "2001:db8::1"}],
        "startTime": AT,
        "conditions": [
            {
                "type": "ContainerInstanceCreated",
                "status": "True",
                "message": "ok",
                "lastTransitionTime": AT,
            }
        ],
        "containerStatuses": [
            {
                "name": "main",
                "image": "nginx",
                "imageID": "nginx@sha256:1",
                "containerID": "eci://eci-1/main",
                "restartCount": 0,
                "ready": True,
                "started": True,
                "state": {"running": {"startedAt": AT}},
                "lastState": {},
            }
        ],
    }


@pytest.mark.parametrize(
    "state",
    [
        {"Running": {"StartedAtstartedAt": AT}},
        {"running": {"startedAt": AT}},
        {"Running": {"StartedAt": AT}, "Waiting": None, "Terminated": None},
        {"Running": {"StartedAt": AT}, "Waiting": {}, "Terminated": {}},
    ],
)
def test_a_running_container_however_it_is_spelled(state: dict[str, Any]) -> None:
    assert _one(State=state)["state"] == {"running": {"startedAt": AT}}


def test_an_exit_code_reason_and_signal() -> None:
    ended = {
        "ContainerID": "containerd://1",
        "ExitCode": 137,
        "Reason": "OOMKilled",
        "Message": "out of memory",
        "Signal": 9,
        "StartedAt": AT,
        "FinishedAt": "2026-01-02T03:05:05.123Z",
    }
    one = _one(State={"Terminated": ended}, Ready=False, Started=False)
    assert one["state"]["terminated"] == {
        "exitCode": 137,
        "reason": "OOMKilled",
        "message": "out of memory",
        "signal": 9,
        "containerID": "eci://eci-1/main",
        "startedAt": AT,
        "finishedAt": "2026-01-02T03:05:05Z",
    }
    assert (one["ready"], one["started"]) == (False, False)


@pytest.mark.parametrize(
    ("ended", "code", "reason"),
    [
        ({"ExitCode": 0}, 0, "Completed"),
        ({"ExitCode": 3, "Reason": ""}, 3, "Error"),
        ({"Reason": "Gone"}, 137, "ContainerStatusUnknown"),
    ],
)
def test_ends_without_a_word(ended: dict[str, Any], code: int, reason: str) -> None:
    found = _one(State={"Terminated": ended})["state"]["terminated"]
    assert (found["exitCode"], found["reason"]) == (code, reason)


def test_a_container_that_is_started_again() -> None:
    one = _one(
        State={"Waiting": {"Reason": "CrashLoopBackOff", "Message": "back-off"}},
        LastState={"Terminated": {"ExitCode": 3, "FinishedAt": AT}},
        RestartCount=4,
        Ready=False,
    )
    assert one["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert one["lastState"]["terminated"]["exitCode"] == 3
    assert (one["restartCount"], one["containerID"]) == (4, "eci://eci-1/main")


def test_a_container_that_waits() -> None:
    one = _one(State={"Waiting": {"Reason": "ErrImagePull", "Message": "no such image"}}, Ready=False)
    assert one["state"] == {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    assert one["containerID"] == ""
    assert _one(State={})["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert _one(State=None, LastState=None)["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_what_is_not_running_is_neither_ready_nor_started() -> None:
    one = _one(State={"Waiting": {"Reason": "x"}}, Ready=True, Started=True)
    assert (one["ready"], one["started"]) == (False, False)


def group(**changes: Any) -> Any:
    return folded(
        {
            "ContainerGroupId": "eci-1",
            "Status": "Pending",
            "IntranetIp": "172.16.0.9",
            "Ipv6Address": "2001:db8::9",
            "Containers": [
                {
                    "Name": "main",
                    "Image": "nginx",
                    "Ready": False,
                    "RestartCount": 0,
                    "CurrentState": {"State": "Waiting"},
                }
            ],
            "InitContainers": [
                {
                    "Name": "init",
                    "Image": "busybox",
                    "RestartCount": 1,
                    "CurrentState": {
                        "State": "Terminated",
                        "ExitCode": 0,
                        "StartTime": AT,
                        "FinishTime": AT,
                        "Reason": "Completed",
                    },
                    "PreviousState": {"State": "Terminated", "ExitCode": 1, "Reason": "Error"},
                },
                {"Name": "second", "CurrentState": {"State": "Running", "StartTime": AT}},
                {"Name": "third", "CurrentState": {}, "PreviousState": {"State": ""}},
            ],
            **changes,
        }
    )


def test_init_containers_come_from_the_group() -> None:
    status = pod_status(row("Pending", ContainerStatuses=[container(State={"Waiting": {}})]), group())
    first, second, third = status["initContainerStatuses"]
    assert (first["ready"], first["restartCount"], first["state"]["terminated"]["exitCode"]) == (True, 1, 0)
    assert first["lastState"]["terminated"]["exitCode"] == 1
    assert (second["started"], second["ready"], second["state"]) == (
        True,
        False,
        {"running": {"startedAt": AT}},
    )
    assert third["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert status["podIPs"] == [{"ip": "172.16.0.9"}, {"ip": "2001:db8::9"}]
    assert not initialised(group())
    assert initialised(group(InitContainers=[]))


def test_containers_come_from_the_group_where_the_row_has_none() -> None:
    status = pod_status(row("Pending"), group())
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "containerStatuses" not in pod_status(row("Pending"))


def test_a_preempted_instance_has_failed() -> None:
    status = pod_status(row("Expired", ContainerStatuses=[container()]))
    assert (status["phase"], status["reason"]) == ("Failed", "Preempted")


def test_a_failure_that_no_container_shows() -> None:
    events = [
        {"Type": "Normal", "Reason": "Ok", "LastTimestamp": "2026-01-02T03:04:07Z"},
        {"Type": "Warning", "Reason": "Old", "Message": "old", "LastTimestamp": AT},
        {
            "Type": "Warning",
            "Reason": "DiskFull",
            "Message": "no room",
            "LastTimestamp": "2026-01-02T03:04:06Z",
        },
    ]
    status = pod_status(row("Failed"), group(Containers=[], Events=events))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DiskFull", "no room")
    ended = pod_status(row("Failed", ContainerStatuses=[container(State={"Terminated": {"ExitCode": 1}})]))
    assert "phase" not in ended
    assert pod_status(row("Succeeded"))["phase"] == "Succeeded"
    assert pod_status(row("Failed"))["reason"] == "ContainerGroupFailed"


@pytest.mark.parametrize("reason", ["NoStock", "ContainerGroup.NoStock"])
def test_why_a_group_could_not_be_made(reason: str) -> None:
    condition = {"type": "ContainerInstanceCreated", "status": "False", "Reason": reason, "Message": "none"}
    assert cause(row("ScheduleFailed", Conditions=[condition])) == Cause("NoStock", "none")


def test_a_group_that_is_being_made_has_no_cause() -> None:
    condition = {"type": "ContainerInstanceCreated", "status": "False", "Reason": "Creating"}
    assert cause(row("Scheduling", Conditions=[condition])) is None
    assert cause(row(), group(Events=[{"Type": "Warning", "Name": "QuotaExceed"}])) == Cause(
        "QuotaExceed", "ECI gave no reason"
    )


def test_which_groups_are_on_their_way() -> None:
    assert all(moving(row(one)) for one in ("Scheduling", "Pending", "Restarting", "Updating", "Terminating"))
    assert not any(
        moving(row(one)) for one in ("Running", "Succeeded", "Failed", "Expired", "ScheduleFailed")
    )
    assert (group_id(row()), group_status(row())) == ("eci-1", "Running")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
states_ = st.fixed_dictionaries(
    {},
    optional={
        "Running": st.none() | st.fixed_dictionaries({}, optional={"StartedAt": st.text(max_size=25)}),
        "Terminated": st.none()
        | st.fixed_dictionaries({}, optional={"ExitCode": st.integers(0, 255), "Reason": st.text()}),
        "Waiting": st.none() | st.fixed_dictionaries({}, optional={"Reason": st.none() | st.text()}),
    },
)


@given(
    st.sampled_from(["Scheduling", "Pending", "Running", "Failed", "Succeeded", "Expired", ""]),
    st.lists(
        st.fixed_dictionaries(
            {"Name": st.text(min_size=1)},
            optional={"State": states_, "LastState": states_, "Ready": st.booleans(), "Extra": json_values},
        ),
        max_size=3,
    ),
)
def test_every_container_has_exactly_one_state(status: str, containers: list[dict[str, Any]]) -> None:
    found = pod_status(row(status, ContainerStatuses=containers))
    for one in found.get("containerStatuses", ()):
        assert len(one["state"]) == 1
        assert one["ready"] in (True, False)
        assert not one["ready"] or "running" in one["state"]
