"""The same scenarios on every provider, against a real API server: what a pod asks for is done, or it is
refused in words, and the API server and the cloud end up agreeing."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from support.eventually import eventually
from support.provider_places import PLACES, Place, opened

from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS
from vnodectl.runtime.kubelet import Kubelet, KubeletConfig
from vnodectl.runtime.provider import PodKey

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ISCSI = {"targetPortal": "10.0.2.15:3260", "iqn": "iqn.2001-04.com.example:storage", "lun": 0}


@dataclass
class Node:
    """A running node in front of a place."""

    client: KubeClient
    place: Place
    name: str

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[None]:
        """One life of the runtime; what it made stays."""
        provider = self.place.open(self.name)
        kubelet = Kubelet(self.client, provider, KubeletConfig(self.name, ("127.0.0.1",), kubelet_port=0))
        task = asyncio.create_task(kubelet.run(), name=f"kubelet {self.name}")
        try:
            await self.ready("True")
            yield
        finally:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            await self.place.close(provider)
            assert isinstance(result, asyncio.CancelledError), result

    eventually = staticmethod(eventually)

    async def ready(self, status: str) -> JSON:
        async def look() -> JSON:
            node = await self.client.get(NODES.path(name=self.name))
            found = [one for one in node.get("status", {}).get("conditions", ()) if one["type"] == "Ready"]
            return found[0] if found and found[0]["status"] == status else {}

        condition: JSON = await self.eventually(look)
        return condition

    async def create(self, name: str = "", *, command: str = "", **spec: Any) -> JSON:
        container: JSON = {"name": "c", "image": "shop/app:1"}
        if command:
            container["command"] = ["sh", "-c", command]
        body = {
            "metadata": {"name": name or f"p-{uuid.uuid4().hex[:8]}"},
            "spec": {
                "nodeName": self.name,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "containers": [container],
                **spec,
            },
        }
        return await self.client.create(PODS.path("default"), body)

    async def pod(self, pod: JSON) -> JSON:
        return await self.client.get(PODS.path("default", pod["metadata"]["name"]))

    async def phase(self, pod: JSON, phase: str) -> JSON:
        seen: JSON = await self.eventually(
            lambda: self.pod(pod), lambda seen: seen["status"].get("phase") == phase
        )
        return seen["status"]  # type: ignore[no-any-return]

    async def runs_or_refuses(self, pod: JSON, field: str) -> bool:
        """Whether the provider runs the pod; if it does not, it says in words which field it cannot do."""

        def settled(seen: JSON) -> bool:
            return seen["status"].get("phase") in ("Running", "Succeeded", "Failed")

        status = (await self.eventually(lambda: self.pod(pod), settled))["status"]
        if status["phase"] != "Failed":
            return True
        assert f"spec.{field}" in status["message"]
        await self.told(pod, status["reason"])
        return False

    async def delete(self, pod: JSON, **options: Any) -> None:
        await self.client.delete(PODS.path("default", pod["metadata"]["name"]), **options)

    async def gone(self, pod: JSON) -> None:
        """The object and the group."""

        async def look() -> bool:
            try:
                found = await self.pod(pod)
            except NotFound:
                return True
            return bool(found["metadata"]["uid"] != pod["metadata"]["uid"])

        await self.eventually(look)
        await self.without(key(pod))

    async def without(self, pod: PodKey) -> None:
        await self.eventually(lambda: self.place.keys(self.name), lambda keys: pod not in keys)

    async def reasons(self, pod: JSON) -> list[str]:
        found, _ = await self.client.list(
            EVENTS.path("default"), {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}"}
        )
        return [event["reason"] for event in found]

    async def told(self, pod: JSON, reason: str) -> None:
        await self.eventually(lambda: self.reasons(pod), lambda seen: reason in seen)


def key(pod: JSON) -> PodKey:
    meta = pod["metadata"]
    return PodKey(meta["namespace"], meta["name"], meta["uid"])


def conditions(status: JSON) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


async def sweep(client: KubeClient, name: str) -> None:
    pods, _ = await client.list(PODS.path(), {"fieldSelector": f"spec.nodeName={name}"})
    for pod in pods:
        try:
            await client.delete(PODS.path("default", pod["metadata"]["name"]), grace_seconds=0)
        except NotFound:
            continue
    try:
        await client.delete(NODES.path(name=name))
    except NotFound:
        return


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with opened(request.param) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(control_plane: Any) -> AsyncIterator[KubeClient]:
    async with await connect(control_plane.kubeconfig) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(client: KubeClient, place: Place) -> AsyncIterator[Node]:
    """One node per provider, that lives through all scenarios."""
    made = Node(client, place, f"vn-{place.name}-{uuid.uuid4().hex[:8]}")
    async with made.runtime():
        yield made
    await sweep(client, made.name)


@pytest_asyncio.fixture(loop_scope="module")
async def own(client: KubeClient, place: Place) -> AsyncIterator[Node]:
    """A node of the scenario's own, that it starts and stops itself."""
    made = Node(client, place, f"vn-{place.name}-{uuid.uuid4().hex[:8]}")
    yield made
    await sweep(client, made.name)
    async with made.runtime():
        await made.eventually(lambda: place.keys(made.name), lambda keys: not keys)
    await client.delete(NODES.path(name=made.name))


