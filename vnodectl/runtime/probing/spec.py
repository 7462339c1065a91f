"""What a container's probe asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vnodectl.runtime.provider import JSON, ProbeKind


@dataclass(frozen=True, slots=True)
class HttpGet:
    """`host` empty: the pod's own address. `path` may hold a query. Names in `headers` may repeat."""

    port: int
    path: str = "/"
    scheme: str = "http"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """`host` empty: the pod's own address."""

    port: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Grpc:
    """The standard health service, asked about `service` ("" is the server as a whole)."""

    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Impossible:
    """A probe that cannot be carried out as it is written; `message` says why."""

    message: str


Action = HttpGet | TcpSocket | Grpc | Impossible


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """Times in seconds. `grace` overrides the pod's termination grace period where the probe has its own."""

    kind: ProbeKind
    action: Action
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: float | None = None


def probe_spec(container: JSON, kind: ProbeKind) -> ProbeSpec | None:
    """The container's probe of that kind with the API's defaults; None where it has none, or one that only
    the provider can carry out (exec)."""
    source: JSON | None = container.get(kind.value)
    if not source or (action := _action(container, source)) is None:
        return None
    grace = source.get("terminationGracePeriodSeconds")
    return ProbeSpec(
        kind,
        action,
        initial_delay=float(source.get("initialDelaySeconds") or 0),
        period=float(source.get("periodSeconds") or 10),
        timeout=float(source.get("timeoutSeconds") or 1),
        success_threshold=int(source.get("successThreshold") or 1),
        failure_threshold=int(source.get("failureThreshold") or 3),
        grace=None if grace is None else float(grace),
    )


def http_action(container: JSON, http: JSON) -> HttpGet | Impossible:
    """An `httpGet` of a probe or of a hook."""
    port = _port(container, http.get("port"))
    if isinstance(port, Impossible):
        return port
    return HttpGet(
        port,
        path=http.get("path") or "/",
        scheme=str(http.get("scheme") or "HTTP").lower(),
        host=http.get("host") or "",
        headers=tuple((one["name"], one.get("value") or "") for one in http.get("httpHeaders") or ()),
    )


def _action(container: JSON, source: JSON) -> Action | None:
    if source.get("httpGet"):
        return http_action(container, source["httpGet"])
    if source.get("tcpSocket"):
        port = _port(container, source["tcpSocket"].get("port"))
        return (
            port if isinstance(port, Impossible) else TcpSocket(port, source["tcpSocket"].get("host") or "")
        )
    if source.get("grpc"):
        return Grpc(int(source["grpc"]["port"]), source["grpc"].get("service") or "")
    return None


def _port(container: JSON, port: object) -> int | Impossible:
    """A number, or the container's own port of that name: as a kubelet looks it up."""
    number: int | None = None
    if isinstance(port, int):
        number = port
    elif isinstance(port, str):
        named = (one for one in container.get("ports") or () if one.get("name") == port)
        found = next(named, None)
        number = int(found["containerPort"]) if found else int(port) if port.isdecimal() else None
    if number is None:
        return Impossible(f"couldn't find port: {port!r}")
    return number if 0 < number < 65536 else Impossible(f"invalid port number: {number}")
