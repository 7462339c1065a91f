"""One pod's way through the runtime, step by step, in virtual time."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import pytest
from support import virtual_time
from support.fake_provider import FakeProvider
from support.one_node import RUNNING, Node, a_node, ended, fragment

from vnodectl.kube.resources import PODS
from vnodectl.runtime.clock import rfc3339
from vnodectl.runtime.metrics import Operation
from vnodectl.runtime.provider import (
    Files,
    Gone,
    Happened,
    PodKey,
    Rejected,
    ResolvedPod,
    Retryable,
    Seen,
)

JSON = dict[str, Any]


# --- going away ---------------------------------------------------------------------------------------


def patches(node: Node) -> int:
    return node.api.requests.count(("PATCH", PODS.path("default", "p", "status")))


def test_a_pod_that_goes_quickly_costs_one_call_and_a_slow_one_says_that_it_has_ended():
    async def main() -> None:
        provider = FakeProvider()
        provider.keep_deleted = True
        async with a_node(provider) as node:
            for lasts in (0.5, 5.0):
                key = node.create()
                await asyncio.sleep(2)
                assert node.status()["phase"] == "Running"
                before = patches(node)
                node.delete()
                await asyncio.sleep(0.1)
                provider.say(Seen(key, fragment(state=ended(143))))
                await asyncio.sleep(lasts)
                if lasts > 1:
                    assert node.container()["state"]["terminated"]["exitCode"] == 143
                assert patches(node) - before == (lasts > 1)
                provider.say(Gone(key))
                await asyncio.sleep(0.1)
                assert not node.exists()

    virtual_time.run(main())


# --- deadlines and ends -------------------------------------------------------------------------------


def test_a_pod_past_its_deadline_is_stopped_and_then_failed():
    async def main() -> None:
        provider = FakeProvider()
        provider.keep_deleted = True
        async with a_node(provider) as node:
            key = node.create(activeDeadlineSeconds=60)
            await asyncio.sleep(5)
            began = node.status()["startTime"]
            assert began == rfc3339(virtual_time.EPOCH) or node.status()["phase"] == "Running"
            await asyncio.sleep(50)
            assert provider.deleted == []
            await asyncio.sleep(10)
            assert provider.deleted == [(key, 30.0)]
            # As long as something may still run, the pod has not failed.
            assert node.status()["phase"] == "Running"
            provider.say(Seen(key, fragment(state=ended(143))))
            await asyncio.sleep(1)
            status = node.status()
            assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
            assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
            assert node.reasons().count("DeadlineExceeded") == 1
            provider.say(Gone(key))
            await asyncio.sleep(30)
            assert (node.status()["phase"], node.status()["reason"]) == ("Failed", "DeadlineExceeded")
            assert provider.created == provider.created[:1]

    virtual_time.run(main())


def test_the_deadline_also_ends_a_pod_that_never_came_about():
    async def main() -> None:
        provider = FakeProvider()
        provider.fail = [Retryable("NoCapacity", "none left", retry_after=20.0)] * 10
        async with a_node(provider) as node:
            node.create(activeDeadlineSeconds=30)
            await asyncio.sleep(60)
            provider.fail = []
            assert provider.deleted == [(PodKey("default", "p", node.pod()["metadata"]["uid"]), 30.0)]
            await asyncio.sleep(60)
            assert (node.status()["phase"], node.status()["reason"]) == ("Failed", "DeadlineExceeded")
            assert provider.created == []

    virtual_time.run(main())


def test_a_runtime_that_comes_back_keeps_the_deadline():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            key = node.create(activeDeadlineSeconds=60)
            await asyncio.sleep(10)
        await asyncio.sleep(120)
        second = FakeProvider()
        second.groups = dict(provider.groups)
        async with a_node(second, node.api) as node:
            await asyncio.sleep(5)
            assert second.deleted == [(key, 30.0)]
            assert (node.status()["phase"], node.status()["reason"]) == ("Failed", "DeadlineExceeded")

    virtual_time.run(main())


def test_what_somebody_declares_failed_does_not_run_on():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(5)
            said = {"status": {"phase": "Failed", "reason": "Evicted", "message": "by hand"}}
            node.api.patch(PODS.path("default", "p", "status"), said)
            await asyncio.sleep(5)
            assert provider.deleted == [(key, 30.0)]
            assert (node.status()["phase"], node.status()["reason"]) == ("Failed", "Evicted")

    virtual_time.run(main())


def test_a_pod_that_ended_by_itself_keeps_its_group_and_so_its_logs():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            key = node.create(restartPolicy="Never")
            await asyncio.sleep(2)
            provider.say(Seen(key, fragment(state=ended(0))))
            await asyncio.sleep(600)
            assert node.status()["phase"] == "Succeeded"
            assert provider.deleted == []
            node.delete()
            await asyncio.sleep(5)
            assert provider.deleted == [(key, 1.0)]
            assert provider.groups == {}

    virtual_time.run(main())


# --- deletion -----------------------------------------------------------------------------------------


def test_a_group_that_may_have_come_about_is_deleted_before_its_pod_goes():
    """The create failed after its effect, and nothing was heard of the group yet."""

    class Ambiguous(FakeProvider):
        async def create(self, pod: ResolvedPod) -> None:
            self.groups[pod.key] = pod
            raise Retryable("Timeout", "no answer", retry_after=100.0)

    async def main() -> None:
        provider = Ambiguous()
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(1)
            provider.groups.pop(key)
            provider.say(Gone(key))  # of an earlier try
            await asyncio.sleep(100)
            assert list(provider.groups) == [key]
            node.delete()
            await asyncio.sleep(1)
            assert provider.deleted == [(key, 30.0)]
            assert provider.groups == {}
            assert not node.exists()

    virtual_time.run(main())


def test_less_patience_is_passed_on_and_more_of_the_same_is_not():
    async def main() -> None:
        provider = FakeProvider()
        provider.keep_deleted = True
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(2)
            node.delete()
            await asyncio.sleep(2)
            provider.say(Seen(key, fragment(state=RUNNING)))
            await asyncio.sleep(2)
            node.delete(grace=3)
            await asyncio.sleep(2)
            assert [grace for _, grace in provider.deleted] == [30.0, 3.0]
            assert node.exists()
            provider.say(Gone(key))
            await asyncio.sleep(1)
            assert not node.exists()

    virtual_time.run(main())


def test_a_pod_held_by_a_finalizer_is_let_go_once():
    async def main() -> None:
        async with a_node() as node:
            node.create()
            await asyncio.sleep(2)
            node.api.patch(PODS.path("default", "p"), {"metadata": {"finalizers": ["x/y"]}})
            node.delete()
            await asyncio.sleep(600)
            deletes = [path for verb, path in node.api.requests if verb == "DELETE"]
            assert len(deletes) <= 2  # the second where the first was not seen yet
            assert node.status()["phase"] == "Failed"

    virtual_time.run(main())


class Hooked(FakeProvider):
    """Leaves preStop hooks to the runtime."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[tuple[str, ...]] = []
        self.code = 0
        self.takes = 0.0

    def direct_pre_stop(self, pod: JSON) -> frozenset[str]:
        return frozenset({"c"})

    async def exec(self, key, container, command, streams) -> int:
        self.commands.append(tuple(command))
        await asyncio.sleep(self.takes)
        return self.code


