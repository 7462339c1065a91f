"""The objects of a cluster that lint looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from vnodectl.kube.errors import ApiError, Forbidden, NotFound
from vnodectl.kube.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from vnodectl.lint.documents import Source
from vnodectl.lint.landing import Landing, VirtualNode, landing
from vnodectl.lint.manifest import Known, named
from vnodectl.lint.model import JSON
from vnodectl.lint.rule import ALIBABA, AZURE
from vnodectl.lint.workloads import mapping, objects, workload
from vnodectl.providers.eci.profile import NAME as PROFILE
from vnodectl.providers.eci.profile import NAMESPACE as PROFILE_NAMESPACE

_KINDS: Mapping[str, tuple[str, Resource]] = {
    "Deployment": ("apps/v1", DEPLOYMENTS),
    "StatefulSet": ("apps/v1", Resource("/apis/apps/v1", "statefulsets")),
    "DaemonSet": ("apps/v1", DAEMON_SETS),
    "ReplicaSet": ("apps/v1", Resource("/apis/apps/v1", "replicasets")),
    "CronJob": ("batch/v1", Resource("/apis/batch/v1", "cronjobs")),
    "Job": ("batch/v1", Resource("/apis/batch/v1", "jobs")),
    "ReplicationController": ("v1", Resource("/api/v1", "replicationcontrollers")),
    "PodTemplate": ("v1", Resource("/api/v1", "podtemplates")),
    "Pod": ("v1", PODS),
    "Service": ("v1", SERVICES),
    "NetworkPolicy": ("networking.k8s.io/v1", Resource("/apis/networking.k8s.io/v1", "networkpolicies")),
}


CLAIMS = Resource("/api/v1", "persistentvolumeclaims")
VOLUMES = Resource("/api/v1", "persistentvolumes", namespaced=False)
_CONNECTORS = "app.kubernetes.io/name=vnode-connector"
_CONNECTOR = "Deployments of connectors"
_PROVIDERS = {AZURE: "aci", ALIBABA: "eci"}
_HALF = "VNODECTL_ACI_LOG_ANALYTICS"
"""Settings of which one half is in a Secret, and which decide about no pod."""

_AT_ONCE = 16
T = TypeVar("T")


class Reader(Protocol):
    """The part of `kube.client.KubeClient` that reading takes."""

    async def get(
        self, path: str, params: Mapping[str, str | int | bool] | None = None, *, timeout: float = 30
    ) -> JSON: ...

    async def list(
        self,
        path: str,
        params: Mapping[str, str | int | bool] | None = None,
        *,
        page: int = 500,
        timeout: float = 60,
    ) -> tuple[list[JSON], str]: ...


@dataclass(frozen=True, slots=True)
class Read:
    """`unread` are kinds that the caller may not list, with what the API server said."""

    sources: tuple[Source, ...]
    nodes: tuple[JSON, ...]
    unread: tuple[tuple[str, str], ...] = ()


async def read(kube: Reader, namespace: str | None) -> Read:
    """Workloads, Services and policies of a namespace, or of all (None), and the nodes.

    What belongs to another object (the ReplicaSet of a Deployment, its pods) is left to that one. Raises
    ClusterUnreachable, ApiError other than Forbidden, and Forbidden where no kind of workload may be listed:
    that nothing was found must not mean that nothing was looked at.
    """
    unread: list[tuple[str, str]] = []
    refused: list[ApiError] = []

    async def listed(kind: str, resource: Resource, where: str | None) -> list[JSON]:
        try:
            return (await kube.list(resource.path(where)))[0]
        except (Forbidden, NotFound) as error:
            unread.append((kind, error.message))
            if kind in _KINDS:
                refused.append(error)
            return []

    names = (*_KINDS, "Namespace", "Node")
    lists = await _all(
        *(listed(kind, resource, namespace) for kind, (_, resource) in _KINDS.items()),
        _namespaces(kube, namespace, unread),
        listed("Node", NODES, None),
    )
    if len(refused) == len(_KINDS):
        raise next((error for error in refused if isinstance(error, Forbidden)), refused[0])
    found = dict(zip(names, lists, strict=True))
    versions = {**{kind: version for kind, (version, _) in _KINDS.items()}, "Namespace": "v1"}
    sources = [
        _source(kind, version, body)
        for kind, version in versions.items()
        for body in found[kind]
        if not _controlled(body)
    ]
    return Read(tuple(sources), tuple(found["Node"]), tuple(sorted(unread)))


async def _all(*reads: Coroutine[Any, Any, T]) -> list[T]:
    """All results, in order. The first error ends the others and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one, name="lint read") for one in reads]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _namespaces(kube: Reader, namespace: str | None, unread: list[tuple[str, str]]) -> list[JSON]:
    """Their labels decide where pods land."""
    try:
        if namespace:
            return [await kube.get(NAMESPACES.path(name=namespace))]
        return (await kube.list(NAMESPACES.path()))[0]
    except (Forbidden, NotFound) as error:
        unread.append(("Namespace", error.message))
        return []


def _controlled(body: JSON) -> bool:
    """Whether it belongs to an object that is looked at itself; what an unknown kind made is looked at."""
    owners = objects(mapping(body.get("metadata")).get("ownerReferences"))
    return any(owner.get("controller") and owner.get("kind") in _KINDS for owner in owners)


