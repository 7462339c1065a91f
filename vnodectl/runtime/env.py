"""A container's environment, resolved as a kubelet does.

Order, lowest first: service links, envFrom in its order, env in its order. `$(VAR)` sees everything
defined before it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from vnodectl.runtime import quantity
from vnodectl.runtime.expansion import expand, references
from vnodectl.runtime.facts import Facts, Notice, Unresolved, missing
from vnodectl.runtime.provider import JSON, EnvVar, Rejected

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
# Since Kubernetes 1.30 a variable's name may hold any printable ASCII character but '='.
_NAME = re.compile(r"^[\x20-\x3c\x3e-\x7e]+$")
_LATE = frozenset({"status.podIP", "status.podIPs"})


def resolve(pod: JSON, container: JSON, facts: Facts) -> tuple[tuple[EnvVar, ...], list[Notice]]:
    """The variables of one container, and events about optional things that are missing.

    Raises Unresolved for a mandatory ConfigMap, Secret or key that is not there, and Rejected for a source
    that is not known, with its path.
    """
    notices: list[Notice] = []
    path = _path(pod, container)
    services = service_env(pod, facts)
    found: dict[str, EnvVar] = {}
    for source in container.get("envFrom") or ():
        for variable in _from_source(source, facts, notices):
            found[variable.name] = variable
    for index, entry in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}].valueFrom"
        resolved = _variable(pod, container, entry, facts, found, services, notices, where)
        if resolved is not None:
            found[resolved.name] = resolved
    for text in (*(container.get("command") or ()), *(container.get("args") or ())):
        notices += [
            _too_late(f"container {container['name']}", key, found[key].late)
            for key in references(text)
            if key in found and found[key].late
        ]
    for name, value in services.items():
        if name not in found:
            found[name] = EnvVar(name, value)
    return tuple(found.values()), notices


def _path(pod: JSON, container: JSON) -> str:
    """Where in the pod the container stands; its name, which no other has, tells it."""
    for kind in ("containers", "initContainers"):
        for index, one in enumerate(pod["spec"].get(kind) or ()):
            if one["name"] == container["name"]:
                return f"spec.{kind}[{index}]"
    raise ValueError(f"the pod has no container {container['name']}")


def service_env(pod: JSON, facts: Facts) -> dict[str, str]:
    """Docker-link style variables of the namespace's services, and of the API server always.

    `KUBERNETES_SERVICE_HOST` names the address at which pods of this node reach the API server, which is
    not the ClusterIP: nothing on a virtual node translates ClusterIPs.
    """
    variables: dict[str, str] = {}
    own_kubernetes = False
    if pod["spec"].get("enableServiceLinks", True) is not False:
        for service in facts.services:
            links = _links(service)
            if service["metadata"]["name"] == "kubernetes":
                # In this namespace it is the API server, whose address here is another; elsewhere it is
                # somebody's service, which stands before the API server as with a kubelet.
                if pod["metadata"]["namespace"] == "default":
                    continue
                own_kubernetes = bool(links)
            variables.update(links)
    if facts.node.api_host and not own_kubernetes:
        variables.update(_api_server(facts.node.api_host, facts.node.api_port))
    return variables


def _api_server(host: str, port: str) -> dict[str, str]:
    """The variables of the service `kubernetes`, at the address that pods of this node can reach."""
    url = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": url,
        f"KUBERNETES_PORT_{port}_TCP": url,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_PORT": port,
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
    }


def _links(service: JSON) -> dict[str, str]:
    spec = service.get("spec") or {}
    ip = spec.get("clusterIP")
    ports = spec.get("ports") or ()
    if not ip or ip == "None" or not ports:
        return {}
    prefix = service["metadata"]["name"].upper().replace("-", "_")
    links = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{f'[{ip}]' if ':' in ip else ip}:{number}"
        if port.get("name"):
            links[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        if index == 0:
            links[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{number}_{protocol}"
        links |= {
            stem: url,
            f"{stem}_PROTO": protocol.lower(),
            f"{stem}_PORT": number,
            f"{stem}_ADDR": ip,
        }
    return links


def _from_source(source: JSON, facts: Facts, notices: list[Notice]) -> list[EnvVar]:
    prefix = source.get("prefix") or ""
    secret = "secretRef" in source
    reference = source.get("secretRef") or source.get("configMapRef") or {}
    data = _data(secret, reference.get("name", ""), facts)
    optional = bool(reference.get("optional"))
    if data is None:
        notice = missing("Secret" if secret else "ConfigMap", reference.get("name", ""), optional=optional)
        if not optional:
            raise Unresolved(notice)
        notices.append(notice)
        return []
    variables = []
    for key in sorted(data):
        if _NAME.match(prefix + key):
            variables.append(EnvVar(prefix + key, data[key], secret=secret))
        else:
            kind = "Secret" if secret else "ConfigMap"
            notices.append(
                Notice(
                    "Warning",
                    "InvalidEnvironmentVariableNames",
                    f"key {key!r} of {kind} {reference.get('name')!r} cannot name a variable; skipped",
                )
            )
    return variables


def _too_late(what: str, name: str, path: str) -> Notice:
    """`$(POD_IP)` is expanded before there is a pod IP."""
    return Notice(
        "Warning",
        "FieldNotAvailable",
        f"{what} refers to $({name}), which is known only once the pod runs ({path}); it stays as it is",
    )


def _variable(
    pod: JSON,
    container: JSON,
    entry: JSON,
    facts: Facts,
    found: Mapping[str, EnvVar],
    services: Mapping[str, str],
    notices: list[Notice],
    where: str,
) -> EnvVar | None:
    name = entry["name"]
    source = entry.get("valueFrom")
    if not source:
        text = entry.get("value") or ""
        if "$(" not in text and "$$" not in text:
            return EnvVar(name, text)
        known = {**services, **{key: variable.value for key, variable in found.items() if not variable.late}}
        used = references(text)
        notices += [
            _too_late(f"variable {name}", key, found[key].late)
            for key in used
            if key in found and found[key].late
        ]
        secret = any(found[key].secret for key in used if key in found)
        return EnvVar(name, expand(text, known), secret=secret)
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        if path in _LATE:
            # Whatever address the pod's status shows is that of a group which is no more.
            return EnvVar(name, "", late=path)
        return EnvVar(name, field_value(pod, path, facts, f"{where}.fieldRef.fieldPath"))
    if "resourceFieldRef" in source:
        return EnvVar(name, resource_value(pod, container, source["resourceFieldRef"], facts))
    if "secretKeyRef" not in source and "configMapKeyRef" not in source:
        kind = next(iter(source))
        raise Rejected(
            "UnsupportedEnvSource", f"a value from {kind} is not supported", field=f"{where}.{kind}"
        )
    secret = "secretKeyRef" in source
    reference = source.get("secretKeyRef") or source.get("configMapKeyRef") or {}
    kind = "Secret" if secret else "ConfigMap"
    data = _data(secret, reference.get("name", ""), facts)
    if data is None or reference["key"] not in data:
        optional = bool(reference.get("optional"))
        key = "" if data is None else reference["key"]
        notice = missing(kind, reference.get("name", ""), optional=optional, key=key)
        if not optional:
            raise Unresolved(notice)
        notices.append(notice)
        return None
    return EnvVar(name, data[reference["key"]], secret=secret)


def _data(secret: bool, name: str, facts: Facts) -> dict[str, str] | None:
    """The keys of a ConfigMap or Secret as text, or None where it does not exist."""
    source = facts.secrets.get(name) if secret else facts.config_maps.get(name)
    if source is None:
        return None
    data: dict[str, str] = dict(source.get("data") or {})
    if secret:
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
    return data


def field_value(pod: JSON, path: str, facts: Facts, where: str = "") -> str:
    """A downward-API field as text. Raises Rejected, at `where`, for one that does not exist (the API server
    has refused such pods already, but for fields newer than this program)."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return str((metadata.get(subscript.group(1)) or {}).get(subscript.group(2), ""))
    fields: dict[str, Callable[[], Any]] = {
        "metadata.name": lambda: metadata["name"],
        "metadata.namespace": lambda: metadata["namespace"],
        "metadata.uid": lambda: metadata["uid"],
        "metadata.labels": lambda: _pairs(metadata.get("labels")),
        "metadata.annotations": lambda: _pairs(metadata.get("annotations")),
        "spec.nodeName": lambda: facts.node.name,
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName") or "default",
        "status.hostIP": lambda: facts.node.host_ips[0] if facts.node.host_ips else "",
        "status.hostIPs": lambda: ",".join(facts.node.host_ips),
        "status.podIP": lambda: status.get("podIP") or "",
        "status.podIPs": lambda: ",".join(entry["ip"] for entry in status.get("podIPs") or ()),
    }
    simple = fields.get(path)
    if simple is None:
        raise Rejected("UnsupportedFieldRef", f"fieldPath {path!r} is not known", field=where)
    return str(simple())