# --- running ------------------------------------------------------------------------------------------


async def test_a_pod_runs_says_so_in_full_and_goes(node: Node):
    pod = await node.create()
    status = await node.phase(pod, "Running")
    if node.place.addresses:
        assert status["podIP"] == status["podIPs"][0]["ip"]
    else:
        assert "podIP" not in status
    assert status["hostIP"] == "127.0.0.1"
    (one,) = status["containerStatuses"]
    assert one["state"]["running"]["startedAt"]
    assert one["containerID"]
    assert (one["image"], one["restartCount"]) == ("shop/app:1", 0)
    ready = await node.eventually(
        lambda: node.pod(pod), lambda seen: conditions(seen["status"]).get("Ready") == "True"
    )
    assert conditions(ready["status"]) | {"Initialized": "True", "ContainersReady": "True"} == conditions(
        ready["status"]
    )
    assert ready["status"]["qosClass"] == "BestEffort"
    await node.delete(pod)
    await node.gone(pod)


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
async def test_exit_codes_arrive_as_they_are(node: Node, code: int, phase: str, reason: str):
    pod = await node.create(command=f"exit {code}", restartPolicy="Never")
    status = await node.phase(pod, phase)
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    assert ended["startedAt"] <= ended["finishedAt"]
    assert conditions(status)["Ready"] == "False"
    await node.delete(pod)
    await node.gone(pod)


async def test_a_container_that_fails_is_started_again_and_its_last_end_is_shown(node: Node):
    pod = await node.create(command="sleep 0.2; exit 7")
    seen = await node.eventually(
        lambda: node.pod(pod),
        lambda seen: (seen["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0) >= 1,
    )
    assert seen["status"]["phase"] == "Running"

    def last(body: JSON) -> JSON:
        ended: JSON = body["status"]["containerStatuses"][0]["lastState"].get("terminated") or {}
        return ended

    ended = last(await node.eventually(lambda: node.pod(pod), last))
    assert ended["exitCode"] == 7


async def test_init_containers_come_first(node: Node):
    inits = [{"name": "first", "image": "shop/init:1", "command": ["sh", "-c", "sleep 0.3; exit 0"]}]
    pod = await node.create(initContainers=inits)
    status = await node.phase(pod, "Running")
    (init,) = status["initContainerStatuses"]
    assert init["state"]["terminated"]["reason"] == "Completed"
    assert conditions(status)["Initialized"] == "True"


async def test_a_failed_init_container_fails_a_pod_that_must_not_restart(node: Node):
    inits = [{"name": "first", "image": "shop/init:1", "command": ["sh", "-c", "exit 4"]}]
    pod = await node.create(initContainers=inits, restartPolicy="Never")
    await node.phase(pod, "Failed")

    def ended(seen: JSON) -> JSON:
        (init,) = seen["status"]["initContainerStatuses"]
        found: JSON = init["state"].get("terminated") or {}
        return found

    assert ended(await node.eventually(lambda: node.pod(pod), ended))["exitCode"] == 4


async def test_a_deadline_ends_the_pod(node: Node):
    pod = await node.create(activeDeadlineSeconds=2)
    await node.phase(pod, "Running")
    status = await node.phase(pod, "Failed")
    assert status["reason"] == "DeadlineExceeded"
    assert "terminated" in status["containerStatuses"][0]["state"]


# --- what pods refer to -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
async def test_what_is_mandatory_blocks_until_it_is_there(node: Node, kind: str):
    name, lower = f"late-{uuid.uuid4().hex[:8]}", kind[0].lower() + kind[1:]
    reference = {"name": "A", "valueFrom": {f"{lower}KeyRef": {"name": name, "key": "k"}}}
    pod = await node.create(containers=[{"name": "c", "image": "shop/app:1", "env": [reference]}])
    waiting = await node.eventually(lambda: node.pod(pod), lambda seen: "containerStatuses" in seen["status"])
    state = waiting["status"]["containerStatuses"][0]["state"]["waiting"]
    assert state["reason"] == "CreateContainerConfigError"
    await node.told(pod, f"Mandatory{kind}NotFound")
    resource = SECRETS if kind == "Secret" else CONFIG_MAPS
    value = base64.b64encode(b"v").decode() if kind == "Secret" else "v"
    await node.client.create(resource.path("default"), {"metadata": {"name": name}, "data": {"k": value}})
    async with asyncio.timeout(5):
        await node.phase(pod, "Running")
    await node.client.delete(resource.path("default", name))


async def test_what_is_optional_is_left_out_with_an_event(node: Node):
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "no-such", "key": "k", "optional": True}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "no-such", "key": "k", "optional": True}}},
    ]
    pod = await node.create(containers=[{"name": "c", "image": "shop/app:1", "env": env}])
    await node.phase(pod, "Running")
    await node.told(pod, "OptionalSecretNotFound")
    await node.told(pod, "OptionalConfigMapNotFound")


