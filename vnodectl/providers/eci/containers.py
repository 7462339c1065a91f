"""One container of a pod as one of ECI's: `Container` or `InitContainer` of CreateContainerGroup. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vnodectl.providers.eci import probes, volumes
from vnodectl.providers.eci.specs import Need
from vnodectl.providers.ports import port_number
from vnodectl.providers.restarts import check_restarts
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EnvVar, Rejected, ResolvedPod

LATE = frozenset({"status.podIP", "status.podIPs"})
"""Known to the group alone; a group has one IPv4 address, so both are the same."""


def init_container(container: JSON, pod: ResolvedPod, need: Need, path: str) -> JSON:
    """Raises `Rejected` with the field at fault."""
    if container.get("restartPolicy") == "Always":
        raise Rejected(
            "UnsupportedField",
            "Elastic Container Instance has no side-car init containers; make it a container",
            field=f"{path}.restartPolicy",
        )
    check_restarts(container, pod.spec, path)
    for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            raise Rejected("UnsupportedField", f"an init container has no {name}", field=f"{path}.{name}")
    return {**_common(container, pod, path), **need.parameters()}


def container(container: JSON, pod: ResolvedPod, need: Need, path: str) -> JSON:
    """Raises `Rejected` with the field at fault."""
    check_restarts(container, pod.spec, path)
    body = {**_common(container, pod, path), **need.parameters()}
    env = pod.env.get(container["name"], ())
    if any(one.secret for one in env):
        # Else everybody who may describe the group reads them.
        body["EnvironmentVarHide"] = True
    for name, key in (("stdin", "Stdin"), ("stdinOnce", "StdinOnce"), ("tty", "Tty")):
        if container.get(name):
            body[key] = True
    body.update(_more_security(container, pod))
    body.update(probes.bodies(container, path, restarts=restarts(pod.spec)))
    body.update(_lifecycle(container, path))
    return body


def restarts(spec: JSON) -> bool:
    """Whether containers that end may be started again."""
    return (spec.get("restartPolicy") or "Always") != "Never"


def sleeps_before_stop(container: JSON) -> bool:
    """Whether its preStop hook only waits, which ECI has no hook for and the runtime does."""
    return bool(((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep"))


def _common(container: JSON, pod: ResolvedPod, path: str) -> JSON:
    env = pod.env.get(container["name"], ())
    values = {one.name: one.value for one in env}
    body: JSON = {"Name": container["name"], "Image": container["image"]}
    if container.get("imagePullPolicy"):
        body["ImagePullPolicy"] = container["imagePullPolicy"]
    if container.get("command"):
        body["Command"] = [expand(part, values) for part in container["command"]]
    if container.get("args"):
        body["Arg"] = [expand(part, values) for part in container["args"]]
    if container.get("workingDir"):
        body["WorkingDir"] = container["workingDir"]
    variables = _environment(env)
    if variables:
        body["EnvironmentVar"] = variables
    ports = _ports(container, path)
    if ports:
        body["Port"] = ports
    mounted = volumes.mounts(container, values, path, volumes.read_only(pod))
    if mounted:
        body["VolumeMount"] = mounted
    security = _security(container, pod)
    if security:
        body["SecurityContext"] = security
    for name, key in (
        ("terminationMessagePath", "TerminationMessagePath"),
        ("terminationMessagePolicy", "TerminationMessagePolicy"),
    ):
        if container.get(name):
            body[key] = container[name]
    return body


def _environment(env: Sequence[EnvVar]) -> list[JSON]:
    """The last of two variables of one name wins, as in Kubernetes."""
    bodies: dict[str, JSON] = {}
    for one in env:
        late = {"FieldRef": {"FieldPath": "status.podIP"}}
        bodies[one.name] = {"Key": one.name, **(late if one.late in LATE else {"Value": one.value})}
    return list(bodies.values())


def _ports(container: JSON, path: str) -> list[JSON]:
    bodies: list[JSON] = []
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        protocol = port.get("protocol") or "TCP"
        if protocol not in {"TCP", "UDP"}:
            raise Rejected(
                "UnsupportedPort", f"Elastic Container Instance has no {protocol}", field=f"{where}.protocol"
            )
        if port.get("hostPort"):
            raise Rejected("UnsupportedPort", "there is no host to open a port on", field=f"{where}.hostPort")
        bodies.append({"Port": int(port["containerPort"]), "Protocol": protocol})
    return bodies


def _security(container: JSON, pod: ResolvedPod) -> JSON:
    """What both kinds of containers have. Dropped capabilities and the like are left out: each group runs
    in a virtual machine of its own."""
    context = container.get("securityContext") or {}
    whole = pod.spec.get("securityContext") or {}
    body: JSON = {}
    user = context.get("runAsUser", whole.get("runAsUser"))
    if user is not None:
        body["RunAsUser"] = user
    if context.get("readOnlyRootFilesystem"):
        body["ReadOnlyRootFilesystem"] = True
    added = (context.get("capabilities") or {}).get("add") or ()
    if added:
        body["Capability"] = {"Add": list(added)}
    return body


def _more_security(container: JSON, pod: ResolvedPod) -> JSON:
    context = container.get("securityContext") or {}
    whole = pod.spec.get("securityContext") or {}
    body: JSON = {}
    group = context.get("runAsGroup", whole.get("runAsGroup"))
    if group is not None:
        body["SecurityContextRunAsGroup"] = group
    if context.get("runAsNonRoot", whole.get("runAsNonRoot")):
        body["SecurityContextRunAsNonRoot"] = True
    if context.get("privileged"):
        body["SecurityContextPrivileged"] = True
    return body


# --- hooks ----------------------------------------------------------------------------------------


def _lifecycle(container: JSON, path: str) -> JSON:
    hooks = container.get("lifecycle") or {}
    body: JSON = {}
    for name, prefix in (
        ("postStart", "LifecyclePostStartHandler"),
        ("preStop", "LifecyclePreStopHandler"),
    ):
        if hooks.get(name) and not (name == "preStop" and sleeps_before_stop(container)):
            body.update(_hook(hooks[name], prefix, container, f"{path}.lifecycle.{name}"))
    if hooks.get("stopSignal"):
        raise Rejected(
            "UnsupportedField", "the image's stop signal is used", field=f"{path}.lifecycle.stopSignal"
        )
    return body


def _hook(hook: JSON, prefix: str, container: JSON, path: str) -> JSON:
    if hook.get("exec"):
        return {f"{prefix}Exec": list(hook["exec"].get("command") or ())}
    if hook.get("tcpSocket"):
        tcp = hook["tcpSocket"]
        body: JSON = {
            f"{prefix}TcpSocketPort": port_number(tcp.get("port"), container, f"{path}.tcpSocket.port")
        }
        if tcp.get("host"):
            body[f"{prefix}TcpSocketHost"] = tcp["host"]
        return body
    http = hook.get("httpGet")
    if not http:
        kind = next(iter(hook), "nothing")
        raise Rejected(
            "UnsupportedField",
            f"Elastic Container Instance has no hook by {kind}; use exec, httpGet or tcpSocket",
            field=f"{path}.{kind}",
        )
    body = {
        f"{prefix}HttpGetPath": http.get("path") or "/",
        f"{prefix}HttpGetPort": port_number(http.get("port"), container, f"{path}.httpGet.port"),
        f"{prefix}HttpGetScheme": http.get("scheme") or "HTTP",
    }
    if http.get("host"):
        body[f"{prefix}HttpGetHost"] = http["host"]
    if http.get("httpHeaders"):
        body[f"{prefix}HttpGetHttpHeader"] = [
            {"Name": header["name"], "Value": header.get("value", "")} for header in http["httpHeaders"]
        ]
    return body