@pytest.mark.parametrize(
    ("takes", "code", "left", "event"),
    [(0.0, 0, 30.0, False), (12.0, 0, 18.0, False), (0.0, 7, 30.0, True), (500.0, 0, 2.0, True)],
)
def test_pre_stop_runs_first_and_is_taken_off_the_grace(takes, code, left, event):
    async def main() -> None:
        provider = Hooked()
        provider.takes, provider.code = takes, code
        hook = {"preStop": {"exec": {"command": ["drain", "now"]}}}
        async with a_node(provider) as node:
            node.create(containers=[{"name": "c", "image": "i", "lifecycle": hook}])
            await asyncio.sleep(2)
            node.delete()
            await asyncio.sleep(0.5 + min(takes, 30) / 2)
            assert provider.commands == [("drain", "now")]
            assert (provider.deleted == []) is (takes > 0)
            await asyncio.sleep(40)
            assert [round(grace) for _, grace in provider.deleted] == [left]
            assert provider.commands == [("drain", "now")]
            assert ("FailedPreStopHook" in node.reasons()) is event
            assert node.calls(Operation.PRE_STOP) == {"ok" if takes < 30 else "cancelled": 1}
            assert not node.exists()

    virtual_time.run(main())


def test_a_hook_that_sleeps_is_waited_for_and_one_of_a_group_that_is_gone_is_not():
    async def main() -> None:
        provider = Hooked()
        hook = {"preStop": {"sleep": {"seconds": 20}}}
        async with a_node(provider) as node:
            key = node.create(containers=[{"name": "c", "image": "i", "lifecycle": hook}])
            await asyncio.sleep(2)
            node.delete()
            await asyncio.sleep(19)
            assert provider.deleted == []
            await asyncio.sleep(2)
            assert [round(grace) for _, grace in provider.deleted] == [10]
            key = node.create("q", containers=[{"name": "c", "image": "i", "lifecycle": hook}])
            await asyncio.sleep(2)
            node.delete("q")
            await asyncio.sleep(3)
            provider.groups.pop(key)
            provider.say(Gone(key))
            await asyncio.sleep(1)
            assert not node.exists("q")
            assert len(provider.deleted) == 1

    virtual_time.run(main())