def _source(kind: str, version: str, body: JSON) -> Source:
    metadata = mapping(body.get("metadata"))
    name, namespace = str(metadata.get("name")), str(metadata.get("namespace") or "")
    file = "/".join(filter(None, (namespace, kind, name)))
    where = f"-n {namespace} " if namespace else ""
    # The API server leaves kind and version out of the items of a list.
    full = {**body, "kind": kind, "apiVersion": version}
    return Source(file, full, live=f"{where}{kind.lower()}/{name}")


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector that is there: its settings as its pod has them, but those that are secret."""

    name: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides about pods besides themselves; `unread` (what, why) of what may not be read of it.

    `connectors` are those of one cloud and OS type, by name; `profile` is the ConfigMap of the cluster's ECI
    settings, where there is one.
    """

    connectors: tuple[Connector, ...] = ()
    profile: JSON | None = None
    unread: tuple[tuple[str, str], ...] = ()


async def settings(kube: Reader, cloud: str, os_type: str) -> Settings:
    """What a connector of the cluster is set to."""
    try:
        found, _ = await kube.list(DEPLOYMENTS.path(), {"labelSelector": _CONNECTORS})
    except Forbidden as error:
        return Settings(unread=((_CONNECTOR, error.message),))
    made = _connectors(found, cloud, os_type)
    if cloud != ALIBABA or not made:
        return Settings(made)
    try:
        return Settings(made, await kube.get(CONFIG_MAPS.path(PROFILE_NAMESPACE, PROFILE)))
    except NotFound:
        return Settings(made)
    except Forbidden as error:
        return Settings(made, unread=((f"ConfigMap {PROFILE_NAMESPACE}/{PROFILE}", error.message),))


def _connectors(found: Sequence[JSON], cloud: str, os_type: str) -> tuple[Connector, ...]:
    made = []
    for one in found:
        spec = mapping(mapping(mapping(one.get("spec")).get("template")).get("spec"))
        variables = {
            str(variable.get("name")): str(variable["value"])
            for container in objects(spec.get("containers"))
            for variable in objects(container.get("env"))
            if variable.get("value") and not str(variable.get("name")).startswith(_HALF)
        }
        if (variables.get("VNODECTL_PROVIDER"), variables.get("VNODECTL_OS_TYPE", "Linux")) == (
            _PROVIDERS.get(cloud),
            os_type,
        ):
            made.append(Connector(str(mapping(one.get("metadata")).get("name")), variables))
    return tuple(sorted(made, key=lambda one: one.name))


async def at_hand(
    kube: Reader,
    sources: tuple[Source, ...],
    node: VirtualNode,
    labels: Mapping[str, JSON],
    *,
    pull_secrets: bool,
) -> Known:
    """The ConfigMaps and claims that pods of the virtual node name, the volumes of those claims and, where
    asked for, pull secrets; no other Secret is read. What is not there is left out, and what may not be read
    is told."""
    maps: set[tuple[str, str]] = set()
    claims: set[tuple[str, str]] = set()
    secrets: set[tuple[str, str]] = set()
    for source in sources:
        work = workload(source)
        if work is None or landing(work, node, labels.get(work.namespace, {})) is Landing.AWAY:
            continue
        wanted = named(work)
        maps |= {(work.namespace, name) for name in wanted.config_maps}
        claims |= {(work.namespace, name) for name in wanted.claims}
        if pull_secrets:
            pulls = objects(work.spec.get("imagePullSecrets"))
            secrets |= {(work.namespace, str(one["name"])) for one in pulls if one.get("name")}
    bound = await _each(kube, CLAIMS, claims)
    volumes = {str(mapping(one.get("spec")).get("volumeName") or "") for one in bound.bodies.values()} - {""}
    found = await _each(kube, VOLUMES, {("", name) for name in volumes})
    read_maps = await _each(kube, CONFIG_MAPS, maps)
    read_secrets = await _each(kube, SECRETS, secrets)
    reads = {
        "PersistentVolumeClaim": bound,
        "PersistentVolume": found,
        "ConfigMap": read_maps,
        "Secret": read_secrets,
    }
    return Known(
        config_maps=read_maps.bodies,
        secrets=read_secrets.bodies,
        claims=bound.bodies,
        volumes={name: body for (_, name), body in found.bodies.items()},
        unread=tuple((kind, next(iter(one.refused.values()))) for kind, one in reads.items() if one.refused),
        withheld=frozenset(read_secrets.refused),
    )


@dataclass(frozen=True, slots=True)
class _Each:
    """Objects by (namespace, name); of those that may not be read, what the API server said."""

    bodies: dict[tuple[str, str], JSON]
    refused: dict[tuple[str, str], str]


async def _each(kube: Reader, resource: Resource, keys: set[tuple[str, str]]) -> _Each:
    """A few at a time."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(key: tuple[str, str]) -> JSON | str | None:
        try:
            async with slots:
                return await kube.get(resource.path(*key))
        except NotFound:
            return None
        except Forbidden as error:
            return error.message

    ordered = sorted(keys)
    found = dict(zip(ordered, await _all(*(one(key) for key in ordered)), strict=True))
    return _Each(
        {key: body for key, body in found.items() if isinstance(body, dict)},
        {key: said for key, said in found.items() if isinstance(said, str)},
    )
