"""From container groups to an engine's groups, and from its status back to instance views."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vnodectl.emulator.azure.aci.translate import engine_name, share_paths, translate
from vnodectl.emulator.azure.aci.view import container_views, instance_view, started, without_secrets
from vnodectl.engines.api import (
    ContainerState,
    ContainerStatus,
    FileContent,
    GroupEvent,
    GroupPhase,
    GroupStatus,
    Mount,
    Probe,
    RegistryAuth,
    RestartPolicy,
    Running,
    Terminated,
    VolumeSpec,
    Waiting,
)

PROPERTIES: dict[str, Any] = {
    "osType": "Linux",
    "restartPolicy": "OnFailure",
    "containers": [
        {
            "name": "web",
            "properties": {
                "image": "nginx",
                "command": ["/bin/app", "--fast"],
                "environmentVariables": [
                    {"name": "A", "value": "open"},
                    {"name": "B", "secureValue": "hidden"},
                    {"name": "C"},
                ],
                "resources": {"requests": {"cpu": 0.5, "memoryInGB": 1}, "limits": {"memoryInGB": 2}},
                "volumeMounts": [
                    {"name": "files", "mountPath": "/files", "readOnly": True},
                    {"name": "share", "mountPath": "/share"},
                ],
                "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 3},
                "readinessProbe": {
                    "httpGet": {
                        "port": 8080,
                        "scheme": "HTTPS",
                        "path": "/ready",
                        "httpHeaders": [{"name": "X", "value": "y"}],
                    }
                },
                "securityContext": {
                    "runAsUser": 1000,
                    "runAsGroup": 2000,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["all"], "add": ["NET_BIND_SERVICE"]},
                },
            },
        }
    ],
    "initContainers": [{"name": "first", "properties": {"image": "busybox", "command": []}}],
    "volumes": [
        {"name": "files", "secret": {"a.txt": "aGVsbG8="}},
        {
            "name": "share",
            "azureFile": {"shareName": "s", "storageAccountName": "acc", "storageAccountKey": "k"},
        },
        {"name": "scratch", "emptyDir": {}},
    ],
    "imageRegistryCredentials": [{"server": "r.example", "username": "u", "password": "p"}],
    "dnsConfig": {
        "nameServers": ["10.0.0.10"],
        "searchDomains": "default.svc.cluster.local svc.cluster.local",
        "options": "ndots:5",
    },
    "ipAddress": {"type": "Private", "ports": [{"port": 80}]},
}


def test_a_whole_group() -> None:
    spec = translate("web-abc", PROPERTIES, shares=Path("/shares"), labels={"resource-id": "x"}, grace=3)
    web, first = spec.containers[0], spec.init_containers[0]
    assert (web.command, web.args) == (("/bin/app", "--fast"), ())
    assert (first.command, first.args) == (None, None)
    assert web.env == {"A": "open", "B": "hidden", "C": ""}
    assert (web.cpu, web.memory) == (0.5, 2 * 1024**3)
    assert web.mounts == (Mount("files", "/files", read_only=True), Mount("share", "/share"))
    assert web.liveness == Probe(command=("true",), period=3)
    assert web.readiness == Probe(
        http_path="/ready", http_scheme="https", http_headers=(("X", "y"),), port=8080
    )
    assert (web.user, web.no_new_privileges, web.drop_all_capabilities) == ("1000:2000", True, True)
    assert web.add_capabilities == ("NET_BIND_SERVICE",)
    assert spec.restart_policy is RestartPolicy.ON_FAILURE
    assert spec.volumes == {
        "files": VolumeSpec(files=(FileContent("a.txt", b"hello"),)),
        "share": VolumeSpec(host_path="/shares/acc/s"),
        "scratch": VolumeSpec(),
    }
    assert share_paths(PROPERTIES, Path("/shares")) == [Path("/shares/acc/s")]
    assert spec.registry_auth == (RegistryAuth("r.example", "u", "p"),)
    assert spec.dns_servers == ("10.0.0.10",)
    assert spec.dns_search == ("default.svc.cluster.local", "svc.cluster.local")
    assert (spec.dns_options, spec.ports, spec.termination_grace) == (("ndots:5",), (80,), 3)


def test_the_least_group() -> None:
    least = {"containers": [{"name": "a", "properties": {"image": "i"}}]}
    spec = translate("a", least, shares=Path("/"), labels={}, grace=1)
    assert spec.restart_policy is RestartPolicy.ALWAYS
    assert (spec.containers[0].command, spec.containers[0].cpu, spec.containers[0].memory) == (
        None,
        None,
        None,
    )


def test_names_in_the_engine_are_short_valid_and_distinct() -> None:
    names = {
        engine_name("sub", "rg", "web"),
        engine_name("sub", "rg2", "web"),
        engine_name("sub", "rg", "a" * 63),
        engine_name("sub", "rg", "a" * 62),
        engine_name("sub", "rg", "b" * 49 + "-c"),
    }
    assert len(names) == 5
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])", name) for name in names)
    assert engine_name("SUB", "RG", "web") == engine_name("sub", "rg", "web")


def test_what_is_shown_has_no_secrets_and_leaves_the_original_alone() -> None:
    shown = without_secrets(PROPERTIES)
    text = str(shown)
    for secret in ("hidden", "aGVsbG8=", "'k'", "'p'"):
        assert secret not in text
        assert secret in str(PROPERTIES)
    assert shown["volumes"][0] == {"name": "files", "secret": {}}
    assert shown["containers"][0]["properties"]["environmentVariables"][1] == {"name": "B"}


def status(
    phase: GroupPhase,
    state: ContainerState,
    events: tuple[GroupEvent, ...] = (),
    previous: Terminated | None = None,
) -> GroupStatus:
    one = ContainerStatus("web", "nginx", state, previous=previous, restarts=1 if previous else 0)
    return GroupStatus("g", {}, phase, 0, "10.0.0.1", (one,), (), events)


def test_states_are_written_as_aci_does() -> None:
    ended = Terminated(3, "Error", 100, 101.5)
    view = container_views(status(GroupPhase.FAILED, ended))["web"]
    assert view == {
        "restartCount": 0,
        "currentState": {
            "state": "Terminated",
            "startTime": "1970-01-01T00:01:40.000Z",
            "exitCode": 3,
            "finishTime": "1970-01-01T00:01:41.500Z",
            "detailStatus": "Error",
        },
        "events": [],
    }
    again = container_views(status(GroupPhase.RUNNING, Running(102), previous=ended))["web"]
    assert again["previousState"] == view["currentState"]
    assert again["currentState"] == {
        "state": "Running",
        "startTime": "1970-01-01T00:01:42.000Z",
        "detailStatus": "",
    }
    waiting = status(GroupPhase.PENDING, Waiting("ContainerCreating", "soon"))
    assert container_views(waiting)["web"]["currentState"] == {"state": "Waiting", "detailStatus": ""}


def test_events_belong_to_their_container_and_are_counted() -> None:
    events = (
        GroupEvent(1, "Normal", "Pulling", "pulling", "web"),
        GroupEvent(2, "Warning", "Failed", "no", "web"),
        GroupEvent(5, "Warning", "Failed", "no", "web"),
        GroupEvent(6, "Normal", "Scheduled", "placed"),
    )
    seen = status(GroupPhase.PENDING, Waiting("ErrImagePull"), events)
    assert container_views(seen)["web"]["events"][1] == {
        "name": "Failed",
        "type": "Warning",
        "count": 2,
        "firstTimestamp": "1970-01-01T00:00:02.000Z",
        "lastTimestamp": "1970-01-01T00:00:05.000Z",
        "message": "no",
    }
    assert [event["name"] for event in instance_view(seen, "Pending")["events"]] == ["Scheduled"]
    assert instance_view(None, "Pending") == {"events": [], "state": "Pending"}


def test_when_a_group_counts_as_started() -> None:
    assert not started(None)
    assert not started(status(GroupPhase.PENDING, Waiting("ContainerCreating")))
    assert not started(status(GroupPhase.PENDING, Waiting("ImagePullBackOff")))
    crashed = Terminated(1, "Error", 0, 1)
    assert started(status(GroupPhase.RUNNING, Waiting("CrashLoopBackOff"), previous=crashed))
    assert started(status(GroupPhase.RUNNING, Running(0)))
    assert started(status(GroupPhase.SUCCEEDED, Terminated(0, "Completed", 0, 1)))
