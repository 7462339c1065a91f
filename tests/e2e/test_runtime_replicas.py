"""Replicas share nodes out by Leases, against a real API server."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.leases import Timing
from vnodectl.kube.resources import LEASES
from vnodectl.runtime.sharing import NodeShares, Place, RunNode

pytestmark = pytest.mark.e2e

TIMING = Timing(duration=2, deadline=1.2, period=0.3)
SLOW = Timing(duration=600, deadline=500, period=0.3)
"""Leases that do not run out within a test: whoever gets one was given it."""


class CutOff(KubeClient):
    """A client whose network can be taken away."""

    cut = False

    @asynccontextmanager
    async def stream(self, *args, **options):
        if self.cut:
            raise ClusterUnreachable("the network is gone")
        async with super().stream(*args, **options) as response:
            yield response


@dataclass
class History:
    """Who was which node, from when to when; two at a time is what must never be."""

    now: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    clashes: list[str] = field(default_factory=list)
    dead: list[BaseException] = field(default_factory=list)

    @asynccontextmanager
    async def being(self, node: str, replica: str) -> AsyncIterator[None]:
        if node in self.now:
            self.clashes.append(f"{node}: {self.now[node]} and {replica}")
        self.now[node] = replica
        self.changed.set()
        try:
            yield
        finally:
            if self.now.get(node) == replica:
                del self.now[node]
            self.changed.set()

    def ended(self, task: asyncio.Task) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.dead.append(error)
            self.changed.set()

    async def until(self, condition) -> None:
        """Until `condition(counts by replica)` holds; what ended a replica meanwhile is raised."""
        async with asyncio.timeout(60):
            while not condition(self.counts()):
                if self.dead:
                    raise self.dead[0]
                self.changed.clear()
                await self.changed.wait()

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for replica in self.now.values():
            found[replica] = found.get(replica, 0) + 1
        return found


@dataclass
class Fleet:
    client: CutOff
    kubeconfig: str
    connector: str
    timing: Timing = TIMING
    history: History = field(default_factory=History)
    tasks: dict[str, asyncio.Task] = field(default_factory=dict)
    clients: dict[str, CutOff] = field(default_factory=dict)

    async def join(self, replica: str) -> None:
        async def run(node: str) -> None:
            async with self.history.being(node, replica):
                await asyncio.Event().wait()

        task = await self.start(replica, run)
        task.add_done_callback(self.history.ended)

    async def start(self, replica: str, run: RunNode) -> asyncio.Task:
        """Names are the test's own: what a call sent before its test ended may still make one of them."""
        client = self.clients[replica] = await own_client(self.kubeconfig)
        place = Place("default", self.connector, f"{self.connector}-{replica}")
        nodes = [f"{self.connector}-{number}" for number in range(1, 5)]
        shares = NodeShares(client, place, nodes, run, clock=time.time, timing=self.timing)
        task = self.tasks[replica] = asyncio.create_task(shares.run(), name=f"replica {replica}")
        return task

    async def leave(self, replica: str) -> None:
        task = self.tasks.pop(replica)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.clients.pop(replica).aclose()


async def own_client(kubeconfig: str) -> CutOff:
    async with await connect(kubeconfig) as client:
        return CutOff(client.configuration)


@pytest_asyncio.fixture
async def fleet(control_plane) -> AsyncIterator[Fleet]:
    client = await own_client(control_plane.kubeconfig)
    made = Fleet(client, control_plane.kubeconfig, f"c-{uuid.uuid4().hex[:8]}")
    try:
        yield made
    finally:
        for replica in list(made.tasks):
            await made.leave(replica)
        leases, _ = await client.list(
            LEASES.path("default"), {"labelSelector": f"vnodectl.io/connector={made.connector}"}
        )
        for lease in leases:
            await client.delete(LEASES.path("default", lease["metadata"]["name"]))
        await client.aclose()
        assert made.history.clashes == []


async def test_one_replica_is_every_node(fleet: Fleet):
    await fleet.join("a")
    await fleet.history.until(lambda counts: counts == {"a": 4})


async def test_a_second_replica_gets_its_half_and_gives_it_back_when_it_leaves(fleet: Fleet):
    fleet.timing = SLOW
    await fleet.join("a")
    await fleet.history.until(lambda counts: counts == {"a": 4})
    await fleet.join("b")
    await fleet.history.until(lambda counts: counts == {"a": 2, "b": 2})
    await fleet.leave("b")
    await fleet.history.until(lambda counts: counts == {"a": 4})


async def test_three_replicas_share_four_nodes(fleet: Fleet):
    for name in ("a", "b", "c"):
        await fleet.join(name)
    await fleet.history.until(
        lambda counts: sum(counts.values()) == 4 and len(counts) >= 2 and max(counts.values()) == 2
    )


async def test_a_replica_that_loses_the_api_server_stops_before_another_takes_over(fleet: Fleet):
    await fleet.join("a")
    await fleet.history.until(lambda counts: counts == {"a": 4})
    await fleet.join("b")
    await fleet.history.until(lambda counts: counts == {"a": 2, "b": 2})
    fleet.clients["a"].cut = True
    await fleet.history.until(lambda counts: "a" not in counts)
    await fleet.history.until(lambda counts: counts == {"b": 4})
    fleet.clients["a"].cut = False
    await fleet.history.until(lambda counts: counts == {"a": 2, "b": 2})


async def test_a_node_that_fails_ends_its_replica_and_is_taken_over(fleet: Fleet):
    fleet.timing = SLOW
    await fleet.join("b")
    await fleet.history.until(lambda counts: counts == {"b": 4})
    failing = asyncio.Event()

    async def run(node: str) -> None:
        async with fleet.history.being(node, "a"):
            await failing.wait()
            raise ValueError("broken")

    task = await fleet.start("a", run)
    await fleet.history.until(lambda counts: counts == {"a": 2, "b": 2})
    failing.set()
    with pytest.raises(ValueError, match="broken"):
        await task
    await fleet.history.until(lambda counts: counts == {"b": 4})
