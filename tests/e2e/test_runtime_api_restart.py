"""The API server itself is ended and started again, while a node of ours is at work."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.fake_provider import FakeProvider, running
from support.sandboxes import Sandbox, start, stop
from support.world import World, a_world, key

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import ApiError
from vnodectl.kube.resources import NODES
from vnodectl.runtime.provider import Gone, PodKey, ResolvedPod, Seen
from vnodectl.sandbox import processes
from vnodectl.sandbox.layout import Layout, Record
from vnodectl.sandbox.programs import tied_to_parent

pytestmark = pytest.mark.e2e


@pytest.fixture
def own_control_plane(cache: Path, kubernetes: tuple[str, ...]) -> Iterator[Sandbox]:
    """Not the session's: after this nothing of it is what its supervisor started."""
    name = f"test-restart-{os.getpid()}"
    try:
        yield start(cache, name, "--nodes", "0", "--cloud", "none", *kubernetes)
    finally:
        stop(cache, name)


@dataclass
class ApiServer:
    """The process, by what the sandbox and /proc say of it."""

    pid: int
    started: int
    log: Path
    argv: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    ours: asyncio.subprocess.Process | None = None

    @staticmethod
    def of(sandbox: Sandbox) -> ApiServer:
        record = Record.load(Layout(sandbox.home, sandbox.name).record)
        assert record is not None
        one = next(one for one in record.components if one.name == "kube-apiserver")
        made = ApiServer(one.pid, one.started, Path(one.log))
        proc = Path("/proc") / str(one.pid)
        made.argv = (proc / "cmdline").read_text().rstrip("\0").split("\0")
        variables = (proc / "environ").read_text().rstrip("\0").split("\0")
        made.env = dict(variable.split("=", 1) for variable in variables)
        made.cwd = str((proc / "cwd").readlink())
        return made

    @asynccontextmanager
    async def away(self, how: signal.Signals, client: KubeClient) -> AsyncIterator[None]:
        """Ended inside; started again afterwards, until it answers.

        After TERM it takes no more calls, but waits a minute for who watches: it is killed then.
        """
        assert processes.send(self.pid, self.started, how)
        try:
            async with asyncio.timeout(2):
                await self._ended()
        except TimeoutError:
            assert processes.send(self.pid, self.started, signal.SIGKILL)
            await self._ended()
        try:
            yield
        finally:
            await self.start()
            async with asyncio.timeout(30):
                await answers(client)

    async def _ended(self) -> None:
        await (self.ours.wait() if self.ours else processes.ended(self.pid, self.started))

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.ours = await asyncio.create_subprocess_exec(
                *self.argv,
                cwd=self.cwd,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tied_to_parent(),
            )
        self.pid, self.started = self.ours.pid, processes.start_time(self.ours.pid) or 0


async def answers(client: KubeClient) -> None:
    """Returns once the server is ready."""
    while True:
        try:
            async with client.stream("GET", "/readyz", timeout=5):
                return
        except (ClusterUnreachable, ApiError):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def restartable(sandbox: Sandbox) -> AsyncIterator[ApiServer]:
    server = ApiServer.of(sandbox)
    try:
        yield server
    finally:
        if server.ours is not None and server.ours.returncode is None:
            server.ours.kill()
            await server.ours.wait()


class SlowCloud(FakeProvider):
    """Once `slow`, a group takes until the test says so to be made."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.made: dict[PodKey, asyncio.Event] = {}

    async def create(self, pod: ResolvedPod) -> None:
        if self.slow:
            await self.made.setdefault(pod.key, asyncio.Event()).wait()
        await super().create(pod)


def restarted(pod: ResolvedPod, times: int) -> JSON:
    """What the cloud says once the pod's container was restarted."""
    fragment = running(pod)
    fragment["containerStatuses"][0] |= {"restartCount": times, "containerID": f"fake://{times}"}
    return fragment


async def restart_at_work(
    world: World,
    cloud: SlowCloud,
    server: ApiServer,
    how: signal.Signals,
    said: pytest.LogCaptureFixture,
    *,
    changes: JSON,
    times: int,
) -> tuple[JSON, JSON]:
    """One pod is being created, one deleted, one changes while the server is away; gives the first two."""
    goes = await world.create()
    await world.phase(goes, "Running")
    cloud.slow = cloud.keep_deleted = True
    comes = await world.create()
    await world.delete(goes)
    await until(lambda: key(comes) in cloud.made and key(goes) in [one for one, _ in cloud.deleted])

    async with server.away(how, world.client):
        with pytest.raises(ClusterUnreachable):
            await world.client.get("/version")
        said.clear()
        # The cloud goes on. Nobody can be told of it, as is tried.
        cloud.made[key(comes)].set()
        cloud.groups.pop(key(goes))
        cloud.say(Gone(key(goes)))
        cloud.say(Seen(key(changes), restarted(cloud.groups[key(changes)], times)))
        for pod in (comes, goes, changes):
            await until(lambda pod=pod: f"pod {key(pod)}: cannot reach" in said.text)

    await world.phase(comes, "Running")
    await world.gone(goes)
    await world.eventually(
        lambda: world.pod(changes),
        lambda seen: seen["status"]["containerStatuses"][0]["restartCount"] == times,
    )
    cloud.slow = cloud.keep_deleted = False
    return comes, goes


async def test_a_restarted_api_server_finds_the_node_as_it_was(
    own_control_plane: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    cloud = SlowCloud()
    async with restartable(own_control_plane) as server, a_world(own_control_plane.kubeconfig) as world:
        world.provider = cloud
        async with world.node():
            stays = [await world.create() for _ in range(3)]
            for pod in stays:
                await world.phase(pod, "Running")
            before = await world.eventually(lambda: world.client.get(NODES.path(name=world.name)), ready)
            ended = []
            for times, how in enumerate((signal.SIGTERM, signal.SIGKILL), 1):  # in good order, and a crash
                comes, goes = await restart_at_work(
                    world, cloud, server, how, caplog, changes=stays[0], times=times
                )
                stays.append(comes)
                ended.append(goes)
            # The watch is whole, too: what happens now arrives.
            last = await world.create()
            await world.phase(last, "Running")
            await world.delete(last)
            await world.gone(last)

            for pod in stays:
                found = await world.pod(pod)
                assert found["metadata"]["uid"] == pod["metadata"]["uid"]
                assert "deletionTimestamp" not in found["metadata"]
                assert found["status"]["phase"] == "Running"
            after = await world.client.get(NODES.path(name=world.name))
            assert after["metadata"]["uid"] == before["metadata"]["uid"]
            assert ready(after) == ready(before)  # since the same moment
            assert await world.node_events() == {"Starting": 1, "NodeReady": 1}
        everything = [*stays, *ended, last]
        assert sorted(one.key for one in cloud.created) == sorted(map(key, everything))
        assert sorted(one for one, _ in cloud.deleted) == sorted(map(key, [*ended, last]))
        assert set(cloud.groups) == set(map(key, stays))


def ready(node: JSON) -> str:
    """Since when it is Ready; "" while it is not."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = (one for one in conditions if one["type"] == "Ready" and one["status"] == "True")
    return next((str(one["lastTransitionTime"]) for one in ready), "")


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a state in memory, written by the code under test
            await asyncio.sleep(0.02)
