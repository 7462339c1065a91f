"""The Node object and its Lease: that it exists, says what it should, and shows that it is alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from vnodectl import __version__
from vnodectl.errors import ClusterUnreachable, VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from vnodectl.kube.resources import LEASES, NODE_LEASE_NAMESPACE, NODES
from vnodectl.runtime import node_ownership as ownership
from vnodectl.runtime.clock import Clock, rfc3339, rfc3339_micro
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.node_events import NodeEvents
from vnodectl.runtime.provider import Health, NodeInfo, ProviderError
from vnodectl.settings import TAINT_KEY

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 240.0  # at least every 5 minutes
_RETRY_SECONDS = 2.0
_FIRST_WORD_SECONDS = 5.0
_FEATURES = ("ExtendWebSocketsToKubelet",)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What is wanted of the node. `taint` is the value of the provider taint, empty for none.

    `labels` are added to the standard ones; `addresses` are IPs, the first is the main one.
    """

    name: str
    addresses: tuple[str, ...]
    kubelet_port: int
    taint: str
    labels: Mapping[str, str] = field(default_factory=dict)
    api_host: str = ""
    api_port: str = ""
    taint_key: str = TAINT_KEY
    taint_effect: str = "NoSchedule"


def labels(config: NodeConfig, info: NodeInfo) -> dict[str, str]:
    """The labels that workloads and tools select nodes by.

    A node without the provider's taint takes any pod and stands for an ordinary worker: what is meant for
    virtual nodes must not select it.
    """
    system = info.operating_system.lower()
    virtual = {
        "type": "virtual-kubelet",
        "kubernetes.io/role": "agent",
        # Cloud load balancers must not send traffic to a node that forwards none: the stable label, and
        # the alpha one that older controllers know.
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
        "alpha.service-controller.kubernetes.io/exclude-balancer": "true",
    }
    return {
        **(virtual if config.taint else {}),
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": system,
        "beta.kubernetes.io/os": system,
        "kubernetes.io/arch": info.architecture,
        **info.labels,
        **config.labels,
    }


def status(config: NodeConfig, info: NodeInfo, health: Health, *, now: str, server_version: str) -> JSON:
    """The node's status. `now` is RFC 3339; transition times are set by `merge_conditions`."""
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": health.message}
    if not health.ok:
        ready |= {"status": "False", "reason": health.reason}
    pressures = [
        ("MemoryPressure", "KubeletHasSufficientMemory"),
        ("DiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "KubeletHasSufficientPID"),
        ("NetworkUnavailable", "RouteCreated"),
    ]
    conditions = [
        {"type": kind, "status": "False", "reason": reason, "message": ""} for kind, reason in pressures
    ]
    return {
        "capacity": dict(info.capacity),
        "allocatable": dict(info.capacity),
        "conditions": [{**condition, "lastHeartbeatTime": now} for condition in (*conditions, ready)],
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in config.addresses),
            {"type": "Hostname", "address": config.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.kubelet_port}},
        "declaredFeatures": list(_FEATURES),
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": info.kernel_version,
            "osImage": info.os_image,
            "containerRuntimeVersion": info.container_runtime_version or f"vnodectl://{__version__}",
            "kubeletVersion": f"{server_version.partition('-')[0].partition('+')[0]}-vnodectl-{__version__}",
            "kubeProxyVersion": "",
            "operatingSystem": info.operating_system.lower(),
            "architecture": info.architecture,
        },
    }


def merge_conditions(wanted: JSON, old: JSON, now: str) -> JSON:
    """`wanted` with the transition times of `old` where a condition's status is the same."""
    before = {condition["type"]: condition for condition in old.get("conditions") or ()}
    for condition in wanted["conditions"]:
        last = before.get(condition["type"])
        same = last is not None and last.get("status") == condition["status"]
        condition["lastTransitionTime"] = (last or {}).get("lastTransitionTime") or now if same else now
    return wanted


