"""Are the virtual nodes alive? Waiting for them, and saying what was seen where they do not come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from vnodectl.connector.evidence import by_release, evidence
from vnodectl.connector.names import Connector
from vnodectl.connector.shares import pods_of, shares
from vnodectl.errors import ClusterUnreachable, TimedOut
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.resources import DEPLOYMENTS, LEASES, NODE_LEASE_NAMESPACE, NODES

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
T = TypeVar("T")
Now = Callable[[], datetime]
Say = Callable[[str], None]

LEASE_SECONDS = 40
"""How long a kubelet's Lease counts as fresh where it does not say itself (the kubelet's own default)."""

POLL_SECONDS = 0.5


def utcnow() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as seen now. `lease_age` in seconds since its Lease was `renewed`, None where it has none.

    One that is `cordoned` is alive, but no new pod is scheduled there.
    """

    name: str
    exists: bool
    ready: bool = False
    reason: str = ""
    message: str = ""
    lease_age: float | None = None
    fresh: bool = False
    renewed: datetime | None = None
    cordoned: bool = False

    @property
    def alive(self) -> bool:
        """Ready, and somebody said so lately."""
        return self.ready and self.fresh

    @property
    def brief(self) -> str:
        """For progress: the cause by its name alone, as its message may change from look to look."""
        return str(replace(self, message=""))

    def __str__(self) -> str:
        if not self.exists:
            return f"node {self.name} is not registered"
        if not self.ready:
            cause = ": ".join(part for part in (self.reason, self.message) if part)
            return f"node {self.name} is not Ready" + (f" ({cause})" if cause else "")
        if self.lease_age is None:
            return f"node {self.name} is Ready but has no Lease"
        if not self.fresh:
            return f"node {self.name} is Ready but its Lease is {self.lease_age:.0f} s old"
        return f"node {self.name} is Ready" + (" but cordoned" if self.cordoned else "")


async def node_state(kube: KubeClient, name: str, now: Now = utcnow) -> NodeState:
    """The node and its Lease as they are. Raises an ApiError or ClusterUnreachable."""
    try:
        node = await kube.get(NODES.path(name=name))
    except NotFound:
        return NodeState(name, exists=False)
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready: JSON = next((one for one in conditions if one["type"] == "Ready"), {})
    renewed, seconds = await _lease(kube, name)
    age = (now() - renewed).total_seconds() if renewed else None
    return NodeState(
        name,
        exists=True,
        ready=ready.get("status") == "True",
        reason=str(ready.get("reason") or ""),
        message=str(ready.get("message") or ""),
        lease_age=age,
        fresh=age is not None and age <= seconds,
        renewed=renewed,
        cordoned=bool((node.get("spec") or {}).get("unschedulable")),
    )


async def _lease(kube: KubeClient, name: str) -> tuple[datetime | None, float]:
    """When the node's Lease was renewed, and for how many seconds that is good."""
    try:
        lease = await kube.get(LEASES.path(NODE_LEASE_NAMESPACE, name))
    except NotFound:
        return None, 0
    spec = lease.get("spec") or {}
    renewed = spec.get("renewTime")
    seconds = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
    return (datetime.fromisoformat(renewed) if renewed else None), seconds


async def wait_node(
    kube: KubeClient, name: str, *, timeout: float, interval: float = POLL_SECONDS, now: Now = utcnow
) -> NodeState:
    """Wait until the node is Ready with a fresh Lease; `timeout` in seconds. Raises TimedOut.

    A cluster that does not answer for a moment is waited for like the node itself.
    """

    async def look() -> tuple[NodeState | None, str]:
        state = await node_state(kube, name, now)
        return (state if state.alive else None), str(state)

    return await _until(look, timeout=timeout, interval=interval)


async def wait_connector(
    kube: KubeClient,
    connector: Connector,
    *,
    namespace: str,
    timeout: float,
    say: Say,
    interval: float = POLL_SECONDS,
    now: Now = utcnow,
) -> tuple[NodeState, ...]:
    """Wait for the connector's Deployment and then for all its nodes; `timeout` in seconds for both.

    After an upgrade a node counts once a new pod is the node: until then it looks alive by what the old
    one said.

    `say` is told whenever what is waited for changes. Raises TimedOut with what was seen: why the pod
    waits, and the last lines of its log.
    """
    last = ""

    async def look() -> tuple[tuple[NodeState, ...] | None, str]:
        nonlocal last
        states: list[NodeState] = []
        seen = brief = await _unavailable(kube, connector, namespace)
        if not seen:
            for name in connector.node_names:
                states.append(await node_state(kube, name, now))
                if not states[-1].alive:
                    seen, brief = str(states[-1]), states[-1].brief
                    break
            else:
                seen = await _between_replicas(kube, connector, namespace, states)
                brief = seen or (str(states[0]) if len(states) == 1 else f"{len(states)} nodes are Ready")
        if brief != last:
            last = brief
            say(brief)
        return (None if seen else tuple(states)), seen

    try:
        return await _until(look, timeout=timeout, interval=interval)
    except TimedOut as error:
        seen = await evidence(kube, connector.release, namespace)
        raise TimedOut(
            "\n".join((error.message, *(f"  {line}" for line in seen))),
            hint=f"see more: kubectl -n {namespace} describe pod -l {by_release(connector.release)}",
        ) from None


async def _unavailable(kube: KubeClient, connector: Connector, namespace: str) -> str:
    """What the Deployment still lacks, or ""."""
    try:
        deployment = await kube.get(DEPLOYMENTS.path(namespace, connector.release))
    except NotFound:
        return f"Deployment {connector.release} does not exist"
    status = deployment.get("status") or {}
    wanted = int((deployment.get("spec") or {}).get("replicas") or 0)
    current = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    available = min(int(status.get("availableReplicas") or 0), int(status.get("updatedReplicas") or 0))
    if current and available >= wanted and not status.get("unavailableReplicas"):
        replaced = int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0)
        return f"Deployment {connector.release} has {replaced} old pods to end" if replaced > 0 else ""
    return f"Deployment {connector.release} has {available if current else 0} of {wanted} pods available"


async def _between_replicas(
    kube: KubeClient, connector: Connector, namespace: str, states: Sequence[NodeState]
) -> str:
    """Which of the nodes still has to be taken over by a pod that stays, or ""."""
    try:
        held = await shares(kube, connector, namespace)
        pods = await pods_of(kube, connector, namespace) if held else []
    except Forbidden:
        return ""
    staying = {pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}
    for state in states:
        share = held.get(state.name)
        # One pod writes both times: a Lease renewed since the node was taken is the new pod's word.
        if share and (share.holder not in staying or _before(state.renewed, share.since)):
            return f"node {state.name} is not taken over yet"
    return ""


def _before(first: datetime | None, second: datetime | None) -> bool:
    return first is not None and second is not None and first < second


async def _until(
    look: Callable[[], Awaitable[tuple[T | None, str]]], *, timeout: float, interval: float
) -> T:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        try:
            found, seen = await look()
            if found is not None:
                return found
        except ClusterUnreachable as error:
            seen = error.message
        if loop.time() + interval > deadline:
            raise TimedOut(f"after {timeout:.0f} s: {seen}")
        await asyncio.sleep(interval)
