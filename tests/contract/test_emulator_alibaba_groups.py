"""Container groups through the real SDK: their whole life, over TLS."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from alibabacloud_eci20180808 import models as eci
from support.alibaba_clients import (
    REGION,
    clients,
    container,
    created,
    deleted,
    emulated,
    gone,
    reaches,
    refused,
    script,
    statuses,
    the_group,
)
from support.scripted_engine import IP, STARTED, ScriptedEngine

from vnodectl.engines.api import GroupEvent, GroupPhase, Terminated, Waiting


def reasons(shown: Any) -> list[str]:
    return [event.reason for event in shown.events]


async def test_a_group_is_created_read_and_deleted() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        tags = [eci.CreateContainerGroupRequestTag(key="team", value="blue")]
        web = await created(sdk, tag=tags)
        await reaches(emulator, web, "Running")
        shown = await the_group(sdk, web)
        assert (shown.status, shown.intranet_ip, shown.zone_id) == ("Running", IP, "cn-hangzhou-h")
        assert (shown.vpc_id, shown.v_switch_id, shown.security_group_id) == ("vpc-1", "vsw-h", "sg-1")
        assert [(one.key, one.value) for one in shown.tags] == [("team", "blue")]
        assert shown.containers[0].current_state.state == "Running"
        assert (shown.events[0].reason, shown.events[0].type) == ("Pulling", "Normal")
        assert engine.specs[web].containers[0].memory == 2 * 1024**3

        pod = (await statuses(sdk)).data[0]
        assert (pod.status, pod.pod_status.phase, pod.pod_status.pod_ip) == ("Running", "Running", IP)
        assert {one.type: one.status for one in pod.pod_status.conditions}["Ready"] == "True"
        assert pod.pod_status.container_statuses[0].state.running.started_atstarted_at

        await deleted(sdk, web)
        await gone(emulator, web)
        assert not engine.specs
        error = await refused(deleted(sdk, web))
        assert (error.code, error.status_code) == ("InvalidParameter.NotFound", 404)


async def test_states_follow_the_clock_and_reading_changes_nothing() -> None:
    timings = {"scheduling": 10, "deleting": 5}
    async with emulated(ScriptedEngine(), timings=timings) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        web = await created(sdk)
        for _ in range(3):
            shown = await the_group(sdk, web)
            assert (shown.status, shown.intranet_ip) == ("Scheduling", "")
        pod = (await statuses(sdk)).data[0].pod_status
        assert pod.phase == "Pending"
        assert (pod.conditions[0].type, pod.conditions[0].status) == ("PodScheduled", "False")
        emulator.clock.advance(10)
        await reaches(emulator, web, "Running")
        await deleted(sdk, web)
        assert (await the_group(sdk, web)).status == "Terminating"
        await deleted(sdk, web)
        emulator.clock.advance(5)
        await gone(emulator, web)


async def test_a_job_ends_with_its_exit_code() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        job = await created(sdk, restart_policy="Never")
        await reaches(emulator, job, "Running")
        engine.become(job, GroupPhase.FAILED, Terminated(137, "OOMKilled", STARTED, STARTED + 9))
        await reaches(emulator, job, "Failed")
        shown = await the_group(sdk, job)
        assert (shown.status, bool(shown.failed_time), shown.succeeded_time) == ("Failed", True, "")
        state = shown.containers[0].current_state
        assert (state.state, state.exit_code, state.reason) == ("Terminated", 137, "OOMKilled")
        pod = (await statuses(sdk)).data[0].pod_status
        ended = pod.container_statuses[0].state.terminated
        assert (pod.phase, ended.exit_code, ended.finished_at) == ("Failed", 137, "2027-01-15T08:00:09Z")
        error = await refused(
            sdk.eci.restart_container_group_async(
                eci.RestartContainerGroupRequest(region_id=REGION, container_group_id=job)
            )
        )
        assert (error.code, error.status_code) == ("IncorrectStatus", 400)


async def test_a_group_that_cannot_be_scheduled() -> None:
    zones = [{"id": "cn-hangzhou-h", "schedulable": False}, "cn-hangzhou-i"]
    regions = [{"id": REGION, "zones": zones}]
    async with emulated(ScriptedEngine(), regions=regions) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "ScheduleFailed")
        shown = await the_group(sdk, web)
        assert (shown.status, shown.events[0].reason) == ("ScheduleFailed", "NoStock")
        assert "out of stock" in shown.events[0].message
        pod = (await statuses(sdk)).data[0].pod_status
        assert (pod.phase, pod.conditions[1].reason) == ("Failed", "NoStock")
        assert emulator.setting("stock")["cn-hangzhou-h"]["used"] == 0


async def test_an_engine_that_refuses() -> None:
    engine = ScriptedEngine()
    engine.refuses = "no space left"
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "ScheduleFailed")
        assert "no space left" in (await the_group(sdk, web)).events[0].message


async def test_an_image_that_cannot_be_pulled_waits_and_the_group_can_be_deleted() -> None:
    engine = ScriptedEngine()
    async with emulated(engine, inaccessibleImages=["^private/"]) as emulator:
        sdk = clients(emulator)
        web = await created(sdk, container=[container(image="private/app")])
        await reaches(emulator, web, "Pending")
        waiting = (await statuses(sdk)).data[0].pod_status.container_statuses[0].state.waiting
        assert waiting.reason == "ImagePullBackOff"
        assert "Failed" in reasons(await the_group(sdk, web))
        await deleted(sdk, web)
        await gone(emulator, web)
        assert engine.calls == []


async def test_a_restart_keeps_the_group() -> None:
    engine = ScriptedEngine()
    async with emulated(engine, timings={"scheduling": 0, "changing": 5}) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "Running")
        request = eci.RestartContainerGroupRequest(region_id=REGION, container_group_id=web)
        await sdk.eci.restart_container_group_async(request)
        assert (await the_group(sdk, web)).status == "Restarting"
        assert (await refused(sdk.eci.restart_container_group_async(request))).code == "IncorrectStatus"
        emulator.clock.advance(5)
        await reaches(emulator, web, "Running")
        assert engine.calls == [("create", web), ("restart", web)]


def config_volume(content: bytes) -> eci.UpdateContainerGroupRequestVolume:
    files = eci.UpdateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(
        path="a.txt", content=base64.b64encode(content).decode()
    )
    return eci.UpdateContainerGroupRequestVolume(
        name="files",
        type="ConfigFileVolume",
        config_file_volume=eci.UpdateContainerGroupRequestVolumeConfigFileVolume(config_file_to_path=[files]),
    )


async def test_updates_replace_containers_and_write_files_in_place() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        mount = eci.CreateContainerGroupRequestContainerVolumeMount(name="files", mount_path="/files")
        volume = eci.CreateContainerGroupRequestVolume(
            name="files",
            type="ConfigFileVolume",
            config_file_volume=eci.CreateContainerGroupRequestVolumeConfigFileVolume(
                config_file_to_path=[
                    eci.CreateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(
                        path="a.txt", content=base64.b64encode(b"one").decode(), mode=0o400
                    )
                ]
            ),
        )
        web = await created(sdk, container=[container(volume_mount=[mount])], volume=[volume])
        await reaches(emulator, web, "Running")
        written = asyncio.Event()

        async def write_files(name: str, of: str, files: object) -> None:
            engine.calls.append((f"write {of} {files[0].content} {files[0].mode:o}", name))
            written.set()

        engine.write_files = write_files

        async def update(**fields: object) -> None:
            request = eci.UpdateContainerGroupRequest(region_id=REGION, container_group_id=web, **fields)
            await sdk.eci.update_container_group_async(request)

        await update(volume=[config_volume(b"two")])
        await reaches(emulator, web, "Running")
        assert engine.calls[1:] == [("write files b'two' 400", web)]

        image = eci.UpdateContainerGroupRequestContainer(name="web", image="nginx:2")
        await update(container=[image], update_type="IncrementalUpdate")
        await reaches(emulator, web, "Running")
        assert engine.calls[2:] == [("delete", web), ("create", web)]
        spec = engine.specs[web]
        assert (spec.containers[0].image, spec.containers[0].mounts[0].path) == ("nginx:2", "/files")
        assert spec.volumes["files"].files[0].content == b"two"

        await update(tag=[eci.UpdateContainerGroupRequestTag(key="a", value="b")])
        assert [(one.key, one.value) for one in (await the_group(sdk, web)).tags] == [("a", "b")]
        assert (await refused(update(container=[image], update_type="IncrementalUpdate"))).code == (
            "NoNeedUpdate"
        )
        large = eci.UpdateContainerGroupRequestContainer(name="web", image="nginx", cpu=64.0)
        assert (await refused(update(container=[large]))).code == "InvalidParameter.CPU.Memory"


async def test_a_group_ends_at_its_deadline_and_a_spot_group_is_taken_away() -> None:
    engine = ScriptedEngine()
    async with emulated(engine, timings={"scheduling": 0, "spotLife": 100}) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        late = await created(sdk, active_deadline_seconds=30)
        spot = await created(sdk, spot_strategy="SpotAsPriceGo")
        await reaches(emulator, late, "Running")
        await reaches(emulator, spot, "Running")
        emulator.clock.advance(30)
        await reaches(emulator, late, "Failed")
        assert "DeadlineExceeded" in reasons(await the_group(sdk, late))
        emulator.clock.advance(70)
        await reaches(emulator, spot, "Expired")
        shown = await the_group(sdk, spot)
        assert "SpotReleased" in reasons(shown)
        assert shown.expired_time


async def test_ended_groups_are_forgotten_after_a_while() -> None:
    engine = ScriptedEngine()
    limits = {"endedGroups": 1}
    async with emulated(engine, limits=limits) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        groups = []
        for name in ("first", "second"):
            groups.append(await created(sdk, name, restart_policy="Never"))
            await reaches(emulator, groups[-1], "Running")
            emulator.clock.advance(1)
            engine.become(groups[-1], GroupPhase.SUCCEEDED, Terminated(0, "Completed", STARTED, STARTED))
            await reaches(emulator, groups[-1], "Succeeded")
        emulator.clock.advance(3599)
        emulator.clock.advance(1)
        async with asyncio.timeout(10):
            while groups[0] in emulator.lifecycle.groups:
                await engine.deleted.wait()
                await asyncio.sleep(0)
        assert (await the_group(sdk, groups[1])).status == "Succeeded"


async def test_hooks_run_in_the_container() -> None:
    engine = ScriptedEngine()
    ran: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    async def run(name: str, of: str, command: object, session: object) -> int:
        await ran.put(tuple(command))
        return 1

    engine.exec = run
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        hooked = container(
            lifecycle_post_start_handler_exec=["begin"], lifecycle_pre_stop_handler_exec=["end"]
        )
        web = await created(sdk, container=[hooked])
        assert await asyncio.wait_for(ran.get(), 10) == ("begin",)
        await reaches(emulator, web, lambda group: bool(group.events))
        assert "FailedPostStartHook" in reasons(await the_group(sdk, web))
        await deleted(sdk, web)
        assert await asyncio.wait_for(ran.get(), 10) == ("end",)
        await gone(emulator, web)


async def test_a_group_that_the_engine_loses_is_pending_again() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "Running")
        engine.vanish(web)
        await reaches(emulator, web, "Pending")
        await deleted(sdk, web)
        await gone(emulator, web)


async def test_restarts_back_off_and_previous_states_are_shown() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "Running")
        ended = Terminated(3, "Error", STARTED, STARTED + 1)
        engine.become(
            web, GroupPhase.RUNNING, Waiting("CrashLoopBackOff", "back-off"), previous=ended, restarts=2
        )
        status = engine.seen[web]
        engine.publish(
            replace(status, events=(*status.events, GroupEvent(STARTED + 1, "Warning", "BackOff", "x")))
        )
        await reaches(emulator, web, lambda group: bool(group.seen and len(group.seen.events) == 2))
        shown = (await the_group(sdk, web)).containers[0]
        assert (shown.restart_count, shown.current_state.reason) == (2, "CrashLoopBackOff")
        assert shown.previous_state.exit_code == 3
        pod = (await statuses(sdk)).data[0].pod_status.container_statuses[0]
        assert (pod.restart_count, pod.last_state.terminated.exit_code) == (2, 3)
        assert pod.state.waiting.reason == "CrashLoopBackOff"


@pytest.mark.parametrize(("text", "status"), [("exit 0", "Succeeded"), ("exit 4", "Failed")])
async def test_simulated_containers_do_what_they_are_told(text: str, status: str) -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        job = await created(sdk, container=[script(text)], restart_policy="Never")
        await reaches(emulator, job, status)