def resource_value(pod: JSON, container: JSON, reference: JSON, facts: Facts) -> str:
    """A resourceFieldRef as text; a limit that is not set is the node's allocatable, as in a kubelet."""
    wanted = reference.get("containerName")
    if wanted:
        spec = pod["spec"]
        everything = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        container = next((one for one in everything if one["name"] == wanted), container)
    kind, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    limit = (resources.get("limits") or {}).get(name)
    amount = (resources.get("requests") or {}).get(name) if kind == "requests" else limit
    if amount is None and kind == "requests":
        amount = limit if limit is not None else "0"
    if amount is None:
        amount = facts.node.allocatable.get(name, "0")
    divisor = quantity.parse(reference.get("divisor") or "1")
    return str(quantity.divide(quantity.parse(amount), divisor or quantity.parse("1")))


def _pairs(values: Mapping[str, str] | None) -> str:
    """The text of all labels or annotations in a downward-API file."""

    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted((values or {}).items()))


_ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}


def _quoted(value: str) -> str:
    """As Go's strconv.Quote, which is what kubelets write."""

    def one(character: str) -> str:
        if character in _ESCAPES:
            return f"\\{_ESCAPES[character]}"
        if character.isprintable():
            return character
        code = ord(character)
        if code < 0x80:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return f'"{"".join(map(one, value))}"'
