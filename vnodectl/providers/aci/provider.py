"""Pods as container groups of Azure Container Instances: the runtime's contract, kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from vnodectl.clouds.azure import AzureNotFound, AzureSession
from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API
from vnodectl.errors import UsageError, VnodectlError
from vnodectl.providers.aci import annotations as table
from vnodectl.providers.aci import exec as aci_exec
from vnodectl.providers.aci import group, probes, shares, stats
from vnodectl.providers.aci import logs as aci_logs
from vnodectl.providers.aci.failures import of_create, of_request
from vnodectl.providers.aci.groups import Groups
from vnodectl.providers.aci.limits import AciLimits
from vnodectl.providers.aci.names import group_name, pod_of
from vnodectl.providers.aci.observe import Observer
from vnodectl.providers.aci.preparing import Preparer, image_registry
from vnodectl.providers.aci.resources import GPU_RESOURCES
from vnodectl.providers.aci.settings import AciSettings, NodeIdentity, ReadBudget
from vnodectl.providers.aci.translate import translate
from vnodectl.providers.carrying import carry
from vnodectl.providers.image_registry import ImageRegistry
from vnodectl.providers.timing import LoopTimer, Timer
from vnodectl.runtime.provider import (
    JSON,
    LogOptions,
    Metric,
    NodeInfo,
    NotFound,
    PodKey,
    PodStats,
    PortConnection,
    ProbeKind,
    Rejected,
    ResolvedPod,
    Retryable,
    Sighting,
    Streams,
)

_WATCHED_SPACING = 10.0
"""Seconds between looks at a group whose log somebody follows."""

PACED = "Azure Container Instances takes so many {} an hour and in five minutes; this one's turn comes"


class AciProvider:
    """One virtual node's groups in one resource group. Groups of others in it are never touched."""

    name = "azure"
    stats_batch = stats.BATCH

    def __init__(
        self,
        groups: Groups,
        settings: AciSettings,
        identity: NodeIdentity,
        capacity: Mapping[str, str],
        *,
        budget: ReadBudget,
        timer: Timer,
        limits: AciLimits,
        preparer: Preparer,
    ) -> None:
        self._groups = groups
        self._settings = settings
        self._identity = identity
        self._capacity = dict(capacity)
        self._timer = timer
        self._limits = limits
        self._preparer = preparer
        self._observer = Observer(groups, identity.owner, budget, timer, limits.reads)
        self._stats = stats.Stats(
            groups.session,
            settings.resource_group,
            settings.region,
            limits.reads.stats,
            timer,
            lambda: datetime.now(UTC).timestamp(),
        )

    async def node(self) -> NodeInfo:
        return NodeInfo(
            operating_system=self._identity.os_type.lower(),
            architecture="amd64",
            capacity=self._capacity | self._gpus(),
            os_image="Azure Container Instances",
            container_runtime_version=f"aci://{CONTAINER_INSTANCE_API}",
        )

    def _gpus(self) -> dict[str, str]:
        return {GPU_RESOURCES[0]: str(self._settings.gpus)} if self._settings.gpu_sku else {}

    async def create(self, pod: ResolvedPod) -> None:
        """A PUT on an existing group would restart its containers, so it is looked for first."""
        if self._observer.find(pod.key) is not None:
            return
        known = await self._preparer.known(pod)
        body = translate(pod, self._settings, self._identity, known)
        name = group_name(pod.key)
        if wait := self._limits.creates.take(pod.key):
            raise Retryable("CreatesPaced", PACED.format("creates"), retry_after=wait)
        try:
            if await self._exists(pod.key, name):
                return
            accepted = await self._groups.put(name, body)
        except VnodectlError as error:
            raise of_create(error) from error
        self._observer.accepted(pod.key, name, accepted.operation)

    async def delete(self, key: PodKey, *, grace: float) -> None:  # noqa: ARG002 — see below
        """`grace` is not used: a deleted group's containers get TERM and as long as ACI gives them."""
        known = self._observer.find(key)
        name = known.name if known else group_name(key)
        self._limits.creates.forget(key)
        try:
            if known is None and not await self._exists(key, name):
                self._observer.gone(key)
                return
            if wait := self._limits.deletes.take(key):
                raise Retryable("DeletesPaced", PACED.format("deletes"), retry_after=wait)
            accepted = await self._groups.delete(name)
        except Rejected:
            self._observer.gone(key)  # a foreign group has that name: ours does not exist
            return
        except AzureNotFound:
            self._observer.gone(key)
            return
        except VnodectlError as error:
            raise of_request(error) from error
        if accepted.status == 204:
            self._observer.gone(key)
        else:
            self._observer.deleting(key)

    async def _exists(self, key: PodKey, name: str) -> bool:
        """Whether the pod's group is there already; then it is observed. Rejected for a foreign one."""
        try:
            found = await self._groups.get(name)
        except AzureNotFound as error:
            if error.code == "ResourceGroupNotFound":
                raise
            return False
        if pod_of(found, self._identity.owner) != key:
            raise Rejected("NameTaken", f"container group {name} exists and belongs to something else")
        self._observer.accepted(key, name)
        return True

    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:  # noqa: ARG002
        """ACI restarts whole groups only, and with the time that it gives itself. It would restart one whose
        policy is Never as well, which is stopped instead."""
        name = self._name(key)
        try:
            properties = (await self._groups.get(name)).get("properties") or {}
            if properties.get("restartPolicy") == "Never":
                await self._groups.stop(name)
            else:
                await self._groups.restart(name)
        except AzureNotFound as error:
            raise NotFound(f"pod {key} has no container group") from error
        except VnodectlError as error:
            raise of_request(error) from error
        self._observer.look_soon(key)

    def direct_probes(self, pod: JSON) -> Mapping[str, frozenset[ProbeKind]]:
        """Those of pods in a subnet, which the connector reaches."""
        if not self._settings.direct_probes or not self._subnet(pod):
            return {}
        return probes.direct(pod["spec"]["containers"])

    def probe_failed(self, key: PodKey, container: str, kind: ProbeKind) -> None:  # noqa: ARG002
        self._observer.look_soon(key)

    def direct_pre_stop(self, pod: JSON) -> frozenset[str]:
        """All of them: what could not be reached was rejected."""
        return frozenset(
            one["name"] for one in pod["spec"]["containers"] if (one.get("lifecycle") or {}).get("preStop")
        )

    def volume_secrets(self, persistent_volume: JSON, namespace: str) -> Sequence[tuple[str, str]]:
        return shares.volume_secrets(persistent_volume, namespace)

    async def stats(self, keys: Sequence[PodKey]) -> Sequence[PodStats]:
        known = ((key, self._observer.find(key)) for key in keys)
        return await self._stats.read({key: one.name for key, one in known if one and not one.vanished})

    def metrics(self) -> Sequence[Metric]:
        """`vnodectl_azure_requests_total` is the whole process's; the rest is this node's."""
        meter = self._groups.session.meter
        kinds: dict[tuple[str, ...], float] = {
            ("read",): meter.reads,
            ("write",): meter.writes,
            ("delete",): meter.deletes,
        }
        left: dict[tuple[str, ...], float] = {
            ("read",): meter.remaining_reads,
            ("write",): meter.remaining_writes,
        }
        waiting: dict[tuple[str, ...], float] = {
            ("create",): self._limits.creates.waiting,
            ("delete",): self._limits.deletes.waiting,
        }
        return (
            Metric(
                "vnodectl_azure_requests_total",
                "counter",
                "Requests to Azure Resource Manager by this process, retries included.",
                kinds,
                ("kind",),
            ),
            Metric(
                "vnodectl_azure_throttled_total",
                "counter",
                "Requests to Azure Resource Manager by this process that were answered with 429.",
                {(): meter.throttled},
            ),
            Metric(
                "vnodectl_azure_remaining_requests",
                "gauge",
                "What is left of the subscription's requests, as Azure said last; -1: nothing yet.",
                left,
                ("kind",),
            ),
            Metric(
                "vnodectl_azure_observations_total",
                "counter",
                "Looks at container groups: lists, urgent looks at one, and the rotation over the rest.",
                {(why,): count for why, count in self._observer.reads.items()},
                ("why",),
            ),
            Metric(
                "vnodectl_azure_paced",
                "gauge",
                "Creates and deletes that wait for their turn under the service's limits.",
                waiting,
                ("kind",),
            ),
        )

    def _subnet(self, pod: JSON) -> str:
        try:
            return group.subnet(table.of(pod), self._settings, self._identity)
        except Rejected:
            return ""

    def observe(self) -> AsyncIterator[Sighting]:
        return self._observer.sightings()

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        name = self._name(key)

        def ended() -> bool:
            self._observer.look_soon(key, spacing=_WATCHED_SPACING)
            tracked = self._observer.find(key)
            return tracked is None or tracked.finished or tracked.deleting_at is not None

        async for chunk in aci_logs.read(
            self._groups,
            name,
            container,
            options,
            timer=self._timer,
            wall=lambda: datetime.now(UTC),
            ended=ended,
        ):
            yield chunk

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        return await aci_exec.run(
            self._groups, self._name(key), container, command, streams, windows=self._identity.windows
        )

    async def attach(self, key: PodKey, container: str, streams: Streams) -> None:
        await aci_exec.attach(self._groups, self._name(key), container, streams)

    async def port_forward(self, key: PodKey, port: int, connection: PortConnection) -> None:
        """Straight to the group's address: in a subnet to any port, else only to those that are public."""
        known = self._observer.find(key)
        if known is None or known.vanished:
            raise NotFound(f"pod {key} has no container group")
        address = str((known.status or {}).get("podIP") or "")
        if not address:
            raise Retryable(
                "NoAddress",
                "the container group has no address yet; outside a subnet it gets one only for ports that "
                "the pod names",
            )
        try:
            await carry(address, port, connection)
        except OSError as error:
            why = error.strerror or "no answer"
            raise Retryable("PortNotReached", f"port {port} of {address}: {why}") from error

    async def aclose(self) -> None:
        """The session stays open: it belongs to whoever made it."""
        await self._observer.aclose()

    def _name(self, key: PodKey) -> str:
        known = self._observer.find(key)
        if known is None or known.vanished:
            raise NotFound(f"pod {key} has no container group")
        return known.name