# --- what cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("hostNetwork", {"hostNetwork": True}),
        ("hostPID", {"hostPID": True}),
        (
            "volumes",
            {
                "volumes": [{"name": "v", "iscsi": ISCSI}],
                "containers": [
                    {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
                ],
            },
        ),
    ],
)
async def test_what_no_virtual_node_can_do_is_refused_by_field(node: Node, field: str, spec: JSON):
    pod = await node.create(**spec)
    status = await node.phase(pod, "Failed")
    assert status["reason"]
    assert f"spec.{field}" in status["message"]
    await node.told(pod, status["reason"])
    await node.delete(pod)
    await node.gone(pod)


async def test_sidecars_run_beside_the_others_or_are_refused(node: Node):
    side = {"name": "side", "image": "shop/side:1", "restartPolicy": "Always"}
    pod = await node.create(command="sleep 1; exit 0", restartPolicy="Never", initContainers=[side])
    if await node.runs_or_refuses(pod, "initContainers[0].restartPolicy"):
        status = await node.phase(pod, "Succeeded")
        ended = status["initContainerStatuses"][0]["state"]["terminated"]
        assert ended["finishedAt"] >= status["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
    await node.delete(pod)
    await node.gone(pod)


async def test_a_pre_stop_hook_is_carried_out_or_refused(node: Node):
    hook = {"preStop": {"exec": {"command": ["drain"]}}}
    pod = await node.create(containers=[{"name": "c", "image": "shop/app:1", "lifecycle": hook}])
    await node.runs_or_refuses(pod, "containers[0].lifecycle")
    await node.delete(pod)
    await node.gone(pod)


async def test_a_pull_secret_that_is_missing_is_said_and_the_pull_is_tried_without_it(node: Node):
    pod = await node.create(imagePullSecrets=[{"name": "no-such"}])
    await node.phase(pod, "Running")
    await node.told(pod, "FailedToRetrieveImagePullSecret")


# --- lives and deaths ---------------------------------------------------------------------------------


async def test_a_pod_of_the_same_name_is_another_pod(node: Node):
    name = f"twin-{uuid.uuid4().hex[:8]}"
    first = await node.create(name)
    await node.phase(first, "Running")
    await node.delete(first, grace_seconds=0)
    second = await node.create(name)
    await node.phase(second, "Running")
    await node.without(key(first))
    assert key(second) in await node.place.keys(node.name)


async def test_a_pod_that_is_deleted_at_once_leaves_nothing(node: Node):
    pods = [await node.create() for _ in range(3)]
    for pod, grace in zip(pods, (None, 0, 1), strict=True):
        await node.delete(pod, grace_seconds=grace)
    for pod in pods:
        await node.gone(pod)


async def test_a_group_that_vanishes_is_made_again_unless_the_pod_must_not_restart(node: Node):
    always = await node.create()
    never = await node.create(restartPolicy="Never")
    await node.phase(always, "Running")
    await node.phase(never, "Running")
    for pod in (always, never):
        await node.place.vanish(node.name, key(pod))
    status = await node.phase(never, "Failed")
    assert status["reason"] == "ContainerGroupGone"
    await node.told(always, "ContainerGroupGone")
    await node.eventually(lambda: node.place.keys(node.name), lambda keys: key(always) in keys)
    await node.phase(always, "Running")
    assert key(never) not in await node.place.keys(node.name)


async def test_a_restart_converges_without_touching_what_is_well(own: Node):
    async with own.runtime():
        kept, lost, dying = [await own.create() for _ in range(3)]
        for pod in (kept, lost, dying):
            await own.phase(pod, "Running")
        before = (await own.pod(kept))["status"]
    # While nobody looks: one pod goes by force, one is to go, one is new.
    await own.delete(lost, grace_seconds=0)
    await own.delete(dying)
    new = await own.create()
    async with own.runtime():
        await own.phase(new, "Running")
        await own.gone(lost)
        await own.gone(dying)
        after = (await own.pod(kept))["status"]
        assert after["containerStatuses"] == before["containerStatuses"]
        assert after["startTime"] == before["startTime"]
        assert await own.place.keys(own.name) == {key(kept), key(new)}
    assert "Killing" not in await own.reasons(kept)


async def test_a_node_that_is_deleted_comes_back_and_its_pods_live_on(own: Node):
    path = NODES.path(name=own.name)
    async with own.runtime():
        pod = await own.create()
        before = await own.phase(pod, "Running")
        uid = (await own.client.get(path))["metadata"]["uid"]
        await own.client.delete(path)
        await own.eventually(lambda: own.client.get(path), lambda seen: seen["metadata"]["uid"] != uid)
        await own.ready("True")
        assert (await own.pod(pod))["status"]["containerStatuses"] == before["containerStatuses"]
        assert await own.place.keys(own.name) == {key(pod)}


async def test_nodes_of_the_same_place_leave_each_other_alone(node: Node, own: Node):
    async with own.runtime():
        mine, theirs = await node.create(), await own.create()
        await node.phase(mine, "Running")
        await own.phase(theirs, "Running")
        assert key(theirs) not in await node.place.keys(node.name)
        await node.delete(mine)
        await node.gone(mine)
        assert await own.place.keys(own.name) == {key(theirs)}


async def test_an_outage_makes_the_node_unready_and_nothing_else(own: Node):
    async with own.runtime():
        pod = await own.create()
        before = await own.phase(pod, "Running")
        own.place.fail(True)
        try:
            unready = await own.ready("False")
            assert unready["reason"]
            assert unready["message"]
            assert (await own.pod(pod))["status"]["phase"] == "Running"
        finally:
            own.place.fail(False)
        await own.ready("True")
        assert (await own.pod(pod))["status"]["containerStatuses"] == before["containerStatuses"]
        assert await own.place.keys(own.name) == {key(pod)}


async def test_a_cloud_that_nobody_reaches_is_caught_up_with_when_it_is_back(client: KubeClient):
    async with opened("aci") as place:
        assert place.line is not None
        cut_off = Node(client, place, f"vn-cut-{uuid.uuid4().hex[:8]}")
        async with cut_off.runtime():
            stays, goes = await cut_off.create(), await cut_off.create()
            before = await cut_off.phase(stays, "Running")
            await cut_off.phase(goes, "Running")
            await place.line.cut()
            try:
                assert (await cut_off.ready("False"))["reason"] == "CloudUnreachable"
                comes = await cut_off.create()
                await cut_off.delete(goes)
                assert (await cut_off.pod(goes))["metadata"]["deletionTimestamp"]
                assert (await cut_off.pod(stays))["status"]["phase"] == "Running"
                assert (await cut_off.pod(comes))["status"]["phase"] == "Pending"
            finally:
                await place.line.up()
            await cut_off.ready("True")
            await cut_off.phase(comes, "Running")
            await cut_off.gone(goes)
            assert (await cut_off.pod(stays))["status"]["containerStatuses"] == before["containerStatuses"]
            assert await place.keys(cut_off.name) == {key(stays), key(comes)}
        await sweep(client, cut_off.name)
