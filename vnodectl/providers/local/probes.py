"""Probes of a container: the engine's own, and those that are left to the runtime. Pure."""

from __future__ import annotations

from dataclasses import replace

from vnodectl.engines.api import Probe
from vnodectl.runtime.provider import JSON, ProbeKind, Rejected


def direct(container: JSON) -> frozenset[ProbeKind]:
    """The probes that the runtime runs. Engines have no gRPC; where a container has such a probe, all of its
    network probes are the runtime's, so that one startup probe holds them all back."""
    probes = {kind: container[kind.value] for kind in ProbeKind if container.get(kind.value)}
    if not any(one.get("grpc") for one in probes.values()):
        return frozenset()
    return frozenset(kind for kind, one in probes.items() if not one.get("exec"))


def probe(container: JSON, name: str, path: str) -> Probe | None:
    """The container's probe of that name, with the API's defaults: every 10 s, 1 s timeout, 3 failures.

    None also for one that is the runtime's. Raises Rejected.
    """
    if not (source := container.get(name)):
        return None
    where = f"{path}.{name}"
    theirs = direct(container)
    if ProbeKind(name) in theirs:
        return None
    if ProbeKind.STARTUP in theirs:
        raise Rejected(
            "UnsupportedProbe", "an exec probe cannot wait for a grpc startup probe here", field=where
        )
    grace = source.get("terminationGracePeriodSeconds")
    plain = Probe(
        initial_delay=float(source.get("initialDelaySeconds") or 0),
        period=float(source.get("periodSeconds") or 10),
        timeout=float(source.get("timeoutSeconds") or 1),
        failure_threshold=int(source.get("failureThreshold") or 3),
        success_threshold=int(source.get("successThreshold") or 1),
        grace=None if grace is None else float(grace),
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
    raise Rejected("UnsupportedProbe", "this node has exec, httpGet, tcpSocket and grpc probes", field=where)


def _port(container: JSON, port: int | str, where: str) -> int:
    if isinstance(port, int):
        return port
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    if port.isdigit():
        return int(port)
    raise Rejected("UnknownPort", f"the container has no port named {port!r}", field=where)
