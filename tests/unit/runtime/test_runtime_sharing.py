"""Nodes shared out over replicas, where the API server and the nodes are slow or strange, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.memory_api import MemoryApi
from support.virtual_time import clock, run

from vnodectl.kube.leases import Timing
from vnodectl.runtime.sharing import NodeShares, Place

TIMING = Timing(duration=10, deadline=7, period=2)
NODES = ("vn-1", "vn-2")


class Replica:
    """One replica of connector `c`; `stopping` is what each of its nodes does when it is told to stop."""

    def __init__(
        self, api: MemoryApi, name: str, stopping: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.running: list[str] = []
        self.started: list[str] = []
        self._stopping = stopping
        self.client = api.client()
        self.shares = NodeShares(
            self.client, Place("default", "c", name), NODES, self._run_node, clock=clock, timing=TIMING
        )

    async def _run_node(self, node: str) -> None:
        assert node not in self.running
        self.started.append(node)
        self.running.append(node)
        try:
            await asyncio.Event().wait()
        finally:
            if self._stopping is not None:
                await self._stopping()
            self.running.remove(node)


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    """While the block runs. What ended a replica before that is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replica.shares.run()) for replica in replicas]
        yield
        for task in tasks:
            task.cancel()


def lease(name: str, holder: str, **labels: str) -> dict:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": TIMING.duration}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.mark.parametrize("late", [0.0, 0.4, 0.9, 1.3, 1.8])
def test_the_nodes_of_a_replica_that_is_gone_are_taken_over_within_fifteen_seconds(late: float):
    """Wherever in its round it goes."""

    async def main() -> None:
        api = MemoryApi()
        a, b = Replica(api, "a"), Replica(api, "b")
        async with running(b):
            dead = asyncio.create_task(a.shares.run())
            await asyncio.sleep(60)
            assert (len(a.running), len(b.running)) == (1, 1)
            await asyncio.sleep(late)
            a.client.cut = True
            await asyncio.sleep(15)
            assert sorted(b.running) == sorted(NODES)
            dead.cancel()
            await asyncio.gather(dead, return_exceptions=True)

    run(main())


def test_a_lease_that_another_connector_left_is_taken_once_it_has_run_out():
    async def main() -> None:
        api = MemoryApi()
        api.put("leases", lease("node-vn-1", "gone", **{"vnodectl.io/connector": "other"}), "default")
        replica = Replica(api, "a")
        async with running(replica):
            await asyncio.sleep(TIMING.duration - TIMING.period)
            assert replica.running == ["vn-2"]
            await asyncio.sleep(3 * TIMING.period)
            assert sorted(replica.running) == ["vn-1", "vn-2"]
            taken = api.find("leases", "node-vn-1", "default")
            assert taken is not None
            assert taken["metadata"]["labels"]["vnodectl.io/connector"] == "c"

    run(main())


def test_a_node_that_another_connector_holds_is_left_to_it_and_told_once(caplog):
    async def main() -> None:
        api = MemoryApi()
        replica = Replica(api, "a")

        async def hold() -> None:
            for at in range(20):
                held = lease("node-vn-1", "somebody") | {"at": at}
                api.put("leases", held, "default")
                await asyncio.sleep(1)

        async with running(replica):
            await hold()
            assert replica.running == ["vn-2"]
        told = [record.getMessage() for record in caplog.records if "somebody" in record.getMessage()]
        assert told == ["node vn-1: its lease is held by somebody, who is not of connector c; waiting"]

    run(main())


def test_a_replica_whose_own_lease_was_left_by_another_connector_counts():
    async def main() -> None:
        api = MemoryApi()
        api.put("leases", lease("replica-b", "b"), "default")
        a, b = Replica(api, "a"), Replica(api, "b")
        async with running(a, b):
            await asyncio.sleep(2 * TIMING.duration)
            assert (len(a.running), len(b.running)) == (1, 1)

    run(main())


def test_a_node_that_stops_slowly_when_its_lease_is_lost_comes_back_when_the_server_does():
    async def main() -> None:
        api = MemoryApi()
        replica = Replica(api, "a", lambda: asyncio.sleep(5))
        async with running(replica):
            await asyncio.sleep(5)
            assert len(replica.running) == 2
            api.down = True
            # Its nodes have been told to stop, and are at it, when the server answers again.
            await asyncio.sleep(TIMING.deadline + 1)
            api.down = False
            await asyncio.sleep(20)
            assert len(replica.running) == 2
            assert len(replica.started) == 4

    run(main())


def test_a_node_that_stops_more_slowly_than_a_round_lasts_is_given_up_once_and_only_when_it_has_stopped():
    async def main() -> None:
        api = MemoryApi()
        a, b = Replica(api, "a", lambda: asyncio.sleep(6)), Replica(api, "b")
        async with running(a):
            await asyncio.sleep(5)
            async with running(b):
                for _ in range(40):
                    await asyncio.sleep(0.5)
                    assert not set(a.running) & set(b.running)
                assert (len(a.running), len(b.running)) == (1, 1)
                assert sorted(a.started) == sorted(NODES), "a node was stopped and started for nothing"

    run(main())
