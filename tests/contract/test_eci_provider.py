"""The ECI provider's life with its groups: the vendor's SDK against the emulated ECI over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from support import pod_records
from support.eci_cloud import (
    BRISK,
    KEY,
    READER,
    READER_SECRET,
    SECRET,
    EciCloud,
    alibaba_settings,
    eci_cloud,
)
from support.eci_pods import CONNECTOR, NODE, make_pod
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.alibaba import AlibabaForbidden, AlibabaSession, AlibabaUnauthorized
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.emulator.clock import Clock
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.providers.eci import EciSettings, Pacing, Profile
from vnodectl.providers.eci.names import group_name
from vnodectl.runtime.provider import (
    EnvVar,
    External,
    File,
    Files,
    Gone,
    Happened,
    Health,
    Listed,
    NotFound,
    PodKey,
    ProbeKind,
    Rejected,
    Retryable,
    Seen,
    SupportsContainerRestart,
    SupportsDirectPreStop,
    SupportsDirectProbes,
    SupportsFileRefresh,
    SupportsPersistentVolumes,
)

POD = make_pod(
    {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}],
    }
)
OTHER = make_pod(name="web-1", uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11")
FAIL_FAST = {"k8s.aliyun.com/eci-fail-strategy": "fail-fast"}


async def _created_in_the_end(cloud: EciCloud, pod: Any = POD) -> None:
    """As the runtime does it: ask again when the provider says so."""
    async with asyncio.timeout(20):
        while True:
            try:
                await cloud.provider.create(pod)
            except Retryable as error:
                await asyncio.sleep(min(0.05, error.retry_after or 0.05))
            else:
                return


# --- life -----------------------------------------------------------------------------------------


async def test_a_pod_runs_ends_with_its_exit_code_and_goes() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        running = await cloud.said.state(POD.key, "running")
        assert running["podIP"]
        assert running["containerStatuses"][0]["ready"]
        cloud.end(3)
        ended = (await cloud.said.state(POD.key, "terminated"))["containerStatuses"][0]
        assert ended["state"]["terminated"]["exitCode"] == 3
        assert ended["containerID"] == f"eci://{cloud.groups[0].id}/main"
        await cloud.provider.delete(POD.key, grace=30)
        await cloud.said.gone(POD.key)
        assert (await cloud.said.listed()).keys == frozenset()


async def test_a_group_that_is_being_deleted_is_still_listed() -> None:
    engine = ScriptedEngine()
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        engine.holds_deletions = True
        await cloud.provider.delete(POD.key, grace=30)
        await cloud.provider.delete(POD.key, grace=30)
        assert POD.key in (await cloud.said.listed()).keys
        assert Gone(POD.key) not in cloud.said.all
        engine.vanish(next(iter(engine.seen)))
        await cloud.said.gone(POD.key)


async def test_out_of_memory_is_told() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.end(137, "OOMKilled")
        ended = (await cloud.said.state(POD.key, "terminated"))["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_init_containers_are_told_though_rows_do_not_have_them() -> None:
    pod = make_pod(
        {
            "containers": [{"name": "main", "image": "nginx"}],
            "initContainers": [{"name": "init", "image": "busybox"}],
        }
    )
    engine = SimulatedEngine(home=None, clock=Clock())
    await engine.start()
    try:
        async with eci_cloud(engine) as cloud:
            await cloud.provider.create(pod)

            def settled(one: object) -> bool:
                if not isinstance(one, Seen):
                    return False
                inits = one.status.get("initContainerStatuses") or ()
                main = one.status.get("containerStatuses") or ()
                return bool(inits and main) and inits[0]["ready"] and "running" in main[0]["state"]

            found = await cloud.said.until(settled)
            assert isinstance(found, Seen)
            assert found.status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
            for one in cloud.said.all:
                if isinstance(one, Seen) and "containerStatuses" in one.status:
                    assert "initContainerStatuses" in one.status, "a pod never looks as if it had none"
    finally:
        await engine.aclose(remove=True)


async def test_the_group_carries_the_pod_and_no_secret_is_readable() -> None:
    pod = replace(
        POD,
        env={"main": (EnvVar("TOKEN", "planted-marker", secret=True), EnvVar("MODE", "x"))},
        pod={
            **POD.pod,
            "spec": {
                **POD.spec,
                "containers": [
                    {**POD.spec["containers"][0], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
                ],
                "volumes": [{"name": "v"}],
            },
        },
        volumes={"v": Files((File("dir/key", b"planted-file", 0o400),), secret=True)},
    )
    async with eci_cloud() as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(POD.key, "running")
        (group,) = await cloud.session.container_groups(Owner(NODE, CONNECTOR))
        assert group["ContainerGroupName"] == group_name(POD.key)
        assert {one["Key"]: one["Value"] for one in group["Tags"]} == {
            "vnodectl-namespace": "default",
            "vnodectl-pod": "web-0",
            "vnodectl-uid": POD.key.uid,
            "vnodectl-node": NODE,
            "vnodectl-connector": CONNECTOR,
            "vnodectl-created": "2026-01-02T03:04:05Z",
        }
        assert "planted" not in str(group)
        (spec,) = cloud.engine.specs.values()
        assert spec.containers[0].env["TOKEN"] == "planted-marker"
        (file,) = spec.volumes["v"].files
        assert (file.path, file.content, file.mode) == ("dir/key", b"planted-file", 0o400)
        (create,) = cloud.emulator.gateway.recorder.calls(template="CreateContainerGroup")
        assert "planted" not in create.path


# --- once, and only ours --------------------------------------------------------------------------


async def test_creating_twice_makes_one_group() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        await cloud.provider.create(POD)
        assert cloud.calls("CreateContainerGroup") == 1


async def test_a_create_whose_answer_was_lost_makes_no_second_group() -> None:
    async with eci_cloud() as cloud:
        cloud.fault("CreateContainerGroup", status=502, after=True, times=1)
        with pytest.raises(Retryable):
            await cloud.provider.create(POD)
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        assert len(cloud.groups) == 1


async def test_a_lost_answer_and_other_parameters_afterwards_find_the_group() -> None:
    async with eci_cloud() as cloud:
        cloud.fault("CreateContainerGroup", status=502, after=True, times=1)
        with pytest.raises(Retryable):
            await cloud.provider.create(POD)
        cloud.profile[0] = Profile(vswitches=("vsw-2",))
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        assert len(cloud.groups) == 1


async def test_a_restarted_connector_finds_its_groups_and_makes_none_anew() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        again = cloud.another()
        sightings = again.observe()
        try:
            first = await anext(sightings)
            assert isinstance(first, (Listed, Seen, Health))
            while not isinstance(first, Listed):
                first = await anext(sightings)
            assert first.keys == {POD.key}
            await again.create(POD)
            assert cloud.calls("CreateContainerGroup") == 1
        finally:
            await sightings.aclose()  # type: ignore[attr-defined]


async def test_a_restarted_connector_deletes_what_it_has_not_seen_yet() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        again = cloud.another()
        await again.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)
        assert cloud.groups == []


async def test_groups_of_others_are_not_seen() -> None:
    async with eci_cloud() as cloud:
        neighbour = cloud.another(node_name="virtual-kubelet-2")
        await neighbour.create(OTHER)
        tags = {"Tag": [{"Key": "team", "Value": "x"}], "ContainerGroupName": "stranger"}
        await cloud.session.call(
            "eci",
            "CreateContainerGroup",
            "2018-08-08",
            {**tags, "VSwitchId": "vsw-1", "Container": [{"Name": "c", "Image": "nginx"}]},
        )
        assert (await cloud.said.listed()).keys == frozenset()
        await cloud.provider.create(POD)
        assert (await cloud.said.listed()).keys == {POD.key}
        await cloud.provider.delete(OTHER.key, grace=0)
        await cloud.said.gone(OTHER.key)
        assert len(cloud.groups) == 3


async def test_deleting_what_is_not_there_says_gone() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)


async def test_a_group_deleted_by_somebody_else_is_gone_and_can_be_made_anew() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        (first,) = cloud.groups
        cloud.emulator.lifecycle.delete(first)
        await cloud.said.gone(POD.key)
        before = len(cloud.said.all)
        await cloud.provider.create(POD)
        await cloud.said.until(lambda one: isinstance(one, Seen), after=before)
        assert [one.id for one in cloud.groups] != [first.id]


async def test_a_delete_during_creation_leaves_nothing() -> None:
    engine = ScriptedEngine()
    engine.runs = False
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        await asyncio.wait_for(engine.created.wait(), 10)
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)
        assert (cloud.groups, engine.seen) == ([], {})


@pytest.mark.parametrize(("grace", "given"), [(30, 17.0), (0, 0)])
async def test_a_deleted_group_has_the_pods_grace_and_one_forced_has_none(grace: float, given: float) -> None:
    pod = make_pod({"containers": [{"name": "main", "image": "n"}], "terminationGracePeriodSeconds": 17})
    engine = ScriptedEngine()
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        await cloud.provider.delete(pod.key, grace=grace)
        await cloud.said.gone(pod.key)
        assert engine.graces == [given]


async def test_a_delete_that_takes_long_can_be_forced() -> None:
    engine = ScriptedEngine()
    engine.holds_deletions = True
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        await cloud.provider.delete(POD.key, grace=30)
        await asyncio.wait_for(engine.deleted.wait(), 10)
        engine.holds_deletions = False
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)
        assert engine.graces == [30, 0]


async def test_a_group_that_outlives_the_shorter_grace_of_its_deletion_is_forced() -> None:
    pod = make_pod({"containers": [{"name": "main", "image": "n"}], "terminationGracePeriodSeconds": 600})
    engine = ScriptedEngine()
    engine.holds_deletions = True
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        await cloud.provider.delete(pod.key, grace=600)
        await asyncio.wait_for(engine.deleted.wait(), 10)
        await cloud.provider.delete(pod.key, grace=0.01)
        assert engine.graces == [600]  # no longer than that, but that long
        await asyncio.sleep(0.02)
        engine.holds_deletions = False
        await cloud.provider.delete(pod.key, grace=0.01)
        await cloud.said.gone(pod.key)
        assert engine.graces == [600, 0]


def _with_files(token: bytes, *more: File, policy: str = "Always") -> Any:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("token", "config", "none")]
    return make_pod(
        {
            "restartPolicy": policy,
            "containers": [{"name": "main", "image": "nginx", "volumeMounts": mounts}],
            "volumes": [{"name": name} for name in ("token", "config", "none")],
        },
        volumes={
            "token": Files((File("token", token, 0o600),), secret=True),
            "config": Files((File("a", b"same"),)),
            "none": Files(more),
        },
    )


async def test_new_contents_of_files_are_put_in_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vnodectl")
    engine = ScriptedEngine()
    written: list[tuple[str, Any]] = []

    async def write_files(name: str, volume: str, files: Any) -> None:
        written.append((volume, [(one.path, one.content, one.mode) for one in files]))

    engine.write_files = write_files  # type: ignore[method-assign]
    async with eci_cloud(engine) as cloud:
        assert isinstance(cloud.provider, SupportsFileRefresh)
        await cloud.provider.create(_with_files(b"old"))
        await cloud.said.state(POD.key, "running")
        # "none" had no files when the group was made, and is another kind of volume.
        fresh = _with_files(b"new", File("late", b"x"))
        await cloud.provider.refresh(fresh, frozenset({"token", "none"}))
        (group,) = cloud.groups
        async with asyncio.timeout(10):
            await group.until(lambda one: one.status == "Running")
        assert ("token", [("token", b"new", 0o600)]) in written
        assert [call for call, _ in engine.calls] == ["create"], "nothing was made anew"
        updates = cloud.calls("UpdateContainerGroup")
        await cloud.provider.refresh(fresh, frozenset({"token"}))
        assert cloud.calls("UpdateContainerGroup") == updates + 1, "nothing new is no error"
        message = "planted-marker is wrong"
        cloud.fault("UpdateContainerGroup", status=400, code="IncorrectStatus", message=message)
        with pytest.raises(Retryable) as caught:
            await cloud.provider.refresh(_with_files(b"planted-marker"), frozenset({"token"}))
        assert "planted" not in caught.value.message
        updates = cloud.calls("UpdateContainerGroup")
        await cloud.provider.refresh(_with_files(b"newer", policy="Never"), frozenset({"token"}))
        assert cloud.calls("UpdateContainerGroup") == updates, "an update may fail what never restarts"
    assert [one for one in pod_records.about(caplog, POD.key) if "never restarts" in one]


async def test_a_probe_that_the_runtime_runs_restarts_the_group() -> None:
    pod = make_pod(
        {
            "containers": [
                {"name": "main", "image": "n", "livenessProbe": {"grpc": {"port": 9}}},
                {"name": "other", "image": "n", "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}},
            ]
        }
    )
    async with eci_cloud() as cloud:
        provider = cloud.provider
        assert isinstance(provider, SupportsDirectProbes)
        assert isinstance(provider, SupportsContainerRestart)
        assert isinstance(provider, SupportsDirectPreStop)
        assert provider.direct_probes(pod.pod) == {
            "main": frozenset({ProbeKind.LIVENESS}),
            "other": frozenset(),
        }
        assert provider.direct_pre_stop(pod.pod) == {"other"}
        await provider.create(pod)
        await cloud.said.state(pod.key, "running")
        await provider.restart_container(pod.key, "main", grace=30)
        (group,) = cloud.groups
        async with asyncio.timeout(10):
            await group.until(lambda one: ("restart", one.id) in cloud.engine.calls)
        cloud.fault("RestartContainerGroup", status=400, code="IncorrectStatus", message="busy")
        with pytest.raises(Retryable, match="IncorrectStatus"):
            await provider.restart_container(pod.key, "main", grace=30)
        with pytest.raises(NotFound):
            await provider.restart_container(OTHER.key, "main", grace=30)


async def test_a_finished_pod_whose_group_expires_keeps_its_status() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.end(0, "Completed")
        await cloud.said.state(POD.key, "terminated")
        cloud.emulator.lifecycle.delete(cloud.groups[0])
        while cloud.groups:
            await cloud.said.listed()
        await asyncio.sleep(BRISK.list_lag)
        for _ in range(2):
            assert (await cloud.said.listed()).keys == {POD.key}
        assert Gone(POD.key) not in cloud.said.all
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)


# --- what goes wrong ------------------------------------------------------------------------------


async def test_what_eci_refuses_for_good_is_rejected_without_secrets() -> None:
    pod = replace(POD, env={"main": (EnvVar("TOKEN", "planted-marker", secret=True),)})
    async with eci_cloud() as cloud:
        message = "the value 'planted-marker' of TOKEN is wrong"
        cloud.fault("CreateContainerGroup", status=400, code="InvalidParameter", message=message, times=1)
        with pytest.raises(Rejected) as caught:
            await cloud.provider.create(pod)
        assert caught.value.message == "InvalidParameter: the value '***' of TOKEN is wrong"


@pytest.mark.parametrize(
    ("setting", "wrong", "right", "reason"),
    [
        ("stock", {"cn-hangzhou-h": 0, "cn-hangzhou-i": 0}, {"cn-hangzhou-h": None}, "NoStock"),
        ("quotas", {"cn-hangzhou": {"vcpu": 0}}, {"cn-hangzhou": {"vcpu": 100}}, "QuotaExceeded"),
    ],
)
async def test_stock_and_quota_are_named_and_the_pod_runs_once_they_are_mended(
    setting: str, wrong: Any, right: Any, reason: str
) -> None:
    async with eci_cloud() as cloud:
        cloud.emulator.change_setting(setting, wrong)
        with pytest.raises(Retryable) as caught:
            await cloud.provider.create(POD)
        assert reason in caught.value.reason
        assert caught.value.message
        cloud.emulator.change_setting(setting, right)
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Profile(vswitches=("vsw-none",)), "InvalidVSwitchIdNotFound"),
        (Profile(security_group="sg-none"), "InvalidSecurityGroupIdNotFound"),
    ],
)
async def test_a_wrong_place_is_named_and_the_pod_runs_once_the_profile_is_mended(
    wrong: Profile, reason: str
) -> None:
    async with eci_cloud() as cloud:
        cloud.profile[0] = wrong
        with pytest.raises(Retryable) as caught:
            await cloud.provider.create(POD)
        assert caught.value.reason == reason
        cloud.profile[0] = Profile()
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")


async def test_no_vswitch_at_all_is_said() -> None:
    async with eci_cloud(settings=EciSettings()) as cloud:
        with pytest.raises(Retryable, match="VSwitchMissing"):
            await cloud.provider.create(POD)
        cloud.profile[0] = Profile(vswitches=("vsw-1",))
        await cloud.provider.create(POD)


async def test_several_vswitches_find_the_zone_with_stock() -> None:
    async with eci_cloud() as cloud:
        cloud.emulator.change_setting("stock", {"cn-hangzhou-h": 0})
        pod = make_pod(annotations={"k8s.aliyun.com/eci-schedule-strategy": "VSwitchOrdered"})
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        assert cloud.groups[0].vswitch.id == "vsw-2"


async def test_specifications_are_tried_in_their_order_until_one_is_in_stock() -> None:
    pod = make_pod(annotations={"k8s.aliyun.com/eci-use-specs": "8-16Gi,ecs.c6.large,2-4Gi"})
    async with eci_cloud() as cloud:
        cloud.emulator.change_setting("stock", {"cn-hangzhou-h": 4, "cn-hangzhou-i": 4})
        await cloud.provider.create(pod)
        assert cloud.groups[0].size.type == "ecs.c6.large"


async def test_a_pod_with_a_claimed_disk_goes_where_the_disk_is() -> None:
    term = {"key": "topology.diskplugin.csi.alibabacloud.com/zone", "operator": "In"}
    terms = [{"matchExpressions": [{**term, "values": ["cn-hangzhou-i"]}]}]
    spec = {
        "csi": {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-1"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    mount = {"name": "data", "mountPath": "/data"}
    pod = make_pod(
        {
            "containers": [{"name": "main", "image": "n", "volumeMounts": [mount]}],
            "volumes": [claim],
        },
        volumes={"data": External(claim, {}, {"metadata": {"name": "pv-1"}, "spec": spec})},
    )
    async with eci_cloud() as cloud:
        assert isinstance(cloud.provider, SupportsPersistentVolumes)
        await cloud.provider.create(pod)
        assert cloud.groups[0].vswitch.id == "vsw-2"


async def test_a_pod_that_must_fail_fast_does() -> None:
    pod = make_pod(annotations=FAIL_FAST)
    async with eci_cloud() as cloud:
        cloud.emulator.change_setting("stock", {"cn-hangzhou-h": 0, "cn-hangzhou-i": 0})
        with pytest.raises(Rejected, match="NoStock"):
            await cloud.provider.create(pod)
        cloud.fault("CreateContainerGroup", status=503, code="ServiceUnavailable", times=1)
        with pytest.raises(Retryable):
            await cloud.provider.create(pod)


async def test_a_group_that_fails_after_it_was_accepted_is_taken_away_and_tried_again() -> None:
    engine = ScriptedEngine()
    engine.refuses = "no room for this group"
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.gone(POD.key)
        assert not any(isinstance(one, Seen) for one in cloud.said.all), "it has never run"
        with pytest.raises(Retryable) as caught:
            await cloud.provider.create(POD)
        assert "no room for this group" in caught.value.message
        assert caught.value.retry_after
        engine.refuses = ""
        await _created_in_the_end(cloud)
        await cloud.said.state(POD.key, "running")
        assert len(cloud.groups) == 1
        assert cloud.groups[0].params.text("ClientToken") == f"{POD.key.uid}-2"


async def test_a_group_that_failed_fails_a_pod_that_must_fail_fast() -> None:
    engine = ScriptedEngine()
    engine.refuses = "no room for this group"
    pod = make_pod(annotations=FAIL_FAST)
    async with eci_cloud(engine) as cloud:
        await cloud.provider.create(pod)
        await cloud.said.gone(pod.key)
        with pytest.raises(Rejected, match="no room"):
            await cloud.provider.create(pod)


async def test_an_image_that_cannot_be_pulled_is_said_by_the_container() -> None:
    async with eci_cloud(config={"inaccessibleImages": ["^nginx"]}) as cloud:
        await cloud.provider.create(POD)

        def pulling(one: object) -> bool:
            statuses = one.status.get("containerStatuses") if isinstance(one, Seen) else ()
            reason = statuses[0]["state"].get("waiting", {}).get("reason") if statuses else ""
            return reason in {"ErrImagePull", "ImagePullBackOff"}

        found = await cloud.said.until(pulling)
        await cloud.said.until(lambda one: isinstance(one, Happened) and one.type == "Warning")
        assert isinstance(found, Seen)
        assert found.status["containerStatuses"][0]["state"]["waiting"]["message"]


async def test_one_throttled_create_comes_back_at_once_and_delays_no_other() -> None:
    async with eci_cloud() as cloud:
        cloud.fault(
            "CreateContainerGroup",
            status=400,
            code="Throttling.User",
            message="slow down",
            headers={"x-acs-retry-after": "600000"},
            times=1,
        )
        with pytest.raises(Retryable) as caught:
            await asyncio.wait_for(cloud.provider.create(POD), 10)
        assert (caught.value.reason, caught.value.retry_after) == ("Throttling", 600)
        await cloud.provider.create(OTHER)
        await cloud.said.state(OTHER.key, "running")


async def test_throttled_details_delay_no_pod_that_needs_none() -> None:
    with_inits = make_pod(
        {"initContainers": [{"name": "i", "image": "i"}], "containers": [{"name": "main", "image": "n"}]},
        uid="2f2f2f2f-9f3c-4c5f-8a52-3f1f5a2b7c11",
    )
    async with eci_cloud() as cloud:
        cloud.fault(
            "DescribeContainerGroups",
            status=400,
            code="Throttling.User",
            headers={"x-acs-retry-after": "600000"},
        )
        await cloud.provider.create(with_inits)
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)


async def test_a_lost_page_says_nothing_about_any_group() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.fault("DescribeContainerGroupStatus", status=500, code="InternalError")
        bad = await cloud.said.health(False, after=len(cloud.said.all))
        assert bad.reason == "InternalError"
        assert all(POD.key in one.keys for one in cloud.said.all if isinstance(one, Listed) and one.keys)
        assert not any(isinstance(one, Gone) for one in cloud.said.all)
        before = len(cloud.said.all)
        cloud.emulator.gateway.faults.clear()
        await cloud.said.health(True, after=before)
        assert (await cloud.said.listed()).keys == {POD.key}


async def test_the_first_thing_said_of_a_dead_cloud_is_bad_health() -> None:
    async with eci_cloud(observing=False) as cloud:
        cloud.fault("DescribeContainerGroupStatus", status=503, code="ServiceUnavailable")
        sightings = cloud.provider.observe()
        first = await anext(sightings)
        assert isinstance(first, Health)
        assert (first.ok, first.reason) == (False, "ServiceUnavailable")
        await sightings.aclose()  # type: ignore[attr-defined]


@contextmanager
def _without_rights(cloud: EciCloud) -> Iterator[None]:
    user = cloud.emulator.world.users["connector"]
    cloud.emulator.world.users["connector"] = replace(user, policies=())
    try:
        yield
    finally:
        cloud.emulator.world.users["connector"] = user


async def test_a_right_that_was_taken_away_makes_no_group_look_gone() -> None:
    async with eci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        before = len(cloud.said.all)
        with _without_rights(cloud):
            bad = await cloud.said.health(False, after=before)
            assert bad.reason == "ForbiddenRAM"
            with pytest.raises(Retryable, match="ForbiddenRAM"):
                await cloud.provider.create(OTHER)
        await cloud.said.health(True, after=before)
        assert not any(isinstance(one, Gone) for one in cloud.said.all)
        assert (await cloud.said.listed()).keys == {POD.key}


async def test_keys_that_do_not_work_and_missing_rights() -> None:
    async with eci_cloud() as cloud:
        wrong = alibaba_settings(cloud.emulator, access_key_secret="planted-wrong")
        async with AlibabaSession(wrong) as session:
            with pytest.raises(AlibabaUnauthorized) as refused:
                await session.usage()
            assert "planted-wrong" not in refused.value.message
            with pytest.raises(Retryable, match="SignatureDoesNotMatch"):
                await cloud.another(session).create(POD)
        reader = alibaba_settings(cloud.emulator, access_key_id=READER, access_key_secret=READER_SECRET)
        async with AlibabaSession(reader) as session:
            with pytest.raises(AlibabaForbidden):
                await session.usage()
            assert any(one["RegionId"] == "cn-hangzhou" for one in await session.regions())


async def test_a_rotated_secret_is_used_from_the_next_call_on(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text("the-old-secret")
    async with eci_cloud() as cloud:
        settings = alibaba_settings(cloud.emulator, access_key_secret="", secret_file=str(file))
        async with AlibabaSession(settings) as session:
            again = cloud.another(session)
            with pytest.raises(Retryable, match="SignatureDoesNotMatch"):
                await again.create(POD)
            file.write_text(SECRET)
            await again.create(POD)
    assert KEY


async def test_nothing_is_known_of_a_pod_without_a_group() -> None:
    async with eci_cloud() as cloud:
        with pytest.raises(NotFound):
            await cloud.provider.exec(PodKey("a", "b", "c"), "main", ["ls"], None)  # type: ignore[arg-type]


# --- how much is spent ----------------------------------------------------------------------------


def _runs(one: object) -> bool:
    statuses = one.status.get("containerStatuses") if isinstance(one, Seen) else ()
    return bool(statuses) and "running" in statuses[0]["state"]


async def test_a_burst_of_a_thousand_pods_costs_a_create_each_and_pages_of_rows() -> None:
    engine = SimulatedEngine(home=None, clock=Clock())
    await engine.start()
    pods = [make_pod(name=f"web-{n}", uid=f"0e6d5f0e-9f3c-4c5f-8a52-{n:012d}") for n in range(1000)]
    wide = {
        "vswitches": [
            {"id": "vsw-1", "vpc": "vpc-1", "zone": "cn-hangzhou-h", "freeAddresses": 4000},
            {"id": "vsw-2", "vpc": "vpc-1", "zone": "cn-hangzhou-i", "freeAddresses": 4000},
        ],
        "quotas": {"cn-hangzhou": {"vcpu": 100_000}},
    }
    try:
        async with eci_cloud(engine, config=wide, pacing=Pacing()) as cloud:
            running: set[PodKey] = set()
            reasons: set[str] = set()
            await cloud.said.listed()
            gate = asyncio.Semaphore(64)

            async def create(pod: Any) -> None:
                async with gate:
                    while True:
                        try:
                            await cloud.provider.create(pod)
                        except Retryable as error:
                            reasons.add(error.reason)
                            await asyncio.sleep(error.retry_after or 0.1)
                        else:
                            return

            await asyncio.gather(*(create(pod) for pod in pods))
            async with asyncio.timeout(120), cloud.said.changed:
                while len(running) < len(pods):
                    running |= {one.key for one in cloud.said.all if _runs(one)}
                    cloud.said.all.clear()
                    if len(running) < len(pods):
                        await cloud.said.changed.wait()
            counters = {
                (one["template"], one["status"]): one["count"]
                for one in cloud.emulator.gateway.recorder.counters()
            }
            assert reasons <= {"Throttling"}
            assert counters.pop(("eci:CreateContainerGroup", 200)) == 1000
            pages = counters.pop(("eci:DescribeContainerGroupStatus", 200))
            events = counters.pop(("eci:DescribeContainerGroupEvents", 200))
            assert counters == {}, "nothing else was asked for"
            assert events <= 60
            # A page holds 200; every two seconds those of the last minute are read.
            assert pages <= 200
    finally:
        await engine.aclose(remove=True)
