"""The runtime against a real API server, with a provider that does what the test says."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from support.cut_line import line_to
from support.fake_provider import FakeProvider, running
from support.world import World, a_world, key

from vnodectl.kube.client import JSON
from vnodectl.kube.config import connect
from vnodectl.kube.resources import LEASES, NODE_LEASE_NAMESPACE, NODES, PODS, SECRETS
from vnodectl.runtime.provider import Gone, Health, Listed, PodKey, Rejected, Retryable, Seen

pytestmark = pytest.mark.e2e


@pytest_asyncio.fixture
async def world(control_plane) -> AsyncIterator[World]:
    async with a_world(control_plane.kubeconfig) as made:
        yield made


async def test_a_pod_runs_and_goes(world: World):
    async with world.node():
        pod = await world.create()
        seen = await world.phase(pod, "Running")
        assert seen["status"]["podIP"] == "10.1.0.9"
        assert seen["status"]["hostIP"] == "127.0.0.1"
        await world.delete(pod)
        await world.gone(pod)
    assert world.provider.deleted == [(key(pod), 5.0)]


async def test_the_object_stays_until_the_group_is_gone(world: World):
    world.provider.keep_deleted = True
    async with world.node():
        pod = await world.create()
        await world.phase(pod, "Running")
        await world.delete(pod)

        async def asked() -> bool:
            return bool(world.provider.deleted)

        await world.eventually(asked)
        assert (await world.pod(pod))["metadata"]["deletionTimestamp"]
        world.provider.say(Gone(key(pod)))
        await world.gone(pod)


async def test_a_pod_of_the_same_name_is_another_pod(world: World):
    async with world.node():
        first = await world.create("twin")
        await world.phase(first, "Running")
        await world.delete(first, grace_seconds=0)
        second = await world.create("twin")
        await world.phase(second, "Running")

        async def agreed() -> bool:
            return list(world.provider.groups) == [key(second)]

        await world.eventually(agreed)


async def test_a_pod_deleted_before_it_could_be_created_leaves_nothing(world: World):
    world.provider.fail = [Retryable("NoCapacity", "none left", retry_after=60.0)]
    async with world.node():
        pod = await world.create()
        waiting = await world.eventually(
            lambda: world.pod(pod), lambda seen: seen["status"].get("reason") == "NoCapacity"
        )
        assert waiting["status"]["phase"] == "Pending"
        assert waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == "none left"
        await world.delete(pod)
        await world.gone(pod)
    assert world.provider.groups == {}


async def test_what_may_succeed_later_is_tried_again(world: World):
    world.provider.fail = [Retryable("Throttled", "slow down", retry_after=0.05)]
    async with world.node():
        pod = await world.create()
        seen = await world.phase(pod, "Running")
        assert "reason" not in seen["status"]
        await world.eventually(lambda: world.events(pod), lambda seen: "Throttled" in seen)


async def test_what_can_never_run_fails_at_once_and_names_the_field(world: World):
    world.provider.fail = [Rejected("UnsupportedVolume", "hostPath is not there", field="spec.volumes[0]")]
    async with world.node():
        pod = await world.create()
        seen = await world.phase(pod, "Failed")
        assert seen["status"]["reason"] == "UnsupportedVolume"
        assert "spec.volumes[0]" in seen["status"]["message"]
        await world.eventually(lambda: world.events(pod), lambda seen: "UnsupportedVolume" in seen)
        await world.delete(pod)
        await world.gone(pod)


async def test_a_secret_that_appears_later_unblocks_its_pod(world: World):
    name = f"late-{uuid.uuid4().hex[:8]}"
    entry = {"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}
    async with world.node():
        pod = await world.create(containers=[{"name": "c", "image": "i", "env": [entry]}])
        waiting = await world.eventually(
            lambda: world.pod(pod), lambda seen: "containerStatuses" in seen["status"]
        )
        state = waiting["status"]["containerStatuses"][0]["state"]
        assert state["waiting"]["reason"] == "CreateContainerConfigError"
        assert "MandatorySecretNotFound" in await world.eventually(lambda: world.events(pod))
        await world.client.create(
            SECRETS.path("default"), {"metadata": {"name": name}, "stringData": {"k": "v"}}
        )
        await world.phase(pod, "Running")
    created = world.provider.created[0]
    assert [(one.value, one.secret) for one in created.env["c"] if one.name == "A"] == [("v", True)]
    await world.client.delete(SECRETS.path("default", name))


async def test_a_restart_adopts_what_runs_and_sweeps_what_lost_its_pod(world: World):
    async with world.node():
        kept, lost = await world.create(), await world.create()
        await world.phase(kept, "Running")
        await world.phase(lost, "Running")
    await world.delete(lost, grace_seconds=0)
    successor = FakeProvider()
    successor.groups = dict(world.provider.groups)
    foreign = PodKey("default", "never-existed", str(uuid.uuid4()))
    successor.groups[foreign] = successor.groups[key(kept)]
    async with world.node(successor):

        async def swept() -> bool:
            return set(successor.groups) == {key(kept)}

        await world.eventually(swept)
        assert successor.created == []
        assert (await world.pod(kept))["status"]["phase"] == "Running"


async def test_a_failed_list_removes_nothing_and_creates_nothing(world: World):
    async with world.node():
        pod = await world.create()
        await world.phase(pod, "Running")

    class Blind(FakeProvider):
        async def observe(self):
            yield Health(ok=False, reason="CloudUnreachable", message="no answer")
            while True:
                yield await self._sightings.get()

    blind = Blind()
    async with world.node(blind):

        async def unready() -> bool:
            node = await world.client.get(NODES.path(name=world.name))
            ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
            return (ready["status"], ready["reason"], ready["message"]) == (
                "False",
                "CloudUnreachable",
                "no answer",
            )

        await world.eventually(unready)
        assert (blind.created, blind.deleted) == ([], [])
        blind.groups = dict(world.provider.groups)
        blind.list_now()
        blind.say(Health(ok=True))

        async def recovered() -> bool:
            node = await world.client.get(NODES.path(name=world.name))
            return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])

        await world.eventually(recovered)
        assert (blind.created, blind.deleted) == ([], [])


async def test_a_group_that_vanished_is_made_again_unless_the_pod_must_not_restart(world: World):
    async with world.node():
        always = await world.create()
        never = await world.create(restartPolicy="Never")
        await world.phase(always, "Running")
        await world.phase(never, "Running")
        for pod in (always, never):
            world.provider.groups.pop(key(pod))
            world.provider.say(Gone(key(pod)))
        failed = await world.phase(never, "Failed")
        assert failed["status"]["reason"] == "ContainerGroupGone"

        async def again() -> bool:
            return [one.key for one in world.provider.created].count(key(always)) == 2

        await world.eventually(again)


async def test_a_pod_held_by_a_finalizer_shows_its_final_state(world: World):
    async with world.node():
        pod = await world.create(metadata={"finalizers": ["test.example/hold"]})
        await world.phase(pod, "Running")
        await world.delete(pod)
        seen = await world.phase(pod, "Failed")
        ended = seen["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
        await world.client.patch(
            PODS.path("default", pod["metadata"]["name"]), {"metadata": {"finalizers": None}}
        )
        await world.gone(pod)


async def test_exit_codes_arrive_as_they_are(world: World):
    async with world.node():
        pod = await world.create(restartPolicy="Never")
        await world.phase(pod, "Running")
        ended = {"exitCode": 3, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z",
                 "finishedAt": "2026-01-01T00:00:01Z"}  # fmt: skip
        status = (await world.pod(pod))["status"]["containerStatuses"][0]
        status |= {"state": {"terminated": ended}, "ready": False, "started": False}
        world.provider.say(Seen(key(pod), {"containerStatuses": [status]}))
        seen = await world.phase(pod, "Failed")
        assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def test_an_incomplete_view_is_not_taken_for_absence(world: World):
    async with world.node():
        pod = await world.create()
        await world.phase(pod, "Running")
        # A list that began before the group was accepted may miss it.
        world.provider.say(Listed(frozenset(), 0.0))
        other = await world.create()
        await world.phase(other, "Running")
    assert [one.key for one in world.provider.created] == [key(pod), key(other)]


async def test_the_node_says_what_it_is_and_comes_back_when_deleted(world: World):
    path = NODES.path(name=world.name)
    async with world.node():

        async def ready() -> bool:
            node = await world.client.get(path)
            return any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in node.get("status", {}).get("conditions", [])
            )

        await world.eventually(ready)
        node = await world.client.get(path)
        labels = node["metadata"]["labels"]
        assert labels["type"] == "virtual-kubelet"
        assert labels["kubernetes.io/role"] == "agent"
        assert labels["kubernetes.io/os"] == labels["beta.kubernetes.io/os"] == "linux"
        assert labels["kubernetes.io/arch"] == "amd64"
        assert labels["node.kubernetes.io/exclude-from-external-load-balancers"] == "true"
        assert labels["alpha.service-controller.kubernetes.io/exclude-balancer"] == "true"
        taint = {"key": "virtual-kubelet.io/provider", "value": "local", "effect": "NoSchedule"}
        assert taint in node["spec"]["taints"]
        assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
        assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
        lease_path = LEASES.path(NODE_LEASE_NAMESPACE, world.name)
        lease = await world.eventually(lambda: world.client.get(lease_path))
        assert lease["spec"]["leaseDurationSeconds"] == 40
        assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
        await world.client.delete(path)
        back = await world.eventually(
            lambda: world.client.get(path),
            lambda seen: seen["metadata"]["uid"] != node["metadata"]["uid"],
        )
        assert back["metadata"]["name"] == world.name


async def test_what_others_put_on_the_node_stays_and_what_is_ours_comes_back(world: World):
    path = NODES.path(name=world.name)
    async with world.node():
        foreign = {"key": "team", "value": "a", "effect": "NoExecute"}
        await world.client.patch(
            path,
            {
                "metadata": {"labels": {"team": "a", "type": "wrong"}, "annotations": {"n": "1"}},
                "spec": {"taints": [foreign], "unschedulable": True},
            },
        )

        def mended(node: JSON) -> bool:
            return node["metadata"]["labels"]["type"] == "virtual-kubelet"

        node = await world.eventually(lambda: world.client.get(path), mended)
        assert node["metadata"]["labels"]["team"] == "a"
        assert node["metadata"]["annotations"]["n"] == "1"
        assert foreign in node["spec"]["taints"]
        assert node["spec"]["unschedulable"] is True
        await world.eventually(world.node_events, lambda told: told.get("NodeNotSchedulable") == 1)
        await world.client.patch(path, {"spec": {"unschedulable": None}})
        await world.eventually(world.node_events, lambda told: told.get("NodeSchedulable") == 1)


async def test_an_api_server_that_goes_away_and_comes_back_is_caught_up_with(world: World, control_plane):
    """For its client it is as if the server were restarted: connections break and calls are refused."""
    server = urlsplit(world.client.server)
    async with (
        await connect(control_plane.kubeconfig) as cut_off,
        line_to(server.hostname or "", server.port or 443) as line,
    ):
        cut_off.server = f"https://127.0.0.1:{line.port}"
        async with world.node(client=cut_off):
            stays, goes = await world.create(), await world.create()
            await world.phase(stays, "Running")
            await world.phase(goes, "Running")
            for _ in range(2):
                await line.cut()
                comes = await world.create()
                await world.delete(goes)
                world.provider.say(Seen(key(stays), running_again(world, stays)))
                assert key(comes) not in world.provider.groups
                await line.up()
                await world.phase(comes, "Running")
                await world.gone(goes)
                goes = comes
            assert key(stays) in world.provider.groups
            assert (await world.pod(stays))["status"]["phase"] == "Running"
        assert [one.key for one in world.provider.created].count(key(stays)) == 1


def running_again(world: World, pod: JSON) -> JSON:
    """What the cloud says of the pod while nobody can be told."""
    return running(world.provider.groups[key(pod)])
