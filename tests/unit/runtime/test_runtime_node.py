"""The Node and its Lease, hours of them, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from support import virtual_time
from support.memory_api import MemoryApi

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import Throttled
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import NODES
from vnodectl.runtime import clock as clocks
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.node import NodeConfig, NodeController
from vnodectl.runtime.node_events import NodeEvents
from vnodectl.runtime.provider import Health, NodeInfo, Retryable

JSON = dict[str, Any]

CONFIG = NodeConfig("vn-1", ("10.0.0.4",), 10250, "azure", labels={"team": "a"})
INFO = NodeInfo("linux", "amd64", {"cpu": "8", "memory": "32Gi", "pods": "20"})
FOREIGN_TAINT = {"key": "team", "value": "b", "effect": "NoExecute"}


@dataclass
class Room:
    api: MemoryApi
    node: NodeController
    info: list[Any]

    def object(self) -> JSON:
        found = self.api.find("nodes", "vn-1")
        assert found is not None
        return found

    def ready(self) -> tuple[str, str, str]:
        conditions = self.object()["status"]["conditions"]
        one = next(one for one in conditions if one["type"] == "Ready")
        return one["status"], one["reason"], one["message"]

    def events(self) -> list[str]:
        """Reasons in their order, as often as they were counted."""
        return [one["reason"] for one in self.api.all("events") for _ in range(one["count"])]

    def lease(self) -> JSON | None:
        return self.api.find("leases", "vn-1", "kube-node-lease")

    def renewed(self) -> float:
        """Seconds since the Lease was renewed."""
        lease = self.lease()
        assert lease is not None
        return virtual_time.clock() - clocks.parse(lease["spec"]["renewTime"])


@asynccontextmanager
async def a_node(
    api: MemoryApi | None = None, config: NodeConfig = CONFIG, info: NodeInfo = INFO, *, watched: bool = True
) -> AsyncIterator[Room]:
    api = api or MemoryApi()
    offers: list[Any] = [info]

    async def offer() -> NodeInfo:
        if isinstance(offers[0], Exception):
            raise offers[0]
        return offers[0]

    client: Any = api.client()
    events = EventRecorder(client, "vnodectl", config.name, virtual_time.clock)
    told = NodeEvents(events, config.name)
    node = NodeController(client, config, info, virtual_time.clock, "v1.36.3", events=told, offers=offer)
    watch = ListWatch(client, NODES.path(), node, params={"fieldSelector": "metadata.name=vn-1"})
    works = [node.run(), node.renew(), events.run(), *([watch.run()] if watched else [])]
    tasks = [asyncio.create_task(work, name=f"node {number}") for number, work in enumerate(works)]
    node.set_health(Health(True))
    try:
        await asyncio.sleep(1)
        yield Room(api, node, offers)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


def test_the_lease_lasts_forty_seconds_and_is_renewed_every_ten():
    async def main() -> None:
        async with a_node() as room:
            renewals = []
            for _ in range(600):
                await asyncio.sleep(1)
                renewals.append(room.renewed())
            lease = room.lease()
            assert lease is not None
            assert lease["spec"]["leaseDurationSeconds"] == 40
            assert lease["spec"]["holderIdentity"] == "vn-1"
            assert max(renewals) <= 10.1
            patches = [path for verb, path in room.api.requests if verb == "PATCH" and "leases" in path]
            assert 58 <= len(patches) <= 62

    virtual_time.run(main())


def test_a_node_at_rest_writes_its_status_every_few_minutes_and_nothing_more():
    async def main() -> None:
        async with a_node() as room:
            await asyncio.sleep(60)
            room.api.requests.clear()
            await asyncio.sleep(3600)
            written = [path for verb, path in room.api.requests if verb != "WATCH" and "/nodes" in path]
            assert set(written) == {"/api/v1/nodes/vn-1/status"}
            assert 12 <= len(written) <= 20
            beat = room.object()["status"]["conditions"][0]["lastHeartbeatTime"]
            assert virtual_time.clock() - clocks.parse(beat) <= 300

    virtual_time.run(main())


def test_trouble_of_the_provider_is_the_nodes_ready_condition_at_once():
    async def main() -> None:
        async with a_node() as room:
            assert room.ready()[:2] == ("True", "KubeletReady")
            room.node.set_health(Health(False, "CloudUnreachable", "no answer from the cloud"))
            await asyncio.sleep(0.5)
            assert room.ready() == ("False", "CloudUnreachable", "no answer from the cloud")
            assert room.renewed() <= 10.1  # the node itself lives
            room.node.set_health(Health(True))
            await asyncio.sleep(0.5)
            assert room.ready()[0] == "True"

    virtual_time.run(main())


def test_a_nodes_events_are_those_of_a_kubelet_once_per_change():
    async def main() -> None:
        async with a_node() as room:
            await asyncio.sleep(600)
            assert room.events() == ["Starting", "NodeReady"]
            for health in (Health(False, "CloudDown", "a"), Health(False, "CloudDown", "b"), Health(True)):
                room.node.set_health(health)
                await asyncio.sleep(60)
            assert room.events() == ["Starting", "NodeReady", "NodeReady", "NodeNotReady"]
            # After an outage of this process the cluster had given the node up.
            lost = room.object()
            conditions = [
                one | {"status": "Unknown"} if one["type"] == "Ready" else one
                for one in lost["status"]["conditions"]
            ]
            room.api.put("nodes", {**lost, "status": {**lost["status"], "conditions": conditions}})
            await asyncio.sleep(60)
            assert room.events().count("NodeReady") == 3
            for cordoned in (True, True, False):
                now = room.object()
                room.api.put("nodes", {**now, "spec": {**now["spec"], "unschedulable": cordoned}})
                await asyncio.sleep(60)
            assert room.events()[-2:] == ["NodeNotSchedulable", "NodeSchedulable"]
            last = room.api.all("events")[-1]
            assert last["message"] == "Node vn-1 status is now: NodeSchedulable"
            about = last["involvedObject"]
            assert (about["kind"], about["name"], about["uid"]) == ("Node", "vn-1", "vn-1")
            assert {one["type"] for one in room.api.all("events")} == {"Normal"}
            told = len(room.events())
            room.api.remove(("nodes", "", "vn-1"))
            await asyncio.sleep(60)
            assert len(room.events()) == told

    virtual_time.run(main())


def test_a_restart_finds_the_node_as_it_was_and_says_no_more_than_that():
    async def main() -> None:
        api = MemoryApi()
        async with a_node(api) as room:
            now = room.object()
            api.put("nodes", {**now, "spec": {**now["spec"], "unschedulable": True}})
            await asyncio.sleep(10)
            before = room.events()
        async with a_node(api) as room:
            await asyncio.sleep(300)
            assert room.events() == [*before, "Starting"]

    virtual_time.run(main())


def test_a_deleted_node_is_back_at_once_and_within_a_minute_where_nobody_told():
    async def main() -> None:
        for watched in (True, False):
            async with a_node(watched=watched) as room:
                await asyncio.sleep(100)
                uid = room.object()["metadata"]["uid"]
                room.api.remove(("nodes", "", "vn-1"))
                room.api.remove(("leases", "kube-node-lease", "vn-1"))
                if not watched:
                    room.node.set_health(Health(True, message="still well"))  # any reason to write
                await asyncio.sleep(59)
                assert room.object()["metadata"]["uid"] != uid
                assert room.ready()[0] == "True"
                lease = room.lease()
                assert lease is not None
                owner = lease["metadata"]["ownerReferences"][0]["uid"]
                assert owner == room.object()["metadata"]["uid"]

    virtual_time.run(main())


def test_what_is_no_longer_wanted_goes_and_what_others_put_there_stays():
    async def main() -> None:
        api = MemoryApi()
        info = replace(INFO, capacity={**INFO.capacity, "example.com/gpu": "2"}, labels={"zone": "1"})
        async with a_node(api, info=info) as room:
            by_others = {
                "metadata": {"labels": {"theirs": "x"}, "annotations": {"theirs": "y"}},
                "spec": {"taints": [*room.object()["spec"]["taints"], FOREIGN_TAINT], "unschedulable": True},
            }
            api.patch("/api/v1/nodes/vn-1", by_others)
            api.patch("/api/v1/nodes/vn-1/status", {"status": {"capacity": {"example.com/dongle": "4"}}})
            await asyncio.sleep(1)
        config = replace(CONFIG, labels={"tier": "b"}, taint="", addresses=("10.0.0.5", "fd00::5"))
        async with a_node(api, config, replace(INFO, capacity={**INFO.capacity, "cpu": "16"})) as room:
            await asyncio.sleep(1)
            node = room.object()
            labels = node["metadata"]["labels"]
            assert (labels["tier"], labels["theirs"]) == ("b", "x")
            assert not {"team", "zone", "type"} & labels.keys()
            assert node["metadata"]["annotations"]["theirs"] == "y"
            assert node["spec"]["taints"] == [FOREIGN_TAINT]
            assert node["spec"]["unschedulable"] is True
            assert [one["address"] for one in node["status"]["addresses"]] == ["10.0.0.5", "fd00::5", "vn-1"]
            for resources in (node["status"]["capacity"], node["status"]["allocatable"]):
                assert resources["cpu"] == "16"
                assert "example.com/gpu" not in resources
            assert node["status"]["capacity"]["example.com/dongle"] == "4"

    virtual_time.run(main())


def test_another_value_of_our_taint_takes_the_place_of_the_first():
    async def main() -> None:
        api = MemoryApi()
        async with a_node(api):
            pass
        config = replace(CONFIG, taint="alibabacloud", taint_effect="NoExecute")
        async with a_node(api, config) as room:
            await asyncio.sleep(1)
            assert room.object()["spec"]["taints"] == [
                {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoExecute"}
            ]

    virtual_time.run(main())


def test_an_annotation_that_is_spoilt_costs_nothing():
    async def main() -> None:
        async with a_node() as room:
            for text in ("nonsense", "[1]", '{"labels": 3}', None):
                spoilt = {"metadata": {"annotations": {"vnodectl.io/managed": text}}}
                room.api.patch("/api/v1/nodes/vn-1", spoilt)
                room.node.set_health(Health(True, message=f"after {text}"))
                await asyncio.sleep(1)
                assert room.object()["metadata"]["labels"]["team"] == "a"
                assert "team" in room.object()["metadata"]["annotations"]["vnodectl.io/managed"]

    virtual_time.run(main())


def test_what_the_provider_offers_is_asked_again():
    async def main() -> None:
        async with a_node() as room:
            room.info[0] = Retryable("Busy", "not now")
            await asyncio.sleep(600)
            assert room.object()["status"]["capacity"]["cpu"] == "8"
            room.info[0] = replace(INFO, capacity={"cpu": "80", "pods": "20"})
            await asyncio.sleep(300)
            assert room.object()["status"]["allocatable"] == {"cpu": "80", "pods": "20"}

    virtual_time.run(main())


def test_an_outage_of_the_api_server_is_ridden_out():
    async def main() -> None:
        async with a_node() as room:
            room.api.down = True
            room.api.cut_watches()
            await asyncio.sleep(300)
            assert not room.node.alive
            said = room.object()
            said["status"]["conditions"] = [
                {**one, "status": "Unknown", "reason": "NodeStatusUnknown"}
                for one in said["status"]["conditions"]
            ]
            room.api.put("nodes", said)
            room.api.down = False
            await asyncio.sleep(3)
            assert room.renewed() <= 10.1
            assert room.node.alive
            await asyncio.sleep(30)
            assert room.ready()[0] == "True"

    virtual_time.run(main())


def test_throttling_and_lost_answers_do_not_lose_the_lease():
    async def main() -> None:
        async with a_node() as room:
            turns = 0

            def trouble(verb: str, path: str) -> tuple[str, Exception] | None:
                nonlocal turns
                turns += 1
                if turns % 3 == 0:
                    return "before", Throttled(429, "TooManyRequests", "slow down", retry_after=1.0)
                return ("after", ClusterUnreachable("no answer")) if turns % 3 == 1 else None

            room.api.trouble = trouble
            worst = 0.0
            for _ in range(900):
                await asyncio.sleep(1)
                worst = max(worst, room.renewed())
            assert worst < 40

    virtual_time.run(main())


def test_it_ends_when_told_to_whatever_happens_in_that_moment():
    """`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes with what it waits for."""

    async def main() -> None:
        for turns in range(8):
            async with a_node() as room:
                await asyncio.sleep(30)
                task = next(one for one in asyncio.all_tasks() if one.get_name() == "node 0")
                room.node.set_health(Health(False, "Down", str(turns)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task], timeout=5)
                assert task.cancelled(), turns

    virtual_time.run(main())
