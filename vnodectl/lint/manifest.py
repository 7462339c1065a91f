"""A pod as it is written → the resolved pod that the runtime would hand to a provider. Pure.

What only the cluster knows is stood in for: contents of ConfigMaps and Secrets that are not among the
objects given, tokens, the node. What the API server adds by itself (the token's volume, the volumes of a
StatefulSet's claims) is added.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vnodectl.lint.clouds import Cloud
from vnodectl.lint.links import Links
from vnodectl.lint.model import JSON, Steps
from vnodectl.lint.paths import look
from vnodectl.lint.workloads import Workload, containers, mapping, objects
from vnodectl.runtime.env import field_value
from vnodectl.runtime.facts import Claimed, Facts, Needs, NodeFacts, needs
from vnodectl.runtime.provider import PodKey, Rejected, ResolvedPod
from vnodectl.runtime.resolve import resolve

TOKEN_VOLUME = "kube-api-access-lint"  # noqa: S105 - a volume's name
_UID = "00000000-0000-4000-8000-000000000000"
_PLACEHOLDER = "placeholder"
_SOURCES = frozenset({"configMap", "secret", "downwardAPI", "serviceAccountToken"})
_ENV_SOURCES = frozenset({"fieldRef", "resourceFieldRef", "secretKeyRef", "configMapKeyRef"})
_LATE = frozenset({"status.podIP", "status.podIPs"})
_SHARE_KEYS = ("azurestorageaccountname", "azurestorageaccountkey")
NODE = NodeFacts("virtual-kubelet-lint", ("10.0.0.1",), {"cpu": "1", "memory": "1Gi"})
_TOKEN: JSON = {
    "name": TOKEN_VOLUME,
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ]
    },
}


class Element(dict[str, Any]):
    """An element of a list that remembers where it is written: `origin` is its index or, where it stands
    for something elsewhere, the path in the object."""

    origin: int | Steps

    @classmethod
    def make(cls, value: JSON, origin: int | Steps) -> Element:
        made = cls(value)
        made.origin = origin
        return made


@dataclass(frozen=True, slots=True)
class Known:
    """Objects that are at hand, by (namespace, name); links of services by namespace, volumes by name.

    `unread` are (what, why) of what pods name and may not be read; `withheld` are the Secrets among it.
    """

    config_maps: Mapping[tuple[str, str], JSON] = field(default_factory=dict)
    secrets: Mapping[tuple[str, str], JSON] = field(default_factory=dict, repr=False)
    links: Mapping[str, Links] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], JSON] = field(default_factory=dict)
    volumes: Mapping[str, JSON] = field(default_factory=dict)
    unread: tuple[tuple[str, str], ...] = ()
    withheld: frozenset[tuple[str, str]] = frozenset()

    def bound(self, namespace: str, claim: str) -> JSON | None:
        """The PersistentVolume of a claim; None where it is not at hand, or not bound."""
        name = mapping(mapping(self.claims.get((namespace, claim))).get("spec")).get("volumeName")
        return self.volumes.get(str(name)) if name else None


def copied(value: Any) -> Any:
    """A copy whose list elements remember their index."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [
            Element.make(copied(one), index) if isinstance(one, dict) else copied(one)
            for index, one in enumerate(value)
        ]
    return value


def unsound(spec: JSON, claims: Iterable[str] = ()) -> tuple[Steps, str] | None:
    """What the API server would not let through, so that no translator expects it: where, and why.

    `claims` are volumes that a StatefulSet adds.
    """
    if not objects(spec.get("containers")):
        return ("containers",), "a pod has at least one container"
    volumes = {str(one.get("name")) for one in objects(spec.get("volumes"))} | set(claims)
    for at, one, keys in _named_things(spec):
        for key in keys:
            if not isinstance(one.get(key), str) or not one[key]:
                return (*at, key), f"{key} must be text"
        if at[-2:-1] == ("env",) and not isinstance(one.get("value"), str | None):
            return (*at, "value"), "value must be text: put it in quotes"
        if at[-2:-1] == ("volumeMounts",) and one["name"] not in volumes:
            return (*at, "name"), f"the pod has no volume {one['name']}"
    return None


