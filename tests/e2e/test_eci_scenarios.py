"""Pods on the emulated Elastic Container Instance, with a real API server: what the whole of it does.

The cluster, the runtime, the provider and Alibaba Cloud's SDK are real; ECI is the emulator, in this process,
and its containers are simulated. What holds for every provider is in test_runtime_scenarios_providers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from support.eci_cloud import BRISK, KEY, REGION, SECRET, SETTINGS, alibaba_settings, seed
from support.eventually import eventually

from vnodectl.clouds.alibaba import AlibabaSession
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.emulator.clock import Clock
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import EVENTS, NODES, PODS
from vnodectl.providers.eci import Profile, create_provider
from vnodectl.runtime.kubelet import Kubelet, KubeletConfig

pytestmark = pytest.mark.e2e

DEADLINE = 40.0


@dataclass
class Scene:
    """A cluster, an emulated cloud, and the name of a node; `node` runs the connector."""

    client: KubeClient
    emulator: AlibabaEmulator
    name: str
    profile: Profile = field(default_factory=Profile)
    pods: list[JSON] = field(default_factory=list)

    @asynccontextmanager
    async def node(self) -> AsyncIterator[None]:
        async with AlibabaSession(alibaba_settings(self.emulator)) as session:
            provider = create_provider(
                session,
                SETTINGS,
                node_name=self.name,
                connector=self.name,
                capacity={"cpu": "800", "memory": "4Ti", "pods": "800"},
                profile=lambda: self.profile,
                pacing=BRISK,
            )
            kubelet = Kubelet(self.client, provider, KubeletConfig(self.name, ("127.0.0.1",), kubelet_port=0))
            task = asyncio.create_task(kubelet.run(), name="kubelet under test")
            try:
                await self.eventually(lambda: self.client.get(NODES.path(name=self.name)))
                yield
            finally:
                task.cancel()
                result = (await asyncio.gather(task, return_exceptions=True))[0]
                await provider.aclose()
                assert isinstance(result, asyncio.CancelledError), result

    eventually = staticmethod(partial(eventually, seconds=DEADLINE))

    async def create(self, name: str = "", **spec: Any) -> JSON:
        body = {
            "metadata": {"name": name or f"p-{uuid.uuid4().hex[:8]}", **spec.pop("metadata", {})},
            "spec": {
                "nodeName": self.name,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": "i"}],
                **spec,
            },
        }
        pod = await self.client.create(PODS.path("default"), body)
        self.pods.append(pod)
        return pod

    async def pod(self, pod: JSON) -> JSON:
        return await self.client.get(PODS.path("default", pod["metadata"]["name"]))

    async def phase(self, pod: JSON, phase: str) -> JSON:
        return await self.eventually(lambda: self.pod(pod), lambda seen: seen["status"].get("phase") == phase)

    async def delete(self, pod: JSON, **options: Any) -> None:
        await self.client.delete(PODS.path("default", pod["metadata"]["name"]), **options)

    async def gone(self, pod: JSON) -> None:
        async def look() -> bool:
            try:
                found = await self.pod(pod)
            except NotFound:
                return True
            return found["metadata"]["uid"] != pod["metadata"]["uid"]

        await self.eventually(look)

    async def events(self, pod: JSON) -> list[tuple[str, str]]:
        """(reason, message)."""
        found, _ = await self.client.list(
            EVENTS.path("default"), {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}"}
        )
        return [(event["reason"], event["message"]) for event in found]

    async def ready(self) -> tuple[str, str]:
        """Status and reason of the node's Ready condition."""
        node = await self.client.get(NODES.path(name=self.name))
        conditions = node["status"].get("conditions") or ()
        found = [(one["status"], one["reason"]) for one in conditions if one["type"] == "Ready"]
        return found[0] if found else ("Unknown", "")

    async def no_groups(self) -> None:
        async def look() -> bool:
            return not self.emulator.lifecycle.groups

        await self.eventually(look)

    def user(self, *, active: bool = True, policies: tuple[str, ...] = ("AliyunECIFullAccess",)) -> None:
        """The connector's RAM user, seeded anew."""
        key = {"id": KEY, "secret": SECRET, "active": active}
        self.emulator.seed(
            {"users": [{"name": "connector", "policies": list(policies), "accessKeys": [key]}]}
        )


