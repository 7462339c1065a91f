"""Probes: those that ECI runs itself, and those that the runtime runs for it against the pod's address. Pure.

ECI has liveness and readiness probes by exec, httpGet and tcpSocket, but no startup probe, none by grpc, and
neither headers nor another host. What it lacks is left to the runtime, but where a failure could not be
carried out: a failed liveness or startup probe restarts the group, which a pod that never restarts must not
be.
"""

from __future__ import annotations

from vnodectl.providers.ports import port_number
from vnodectl.providers.probes import startup_delay
from vnodectl.runtime.provider import JSON, ProbeKind, Rejected

_KEYS = {ProbeKind.LIVENESS: "LivenessProbe", ProbeKind.READINESS: "ReadinessProbe"}
_NUMBERS = {
    "initialDelaySeconds": "InitialDelaySeconds",
    "periodSeconds": "PeriodSeconds",
    "failureThreshold": "FailureThreshold",
    "successThreshold": "SuccessThreshold",
    "timeoutSeconds": "TimeoutSeconds",
}
_NETWORK = ("httpGet", "tcpSocket", "grpc")


def direct(container: JSON, *, restarts: bool) -> frozenset[ProbeKind]:
    """The probes that are left to the runtime; `restarts`: the pod's restart policy is not Never."""
    found = {
        kind
        for kind in ProbeKind
        if (probe := container.get(kind.value))
        and _by_network(probe)
        and (kind is ProbeKind.STARTUP or not _own(probe))
        and (restarts or kind is ProbeKind.READINESS)
    }
    liveness = container.get(ProbeKind.LIVENESS.value) or {}
    if ProbeKind.STARTUP in found and _by_network(liveness):
        # The runtime holds it back until the container has started; ECI could only wait for the longest.
        found.add(ProbeKind.LIVENESS)
    return frozenset(found)


def bodies(container: JSON, path: str, *, restarts: bool) -> JSON:
    """`LivenessProbe` and `ReadinessProbe`. Raises `Rejected` with the field at fault.

    The time that a startup probe allows is the initial delay of a liveness probe that ECI runs: the container
    is killed no earlier than in Kubernetes. A startup probe that nobody runs is rejected where it is alone.
    """
    left = direct(container, restarts=restarts)
    body: JSON = {}
    for kind in ProbeKind:
        probe, where = container.get(kind.value), f"{path}.{kind}"
        if not probe:
            continue
        if kind in left:
            _check_port(probe, container, where)
        elif kind in _KEYS:
            body[_KEYS[kind]] = _probe(probe, container, where)
    startup = container.get(ProbeKind.STARTUP.value)
    if startup and "LivenessProbe" in body:
        liveness = body["LivenessProbe"]
        liveness["InitialDelaySeconds"] = max(
            int(liveness.get("InitialDelaySeconds") or 0), startup_delay(startup)
        )
    elif startup and ProbeKind.STARTUP not in left:
        raise Rejected(
            "UnsupportedProbe",
            "Elastic Container Instance has no startup probe by exec, and none for pods that never restart; "
            "use httpGet, tcpSocket or grpc, or a livenessProbe with an initial delay",
            field=f"{path}.startupProbe",
        )
    return body


def _by_network(probe: JSON) -> bool:
    return any(probe.get(name) for name in _NETWORK)


def _own(probe: JSON) -> bool:
    """Whether ECI can run it."""
    http = probe.get("httpGet") or {}
    tcp = probe.get("tcpSocket") or {}
    return not (probe.get("grpc") or http.get("host") or http.get("httpHeaders") or tcp.get("host"))


def _check_port(probe: JSON, container: JSON, path: str) -> None:
    for name in ("httpGet", "tcpSocket"):
        if probe.get(name):
            port_number(probe[name].get("port"), container, f"{path}.{name}.port")


def _probe(probe: JSON, container: JSON, path: str) -> JSON:
    body: JSON = {key: probe[name] for name, key in _NUMBERS.items() if probe.get(name) is not None}
    if probe.get("exec"):
        return {"Exec": {"Command": list(probe["exec"].get("command") or ())}, **body}
    if not _own(probe) or not _by_network(probe):
        _refuse(probe, path)
    if probe.get("tcpSocket"):
        tcp, where = probe["tcpSocket"], f"{path}.tcpSocket"
        return {"TcpSocket": {"Port": port_number(tcp.get("port"), container, f"{where}.port")}, **body}
    http, where = probe["httpGet"], f"{path}.httpGet"
    target = {
        "Path": http.get("path") or "/",
        "Port": port_number(http.get("port"), container, f"{where}.port"),
        "Scheme": http.get("scheme") or "HTTP",
    }
    return {"HttpGet": target, **body}


def _refuse(probe: JSON, path: str) -> None:
    """By the part that ECI lacks, in a probe that cannot be left to the runtime either."""
    parts = {
        "grpc": probe.get("grpc"),
        "httpGet.host": (probe.get("httpGet") or {}).get("host"),
        "httpGet.httpHeaders": (probe.get("httpGet") or {}).get("httpHeaders"),
        "tcpSocket.host": (probe.get("tcpSocket") or {}).get("host"),
    }
    part = next((name for name, value in parts.items() if value), "")
    raise Rejected(
        "UnsupportedProbe",
        f"Elastic Container Instance probes by exec, httpGet and tcpSocket only, without {part or 'others'}; "
        "what it lacks is probed from outside, which takes a pod that restarts",
        field=f"{path}.{part}" if part else path,
    )