def _named_things(spec: JSON) -> Iterator[tuple[Steps, JSON, tuple[str, ...]]]:
    """Objects of lists, and the texts that each must have."""
    for index, volume in enumerate(objects(spec.get("volumes"))):
        yield ("volumes", index), volume, ("name",)
    for place, container in containers(spec):
        yield place, container, ("name", "image")
        for key, texts in (("env", ("name",)), ("volumeMounts", ("name", "mountPath"))):
            for index, one in enumerate(objects(container.get(key))):
                yield (*place, key, index), one, texts


def claim_names(work: Workload) -> tuple[str, ...]:
    """The volumes that a StatefulSet's controller adds to its pods."""
    if work.kind != "StatefulSet":
        return ()
    claims = objects(mapping(work.source.body.get("spec")).get("volumeClaimTemplates"))
    return tuple(str(mapping(one.get("metadata")).get("name") or "") for one in claims)


def completed(work: Workload) -> JSON:
    """A copy of the workload's pod with what the API server and its controllers would add."""
    pod: JSON = copied(work.pod)
    spec = pod["spec"]
    pod["metadata"] = {
        **mapping(pod.get("metadata")),
        "name": work.name or "pod",
        "namespace": work.namespace,
        "uid": _UID,
    }
    _without_unknown(spec)
    volumes = spec.get("volumes") or []
    spec["volumes"] = volumes
    for index, name in enumerate(claim_names(work)):
        source = {"name": name, "persistentVolumeClaim": {"claimName": name}}
        volumes.append(Element.make(source, ("spec", "volumeClaimTemplates", index)))
    mounted = any(str(one.get("name")).startswith("kube-api-access-") for one in volumes)
    if spec.get("automountServiceAccountToken") is not False and not mounted:
        volumes.append(Element.make(copied(_TOKEN), work.steps(("spec",))))
        for kind in ("initContainers", "containers"):
            for container in spec.get(kind) or ():
                mounts = container.get("volumeMounts") or []
                mount = {"name": TOKEN_VOLUME, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
                container["volumeMounts"] = [*mounts, Element.make(mount, work.steps(("spec",)))]
    return pod


def unknown_fields(spec: JSON) -> list[Steps]:
    """Places in a pod's spec of downward API fields and of sources that the runtime does not know."""
    found: list[Steps] = []
    for place, container in containers(spec):
        for index, variable in enumerate(objects(container.get("env"))):
            at: Steps = (*place, "env", index, "valueFrom")
            source = mapping(variable.get("valueFrom"))
            if source and not _ENV_SOURCES & source.keys():
                found.append((*at, next(iter(source))))
            elif not _field_known(source):
                found.append((*at, "fieldRef", "fieldPath"))
    for index, volume in enumerate(objects(spec.get("volumes"))):
        found += _unknown_items(mapping(volume.get("downwardAPI")), ("volumes", index, "downwardAPI"))
        for number, source in enumerate(objects(mapping(volume.get("projected")).get("sources"))):
            at = ("volumes", index, "projected", "sources", number)
            if not _SOURCES & source.keys():
                found.append((*at, next(iter(source), "")) if source else at)
            found += _unknown_items(mapping(source.get("downwardAPI")), (*at, "downwardAPI"))
    return found


def _unknown_items(source: JSON, at: Steps) -> list[Steps]:
    return [
        (*at, "items", index, "fieldRef", "fieldPath")
        for index, item in enumerate(objects(source.get("items")))
        if not _field_known(item)
    ]


def _field_known(source: JSON) -> bool:
    """Asks the runtime itself, with a pod that has every field."""
    path = str(mapping(source.get("fieldRef")).get("fieldPath"))
    if "fieldRef" not in source or path in _LATE:
        return True
    pod: JSON = {"metadata": {"name": "", "namespace": "", "uid": ""}, "spec": {}}
    try:
        field_value(pod, path, Facts(node=NODE), "")
    except Rejected:
        return False
    return True


def _without_unknown(spec: JSON) -> None:
    """What `unknown_fields` found is made harmless, so that the rest can be judged."""
    for steps in reversed(unknown_fields(spec)):
        if "fieldRef" in steps:
            look(spec, steps[:-2])["fieldRef"] = {"fieldPath": "metadata.name"}
        elif "env" in steps:
            del look(spec, steps[:-2])["valueFrom"]
        else:
            at = steps.index("sources") + 1
            del look(spec, steps[:at])[int(steps[at])]


def resolved(pod: JSON, known: Known, cloud: Cloud) -> ResolvedPod:
    """Everything that the pod refers to, looked up or stood in for."""
    metadata = pod["metadata"]
    key = PodKey(metadata["namespace"], metadata["name"], metadata["uid"])
    return resolve(key, pod, _facts(pod, known, cloud))[0]


def named(work: Workload) -> Needs:
    """What the pod refers to; nothing where it is not written as a pod."""
    try:
        return needs({"spec": work.spec})
    except (KeyError, TypeError, AttributeError):
        return Needs(frozenset(), frozenset(), (), services=False)


def _facts(pod: JSON, known: Known, cloud: Cloud) -> Facts:
    namespace = pod["metadata"]["namespace"]
    wanted = needs(pod)
    keys = _keys(pod)
    return Facts(
        node=NODE,
        config_maps={
            name: _config_map(known.config_maps.get((namespace, name)), keys.get(("configMap", name), ()))
            for name in wanted.config_maps
        },
        secrets={
            name: _secret(known.secrets.get((namespace, name)), keys.get(("secret", name), ()))
            for name in wanted.secrets
        },
        tokens=dict.fromkeys(wanted.tokens, _PLACEHOLDER),
        services=known.links[namespace].of(pod) if namespace in known.links else (),
        claims={name: _claimed(namespace, name, known, cloud) for name in wanted.claims},
    )


def _claimed(namespace: str, name: str, known: Known, cloud: Cloud) -> Claimed:
    """A claim whose volume nobody has read is taken for one that can be mounted; `beyond` says so."""
    volume = known.bound(namespace, name) or cloud.mountable
    secrets = {
        f"{where}/{secret}": _secret(known.secrets.get((where, secret)), ())
        for where, secret in cloud.volume_secrets(volume, namespace)
    }
    return Claimed({}, volume, secrets)


def _config_map(found: JSON | None, keys: tuple[str, ...]) -> JSON:
    return {
        **(found or {}),
        "data": {**dict.fromkeys(keys, _PLACEHOLDER), **mapping((found or {}).get("data"))},
    }


def _secret(found: JSON | None, keys: tuple[str, ...]) -> JSON:
    """Keys of Azure Files are stood in for only where the Secret itself is not at hand."""
    texts: dict[str, str] = dict.fromkeys(keys, _PLACEHOLDER)
    if found is None:
        texts |= dict.fromkeys(_SHARE_KEYS, _PLACEHOLDER)
    texts |= {str(key): str(value) for key, value in mapping((found or {}).get("stringData")).items()}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
    return {**(found or {}), "data": {**data, **mapping((found or {}).get("data"))}}


def _keys(pod: JSON) -> dict[tuple[str, str], tuple[str, ...]]:
    """The keys that a pod names, by kind and name of what has them."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}

    def add(kind: str, name: Any, key: Any) -> None:
        found[(kind, str(name))] = (*found.get((kind, str(name)), ()), str(key))

    spec = pod["spec"]
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            for variable in container.get("env") or ():
                source = variable.get("valueFrom") or {}
                for of, key in (("configMap", "configMapKeyRef"), ("secret", "secretKeyRef")):
                    if source.get(key):
                        add(of, source[key].get("name"), source[key].get("key"))
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            for of in ("configMap", "secret"):
                one = source.get(of) or {}
                for item in one.get("items") or ():
                    add(of, one.get("name") or one.get("secretName"), item.get("key"))
    return found