@pytest_asyncio.fixture
async def scene(control_plane: Any) -> AsyncIterator[Scene]:
    clock = Clock()
    engine = SimulatedEngine(home=None, clock=clock)
    await engine.start()
    async with (
        await connect(control_plane.kubeconfig) as client,
        AlibabaEmulator(config_of(seed()), engine=engine, clock=clock) as emulator,
    ):
        made = Scene(client, emulator, f"eci-{uuid.uuid4().hex[:8]}")
        try:
            yield made
        finally:
            for pod in made.pods:
                with suppress(NotFound):
                    await made.delete(pod, grace_seconds=0)
            with suppress(NotFound):
                await client.delete(NODES.path(name=made.name))
    await engine.aclose(remove=True)


def script(line: str) -> list[JSON]:
    return [{"name": "c", "image": "i", "command": ["/bin/sh", "-c", line]}]


# --- life -----------------------------------------------------------------------------------------


async def test_a_pod_runs_and_goes_and_leaves_nothing(scene: Scene) -> None:
    async with scene.node():
        pod = await scene.create()
        seen = await scene.phase(pod, "Running")
        (group,) = scene.emulator.lifecycle.groups.values()
        assert seen["status"]["podIP"] == group.ip
        (status,) = seen["status"]["containerStatuses"]
        assert status["ready"]
        assert status["containerID"].startswith(f"eci://{group.id}/")
        tags = group.tags
        assert (tags["vnodectl-uid"], tags["vnodectl-node"]) == (pod["metadata"]["uid"], scene.name)
        await scene.delete(pod)
        await scene.gone(pod)
        assert not scene.emulator.lifecycle.groups, "the object goes when the group has gone"


