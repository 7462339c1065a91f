"""What checks may look at: a target, a cluster, a cloud. Facts that several checks want are read once.

A context is made anew for each run. Nothing in it is ever written by a check; the only thing that
changes is that a `Fact` has been read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from vnodectl.checks.model import Resource
from vnodectl.checks.readers import (
    JSON,
    AlibabaReader,
    AzureReader,
    HelmReader,
    KubeReader,
    RegistryReader,
)
from vnodectl.checks.target import Target
from vnodectl.errors import VnodectlError
from vnodectl.kube.resources import DAEMON_SETS, NAMESPACES, NODES, SECRETS

RESOURCES_API = "2021-04-01"
CONTAINER_SERVICE_API = "2024-09-01"
CONTAINER_INSTANCE_API = "2023-05-01"
NETWORK_API = "2024-05-01"
AUTHORIZATION_API = "2022-04-01"
IDENTITY_API = "2023-01-31"
T = TypeVar("T")


async def gather(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """All results, in order. The first error cancels the rest and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call, name="check gather") for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class Fact(Generic[T]):
    """A value that is read at most once, by whoever asks first; the others wait for it.

    Whoever reads it may be cancelled by its own deadline: then the next one reads. Errors are not kept.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._value: list[T] = []

    async def __call__(self) -> T:
        async with self._lock:
            if not self._value:
                self._value.append(await self._read())
            return self._value[0]


class Facts(Generic[T]):
    """A `Fact` for each name that is asked for."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._facts: dict[str, Fact[T]] = {}

    async def __call__(self, name: str) -> T:
        if name not in self._facts:
            self._facts[name] = Fact(lambda: self._read(name))
        return await self._facts[name]()


class ClusterFacts:
    """What several checks want to know of the cluster."""

    def __init__(self, kube: KubeReader, target: Target) -> None:
        self.version: Fact[JSON] = Fact(lambda: kube.get("/version", timeout=10))
        self.helm_records: Fact[list[JSON]] = Fact(lambda: _helm_records(kube, target.namespace))
        """The labels of Helm's release records (Secrets) in the target's namespace, one per revision."""
        self.virtual_nodes: Fact[list[JSON]] = Fact(
            lambda: _items(kube, NODES.path(), {"labelSelector": "type=virtual-kubelet"})
        )
        self.daemon_sets: Fact[list[JSON]] = Fact(lambda: _items(kube, DAEMON_SETS.path(), None))
        self.namespace: Fact[JSON] = Fact(lambda: kube.get(NAMESPACES.path(name=target.namespace)))


async def _items(kube: KubeReader, path: str, params: Mapping[str, str] | None) -> list[JSON]:
    return (await kube.list(path, params))[0]


async def _helm_records(kube: KubeReader, namespace: str) -> list[JSON]:
    secrets, _ = await kube.list(SECRETS.path(namespace), {"labelSelector": "owner=helm"}, page=50)
    return [dict(secret["metadata"].get("labels") or {}) for secret in secrets]


class AzureFacts:
    """What several checks want to know of the subscription."""

    def __init__(self, azure: AzureReader, target: Target) -> None:
        def get(path: str, version: str) -> Awaitable[JSON]:
            return azure.arm("GET", path, version)

        self.provider: Facts[JSON] = Facts(
            lambda name: get(f"{azure.subscription}/providers/{name}", RESOURCES_API)
        )
        """A resource provider: registrationState, and the regions of each resource type."""
        self.cluster: Fact[JSON] = Fact(
            lambda: get(
                f"{azure.subscription}/resourceGroups/{target.cluster_resource_group}"
                f"/providers/Microsoft.ContainerService/managedClusters/{target.cluster}",
                CONTAINER_SERVICE_API,
            )
        )
        self.resource_group: Fact[JSON] = Fact(
            lambda: get(f"{azure.subscription}/resourcegroups/{target.resource_group}", RESOURCES_API)
        )
        self.subnet: Fact[JSON] = Fact(lambda: get(target.subnet_id, NETWORK_API))
        self.network: Fact[JSON] = Fact(lambda: get(target.subnet_id.rpartition("/subnets/")[0], NETWORK_API))
        """The virtual network of the target's subnet."""
        self.network_part: Facts[JSON] = Facts(lambda path: get(path, NETWORK_API))
        """A network security group, route table, NAT gateway or public address, by id."""
        self.role_definition: Facts[JSON] = Facts(lambda path: get(path, AUTHORIZATION_API))
        named = {"$filter": f"appId eq '{target.identity.client_id}'"}
        self.service_principals: Fact[JSON] = Fact(
            lambda: azure.graph("/v1.0/servicePrincipals", params=named)
        )
        self.applications: Fact[JSON] = Fact(lambda: azure.graph("/v1.0/applications", params=named))
        """Those of the target's client id, by Microsoft Graph."""
        self.identities: Fact[list[JSON]] = Fact(
            lambda: azure.pages(
                f"{azure.subscription}/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
                IDENTITY_API,
            )
        )