# --- what only other nodes run --------------------------------------------------------------------------


def test_mirror_pods_are_left_alone():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            node.create(annotations={"kubernetes.io/config.mirror": "abc"})
            await asyncio.sleep(30)
            assert provider.created == []
            assert node.status() == {"phase": "Pending"}

    virtual_time.run(main())


# --- troubles -----------------------------------------------------------------------------------------


def test_retries_go_on_for_ever_capped_and_jittered():
    async def main() -> None:
        tries: list[float] = []

        class Full(FakeProvider):
            async def create(self, pod: ResolvedPod) -> None:
                tries.append(asyncio.get_running_loop().time())
                raise Retryable("NoCapacity", "none left")

        async with a_node(Full()) as node:
            node.create()
            await asyncio.sleep(7200)
            waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
            assert max(waits) < 121
            assert min(waits[8:]) > 59
            assert len({round(wait, 1) for wait in waits[8:]}) > 10
            assert len(tries) > 60
            status = node.status()
            assert (status["phase"], status["reason"], status["message"]) == (
                "Pending",
                "NoCapacity",
                "none left",
            )
            assert node.container()["state"]["waiting"]["reason"] == "NoCapacity"
            assert node.reasons() == ["NoCapacity"]

    virtual_time.run(main())


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@pytest.mark.parametrize("place", ["env", "volume"])
def test_what_appears_later_unblocks_its_pod_within_five_seconds(kind: str, place: str):
    async def main() -> None:
        provider = FakeProvider()
        lower = kind[0].lower() + kind[1:]
        container: JSON = {"name": "c", "image": "i"}
        spec: JSON = {"containers": [container]}
        if place == "env":
            container["env"] = [{"name": "A", "valueFrom": {f"{lower}KeyRef": {"name": "late", "key": "k"}}}]
        else:
            name = "secretName" if kind == "Secret" else "name"
            spec["volumes"] = [{"name": "v", lower: {name: "late"}}]
            container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
        async with a_node(provider) as node:
            node.create(**spec)
            await asyncio.sleep(61.7)
            assert node.container()["state"]["waiting"]["reason"] == "CreateContainerConfigError"
            assert node.events() == [("Warning", f"Mandatory{kind}NotFound", f"{kind} 'late' not found")]
            data = {"k": base64.b64encode(b"v").decode() if kind == "Secret" else "v"}
            node.api.put(f"{kind.lower()}s", {"metadata": {"name": "late"}, "data": data}, "default")
            await asyncio.sleep(5)
            assert node.status()["phase"] == "Running"
            assert "reason" not in node.status()

    virtual_time.run(main())


