"""Probes: what ACI runs itself (exec and httpGet, API version 2023-05-01), and what the connector runs. Pure.

Where the connector reaches pods in a subnet, it probes them as a kubelet does, so that readiness costs no
read of the cloud and startup, tcpSocket and grpc probes exist at all. ACI keeps the probes that it can act
upon better: exec probes, and liveness by httpGet, after which it restarts one container and not the group.
"""

from __future__ import annotations

from collections.abc import Mapping

from vnodectl.providers.ports import port_number
from vnodectl.providers.probes import startup_delay
from vnodectl.runtime.provider import JSON, ProbeKind, Rejected

_NUMBERS = ("initialDelaySeconds", "periodSeconds", "failureThreshold", "successThreshold", "timeoutSeconds")
_SOCKETS = ("httpGet", "tcpSocket", "grpc")


def direct(containers: list[JSON]) -> Mapping[str, frozenset[ProbeKind]]:
    """By container, the probes that the connector runs where it reaches the pod."""
    found = {
        one["name"]: frozenset(kind for kind in ProbeKind if _is_direct(one, kind)) for one in containers
    }
    return {name: kinds for name, kinds in found.items() if kinds}


def _is_direct(container: JSON, kind: ProbeKind) -> bool:
    probe = container.get(kind) or {}
    if not any(probe.get(one) for one in _SOCKETS):
        return False
    return kind is not ProbeKind.LIVENESS or not probe.get("httpGet") or bool(probe["httpGet"].get("host"))


def probes(container: JSON, path: str, *, direct: bool = False) -> JSON:
    """`livenessProbe` and `readinessProbe` of a container's ACI properties.

    ACI has no startup probe. Where there is a liveness probe of ACI too, the time that the startup probe
    allows becomes its initial delay: the container is killed no earlier than in Kubernetes. A startup probe
    that neither ACI nor (`direct`) the connector can run is rejected.
    """
    body: JSON = {}
    for kind in (ProbeKind.LIVENESS, ProbeKind.READINESS):
        if container.get(kind) and not (direct and _is_direct(container, kind)):
            body[kind.value] = _probe(container[kind], container, f"{path}.{kind}")
    startup = container.get("startupProbe")
    if startup:
        if "livenessProbe" in body:
            liveness = body["livenessProbe"]
            liveness["initialDelaySeconds"] = max(
                int(liveness.get("initialDelaySeconds") or 0), startup_delay(startup)
            )
        elif not (direct and _is_direct(container, ProbeKind.STARTUP)):
            raise Rejected(
                "UnsupportedProbe",
                "Azure Container Instances has no startup probe; use a livenessProbe with an initial delay, "
                "or httpGet, tcpSocket or grpc on a connector with a subnet",
                field=f"{path}.startupProbe",
            )
    return body


def _probe(probe: JSON, container: JSON, path: str) -> JSON:
    body: JSON = {name: probe[name] for name in _NUMBERS if probe.get(name) is not None}
    for kind in ("tcpSocket", "grpc"):
        if probe.get(kind):
            raise Rejected(
                "UnsupportedProbe",
                f"Azure Container Instances has no {kind} probe; use exec or httpGet, or a connector with a "
                "subnet, which probes itself",
                field=f"{path}.{kind}",
            )
    if probe.get("exec"):
        return {"exec": {"command": list(probe["exec"].get("command") or ())}, **body}
    http = probe.get("httpGet")
    if not http:
        raise Rejected("UnsupportedProbe", "the probe has no action", field=path)
    if http.get("host"):
        raise Rejected(
            "UnsupportedProbe",
            "Azure Container Instances probes the container itself, not another host",
            field=f"{path}.httpGet.host",
        )
    target: JSON = {
        "path": http.get("path") or "/",
        "port": port_number(http.get("port"), container, f"{path}.httpGet.port"),
        "scheme": str(http.get("scheme") or "HTTP").lower(),
    }
    if http.get("httpHeaders"):
        target["httpHeaders"] = [
            {"name": header["name"], "value": header.get("value", "")} for header in http["httpHeaders"]
        ]
    return {"httpGet": target, **body}
