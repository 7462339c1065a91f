"""Is the virtual node alive? Waiting for it, and saying what was seen where it does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vnodectl.connector.evidence import by_release, evidence
from vnodectl.connector.names import Connector
from vnodectl.errors import ClusterUnreachable, TimedOut
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import DEPLOYMENTS, LEASES, NODE_LEASE_NAMESPACE, NODES

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Now = Callable[[], datetime]
Say = Callable[[str], None]

LEASE_SECONDS = 40
"""How long a kubelet's Lease counts as fresh where it does not say itself (the kubelet's own default)."""

POLL_SECONDS = 0.5


def utcnow() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as seen now. `lease_age` in seconds since its Lease was renewed, None where it has none."""

    name: str
    exists: bool
    ready: bool = False
    reason: str = ""
    message: str = ""
    lease_age: float | None = None
    fresh: bool = False

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
        return f"node {self.name} is Ready"


async def node_state(kube: KubeClient, name: str, now: Now = utcnow) -> NodeState:
    """The node and its Lease as they are. Raises an ApiError or ClusterUnreachable."""
    try:
        node = await kube.get(NODES.path(name=name))
    except NotFound:
        return NodeState(name, exists=False)
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready: JSON = next((one for one in conditions if one["type"] == "Ready"), {})
    age, fresh = await _lease(kube, name, now)
    return NodeState(
        name,
        exists=True,
        ready=ready.get("status") == "True",
        reason=str(ready.get("reason") or ""),
        message=str(ready.get("message") or ""),
        lease_age=age,
        fresh=fresh,
    )


async def _lease(kube: KubeClient, name: str, now: Now) -> tuple[float | None, bool]:
    try:
        lease = await kube.get(LEASES.path(NODE_LEASE_NAMESPACE, name))
    except NotFound:
        return None, False
    spec = lease.get("spec") or {}
    renewed = spec.get("renewTime")
    if not renewed:
        return None, False
    age = (now() - datetime.fromisoformat(renewed)).total_seconds()
    return age, age <= float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)


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
) -> NodeState:
    """Wait for the connector's Deployment and then for its node; `timeout` in seconds for both.

    `say` is told whenever what is waited for changes. Raises TimedOut with what was seen: why the pod
    waits, and the last lines of its log.
    """
    last = ""

    async def look() -> tuple[NodeState | None, str]:
        nonlocal last
        missing = await _unavailable(kube, connector, namespace)
        state = None if missing else await node_state(kube, connector.node, now)
        brief = state.brief if state is not None else missing
        if brief != last:
            last = brief
            say(brief)
        return (state if state is not None and state.alive else None), missing or str(state)

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
        return ""
    return f"Deployment {connector.release} has {available if current else 0} of {wanted} pods available"


async def _until(
    look: Callable[[], Awaitable[tuple[NodeState | None, str]]], *, timeout: float, interval: float
) -> NodeState:
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
