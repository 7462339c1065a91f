"""Which replica is which node: nodes are shared out evenly over the replicas that live, by Leases.

Every replica keeps a Lease of its own, so that all know how many there are, and holds one per node that it
is. A replica takes free nodes up to its share and gives up what it has beyond it; one that dies, or loses
the API server, has stopped being its nodes before another can become them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import NotFound
from vnodectl.kube.leases import LeaseLock, Observed, Timing
from vnodectl.kube.resources import LEASES
from vnodectl.runtime.clock import Clock, rfc3339_micro

log = logging.getLogger(__name__)

CONNECTOR_LABEL = "vnodectl.io/connector"
ROLE_LABEL = "vnodectl.io/lease"
_NODE, _REPLICA = "node", "replica"

RunNode = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the Leases are: one namespace, one connector (its release name), this replica's name."""

    namespace: str
    connector: str
    replica: str


class _LeaseLost(Exception):
    """A node's Lease was not renewed in time: another replica may become the node any moment."""


class _Held:
    """One node that this replica is, until its Lease was not renewed for `deadline` seconds."""

    def __init__(self, node: str, run_node: RunNode, deadline: float) -> None:
        self._deadline = deadline
        self.stopping = False
        self._limit = asyncio.timeout_at(asyncio.get_running_loop().time() + deadline)
        self.task = asyncio.create_task(self._run(node, run_node), name=f"node {node}")

    def renewed(self, at: float) -> None:
        """`at`: loop time just before the renewal was sent. Too late for one that has been told to stop."""
        if not self.task.done() and not self._limit.expired():
            self._limit.reschedule(at + self._deadline)

    def stop(self) -> None:
        """Tell it to stop, once; `task` is done when it has."""
        if not self.stopping:
            self.stopping = True
            self.task.cancel()

    async def _run(self, node: str, run_node: RunNode) -> None:
        try:
            async with self._limit:
                await run_node(node)
        except TimeoutError:
            if not self._limit.expired():
                raise
            raise _LeaseLost from None
        raise RuntimeError(f"node {node} ended by itself")