class NodeController:
    """Keeps the Node and its Lease. Run `run` and `renew` as tasks."""

    def __init__(
        self,
        client: KubeClient,
        config: NodeConfig,
        info: NodeInfo,
        clock: Clock,
        server_version: str,
        *,
        events: NodeEvents,
        offers: Callable[[], Awaitable[NodeInfo]] | None = None,
    ) -> None:
        """`offers` is asked at each regular update what the node offers now; else `info` holds for ever."""
        self._client = client
        self._config = config
        self._info = info
        self._events = events
        self._offers = offers
        self._clock = clock
        self._server_version = server_version
        self._health = Health(ok=False, reason="Starting", message="the provider has not been heard of yet")
        self._node: JSON | None = None
        self._stale_resources: set[str] = set()
        self._renewed_at = float("-inf")
        self._changed = asyncio.Event()
        self._heard = asyncio.Event()
        self.registered = asyncio.Event()

    def facts(self) -> NodeFacts:
        return NodeFacts(
            name=self._config.name,
            host_ips=self._config.addresses,
            allocatable=self._info.capacity,
            api_host=self._config.api_host,
            api_port=self._config.api_port,
        )

    @property
    def node(self) -> JSON:
        """The Node as last seen; before it is registered, just enough of it to put an event on."""
        return self._node or {"kind": "Node", "metadata": {"name": self._config.name}}

    @property
    def alive(self) -> bool:
        """Whether the Lease was renewed within its duration: else the cluster takes this node for dead."""
        return asyncio.get_running_loop().time() - self._renewed_at < LEASE_SECONDS

    def set_health(self, health: Health) -> None:
        self._heard.set()
        if (health.ok, health.reason, health.message) != (
            self._health.ok,
            self._health.reason,
            self._health.message,
        ):
            if health.ok != self._health.ok:
                log.info("node %s: %s: %s", self._config.name, health.reason, health.message)
            self._health = health
            self._changed.set()

    # --- kube.listwatch.Listener for the watch of this one node -----------------------------------

    def replaced(self, items: list[JSON]) -> None:
        self._node = items[0] if items else None
        self._events.seen(self._node)
        self._changed.set()

    def changed(self, item: JSON) -> None:
        self._node = item
        self._events.seen(item)
        if self._drifted(item):
            self._changed.set()

    def deleted(self, item: JSON) -> None:
        log.warning("node %s was deleted by somebody; registering it again", item["metadata"]["name"])
        self._node = None
        self._events.seen(None)
        self._changed.set()

    # --- the tasks --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Register, then update on change and at least every few minutes, until cancelled."""
        self._events.starting()
        # A node that is taken over, or restarted, is Ready already: it would go NotReady for a moment, and
        # its pods with it, if the provider's first word were not waited for.
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_WORD_SECONDS):
                await self._heard.wait()
        while True:
            self._changed.clear()
            delay = STATUS_SECONDS
            try:
                await self._apply()
                self.registered.set()
            except (ApiError, ClusterUnreachable) as error:
                log.warning("node %s: %s", self._config.name, error)
                delay = _RETRY_SECONDS
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                await self._look_again()

    async def _look_again(self) -> None:
        if self._offers is None:
            return
        try:
            self._info = await self._offers()
        except (ProviderError, VnodectlError) as error:
            log.warning("node %s: what the provider offers is not known: %s", self._config.name, error)

    async def renew(self) -> None:
        """Renew the Lease every ten seconds, until cancelled."""
        await self.registered.wait()
        while True:
            try:
                # A call that hangs must not cost the node its Lease.
                async with asyncio.timeout(LEASE_SECONDS / 2):
                    await self._renew()
                delay = RENEW_SECONDS
            except (VnodectlError, TimeoutError) as error:
                log.warning("lease of node %s: %s", self._config.name, error or "no answer in time")
                delay = _RETRY_SECONDS
            await asyncio.sleep(delay)

    async def _apply(self) -> None:
        config = self._config
        path = NODES.path(name=config.name)
        now = rfc3339(self._clock())
        wanted = status(config, self._info, self._health, now=now, server_version=self._server_version)
        taints = _taints(config)
        kept = labels(config, self._info)
        ours = ownership.managed(kept, taints, self._info.capacity)
        metadata: JSON = {"labels": kept, "annotations": {ownership.ANNOTATION: ours.text()}}
        node = self._node
        if node is None:
            body: JSON = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": config.name, **metadata},
                "spec": {"taints": taints},
            }
            try:
                node = await self._client.create(NODES.path(), body)
                log.info("node %s registered", config.name)
            except AlreadyExists:
                node = await self._client.get(path)
        before = ownership.read(node)
        self._stale_resources |= before.resources - ours.resources
        if before != ours or _missing_labels(node, kept) or _missing_taints(node, taints):
            # Labels are merged by key, but a patch replaces all taints: those of others are sent along, and
            # only onto the version that they were read from.
            metadata["resourceVersion"] = node["metadata"]["resourceVersion"]
            # What was ours and is no longer wanted goes; what others put there stays.
            metadata["labels"] = {**dict.fromkeys(before.labels - ours.labels), **kept}
            stale = before.taints - ours.taints
            left = [one for one in node["spec"].get("taints") or [] if ownership.taint_name(one) not in stale]
            merged = _merge_taints(left, taints)
            try:
                node = await self._client.patch(path, {"metadata": metadata, "spec": {"taints": merged}})
            except Conflict:
                self._node = await self._client.get(path)
                self._changed.set()
                return
        wanted = merge_conditions(wanted, node.get("status") or {}, now)
        for resources in (wanted["capacity"], wanted["allocatable"]):
            resources.update(dict.fromkeys(self._stale_resources - ours.resources))
        # Addresses are merged by type, which would lose the second of two InternalIPs: replace them all.
        wanted["addresses"].append({"$patch": "replace"})
        try:
            self._node = await self._client.patch(path + "/status", {"status": wanted})
        except NotFound:
            self._node = None  # deleted meanwhile: the next try, which comes soon, makes it again
            raise
        self._events.ready(_ready(node), _ready(self._node))
        self._stale_resources.clear()

    def _drifted(self, node: JSON) -> bool:
        """Whether somebody changed what this process answers for."""
        kept, taints = labels(self._config, self._info), _taints(self._config)
        if _missing_labels(node, kept) or _missing_taints(node, taints):
            return True
        if ownership.read(node) != ownership.managed(kept, taints, self._info.capacity):
            return True
        # The node lifecycle controller says Unknown after an outage.
        return _ready(node) != ("True" if self._health.ok else "False")

    async def _renew(self) -> None:
        name = self._config.name
        path = LEASES.path(NODE_LEASE_NAMESPACE, name)
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": rfc3339_micro(self._clock()),
        }
        try:
            await self._client.patch_only(path, {"spec": spec}, timeout=RENEW_SECONDS)
        except NotFound:
            lease: JSON = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": NODE_LEASE_NAMESPACE},
                "spec": spec,
            }
            uid = self.node["metadata"].get("uid")
            if uid:  # deleting the Node then takes its Lease along
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
                lease["metadata"]["ownerReferences"] = [owner]
            try:
                await self._client.create(LEASES.path(NODE_LEASE_NAMESPACE), lease)
            except (AlreadyExists, Conflict):
                return  # the garbage collector was between the two calls; the next round patches
        self._renewed_at = asyncio.get_running_loop().time()


def _ready(node: JSON) -> str:
    """The status of its Ready condition; "" where it has none."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")


def _taints(config: NodeConfig) -> list[JSON]:
    if not config.taint:
        return []
    return [{"key": config.taint_key, "value": config.taint, "effect": config.taint_effect}]


def _missing_labels(node: JSON, wanted: Mapping[str, str]) -> bool:
    have = node["metadata"].get("labels") or {}
    return any(have.get(key) != value for key, value in wanted.items())


def _missing_taints(node: JSON, wanted: list[JSON]) -> bool:
    have = node["spec"].get("taints") or []
    return any(
        not any(all(one.get(key) == value for key, value in taint.items()) for one in have)
        for taint in wanted
    )


def _merge_taints(have: list[JSON], ours: list[JSON]) -> list[JSON]:
    """Ours in place of those with the same key and effect."""
    mine = {(taint["key"], taint["effect"]) for taint in ours}
    return [*(taint for taint in have if (taint["key"], taint.get("effect")) not in mine), *ours]