def create_provider(
    session: AzureSession,
    settings: AciSettings,
    *,
    node_name: str,
    connector: str,
    os_type: str,
    capacity: Mapping[str, str],
    budget: ReadBudget | None = None,
    timer: Timer | None = None,
    limits: AciLimits | None = None,
    registry: ImageRegistry | None = None,
) -> AciProvider:
    """The provider of one virtual node; `session` must be open and stays the caller's.

    `limits` and `registry` are what the nodes of one process share; without them the node has its own.

    `connector` is the release's name, `os_type` Linux or Windows, `capacity` Kubernetes quantities by
    resource name. Raises `UsageError` for a Windows node in a subnet, which ACI does not have.
    """
    if os_type not in {"Linux", "Windows"}:
        raise UsageError(f"OS type must be Linux or Windows, not {os_type!r}")
    if os_type == "Windows" and settings.subnet_id:
        raise UsageError(
            "Azure Container Instances runs Windows groups outside virtual networks only",
            hint="unset VNODECTL_ACI_SUBNET_ID for the Windows connector",
        )
    if settings.cluster_cidr and not (settings.api_server and settings.kube_proxy_account):
        raise UsageError(
            "VNODECTL_ACI_KUBE_PROXY_CIDR needs VNODECTL_API_SERVER and VNODECTL_ACI_KUBE_PROXY_ACCOUNT",
            hint="the API server's URL as pods in the subnet reach it, and a directory with token and ca.crt",
        )
    timer, budget = timer or LoopTimer(), budget or ReadBudget()
    groups = Groups(session, settings.resource_group)
    identity = NodeIdentity(node_name, connector, os_type)
    registry = registry or image_registry(session, timer, settings.insecure_registries)
    return AciProvider(
        groups,
        settings,
        identity,
        capacity,
        budget=budget,
        timer=timer,
        limits=limits or shared_limits(session, settings, timer, budget),
        preparer=Preparer(settings, identity, registry),
    )


def shared_limits(
    session: AzureSession, settings: AciSettings, timer: Timer, budget: ReadBudget | None = None
) -> AciLimits:
    """What all nodes of one process may ask of the subscription together."""
    return AciLimits(
        timer,
        lambda: session.meter.remaining_reads,
        creates=settings.creates,
        deletes=settings.deletes,
        budget=budget,
    )
