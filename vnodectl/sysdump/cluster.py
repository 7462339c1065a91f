"""What the cluster has of a connector: its own objects and logs, its nodes, and the pods on them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector.names import release_of
from vnodectl.kube.errors import ApiError, Forbidden, Invalid, NotFound
from vnodectl.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODE_LEASE_NAMESPACE,
    NODES,
    PODS,
    SECRETS,
    Resource,
)
from vnodectl.sysdump import allow
from vnodectl.sysdump.allow import pick
from vnodectl.sysdump.bundle import Files, Skipped

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Found = tuple[Files, Sequence[str]]

CONNECTORS = {"labelSelector": "app.kubernetes.io/name=vnode-connector"}
OURS = {"labelSelector": "app.kubernetes.io/part-of=vnodectl"}
VIRTUAL = {"labelSelector": "type=virtual-kubelet"}

_LEASE_LABEL = "vnodectl.io/lease"
"""On the Leases by which a connector's pods share its nodes."""

LOG_LINES = 5_000
LOG_BYTES = 2 * 2**20
"""Of each container, of this run and of the one before."""

PODS_MAX = 1_000
EVENTS_MAX = 5_000
_RELEASE_MAX = 16 * 2**20
"""Bytes of an unpacked release record."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where to look: the connector's namespace, in a cluster with a session open."""

    kube: KubeClient
    namespace: str

    def sections(self) -> Mapping[str, Callable[[], Awaitable[Found]]]:
        """All that takes rights, by name. Each asks for itself, as rights are given by kind of object."""
        return {
            "namespace": self.place,
            "deployments": self.deployments,
            "connector pods": self.connector_pods,
            "secret names": self.secret_names,
            "config map names": self.config_map_names,
            "shares": self.shares,
            "releases": self.releases,
            "nodes": self.nodes,
            "pods": self.pods,
            "events": self.events,
            "logs": self.logs,
        }

    async def version(self) -> Found:
        """The API server's, which tells it to anybody."""
        return {"kube/version.json": await self.kube.get("/version", timeout=10)}, ()

    async def place(self) -> Found:
        """The connectors' namespace."""
        found = await self.kube.get(NAMESPACES.path(name=self.namespace))
        return {"kube/namespace.json": pick(found, allow.NAMESPACE)}, ()

    async def deployments(self) -> Found:
        return {"kube/deployments.json": await self._listed(DEPLOYMENTS, allow.DEPLOYMENT, CONNECTORS)}, ()

    async def connector_pods(self) -> Found:
        return {"kube/connector-pods.json": await self._listed(PODS, allow.POD, CONNECTORS)}, ()

    async def secret_names(self) -> Found:
        """Of Secrets only names and keys."""
        return {"kube/secrets.json": await self._listed(SECRETS, allow.SECRET, OURS)}, ()

    async def config_map_names(self) -> Found:
        """Of ConfigMaps only names and keys."""
        return {"kube/configmaps.json": await self._listed(CONFIG_MAPS, allow.CONFIG_MAP, OURS)}, ()

    async def shares(self) -> Found:
        """The Leases by which the connectors' pods share the nodes."""
        found, _ = await self.kube.list(LEASES.path(self.namespace))
        ours = [one for one in found if _LEASE_LABEL in (one["metadata"].get("labels") or {})]
        return {"kube/connector-leases.json": [pick(one, allow.LEASE) for one in ours]}, ()

    async def nodes(self) -> Found:
        """Virtual nodes and their Leases."""
        nodes, _ = await self.kube.list(NODES.path(), VIRTUAL)
        leases = []
        for node in nodes:
            try:
                lease = await self.kube.get(LEASES.path(NODE_LEASE_NAMESPACE, node["metadata"]["name"]))
            except NotFound:
                continue
            leases.append(pick(lease, allow.LEASE))
        return {
            "kube/nodes.json": [pick(node, allow.NODE) for node in nodes],
            "kube/leases.json": leases,
        }, ()

    async def pods(self) -> Found:
        """The pods on virtual nodes."""
        found: list[JSON] = []
        for name in await self.node_names():
            found += (await self.kube.list(PODS.path(), {"fieldSelector": f"spec.nodeName={name}"}))[0]
        remarks = [f"{len(found)} pods; the first {PODS_MAX} are kept"] if len(found) > PODS_MAX else []
        return {"kube/pods.json": [pick(pod, allow.POD) for pod in found[:PODS_MAX]]}, remarks

    async def events(self) -> Found:
        """Events of the connectors' own objects, of virtual nodes and of pods on them; the newest last."""
        names = set(await self.node_names())
        releases = tuple(await self.releases_there())
        uids = set()
        for name in names:
            pods, _ = await self.kube.list(PODS.path(), {"fieldSelector": f"spec.nodeName={name}"})
            uids |= {pod["metadata"].get("uid") for pod in pods}
        events, _ = await self.kube.list(EVENTS.path())

        def wanted(event: JSON) -> bool:
            about = event.get("involvedObject") or {}
            return (
                (about.get("namespace") == self.namespace and str(about.get("name")).startswith(releases))
                or about.get("uid") in uids
                or (about.get("kind") == "Node" and about.get("name") in names)
            )

        kept = sorted(filter(wanted, events), key=_moment)
        remarks = [f"{len(kept)} events; the last {EVENTS_MAX} are kept"] if len(kept) > EVENTS_MAX else []
        return {"kube/events.json": [pick(event, allow.EVENT) for event in kept[-EVENTS_MAX:]]}, remarks

    async def logs(self) -> Found:
        """The connectors' own logs: the end of this run's and of the one before."""
        pods, _ = await self.kube.list(PODS.path(self.namespace), CONNECTORS)
        if not pods:
            raise Skipped(f"no pod of a connector is in namespace {self.namespace}")
        files: dict[str, str] = {}
        remarks: list[str] = []
        for pod in pods:
            name = pod["metadata"]["name"]
            for container in pod["spec"]["containers"]:
                for previous in (False, True):
                    ending = ".previous.log" if previous else ".log"
                    path = f"logs/{name}/{container['name']}{ending}"
                    try:
                        text = await self._log(name, container["name"], previous=previous)
                    except (Invalid, NotFound):
                        continue  # it has not started, or there was no run before
                    except ApiError as error:
                        remarks.append(f"{path}: {error.message}")
                        continue
                    files[path] = text
        return files, remarks

    async def releases(self) -> Found:
        """Helm's history of the connectors' releases: each revision's state and values."""
        names = set(await self.releases_there())
        records, _ = await self.kube.list(
            SECRETS.path(self.namespace), {"labelSelector": "owner=helm"}, page=20
        )
        history: dict[str, list[JSON]] = {}
        for record in records:
            release = _release(record)
            # A first installation that failed has a record and nothing else.
            chart = ((release.get("chart") or {}).get("metadata") or {}).get("name")
            name = str(release.get("name") or (record["metadata"].get("labels") or {}).get("name") or "")
            if name in names or chart == "vnode-connector":
                history.setdefault(name, []).append(revision(release, record))
        if not history:
            raise Skipped(f"Helm has no release of a connector in namespace {self.namespace}")
        return {
            f"helm/{name}.json": sorted(found, key=lambda one: int(one["revision"] or 0))
            for name, found in history.items()
        }, ()

    # --- what several of them need ----------------------------------------------------------------

    async def node_names(self) -> list[str]:
        nodes, _ = await self.kube.list(NODES.path(), VIRTUAL)
        return sorted(str(node["metadata"]["name"]) for node in nodes)

    async def releases_there(self) -> list[str]:
        """The connectors of the namespace, by their Deployments; and those that nodes are called by."""
        found, _ = await self.kube.list(DEPLOYMENTS.path(self.namespace), CONNECTORS)
        named = {release_of(name) for name in await self.node_names()}
        return sorted(({str(one["metadata"]["name"]) for one in found} | named) - {""})

    async def secrets(self) -> list[JSON]:
        """The Secrets of the connectors, to know what must be masked: labelled as ours, or named by their
        pods. Those that may not be read are left out; no log can hold what its writer cannot read either."""
        found: dict[str, JSON] = {}
        try:
            ours, _ = await self.kube.list(SECRETS.path(self.namespace), OURS)
            found = {str(one["metadata"]["name"]): one for one in ours}
            deployments, _ = await self.kube.list(DEPLOYMENTS.path(self.namespace), CONNECTORS)
        except (Forbidden, NotFound):
            return list(found.values())
        for name in sorted({name for one in deployments for name in _named(one)} - found.keys()):
            try:
                found[name] = await self.kube.get(SECRETS.path(self.namespace, name))
            except (Forbidden, NotFound):
                continue
        return list(found.values())

    async def resource_groups(self) -> list[str]:
        """Where the connectors' Deployments say that their container groups are (Azure)."""
        found, _ = await self.kube.list(DEPLOYMENTS.path(self.namespace), CONNECTORS)
        groups = (
            (one["metadata"].get("annotations") or {}).get("vnodectl.io/aci-resource-group") for one in found
        )
        return sorted({str(group) for group in groups if group})

    async def _listed(self, resource: Resource, spec: Any, params: Mapping[str, str]) -> list[Any]:
        found, _ = await self.kube.list(resource.path(self.namespace), params)
        return [pick(one, spec) for one in found]

    async def _log(self, pod: str, container: str, *, previous: bool) -> str:
        params: dict[str, str | int | bool] = {
            "container": container,
            "tailLines": LOG_LINES,
            "limitBytes": LOG_BYTES,
            "timestamps": True,
            "previous": previous,
        }
        path = PODS.path(self.namespace, pod, "log")
        async with self.kube.stream("GET", path, params=params, timeout=60) as answer:
            return (await answer.content.read(LOG_BYTES)).decode(errors="replace")


