"""Probes of a container. Pure."""

from __future__ import annotations

from dataclasses import replace

from vnodectl.engines.api import Probe
from vnodectl.runtime.provider import JSON, Rejected


def probe(container: JSON, name: str, path: str) -> Probe | None:
    """The container's probe of that name, with the API's defaults: every 10 s, 1 s timeout, 3 failures."""
    if not (source := container.get(name)):
        return None
    where = f"{path}.{name}"
    plain = Probe(
        initial_delay=float(source.get("initialDelaySeconds") or 0),
        period=float(source.get("periodSeconds") or 10),
        timeout=float(source.get("timeoutSeconds") or 1),
        failure_threshold=int(source.get("failureThreshold") or 3),
        success_threshold=int(source.get("successThreshold") or 1),
    )
    if source.get("exec"):
        return replace(plain, command=tuple(source["exec"].get("command") or ()))
    if http := source.get("httpGet"):
        return replace(
            plain,
            http_path=http.get("path") or "/",
            http_scheme=(http.get("scheme") or "HTTP").lower(),
            http_headers=tuple((one["name"], one.get("value", "")) for one in http.get("httpHeaders") or ()),
            port=_port(container, http["port"], f"{where}.httpGet.port"),
            host=http.get("host") or "",
        )
    if tcp := source.get("tcpSocket"):
        port = _port(container, tcp["port"], f"{where}.tcpSocket.port")
        return replace(plain, port=port, host=tcp.get("host") or "")
    kind = "a grpc" if source.get("grpc") else "an unknown kind of"
    raise Rejected(
        "UnsupportedProbe", f"{kind} probe: this node has exec, httpGet and tcpSocket", field=where
    )


def _port(container: JSON, port: int | str, where: str) -> int:
    if isinstance(port, int):
        return port
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    if port.isdigit():
        return int(port)
    raise Rejected("UnknownPort", f"the container has no port named {port!r}", field=where)