def test_a_volume_that_nobody_mounts_holds_nobody_back():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            node.create(
                containers=[{"name": "c", "image": "i"}], volumes=[{"name": "v", "configMap": {"name": "no"}}]
            )
            await asyncio.sleep(2)
            assert node.status()["phase"] == "Running"
            assert provider.created[0].volumes == {}

    virtual_time.run(main())


def test_what_the_runtime_itself_cannot_resolve_is_rejected_with_its_field():
    async def main() -> None:
        provider = FakeProvider()
        entry = {"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}
        async with a_node(provider) as node:
            node.create(containers=[{"name": "c", "image": "i", "env": [entry]}])
            await asyncio.sleep(3)
            assert (node.status()["phase"], node.status()["reason"]) == ("Failed", "UnsupportedEnvSource")
            assert "spec.containers[0].env[0].valueFrom.fileKeyRef" in node.status()["message"]
            assert node.reasons() == ["UnsupportedEnvSource"]

    virtual_time.run(main())


def test_rejected_pods_are_not_tried_again():
    async def main() -> None:
        provider = FakeProvider()
        provider.fail = [Rejected("Unsupported", "never", field="spec.hostNetwork")]
        async with a_node(provider) as node:
            node.create()
            await asyncio.sleep(600)
            assert provider.created == []
            assert node.status()["message"] == "spec.hostNetwork: never"

    virtual_time.run(main())


@pytest.mark.parametrize("fills", [True, False])
def test_a_value_that_comes_too_late_is_said_where_nobody_can_put_it_in(fills: bool):
    async def main() -> None:
        provider: Any = FakeProvider()
        if fills:
            provider.late_fields = frozenset({"status.podIP"})
        env = [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP)/"},
        ]
        async with a_node(provider) as node:
            node.create(containers=[{"name": "c", "image": "i", "env": env}])
            await asyncio.sleep(3)
            told = [message for _, reason, message in node.events() if reason == "FieldNotAvailable"]
            assert any("variable URL refers to $(IP)" in message for message in told)
            assert any("variable IP of container c is empty" in message for message in told) is not fills

    virtual_time.run(main())


def test_what_is_left_out_is_told_once_and_not_at_each_try():
    async def main() -> None:
        provider = FakeProvider()
        provider.fail = [Retryable("NoCapacity", "none left", retry_after=5.0)] * 60
        env = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}}}
        async with a_node(provider) as node:
            node.create(containers=[{"name": "c", "image": "i", "env": [env]}])
            await asyncio.sleep(200)
            (event,) = [one for one in node.api.all("events") if one["reason"] == "OptionalSecretNotFound"]
            assert event["count"] == 1

    virtual_time.run(main())


def test_after_an_outage_of_the_api_server_the_truth_is_there_soon():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            key = node.create(restartPolicy="Never")
            await asyncio.sleep(2)
            node.api.down = True  # calls fail, and the watch has nothing to say when it is over
            provider.say(Seen(key, fragment(state=ended(3))))
            await asyncio.sleep(1800)
            node.api.down = False
            await asyncio.sleep(16)
            assert node.status()["phase"] == "Failed"
            assert node.container()["state"]["terminated"]["exitCode"] == 3

    virtual_time.run(main())


# --- what is shown ------------------------------------------------------------------------------------