class AlibabaFacts:
    """What several checks want to know of the account."""

    def __init__(self, alibaba: AlibabaReader, target: Target) -> None:
        place = target.alibaba
        self.caller: Fact[JSON] = Fact(lambda: alibaba.call("sts", "GetCallerIdentity", "2015-04-01"))
        self.regions: Fact[list[JSON]] = Fact(lambda: _regions(alibaba))
        """Regions with ECI: `RegionId`, `Zones`, `RecommendZones`."""
        self.vswitches: Fact[list[JSON]] = Fact(lambda: _vswitches(alibaba, place.vswitches))
        """Those of the target that exist."""
        self.security_group: Fact[JSON | None] = Fact(lambda: _security_group(alibaba, place.security_group))
        self.cluster: Fact[JSON] = Fact(
            lambda: alibaba.roa(
                "cs", "DescribeClusterDetail", "2015-12-15", "GET", f"/clusters/{place.cluster}"
            )
        )


async def _regions(alibaba: AlibabaReader) -> list[JSON]:
    return list((await alibaba.call("eci", "DescribeRegions", "2018-08-08")).get("Regions") or ())


async def _vswitches(alibaba: AlibabaReader, ids: tuple[str, ...]) -> list[JSON]:
    async def one(name: str) -> JSON:
        return await alibaba.call("vpc", "DescribeVSwitches", "2016-04-28", {"VSwitchId": name})

    answers = await gather(*(one(name) for name in ids))
    # An id that is not there is no error for this API, but an empty list.
    return [found for answer in answers for found in (answer.get("VSwitches") or {}).get("VSwitch") or ()]


async def _security_group(alibaba: AlibabaReader, name: str) -> JSON | None:
    answer = await alibaba.call("ecs", "DescribeSecurityGroups", "2014-05-26", {"SecurityGroupId": name})
    found: list[JSON] = (answer.get("SecurityGroups") or {}).get("SecurityGroup") or []
    return next((one for one in found if one.get("SecurityGroupId") == name), None)


@dataclass(frozen=True, slots=True)
class Sources:
    """The readers of a run; None for those that are not there."""

    kube: KubeReader | None
    azure: AzureReader | None
    alibaba: AlibabaReader | None
    helm: HelmReader | None
    registry: RegistryReader | None


class Context:
    """What one run of checks may look at.

    `absent` says why a resource is not there, which skips the checks that need it. `broken` holds the
    error that kept a session from opening: the check that asks about the session raises it.
    """

    def __init__(
        self,
        *,
        target: Target | None = None,
        kube: KubeReader | None = None,
        azure: AzureReader | None = None,
        alibaba: AlibabaReader | None = None,
        helm: HelmReader | None = None,
        registry: RegistryReader | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
        absent: Mapping[Resource, str] | None = None,
        broken: Mapping[Resource, VnodectlError] | None = None,
    ) -> None:
        self.target = target or Target()
        self.planned = target is not None
        self.now = now
        self.sources = Sources(kube, azure, alibaba, helm, registry)
        self.broken: Mapping[Resource, VnodectlError] = dict(broken or {})
        missing = dict(absent or {})
        if target is None:
            missing.setdefault(Resource.PLAN, "no connector is named")
        reasons = {
            Resource.KUBE: (kube, "no cluster session"),
            Resource.AZURE: (azure, "no cloud session"),
            Resource.ALIBABA: (alibaba, "no cloud session"),
            Resource.HELM: (helm, "no helm was given"),
            Resource.REGISTRY: (registry, "no registry is asked"),
        }
        for resource, (reader, reason) in reasons.items():
            if reader is None:
                missing.setdefault(resource, reason)
        self.absent: Mapping[Resource, str] = missing
        self._cluster_facts = ClusterFacts(kube, self.target) if kube is not None else None
        self._azure_facts = AzureFacts(azure, self.target) if azure is not None else None
        self._alibaba_facts = AlibabaFacts(alibaba, self.target) if alibaba is not None else None

    def missing(self, resource: Resource) -> str:
        """Why checks that need `resource` cannot be asked, or ""."""
        return "" if resource in self.broken else self.absent.get(resource, "")

    @property
    def kube(self) -> KubeReader:
        return self._there(self.sources.kube, Resource.KUBE)

    @property
    def azure(self) -> AzureReader:
        return self._there(self.sources.azure, Resource.AZURE)

    @property
    def alibaba(self) -> AlibabaReader:
        return self._there(self.sources.alibaba, Resource.ALIBABA)

    @property
    def helm(self) -> HelmReader:
        return self._there(self.sources.helm, Resource.HELM)

    @property
    def registry(self) -> RegistryReader:
        return self._there(self.sources.registry, Resource.REGISTRY)

    @property
    def cluster_facts(self) -> ClusterFacts:
        return self._there(self._cluster_facts, Resource.KUBE)

    @property
    def azure_facts(self) -> AzureFacts:
        return self._there(self._azure_facts, Resource.AZURE)

    @property
    def alibaba_facts(self) -> AlibabaFacts:
        return self._there(self._alibaba_facts, Resource.ALIBABA)

    def _there(self, reader: T | None, resource: Resource) -> T:
        if reader is None:
            raise self.broken.get(resource) or VnodectlError(self.absent[resource])
        return reader
