"""What has to be looked up before a pod can be created, and what was found.

`needs` is pure: it says which objects a pod refers to. `Facts` holds what was read, None for an object
that does not exist. Resolution (env, volumes) is then pure as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vnodectl.runtime.provider import JSON


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A projected service-account token: `audience` "" means the API server's own; seconds of life."""

    volume: str
    path: str
    audience: str
    expiration: int


@dataclass(frozen=True, slots=True)
class Needs:
    """Names in the pod's namespace."""

    config_maps: frozenset[str]
    secrets: frozenset[str]
    tokens: tuple[TokenRequest, ...]
    services: bool
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod may ask about its node. `allocatable` values are Kubernetes quantities."""

    name: str
    host_ips: tuple[str, ...]
    allocatable: Mapping[str, str]
    api_host: str = ""
    api_port: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A PersistentVolumeClaim, the PersistentVolume it is bound to, and the Secrets its provider needs.

    `secrets` is by `namespace/name`. `claim` None: there is no such claim; `volume` None: it is not bound.
    """

    claim: JSON | None
    volume: JSON | None = None
    secrets: Mapping[str, JSON | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """`claims` is by name, and empty for a provider that mounts no PersistentVolumes."""

    node: NodeFacts
    config_maps: Mapping[str, JSON | None] = field(default_factory=dict)
    secrets: Mapping[str, JSON | None] = field(default_factory=dict, repr=False)
    tokens: Mapping[TokenRequest, str] = field(default_factory=dict, repr=False)
    services: tuple[JSON, ...] = ()
    claims: Mapping[str, Claimed] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """An event to be put on the pod."""

    type: str
    reason: str
    message: str


class Unresolved(Exception):
    """The pod cannot be created as things are: something it must have does not exist (yet).

    The pod waits with reason CreateContainerConfigError and is tried again; `notice` is its event.
    """

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.message)
        self.notice = notice


def missing(kind: str, name: str, *, optional: bool, key: str = "") -> Notice:
    """The event for a ConfigMap or Secret (or a key of it) that is not there.

    The reasons are those that existing tooling around virtual kubelets looks for.
    """
    what = f"{kind} {name!r}" + (f" has no key {key!r}" if key else " not found")
    if optional:
        return Notice("Normal", f"Optional{kind}NotFound", f"optional {what}; skipped")
    return Notice("Warning", f"Mandatory{kind}NotFound", what)


def containers(pod: JSON) -> list[JSON]:
    """Init containers, then containers."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def mounted(pod: JSON) -> frozenset[str]:
    """Names of the volumes that a container uses. As in a kubelet, the others do not matter."""
    return frozenset(
        use["name"]
        for container in containers(pod)
        for kind in ("volumeMounts", "volumeDevices")
        for use in container.get(kind) or ()
    )


def secrets_of(volume: JSON) -> tuple[str, ...]:
    """Names of the Secrets of a volume of a kind that only providers know.

    An inline CSI volume names one in a field or, as that of Azure Files does, in an attribute.
    """
    csi: JSON = volume.get("csi") or {}
    named = (
        (volume.get("azureFile") or {}).get("secretName"),
        ((volume.get("flexVolume") or {}).get("secretRef") or {}).get("name"),
        (csi.get("nodePublishSecretRef") or {}).get("name"),
        (csi.get("volumeAttributes") or {}).get("secretName"),
    )
    return tuple(dict.fromkeys(str(name) for name in named if name))


def needs(pod: JSON) -> Needs:
    """What `pod` refers to. Secrets of volume kinds that only providers know are included."""
    spec = pod["spec"]
    config_maps: set[str] = set()
    secrets: set[str] = set()
    claims: set[str] = set()
    tokens: list[TokenRequest] = []
    for container in containers(pod):
        for source in container.get("envFrom") or ():
            _add(config_maps, source.get("configMapRef"), "name")
            _add(secrets, source.get("secretRef"), "name")
        for variable in container.get("env") or ():
            value_from = variable.get("valueFrom") or {}
            _add(config_maps, value_from.get("configMapKeyRef"), "name")
            _add(secrets, value_from.get("secretKeyRef"), "name")
    for volume in spec.get("volumes") or ():
        _add(config_maps, volume.get("configMap"), "name")
        _add(secrets, volume.get("secret"), "secretName")
        secrets.update(secrets_of(volume))
        _add(claims, volume.get("persistentVolumeClaim"), "claimName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            _add(config_maps, source.get("configMap"), "name")
            _add(secrets, source.get("secret"), "name")
            token = source.get("serviceAccountToken")
            if token:
                tokens.append(token_request(volume["name"], token))
    for reference in spec.get("imagePullSecrets") or ():
        _add(secrets, reference, "name")
    return Needs(
        config_maps=frozenset(config_maps),
        secrets=frozenset(secrets),
        tokens=tuple(tokens),
        services=spec.get("enableServiceLinks", True) is not False,
        claims=frozenset(claims),
    )


def token_request(volume: str, source: JSON) -> TokenRequest:
    """Of a `serviceAccountToken` projection; one hour by default, as the API documents."""
    return TokenRequest(
        volume=volume,
        path=source["path"],
        audience=source.get("audience") or "",
        expiration=int(source.get("expirationSeconds") or 3600),
    )


def _add(names: set[str], source: Any, key: str) -> None:
    if source and source.get(key):
        names.add(source[key])