def test_a_group_made_again_is_one_more_restart():
    async def main() -> None:
        provider = FakeProvider(hold=True)
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(1)
            provider.say(Seen(key, fragment(state=RUNNING, container_id="x://a", restarts=3)))
            await asyncio.sleep(1)
            provider.groups.pop(key)
            provider.say(Gone(key))
            await asyncio.sleep(1)
            provider.say(Seen(key, fragment(state=RUNNING, container_id="x://b")))
            await asyncio.sleep(1)
            one = node.container()
            assert (one["restartCount"], one["containerID"]) == (4, "x://b")
            lost = one["lastState"]["terminated"]
            assert (lost["reason"], lost["exitCode"]) == ("ContainerStatusUnknown", 137)
            assert lost["containerID"] == "x://a"
            provider.say(Seen(key, fragment(state=RUNNING, container_id="x://b")))
            await asyncio.sleep(30)
            assert node.container() == one
            provider.say(Seen(key, fragment(state=RUNNING, container_id="x://c", restarts=1)))
            await asyncio.sleep(1)
            assert node.container()["restartCount"] == 5

    virtual_time.run(main())


def test_a_new_group_has_only_its_own_addresses():
    async def main() -> None:
        provider = FakeProvider(hold=True)
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(1)
            two = [{"ip": "10.1.0.9"}, {"ip": "fd00::9"}]
            provider.say(Seen(key, fragment(state=RUNNING, podIPs=two)))
            await asyncio.sleep(1)
            assert node.status()["podIPs"] == two
            provider.say(Seen(key, fragment(state=RUNNING, podIP="10.1.0.10")))
            await asyncio.sleep(1)
            assert node.status()["podIPs"] == [{"ip": "10.1.0.10"}]

    virtual_time.run(main())


def test_the_generation_that_the_status_is_about_is_said():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            node.create()
            await asyncio.sleep(2)
            assert node.status()["observedGeneration"] == 1
            node.api.patch(PODS.path("default", "p"), {"metadata": {"generation": 2}})
            await asyncio.sleep(2)
            assert node.status()["observedGeneration"] == 2

    virtual_time.run(main())


def test_what_the_provider_tells_becomes_an_event_of_the_container():
    async def main() -> None:
        provider = FakeProvider()
        async with a_node(provider) as node:
            key = node.create()
            await asyncio.sleep(1)
            provider.say(Happened(key, "Normal", "Pulled", "image is there", "c"))
            await asyncio.sleep(1)
            (event,) = node.api.all("events")
            assert (event["reason"], event["involvedObject"]["fieldPath"]) == ("Pulled", "spec.containers{c}")

    virtual_time.run(main())


# --- files that change --------------------------------------------------------------------------------


