"""Who runs which probe."""

from __future__ import annotations

from typing import Any

import pytest

from vnodectl.providers.eci.probes import bodies, direct
from vnodectl.runtime.provider import ProbeKind, Rejected

STARTUP, LIVENESS, READINESS = ProbeKind.STARTUP, ProbeKind.LIVENESS, ProbeKind.READINESS
EXEC = {"exec": {"command": ["x"]}}
HTTP = {"httpGet": {"port": 80}}
TCP = {"tcpSocket": {"port": 80}}
GRPC = {"grpc": {"port": 80}}
HEADERS = {"httpGet": {"port": 80, "httpHeaders": [{"name": "Host", "value": "x"}]}}
HOST = {"tcpSocket": {"port": 80, "host": "example.com"}}


def _container(
    startup: Any = None, liveness: Any = None, readiness: Any = None, **more: Any
) -> dict[str, Any]:
    probes = {"startupProbe": startup, "livenessProbe": liveness, "readinessProbe": readiness}
    return {"name": "main", "image": "n", **{key: one for key, one in probes.items() if one}, **more}


@pytest.mark.parametrize(
    ("container", "runtime", "cloud"),
    [
        (_container(), set(), set()),
        (_container(None, EXEC, EXEC), set(), {"LivenessProbe", "ReadinessProbe"}),
        (_container(None, HTTP, TCP), set(), {"LivenessProbe", "ReadinessProbe"}),
        (_container(None, GRPC, HTTP), {LIVENESS}, {"ReadinessProbe"}),
        (_container(None, HTTP, GRPC), {READINESS}, {"LivenessProbe"}),
        (_container(None, HEADERS, HOST), {LIVENESS, READINESS}, set()),
        (_container(HTTP), {STARTUP}, set()),
        (_container(TCP, HTTP, HTTP), {STARTUP, LIVENESS}, {"ReadinessProbe"}),
        (_container(GRPC, EXEC, EXEC), {STARTUP}, {"LivenessProbe", "ReadinessProbe"}),
        (_container(EXEC, HTTP), set(), {"LivenessProbe"}),
    ],
)
def test_eci_runs_what_it_can_and_the_runtime_the_rest(
    container: dict[str, Any], runtime: set[ProbeKind], cloud: set[str]
) -> None:
    assert direct(container, restarts=True) == runtime
    assert set(bodies(container, "c", restarts=True)) == cloud
    asked = {kind for kind in ProbeKind if kind.value in container}
    names = {"LivenessProbe": LIVENESS, "ReadinessProbe": READINESS}
    everybody = runtime | {names[one] for one in cloud}
    assert asked - everybody <= {STARTUP}, (
        "a probe that nobody runs, but a startup probe beside a liveness one"
    )


def test_a_pod_that_never_restarts_is_only_asked_whether_it_is_ready() -> None:
    assert direct(_container(TCP, GRPC, GRPC), restarts=False) == {READINESS}
    with pytest.raises(Rejected, match=r"c\.livenessProbe\.grpc"):
        bodies(_container(None, GRPC), "c", restarts=False)
    with pytest.raises(Rejected, match=r"c\.startupProbe"):
        bodies(_container(TCP), "c", restarts=False)
    body = bodies(_container({**TCP, "failureThreshold": 6}, HTTP), "c", restarts=False)
    assert body["LivenessProbe"]["InitialDelaySeconds"] == 60


def test_a_liveness_command_waits_as_long_as_the_startup_probe_may_take() -> None:
    startup = {**HTTP, "periodSeconds": 5, "failureThreshold": 4, "initialDelaySeconds": 1}
    body = bodies(_container(startup, EXEC), "c", restarts=True)
    assert body["LivenessProbe"]["InitialDelaySeconds"] == 21


def test_a_port_that_is_not_there_is_found_before_anything_runs() -> None:
    with pytest.raises(Rejected, match=r"c\.startupProbe\.httpGet\.port"):
        bodies(_container({"httpGet": {"port": "web"}}), "c", restarts=True)
    ports = [{"name": "web", "containerPort": 8080}]
    container = _container({"httpGet": {"port": "web"}}, None, {"tcpSocket": {"port": "web"}}, ports=ports)
    assert bodies(container, "c", restarts=True) == {"ReadinessProbe": {"TcpSocket": {"Port": 8080}}}
