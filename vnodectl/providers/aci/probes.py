"""Liveness and readiness probes: ACI has exec and httpGet (API version 2023-05-01), nothing else."""

from __future__ import annotations

from vnodectl.providers.ports import port_number
from vnodectl.providers.probes import startup_delay
from vnodectl.runtime.provider import JSON, Rejected

_NUMBERS = ("initialDelaySeconds", "periodSeconds", "failureThreshold", "successThreshold", "timeoutSeconds")


def probes(container: JSON, path: str) -> JSON:
    """`livenessProbe` and `readinessProbe` of a container's ACI properties.

    ACI has no startup probe. Where there is a liveness probe too, the time that the startup probe allows
    becomes its initial delay: the container is killed no earlier than in Kubernetes. Alone it is rejected.
    """
    body: JSON = {}
    for name in ("livenessProbe", "readinessProbe"):
        if container.get(name):
            body[name] = _probe(container[name], container, f"{path}.{name}")
    startup = container.get("startupProbe")
    if startup:
        if "livenessProbe" not in body:
            raise Rejected(
                "UnsupportedProbe",
                "Azure Container Instances has no startup probe; use a livenessProbe with an initial delay",
                field=f"{path}.startupProbe",
            )
        liveness = body["livenessProbe"]
        liveness["initialDelaySeconds"] = max(
            int(liveness.get("initialDelaySeconds") or 0), startup_delay(startup)
        )
    return body


def _probe(probe: JSON, container: JSON, path: str) -> JSON:
    body: JSON = {name: probe[name] for name in _NUMBERS if probe.get(name) is not None}
    for kind in ("tcpSocket", "grpc"):
        if probe.get(kind):
            raise Rejected(
                "UnsupportedProbe",
                f"Azure Container Instances has no {kind} probe; use exec or httpGet",
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
