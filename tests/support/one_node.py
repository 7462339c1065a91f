"""A node without its HTTP API: pods in a Kubernetes API in memory, and a provider of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support import virtual_time
from support.exposition import parse
from support.fake_provider import FakeProvider
from support.memory_api import MemoryApi

from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import PODS
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.pods import PodController
from vnodectl.runtime.provider import PodKey

JSON = dict[str, Any]
NODE = "vn-1"


@dataclass
class Node:
    api: MemoryApi
    provider: Any
    metrics: NodeMetrics = field(default_factory=NodeMetrics)
    facts: NodeFacts = field(default_factory=lambda: NodeFacts(NODE, ("10.1.1.1",), {}))

    def create(self, name: str = "p", *, annotations: JSON | None = None, **spec: Any) -> PodKey:
        mounts = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in spec.get("volumes") or ()]
        spec.setdefault("containers", [{"name": "c", "image": "i", "volumeMounts": mounts}])
        body = self.api.put(
            "pods",
            {
                "metadata": {"name": name, "generation": 1, "annotations": annotations or {}},
                "spec": {
                    "nodeName": NODE,
                    "enableServiceLinks": False,
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    **spec,
                },
                "status": {"phase": "Pending"},
            },
            "default",
        )
        return PodKey("default", name, body["metadata"]["uid"])

    def pod(self, name: str = "p") -> JSON:
        found = self.api.find("pods", name, "default")
        assert found is not None
        return found

    def status(self, name: str = "p") -> JSON:
        status: JSON = self.pod(name)["status"]
        return status

    def container(self, name: str = "p") -> JSON:
        one: JSON = self.status(name)["containerStatuses"][0]
        return one

    def delete(self, name: str = "p", grace: int | None = None) -> None:
        self.api.delete(PODS.path("default", name), None, grace)

    def exists(self, name: str = "p") -> bool:
        return self.api.find("pods", name, "default") is not None

    def events(self, name: str = "p") -> list[tuple[str, str, str]]:
        return [
            (one["type"], one["reason"], one["message"])
            for one in self.api.all("events")
            if one["involvedObject"]["name"] == name
        ]

    def calls(self, operation: Operation) -> dict[str, float]:
        """How often the provider was asked for it, by outcome; what never happened is left out."""
        family = parse(self.metrics.text())["vnodectl_provider_calls_total"]
        return {
            dict(labels)["outcome"]: count
            for (_, labels), count in family.samples.items()
            if count and dict(labels)["operation"] == operation
        }

    def reasons(self, name: str = "p") -> list[str]:
        return [reason for _, reason, _ in self.events(name)]


@asynccontextmanager
async def a_node(provider: Any = None, api: MemoryApi | None = None) -> AsyncIterator[Node]:
    made = Node(api or MemoryApi(), provider or FakeProvider())
    client: Any = made.api.client()
    lookups = Lookups(client, lambda: made.facts)
    events = EventRecorder(client, "test", NODE, virtual_time.clock)
    controller = PodController(
        client,
        made.provider,
        lookups,
        events,
        node=lambda: made.facts,
        clock=virtual_time.clock,
        on_health=lambda _: None,
        metrics=made.metrics,
    )
    watch = ListWatch(client, PODS.path(), controller, params={"fieldSelector": f"spec.nodeName={NODE}"})
    works = [controller.observe(), controller.refresh(), events.run(), watch.run()]
    works += [controller.work() for _ in range(4)]
    tasks = [asyncio.create_task(work, name=f"runtime {number}") for number, work in enumerate(works)]
    try:
        await asyncio.sleep(0.1)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await controller.aclose()
        await lookups.aclose()


def fragment(*, state: JSON, container_id: str = "fake://1", restarts: int = 0, **more: Any) -> JSON:
    one = {"name": "c", "image": "i", "imageID": "sha256:1", "containerID": container_id, "state": state}
    ready = "running" in state
    one |= {"ready": ready, "started": ready, "restartCount": restarts, "lastState": {}}
    return {"podIP": "10.1.0.9", "containerStatuses": [one], **more}


RUNNING: JSON = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}


def ended(code: int) -> JSON:
    times = {"startedAt": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:00:09Z"}
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", **times}}
