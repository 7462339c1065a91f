"""`vnodectl agent` as a process: how it starts, hands over and comes back, against a real API server."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.sandboxes import Sandbox

from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import LEASES, NODES, PODS
from vnodectl.runtime.http.csr import CERTIFICATE_SIGNING_REQUESTS

pytestmark = pytest.mark.e2e

JSON = dict[str, Any]
PATIENCE = 60


@dataclass
class World:
    """One node, which any number of agents may be in turn: they share the engine's state."""

    client: KubeClient
    environment: dict[str, str]
    work: Path
    node: str

    @asynccontextmanager
    async def agent(self, *options: str, log: str = "agent") -> AsyncIterator[asyncio.subprocess.Process]:
        argv = ("agent", "--node-name", self.node, "--provider", "local", "--node-ip", "127.0.0.1")
        environment = {
            **self.environment,
            "VNODECTL_LOCAL_ENGINE": "simulated",
            "VNODECTL_LOCAL_STATE_DIR": str(self.work),
            "VNODECTL_KUBELET_PORT": "0",
            "VNODECTL_LOG_FORMAT": "json",
        }
        with (self.work / f"{log}.log").open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vnodectl", *argv, *options, env=environment, stdout=out, stderr=out
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            process._transport.close()  # type: ignore[attr-defined]

    def said(self, log: str = "agent") -> list[JSON]:
        return [json.loads(line) for line in (self.work / f"{log}.log").read_text().splitlines()]

    async def until(self, look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool] = bool) -> Any:
        """What `look` gives once it is wanted."""
        seen: Any = None
        try:
            async with asyncio.timeout(30):
                while True:
                    with suppress(NotFound):
                        seen = await look()
                        if wanted(seen):
                            return seen
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not in time; last seen: {seen}") from None

    async def ready(self) -> JSON:
        def is_ready(node: JSON) -> bool:
            conditions = {one["type"]: one["status"] for one in node["status"].get("conditions") or ()}
            return conditions.get("Ready") == "True"

        found: JSON = await self.until(lambda: self.client.get(NODES.path(name=self.node)), is_ready)
        return found

    async def running(self, name: str) -> JSON:
        found: JSON = await self.until(
            lambda: self.client.get(PODS.path("default", name)),
            lambda pod: pod["status"]["phase"] == "Running",
        )
        return found

    async def create(self, name: str) -> None:
        containers = [{"name": "main", "image": "any"}]
        spec = {"nodeName": self.node, "automountServiceAccountToken": False, "containers": containers}
        await self.client.create(PODS.path("default"), {"metadata": {"name": name}, "spec": spec})

    async def holder(self) -> str:
        lease = await self.client.get(LEASES.path("default", f"node-{self.node}"))
        return str(lease["spec"].get("holderIdentity") or "")


@pytest_asyncio.fixture
async def world(control_plane: Sandbox, tmp_path: Path) -> AsyncIterator[World]:
    async with await connect(control_plane.kubeconfig) as client:
        made = World(client, dict(control_plane.environment), tmp_path, f"vn-{uuid.uuid4().hex[:8]}")
        yield made
        pods, _ = await client.list(PODS.path(), {"fieldSelector": f"spec.nodeName={made.node}"})
        for pod in pods:
            await client.delete(PODS.path("default", pod["metadata"]["name"]), grace_seconds=0)
        for path in (NODES.path(name=made.node), LEASES.path("default", f"node-{made.node}")):
            with suppress(NotFound):
                await client.delete(path)


async def test_sigterm_hands_over_at_once_and_nothing_is_touched(world: World) -> None:
    shared = ("--lease-namespace", "default")
    async with world.agent(*shared, "--replica", "a", log="a") as first:
        await world.ready()
        await world.create("kept")
        before = await world.running("kept")
        async with world.agent(*shared, "--replica", "b", log="b"):
            replicas = {"labelSelector": f"vnodectl.io/connector={world.node},vnodectl.io/lease=replica"}

            async def both() -> bool:
                return len((await world.client.list(LEASES.path("default"), replicas))[0]) == 2

            await world.until(both)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.wait(), PATIENCE) == 0
            # Nobody has to wait for a Lease to run out: they are given back.
            assert await world.holder() in ("", "b")
            (left,) = (await world.client.list(LEASES.path("default"), replicas))[0]
            assert left["spec"]["holderIdentity"] == "b"
            await world.until(world.holder, lambda holder: holder == "b")
            await world.create("new")
            await world.running("new")
            after = await world.running("kept")
            assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_restart_converges_and_writes_to_no_healthy_pod(world: World) -> None:
    names = [f"{world.node}-{number}" for number in range(20)]
    async with world.agent() as process:
        await world.ready()
        await asyncio.gather(*(world.create(name) for name in names))
        before = {name: await world.running(name) for name in names}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    # What happens meanwhile is caught up with.
    await world.client.delete(PODS.path("default", names[0]))
    async with world.agent():

        async def gone() -> bool:
            try:
                await world.client.get(PODS.path("default", names[0]))
            except NotFound:
                return True
            return False

        await world.until(gone)
        await world.create("later")
        await world.running("later")
        for name in names[1:]:
            pod = await world.client.get(PODS.path("default", name))
            assert pod["metadata"]["resourceVersion"] == before[name]["metadata"]["resourceVersion"]


async def test_csr_serves_nothing_until_the_cluster_has_signed(world: World) -> None:
    async with world.agent("--serving-certificate", "csr"):
        node = await world.ready()
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]

        async def request() -> JSON | None:
            found, _ = await world.client.list(CERTIFICATE_SIGNING_REQUESTS.path())
            return next((one for one in found if one["metadata"]["name"].startswith(f"{world.node}-")), None)

        made = await world.until(request)
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await handshake(port, world.client.ssl_context())
        condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "says the test"}
        path = CERTIFICATE_SIGNING_REQUESTS.path(name=made["metadata"]["name"], subresource="approval")
        await world.client.replace(path, {**made, "status": {"conditions": [condition]}})

        async def served() -> bool:
            try:  # verified: by the cluster's CA, for the node's address
                await handshake(port, world.client.ssl_context())
            except (ssl.SSLError, ConnectionResetError):
                return False
            return True

        await world.until(served)
    # Requests go with the node, so that nothing is left of it.
    await world.client.delete(NODES.path(name=world.node))
    await world.until(request, lambda found: found is None)


async def handshake(port: int, tls: ssl.SSLContext) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1")
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def test_records_about_a_pod_carry_its_keys(world: World) -> None:
    async with world.agent() as process:
        await world.ready()
        await world.create("lone")
        pod = await world.running("lone")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    # A group whose pod vanished behind the agent's back is worth a record.
    await world.client.delete(PODS.path("default", "lone"), grace_seconds=0)
    async with world.agent(log="next"):

        async def told() -> list[JSON]:
            return [one for one in world.said("next") if one.get("podUID") == pod["metadata"]["uid"]]

        records = await world.until(told)
        assert records[0]["namespace"] == "default"
        assert records[0]["pod"] == "lone"
        assert records[0]["node"] == world.node


async def test_what_cannot_be_served_is_said_with_code_1(world: World) -> None:
    missing = str(world.work / "missing.pem")
    async with world.agent("--serving-cert-file", missing, "--serving-key-file", missing) as process:
        assert await asyncio.wait_for(process.wait(), 30) == 1
    assert "the kubelet API cannot be served" in (world.work / "agent.log").read_text()
