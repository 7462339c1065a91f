"""What checks may look at: a plan, a cluster, a cloud. Facts that several checks want are read once.

A context is made anew for each run. Nothing in it is ever written by a check; the only thing that
changes is that a `Fact` has been read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from vnodectl.checks.model import Resource
from vnodectl.errors import VnodectlError
from vnodectl.kube.resources import SECRETS

if TYPE_CHECKING:
    from vnodectl.connector.names import Connector
    from vnodectl.connector.plan import Plan

JSON = dict[str, Any]
RESOURCES_API = "2021-04-01"
T = TypeVar("T")


async def gather(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """All results, in order. The first error cancels the rest and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call, name="check gather") for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class KubeReader(Protocol):
    """The part of `kube.client.KubeClient` that checks use. `create` is for reviews, which store nothing."""

    server: str
    context: str

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

    async def create(
        self,
        path: str,
        body: JSON,
        params: Mapping[str, str | int | bool] | None = None,
        *,
        timeout: float = 30,
    ) -> JSON: ...


class AzureReader(Protocol):
    """The part of `clouds.azure.AzureSession` that checks use."""

    @property
    def subscription(self) -> str:
        """`/subscriptions/<id>`."""

    async def arm(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: JSON | None = None,
    ) -> JSON: ...

    async def aks_cluster(self, resource_group: str, name: str) -> JSON: ...

    async def resource_group(self, name: str) -> JSON: ...


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


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be installed, as far as checks care. Empty strings mean "not given".

    `cluster_resource_group` and `cluster` name an AKS cluster; `resource_group` and `region` say where
    container groups go.
    """

    connectors: tuple[Connector, ...] = ()
    namespace: str = ""
    cluster_resource_group: str = ""
    cluster: str = ""
    resource_group: str = ""
    region: str = ""

    @classmethod
    def from_plan(cls, plan: Plan) -> Target:
        return cls(
            connectors=plan.connectors,
            namespace=plan.namespace,
            cluster_resource_group=plan.cluster.resource_group if plan.cluster else "",
            cluster=plan.cluster.name if plan.cluster else "",
            resource_group=plan.azure.resource_group,
            region=plan.azure.region,
        )


class ClusterFacts:
    """What several checks want to know of the cluster."""

    def __init__(self, kube: KubeReader, target: Target) -> None:
        self.version: Fact[JSON] = Fact(lambda: kube.get("/version", timeout=10))
        self.helm_records: Fact[list[JSON]] = Fact(lambda: _helm_records(kube, target.namespace))
        """The labels of Helm's release records (Secrets) in the target's namespace, one per revision."""


async def _helm_records(kube: KubeReader, namespace: str) -> list[JSON]:
    secrets, _ = await kube.list(SECRETS.path(namespace), {"labelSelector": "owner=helm"}, page=50)
    return [dict(secret["metadata"].get("labels") or {}) for secret in secrets]


class AzureFacts:
    """What several checks want to know of the subscription."""

    def __init__(self, azure: AzureReader, target: Target) -> None:
        provider = "/providers/Microsoft.ContainerInstance"
        self.container_instance: Fact[JSON] = Fact(
            lambda: azure.arm("GET", azure.subscription + provider, RESOURCES_API)
        )
        """The resource provider: registrationState, and the regions of each resource type."""
        self.cluster: Fact[JSON] = Fact(
            lambda: azure.aks_cluster(target.cluster_resource_group, target.cluster)
        )


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
        helm: str = "helm",
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
        absent: Mapping[Resource, str] | None = None,
        broken: Mapping[Resource, VnodectlError] | None = None,
    ) -> None:
        self.target = target or Target()
        self.helm = helm
        """Path or name of the helm program."""
        self.now = now
        self._kube = kube
        self._azure = azure
        self._broken = dict(broken or {})
        self._absent = dict(absent or {})
        if target is None:
            self._absent.setdefault(Resource.PLAN, "no connector is named")
        if kube is None:
            self._absent.setdefault(Resource.KUBE, "no cluster session")
        if azure is None:
            self._absent.setdefault(Resource.AZURE, "no cloud session")
        self._cluster_facts = ClusterFacts(kube, self.target) if kube is not None else None
        self._azure_facts = AzureFacts(azure, self.target) if azure is not None else None

    def missing(self, resource: Resource) -> str:
        """Why checks that need `resource` cannot be asked, or ""."""
        return "" if resource in self._broken else self._absent.get(resource, "")

    @property
    def kube(self) -> KubeReader:
        if self._kube is None:
            raise self._error(Resource.KUBE)
        return self._kube

    @property
    def azure(self) -> AzureReader:
        if self._azure is None:
            raise self._error(Resource.AZURE)
        return self._azure

    @property
    def cluster_facts(self) -> ClusterFacts:
        if self._cluster_facts is None:
            raise self._error(Resource.KUBE)
        return self._cluster_facts

    @property
    def azure_facts(self) -> AzureFacts:
        if self._azure_facts is None:
            raise self._error(Resource.AZURE)
        return self._azure_facts

    def _error(self, resource: Resource) -> VnodectlError:
        return self._broken.get(resource) or VnodectlError(self._absent[resource])
