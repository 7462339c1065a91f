"""A node of ours in this process, on a real API server, with a provider that does what the test says."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from support.eventually import eventually
from support.fake_provider import FakeProvider

from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import EVENTS, NODES, PODS
from vnodectl.runtime.kubelet import Kubelet, KubeletConfig
from vnodectl.runtime.provider import PodKey


@dataclass
class World:
    """A cluster, a node's name and a provider; `node` runs the runtime."""

    client: KubeClient
    name: str
    provider: FakeProvider

    @asynccontextmanager
    async def node(
        self, provider: FakeProvider | None = None, client: KubeClient | None = None
    ) -> AsyncIterator[None]:
        config = KubeletConfig(self.name, ("127.0.0.1",), kubelet_port=0)
        kubelet = Kubelet(client or self.client, provider or self.provider, config)
        task = asyncio.create_task(kubelet.run(), name="kubelet under test")
        try:
            await self.eventually(lambda: self.client.get(NODES.path(name=self.name)))
            yield
        finally:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(result, asyncio.CancelledError), result

    eventually = staticmethod(eventually)

    async def create(self, name: str = "", **spec) -> JSON:
        body = {
            "metadata": {"name": name or f"p-{uuid.uuid4().hex[:8]}", **spec.pop("metadata", {})},
            "spec": {
                "nodeName": self.name,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 5,
                "containers": [{"name": "c", "image": "i"}],
                **spec,
            },
        }
        return await self.client.create(PODS.path("default"), body)

    async def pod(self, pod: JSON) -> JSON:
        return await self.client.get(PODS.path("default", pod["metadata"]["name"]))

    async def phase(self, pod: JSON, phase: str) -> JSON:
        return await self.eventually(lambda: self.pod(pod), lambda seen: seen["status"].get("phase") == phase)

    async def delete(self, pod: JSON, **options) -> None:
        await self.client.delete(PODS.path("default", pod["metadata"]["name"]), **options)

    async def gone(self, pod: JSON) -> None:
        async def look() -> bool:
            try:
                found = await self.pod(pod)
            except NotFound:
                return True
            return found["metadata"]["uid"] != pod["metadata"]["uid"]

        await self.eventually(look)

    async def events(self, pod: JSON) -> list[str]:
        found, _ = await self.client.list(
            EVENTS.path("default"), {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}"}
        )
        return [event["reason"] for event in found]

    async def node_events(self) -> dict[str, int]:
        """How often each was told by us; the controllers' own have the Node's UID instead of its name."""
        found, _ = await self.client.list(
            EVENTS.path("default"),
            {"fieldSelector": f"involvedObject.kind=Node,involvedObject.uid={self.name}"},
        )
        return {one["reason"]: one["count"] for one in found if one["source"]["component"] == "vnodectl"}


def key(pod: JSON) -> PodKey:
    meta = pod["metadata"]
    return PodKey(meta["namespace"], meta["name"], meta["uid"])


@asynccontextmanager
async def a_world(kubeconfig: str) -> AsyncIterator[World]:
    """Its pods and its node are gone at the end."""
    async with await connect(kubeconfig) as client:
        made = World(client, f"vn-{uuid.uuid4().hex[:8]}", FakeProvider())
        try:
            yield made
        finally:
            pods, _ = await client.list(PODS.path(), {"fieldSelector": f"spec.nodeName={made.name}"})
            for pod in pods:
                path = PODS.path("default", pod["metadata"]["name"])
                await client.patch(path, {"metadata": {"finalizers": None}})
                try:
                    await client.delete(path, grace_seconds=0)
                except NotFound:
                    continue
            try:
                await client.delete(NODES.path(name=made.name))
            except NotFound:
                return