def _named(deployment: JSON) -> set[str]:
    """The Secrets that a Deployment's pods mount, take variables from, or pull images with."""
    spec = deployment["spec"]["template"]["spec"]
    names = {(one.get("secret") or {}).get("secretName") for one in spec.get("volumes") or ()}
    names |= {one.get("name") for one in spec.get("imagePullSecrets") or ()}
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for variable in container.get("env") or ():
            names.add(((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name"))
        for source in container.get("envFrom") or ():
            names.add((source.get("secretRef") or {}).get("name"))
    return {str(name) for name in names if name}


def _moment(event: JSON) -> str:
    stamps = (event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return str(next((one for one in stamps if one), ""))


def _release(record: JSON) -> JSON:
    """A release as Helm packs it: JSON, gzip, Base64, and Base64 again by the API. {} where it is none."""
    try:
        packed = base64.b64decode(base64.b64decode((record.get("data") or {})["release"]))
        text = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        found = json.loads(text) if len(text) <= _RELEASE_MAX else {}
    except (KeyError, TypeError, ValueError, OSError, EOFError):
        return {}
    return found if isinstance(found, dict) else {}


def revision(release: JSON, record: JSON) -> JSON:
    """What is kept of one revision: no manifest, no template, and values without what is secret."""
    labels = record["metadata"].get("labels") or {}
    info = release.get("info") or {}
    chart = (release.get("chart") or {}).get("metadata") or {}
    return {
        "name": release.get("name") or labels.get("name"),
        "revision": release.get("version") or labels.get("version"),
        "status": info.get("status") or labels.get("status"),
        "description": info.get("description"),
        "firstDeployed": info.get("first_deployed"),
        "lastDeployed": info.get("last_deployed"),
        "chart": {key: chart.get(key) for key in ("name", "version", "appVersion")},
        "values": values(release.get("config") or {}),
    }


_VALUES = (
    *(
        "cloud",
        "osType",
        "connector",
        "nodes",
        "replicas",
        "node",
        "apiServer",
        "clusterDns",
        "azure",
        "alibaba",
    ),
    *(
        "image",
        "imagePullSecrets",
        "log",
        "ports",
        "resources",
        "serviceAccount",
        "nodeSelector",
        "tolerations",
    ),
    *("affinity", "topologySpreadConstraints", "podDisruptionBudget", "podLabels", "podAnnotations"),
    *("priorityClassName", "terminationGracePeriodSeconds", "webhook", "kubeletApi"),
)
"""Values of the chart that are kept, masked by their keys; of any other only the name."""


def values(given: JSON) -> JSON:
    kept = allow.masked({key: one for key, one in given.items() if key in _VALUES})
    others = sorted(set(given) - set(_VALUES))
    return {**kept, **({"others": others} if others else {})}