class Refreshing(FakeProvider):
    """Puts new files in place; remembers when, and what was in them."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshed: list[tuple[float, dict[str, dict[str, bytes]]]] = []
        self.refuse: list[Exception] = []

    async def refresh(self, pod: ResolvedPod, volumes: frozenset[str]) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        contents = {}
        for name in volumes:
            volume = pod.volumes[name]
            assert isinstance(volume, Files)
            contents[name] = {file.path: file.content for file in volume.files}
        self.refreshed.append((asyncio.get_running_loop().time(), contents))


def test_a_config_map_that_changes_reaches_the_pods_that_mount_it():
    async def main() -> None:
        provider = Refreshing()
        async with a_node(provider) as node:
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "default")
            optional = {"configMap": {"name": "o", "optional": True}}
            node.create(volumes=[{"name": "v", "configMap": {"name": "c"}}, {"name": "w", **optional}])
            await asyncio.sleep(300)
            assert provider.refreshed == []
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "2"}}, "default")
            await asyncio.sleep(70)
            assert [files for _, files in provider.refreshed] == [{"v": {"a": b"2"}}]
            node.api.put("configmaps", {"metadata": {"name": "o"}, "data": {"b": "3"}}, "default")
            await asyncio.sleep(70)
            assert [files for _, files in provider.refreshed][1:] == [{"w": {"b": b"3"}}]
            node.api.remove(("configmaps", "default", "c"))
            await asyncio.sleep(70)
            assert len(provider.refreshed) == 2  # what is mounted stays as it was
            assert "FailedMount" in node.reasons()

    virtual_time.run(main())


def test_objects_that_nobody_mounts_any_more_or_that_cannot_change_are_not_read():
    async def main() -> None:
        provider = Refreshing()
        async with a_node(provider) as node:
            for name, immutable in (("c", False), ("fixed", True)):
                body = {"metadata": {"name": name}, "data": {"a": "1"}, "immutable": immutable}
                node.api.put("configmaps", body, "default")
            node.create(volumes=[{"name": name, "configMap": {"name": name}} for name in ("c", "fixed")])
            await asyncio.sleep(200)
            reads = [path.rpartition("/")[2] for verb, path in node.api.requests if "configmaps" in path]
            assert reads.count("fixed") == 1
            assert reads.count("c") >= 3
            node.delete()
            await asyncio.sleep(5)
            node.api.requests.clear()
            await asyncio.sleep(300)
            assert not any("configmaps" in path for _, path in node.api.requests)

    virtual_time.run(main())


def test_tokens_are_renewed_at_four_fifths_of_their_life_and_not_for_each_try():
    async def main() -> None:
        provider = Refreshing()
        provider.fail = [Retryable("NoCapacity", "none left", retry_after=2.0)] * 10
        sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]
        async with a_node(provider) as node:
            node.create(volumes=[{"name": "v", "projected": {"sources": sources}}])
            await asyncio.sleep(100)
            assert node.status()["phase"] == "Running"
            tokens = [path for verb, path in node.api.requests if path.endswith("/token")]
            assert len(tokens) == 1
            await asyncio.sleep(680)
            assert provider.refreshed == []
            provider.refuse = [Retryable("Busy", "later")]
            await asyncio.sleep(30)
            assert provider.refreshed == []
            await asyncio.sleep(60)
            (first,) = [files["v"]["token"] for _, files in provider.refreshed]
            await asyncio.sleep(820)
            assert len(provider.refreshed) == 2
            assert provider.refreshed[1][1]["v"]["token"] != first

    virtual_time.run(main())


def test_a_group_made_again_has_a_young_token():
    async def main() -> None:
        provider = FakeProvider()
        sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]
        async with a_node(provider) as node:
            key = node.create(volumes=[{"name": "v", "projected": {"sources": sources}}])
            await asyncio.sleep(1200)
            provider.groups.pop(key)
            provider.say(Gone(key))
            await asyncio.sleep(5)
            first, second = [files_of(pod.volumes["v"])["token"] for pod in provider.created]
            assert first != second

    virtual_time.run(main())


def files_of(volume: Any) -> dict[str, bytes]:
    assert isinstance(volume, Files)
    return {file.path: file.content for file in volume.files}


def test_files_adopted_from_an_earlier_life_are_made_new_once():
    async def main() -> None:
        provider = Refreshing()
        async with a_node(provider) as node:
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "default")
            node.create(volumes=[{"name": "v", "configMap": {"name": "c"}}])
            await asyncio.sleep(2)
        node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "2"}}, "default")
        second = Refreshing()
        second.groups = dict(provider.groups)
        async with a_node(second, node.api):
            await asyncio.sleep(300)
            assert [files for _, files in second.refreshed] == [{"v": {"a": b"2"}}]

    virtual_time.run(main())


def test_a_change_right_after_a_restart_reaches_the_files():
    """The new process read the version when it made the files anew, before its first look at the object."""

    async def main() -> None:
        provider = Refreshing()
        async with a_node(provider) as node:
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "default")
            node.create(volumes=[{"name": "v", "configMap": {"name": "c"}}])
            await asyncio.sleep(2)
        second = Refreshing()
        second.groups = dict(provider.groups)
        async with a_node(second, node.api):
            await asyncio.sleep(5)
            assert [files for _, files in second.refreshed] == [{"v": {"a": b"1"}}]
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "2"}}, "default")
            await asyncio.sleep(70)
            assert [files for _, files in second.refreshed][1:] == [{"v": {"a": b"2"}}]

    virtual_time.run(main())


def test_a_change_that_a_new_pod_has_seen_reaches_the_older_ones():
    async def main() -> None:
        provider = Refreshing()
        async with a_node(provider) as node:
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "default")
            volumes = [{"name": "v", "configMap": {"name": "c"}}]
            node.create(volumes=volumes)
            await asyncio.sleep(2)
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "2"}}, "default")
            node.create("q", uid="u-2", volumes=volumes)
            await asyncio.sleep(70)
            assert {"v": {"a": b"2"}} in [files for _, files in provider.refreshed]

    virtual_time.run(main())


def test_a_change_seen_while_one_volume_is_made_new_reaches_the_others():
    """Labels change just after a ConfigMap: making the downward API anew reads the ConfigMap, too."""

    async def main() -> None:
        provider = Refreshing()
        item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
        async with a_node(provider) as node:
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "default")
            node.create(
                volumes=[
                    {"name": "v", "configMap": {"name": "c"}},
                    {"name": "w", "downwardAPI": {"items": [item]}},
                ]
            )
            await asyncio.sleep(2)
            node.api.put("configmaps", {"metadata": {"name": "c"}, "data": {"a": "2"}}, "default")
            node.api.patch(PODS.path("default", "p"), {"metadata": {"labels": {"tier": "web"}}})
            await asyncio.sleep(2)
            made: dict[str, dict[str, bytes]] = {}
            for _, files in provider.refreshed:
                made |= files
            assert made == {"v": {"a": b"2"}, "w": {"labels": b'tier="web"'}}

    virtual_time.run(main())


def test_labels_that_change_reach_the_downward_api():
    async def main() -> None:
        provider = Refreshing()
        item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
        async with a_node(provider) as node:
            node.create(volumes=[{"name": "v", "downwardAPI": {"items": [item]}}])
            await asyncio.sleep(2)
            node.api.patch(PODS.path("default", "p"), {"metadata": {"labels": {"tier": "web"}}})
            await asyncio.sleep(2)
            assert [files for _, files in provider.refreshed] == [{"v": {"labels": b'tier="web"'}}]

    virtual_time.run(main())


# --- what cannot be had --------------------------------------------------------------------------------


def test_an_ephemeral_container_is_refused_once_and_disturbs_nothing():
    async def main() -> None:
        provider = FakeProvider()
        refused = "EphemeralContainersNotSupported"
        async with a_node(provider) as node:
            node.create()
            await asyncio.sleep(2)
            before = node.status()
            for names in (["debug"], ["debug", "again"]):
                ephemeral = [{"name": name, "image": "busybox"} for name in names]
                node.api.patch(PODS.path("default", "p"), {"spec": {"ephemeralContainers": ephemeral}})
                written = patches(node)
                await asyncio.sleep(300)
                shown = node.status()["ephemeralContainerStatuses"]
                assert [one["name"] for one in shown] == names
                assert {one["state"]["waiting"]["reason"] for one in shown} == {refused}
                assert all("local provider" in one["state"]["waiting"]["message"] for one in shown)
                assert patches(node) - written == 1
            after = {
                key: value for key, value in node.status().items() if key != "ephemeralContainerStatuses"
            }
            assert after == before
            told = [one for one in node.api.all("events") if one["reason"] == refused]
            assert [(one["type"], one["count"]) for one in told] == [("Warning", 1)] * 2
            assert [one["involvedObject"]["fieldPath"] for one in told] == [
                "spec.ephemeralContainers{debug}",
                "spec.ephemeralContainers{again}",
            ]
            assert "container debug: the local provider" in told[0]["message"]
        async with a_node(provider, node.api) as node:  # a runtime that comes back has nothing to add
            provider.list_now()
            await asyncio.sleep(60)
            assert node.reasons().count(refused) == 2

    virtual_time.run(main())