async def test_a_job_with_an_init_container_ends_with_its_exit_code(scene: Scene) -> None:
    async with scene.node():
        pod = await scene.create(
            restartPolicy="Never",
            initContainers=[{"name": "first", "image": "i", "command": ["/bin/sh", "-c", "exit 0"]}],
            containers=script("sleep 1; exit 3"),
        )
        seen = await scene.phase(pod, "Failed")
        ended = seen["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")

        def initialised(seen: JSON) -> bool:
            first = (seen["status"].get("initContainerStatuses") or [{}])[0]
            return "terminated" in (first.get("state") or {})

        seen = await scene.eventually(lambda: scene.pod(pod), initialised)
        assert seen["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        await scene.delete(pod)
        await scene.gone(pod)
        await scene.no_groups()


async def test_a_restart_adopts_what_runs_and_sweeps_what_lost_its_pod(scene: Scene) -> None:
    async with scene.node():
        kept, lost = await scene.create(), await scene.create()
        await scene.phase(kept, "Running")
        await scene.phase(lost, "Running")
    groups = scene.emulator.lifecycle.groups
    (left,) = [one for one in groups.values() if one.tags["vnodectl-uid"] == kept["metadata"]["uid"]]
    await scene.delete(lost, grace_seconds=0)
    async with scene.node():

        async def swept() -> bool:
            return list(groups) == [left.id]

        await scene.eventually(swept)
        assert (await scene.pod(kept))["status"]["phase"] == "Running"
        counters = scene.emulator.gateway.recorder.counters()
        creates = [one for one in counters if one["template"] == "eci:CreateContainerGroup"]
        assert sum(one["count"] for one in creates) == 2, "nothing was made again"


# --- what goes wrong, is told, and is mended ------------------------------------------------------


def _no_key(scene: Scene) -> None:
    scene.user(active=False)


def _no_right(scene: Scene) -> None:
    scene.user(policies=("AliyunECIReadOnlyAccess",))


def _no_vswitch(scene: Scene) -> None:
    scene.profile = Profile(vswitches=("vsw-late",))


def _a_vswitch(scene: Scene) -> None:
    scene.emulator.seed({"vswitches": [{"id": "vsw-late", "vpc": "vpc-1", "zone": f"{REGION}-h"}]})


def _no_group(scene: Scene) -> None:
    scene.profile = Profile(security_group="sg-late")


def _a_group(scene: Scene) -> None:
    scene.emulator.seed({"securityGroups": [{"id": "sg-late", "vpc": "vpc-1"}]})


def _quota(vcpu: float) -> Callable[[Scene], None]:
    return lambda scene: scene.emulator.change_setting("quotas", {REGION: {"vcpu": vcpu}})


def _stock(stock: float | None) -> Callable[[Scene], None]:
    return lambda scene: scene.emulator.change_setting("stock", {f"{REGION}-h": stock, f"{REGION}-i": stock})


def _zones(*, schedulable: bool) -> Callable[[Scene], None]:
    """Groups are accepted, and then there turns out to be no room for them."""
    zones = [{"id": f"{REGION}-{letter}", "schedulable": schedulable} for letter in "hi"]
    return lambda scene: scene.emulator.change_setting("regions", [{"id": REGION, "zones": zones}])


@pytest.mark.parametrize(
    ("broken", "mended", "reason", "said"),
    [
        (_no_vswitch, _a_vswitch, "InvalidVSwitchIdNotFound", "InvalidVSwitchId.NotFound"),
        (_no_group, _a_group, "InvalidSecurityGroupIdNotFound", "InvalidSecurityGroupId.NotFound"),
        (_no_key, Scene.user, "InvalidAccessKeyIdInactive", "InvalidAccessKeyId.Inactive"),
        (_no_right, Scene.user, "ForbiddenRAM", "Forbidden.RAM"),
        (_quota(0), _quota(100), "QuotaExceeded", "QuotaExceeded: vCPU"),
        (_stock(0), _stock(None), "OperationDeniedNoStock", "OperationDenied.NoStock"),
        (_zones(schedulable=False), _zones(schedulable=True), "NoStock", "out of stock"),
    ],
    ids=["vswitch", "security-group", "key", "right", "quota", "stock", "stock-after-acceptance"],
)
async def test_the_pod_says_why_it_waits_and_runs_once_that_is_mended(
    scene: Scene,
    broken: Callable[[Scene], None],
    mended: Callable[[Scene], None],
    reason: str,
    said: str,
) -> None:
    async with scene.node():
        await scene.eventually(scene.ready, lambda seen: seen[0] == "True")
        broken(scene)
        pod = await scene.create()
        waiting = await scene.eventually(
            lambda: scene.pod(pod), lambda seen: seen["status"].get("reason") == reason
        )
        assert waiting["status"]["phase"] == "Pending"
        assert said in waiting["status"]["message"]
        state = waiting["status"]["containerStatuses"][0]["state"]["waiting"]
        assert said in state["message"]
        ready = next(one for one in waiting["status"]["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "False"

        def told(events: list[tuple[str, str]]) -> bool:
            return any(one == reason and said in message for one, message in events)

        await scene.eventually(lambda: scene.events(pod), told)
        mended(scene)
        seen = await scene.phase(pod, "Running")
        assert "reason" not in seen["status"]
        assert len(scene.emulator.lifecycle.groups) == 1


async def test_a_key_that_does_not_work_makes_the_node_not_ready_and_no_pod_go(scene: Scene) -> None:
    dead = ("False", "InvalidAccessKeyIdInactive")
    _no_key(scene)
    async with scene.node():
        pod = await scene.create()
        await scene.eventually(scene.ready, lambda seen: seen == dead)
        waiting = await scene.eventually(
            lambda: scene.pod(pod), lambda seen: seen["status"].get("reason") == dead[1]
        )
        assert "InvalidAccessKeyId.Inactive" in waiting["status"]["message"]
        scene.user()
        await scene.phase(pod, "Running")
        _no_key(scene)
        await scene.eventually(scene.ready, lambda seen: seen == dead)
        assert (await scene.pod(pod))["status"]["phase"] == "Running"
        scene.user()
        await scene.eventually(scene.ready, lambda seen: seen[0] == "True")
        assert len(scene.emulator.lifecycle.groups) == 1


# --- kubectl --------------------------------------------------------------------------------------


async def test_kubectl_reads_logs_and_runs_commands(scene: Scene, control_plane: Any) -> None:
    async def kubectl(*arguments: str) -> str:
        done = await asyncio.to_thread(control_plane.run, "kubectl", *arguments)
        return str(done.stdout)

    async with scene.node():
        pod = await scene.create()
        await scene.phase(pod, "Running")
        name = pod["metadata"]["name"]
        assert await kubectl("logs", name)
        assert await kubectl("exec", name, "--", "echo", "hello")
        refused = await asyncio.to_thread(
            control_plane.run, "kubectl", "attach", "-i", name, check=False, stdin=""
        )
        assert "kubectl exec" in refused.stderr