class NodeShares:
    """`run` until cancelled; it then has stopped its nodes and given their Leases back.

    `run_node` is one node: it runs until cancelled, and whatever else ends it means another try.
    """

    def __init__(
        self,
        client: KubeClient,
        place: Place,
        nodes: Sequence[str],
        run_node: RunNode,
        *,
        clock: Clock,
        timing: Timing | None = None,
    ) -> None:
        self._client = client
        self._place = place
        self._nodes = tuple(nodes)
        self._run_node = run_node
        self._clock = clock
        self._timing = timing or Timing()
        self._held: dict[str, _Held] = {}
        self._unlisted: dict[str, str] = {}
        """Leases that exist without this connector's label, by name, and who was last told to hold them."""
        self._heard_at = float("-inf")

    def unready(self) -> str:
        """Empty while the Leases can be read and written; a replica without a node is ready to get one."""
        heard = asyncio.get_running_loop().time() - self._heard_at < self._timing.duration
        return "" if heard else "the leases of this connector cannot be read or renewed"

    async def run(self) -> None:
        """Raises what ended a node, once all of this replica's nodes are stopped."""
        loop = asyncio.get_running_loop()
        observed = Observed(loop.time)
        replica = self._lock(self._replica_lease)
        try:
            while True:
                began = loop.time()
                try:
                    async with asyncio.timeout(self._timing.deadline / 2):
                        await self._round(observed, replica)
                        self._heard_at = loop.time()
                except (VnodectlError, TimeoutError) as error:
                    log.warning("leases of %s: %s", self._place.connector, error or "no answer in time")
                await self._pause(began + self._timing.period)
        finally:
            await asyncio.shield(self._leave())

    async def _pause(self, until: float) -> None:
        """Until the next round, or until one of the nodes ends."""
        delay = max(0.0, until - asyncio.get_running_loop().time())
        tasks = [held.task for held in self._held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(delay)
        for node, held in list(self._held.items()):
            if held.task.done():
                try:
                    if not held.task.cancelled():
                        held.task.result()
                except _LeaseLost:
                    log.warning("node %s: its lease could not be renewed; stopped", node)
                del self._held[node]

    async def _round(self, observed: Observed, replica: LeaseLock) -> None:
        selector = f"{CONNECTOR_LABEL}={self._place.connector}"
        leases, _ = await self._client.list(
            LEASES.path(self._place.namespace), {"labelSelector": selector}, timeout=self._timing.period
        )
        by_name = {lease["metadata"]["name"]: lease for lease in leases}
        by_name |= await self._read_unlisted(by_name)
        observed.update(list(by_name.values()))
        await self._keep(replica, by_name.get(self._replica_lease))
        others = {
            observed.holder(lease)
            for lease in leases
            if lease["metadata"]["labels"].get(ROLE_LABEL) == _REPLICA
        } - {"", self._place.replica}
        share = math.ceil(len(self._nodes) / (len(others) + 1))
        for node in self._nodes:
            await self._settle(node, by_name.get(self._lease(node)), observed, share)

    async def _read_unlisted(self, listed: Mapping[str, JSON]) -> dict[str, JSON]:
        """Leases of our names that another connector made: a lock is its name, whatever its labels."""
        found = {}
        for name in list(self._unlisted):
            if name in listed:
                del self._unlisted[name]
                continue
            try:
                path = LEASES.path(self._place.namespace, name)
                found[name] = await self._client.get(path, timeout=self._timing.period)
            except NotFound:
                del self._unlisted[name]
        return found

    async def _settle(self, node: str, lease: JSON | None, observed: Observed, share: int) -> None:
        """One node: renew it, take it, give it up, or leave it to its holder."""
        name, held, me = self._lease(node), self._held.get(node), self._place.replica
        lock = self._lock(name)
        now = asyncio.get_running_loop().time()
        room = share - sum(not one.stopping for one in self._held.values())
        holder = observed.holder(lease) if lease is not None else ""
        if held is not None and lease is not None and _holder(lease) == me:
            if room < 0 and not held.stopping:
                log.info("node %s: given up for another replica", node)
                held.stop()
            # A node that is stopping is still this replica's; its Lease is given back when it has stopped.
            if await lock.renew(lease):
                held.renewed(now)
        elif held is not None:
            if not held.stopping:
                by = f"held by {holder}" if holder else "gone"
                log.warning("node %s: its lease is %s; stopping", node, by)
                held.stop()
        elif holder not in ("", me):
            if self._unlisted.get(name, holder) != holder:
                self._unlisted[name] = holder
                message = "node %s: its lease is held by %s, who is not of connector %s; waiting"
                log.warning(message, node, holder, self._place.connector)
        elif room > 0:
            if await self._take(lock, name, lease, _NODE):
                log.info("node %s: taken by %s", node, me)
                self._held[node] = _Held(node, self._run_node, self._timing.deadline)
        elif holder == me:
            await lock.release()

    async def _keep(self, lock: LeaseLock, lease: JSON | None) -> None:
        name = self._replica_lease
        if lease is None or name in self._unlisted or _holder(lease) != self._place.replica:
            await self._take(lock, name, lease, _REPLICA)
        else:
            await lock.renew(lease)

    async def _take(self, lock: LeaseLock, name: str, lease: JSON | None, role: str) -> bool:
        taken = await lock.take(lease, self._labels(role))
        if lease is None and not taken:
            self._unlisted.setdefault(name, "")
        return taken

    async def _leave(self) -> None:
        """Stop everything, then let the others have it at once, as far as the API server can be reached."""
        for held in self._held.values():
            held.stop()
        await asyncio.gather(*(held.task for held in self._held.values()), return_exceptions=True)
        nodes = list(self._held)
        self._held.clear()
        try:
            async with asyncio.timeout(2):
                for node in nodes:
                    await self._lock(self._lease(node)).release()
                await self._client.delete(LEASES.path(self._place.namespace, self._replica_lease))
        except (VnodectlError, TimeoutError):
            log.warning("leases of %s could not be given back; they expire", self._place.connector)

    # --- names ------------------------------------------------------------------------------------

    @property
    def _replica_lease(self) -> str:
        return f"replica-{self._place.replica}"

    def _lease(self, node: str) -> str:
        return f"node-{node}"

    def _labels(self, role: str) -> dict[str, str]:
        return {CONNECTOR_LABEL: self._place.connector, ROLE_LABEL: role}

    def _lock(self, name: str) -> LeaseLock:
        return LeaseLock(
            self._client,
            self._place.namespace,
            name,
            self._place.replica,
            timing=self._timing,
            stamp=lambda: rfc3339_micro(self._clock()),
        )


def _holder(lease: JSON) -> str:
    """Who the Lease says holds it, however long ago that was."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
