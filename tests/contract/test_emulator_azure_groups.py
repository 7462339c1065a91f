"""Container groups through azure-mgmt-containerinstance: their whole life, over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.containerinstance.models import Resource
from support.azure_clients import GROUP, LOCATION, Clients, clients, container, container_group, seed
from support.scripted_engine import IP, STARTED, ScriptedEngine

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.engines.api import GroupEvent, GroupPhase, Terminated, Waiting


@asynccontextmanager
async def azure(engine: ScriptedEngine, **changes: Any) -> AsyncIterator[tuple[AzureEmulator, Clients]]:
    config = AzureConfig.from_json(seed(**changes))
    async with AzureEmulator(config, engine=engine) as emulator, clients(emulator) as sdk:
        yield emulator, sdk


async def create(sdk: Clients, name: str, body: dict[str, Any] | None = None) -> Any:
    poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, name, body or container_group())
    return await poller.result()


async def test_a_group_is_created_read_and_deleted() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (_, sdk):
        made = await create(sdk, "web-1")
        assert made.provisioning_state == "Succeeded"
        assert made.ip_address.ip == IP
        assert made.instance_view.state == "Running"
        assert made.containers[0].instance_view.current_state.state == "Running"

        spec = next(iter(engine.specs.values()))
        assert spec.containers[0].image == "nginx"
        assert spec.containers[0].memory == int(1.5 * 1024**3)

        await (await sdk.aci.container_groups.begin_delete(GROUP, "web-1")).result()
        assert not engine.specs
        with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
            await sdk.aci.container_groups.get(GROUP, "web-1")


async def test_provisioning_follows_the_clock_and_reading_changes_nothing() -> None:
    engine = ScriptedEngine()
    timings = {"groupPending": 10, "groupStart": 20, "groupDelete": 5, "retryAfter": 7}
    async with azure(engine, timings=timings) as (emulator, sdk):
        emulator.clock.freeze()
        groups = sdk.aci.container_groups

        def answer(response: Any, body: Any, headers: Any) -> Any:
            return response.http_response

        poller = await groups.begin_create_or_update(
            GROUP, "web", container_group(), polling=False, cls=answer
        )
        response = await poller.result()
        assert response.status_code == 201
        assert response.headers["Retry-After"] == "7"
        assert (
            "/providers/Microsoft.ContainerInstance/locations/eastus/operations/"
            in (response.headers["Azure-AsyncOperation"])
        )

        async def state() -> tuple[str, str]:
            group = await groups.get(GROUP, "web")
            return group.provisioning_state, group.instance_view.state

        for _ in range(3):
            assert await state() == ("Pending", "Pending")
        emulator.clock.advance(10)
        await reaches(emulator, "web", lambda group: group.state == "Creating")
        assert await state() == ("Creating", "Pending")
        assert engine.calls == []
        emulator.clock.advance(20)
        await reaches(emulator, "web", lambda group: group.state == "Succeeded")
        assert await state() == ("Succeeded", "Running")

        await groups.begin_delete(GROUP, "web", polling=False)
        assert (await state())[0] == "Deleting"
        emulator.clock.advance(5)
        await settled(emulator.lifecycle.groups[GROUP, "web"])
        assert not emulator.lifecycle.groups


async def test_exit_codes_restarts_and_events_are_shown_as_aci_shows_them() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (emulator, sdk):
        await create(sdk, "job", container_group(restartPolicy="OnFailure"))
        name = next(iter(engine.specs))
        crash = Terminated(137, "OOMKilled", STARTED, STARTED + 9, signal=9)
        back_off = GroupEvent(
            STARTED + 9, "Warning", "BackOff", "Back-off restarting failed container", "web"
        )
        waiting = Waiting("CrashLoopBackOff", "Back-off 10s restarting failed")
        engine.become(name, GroupPhase.RUNNING, waiting, previous=crash, restarts=3)
        status = engine.seen[name]
        engine.publish(replace(status, events=(*status.events, back_off, back_off)))
        await reaches(emulator, "job", lambda group: group.status == engine.seen[name])

        view = (await sdk.aci.container_groups.get(GROUP, "job")).containers[0].instance_view
        assert view.restart_count == 3
        assert view.current_state.detail_status == "CrashLoopBackOff: Back-off 10s restarting failed"
        assert (view.previous_state.exit_code, view.previous_state.detail_status) == (137, "OOMKilled")
        assert [(event.name, event.count, event.type) for event in view.events] == [
            ("Pulling", 1, "Normal"),
            ("BackOff", 2, "Warning"),
        ]


async def test_a_list_has_pages_and_no_instance_view() -> None:
    async with azure(ScriptedEngine(), limits={"pageSize": 2}) as (emulator, sdk):
        for index in range(5):
            await create(sdk, f"web-{index}")
        emulator.gateway.recorder.clear()
        listed = [group async for group in sdk.aci.container_groups.list_by_resource_group(GROUP)]
        assert [group.name for group in listed] == [f"web-{index}" for index in range(5)]
        assert all(group.instance_view is None for group in listed)
        assert all(group.containers[0].instance_view is None for group in listed)
        assert emulator.gateway.recorder.count("GET", "containerGroups", 200) == 3
        assert len([group async for group in sdk.aci.container_groups.list()]) == 5


async def test_secrets_never_come_back() -> None:
    secret = "c2VjcmV0LXZhbHVl"
    body = container_group(
        containers=[
            container(
                environmentVariables=[
                    {"name": "TOKEN", "secureValue": "secure-value"},
                    {"name": "A", "value": "b"},
                ],
                volumeMounts=[
                    {"name": "files", "mountPath": "/files"},
                    {"name": "share", "mountPath": "/share"},
                ],
            )
        ],
        volumes=[
            {"name": "files", "secret": {"password": secret}},
            {
                "name": "share",
                "azureFile": {
                    "shareName": "s",
                    "storageAccountName": "a",
                    "storageAccountKey": "account-key",
                },
            },
        ],
        imageRegistryCredentials=[
            {"server": "registry.example", "username": "u", "password": "pull-password"}
        ],
        diagnostics={"logAnalytics": {"workspaceId": "w", "workspaceKey": "workspace-key"}},
    )
    engine = ScriptedEngine()
    async with azure(engine) as (emulator, sdk):
        group = await create(sdk, "web", body)
        variables = {one.name: one for one in group.containers[0].environment_variables}
        assert (variables["TOKEN"].value, variables["TOKEN"].secure_value) == (None, None)
        assert variables["A"].value == "b"
        text = str(group.as_dict()) + str(emulator.state())
        for marker in (secret, "secure-value", "account-key", "pull-password", "workspace-key"):
            assert marker not in text
        spec = next(iter(engine.specs.values()))
        assert spec.containers[0].env["TOKEN"] == "secure-value"
        assert spec.volumes["files"].files[0].content == b"secret-value"
        assert spec.registry_auth[0].password == "pull-password"


async def test_stop_start_restart() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (emulator, sdk):
        groups = sdk.aci.container_groups
        await create(sdk, "web")
        await groups.stop(GROUP, "web")
        await settled(emulator.lifecycle.groups[GROUP, "web"])
        stopped = await groups.get(GROUP, "web")
        assert stopped.instance_view.state == "Stopped"
        await (await groups.begin_start(GROUP, "web")).result()
        assert (await groups.get(GROUP, "web")).instance_view.state == "Running"
        await (await groups.begin_restart(GROUP, "web")).result()
        await settled(emulator.lifecycle.groups[GROUP, "web"])
        assert [call for call, _ in engine.calls] == ["create", "stop", "restart", "restart"]


async def test_tags_are_patched_and_an_update_makes_the_containers_anew() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (_, sdk):
        await create(sdk, "web")
        patched = await sdk.aci.container_groups.update(GROUP, "web", Resource(tags={"node": "a"}))
        assert patched.tags == {"node": "a"}
        assert [call for call, _ in engine.calls] == ["create"]
        body = container_group(containers=[container(image="nginx:2")]) | {"tags": {"node": "b"}}
        updated = await create(sdk, "web", body)
        assert (updated.containers[0].image, updated.tags) == ("nginx:2", {"node": "b"})
        assert [call for call, _ in engine.calls] == ["create", "delete", "create"]
        with pytest.raises(HttpResponseError, match="InvalidContainerGroupUpdate"):
            await create(sdk, "web", container_group(restartPolicy="Never"))


async def test_a_second_put_meets_the_transition_and_a_delete_overtakes_it() -> None:
    engine = ScriptedEngine()
    engine.runs = False
    async with azure(engine) as (emulator, sdk):
        groups = sdk.aci.container_groups
        await groups.begin_create_or_update(GROUP, "web", container_group(), polling=False)
        with pytest.raises(ResourceExistsError, match="still transitioning"):
            await groups.begin_create_or_update(GROUP, "web", container_group())
        async with asyncio.timeout(5):
            await engine.created.wait()
        await (await groups.begin_delete(GROUP, "web")).result()
        assert not engine.specs
        assert not emulator.lifecycle.groups
        await (await groups.begin_delete(GROUP, "web")).result()


async def test_a_group_is_there_until_its_containers_are_gone() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (emulator, sdk):
        groups = sdk.aci.container_groups
        await create(sdk, "web")
        engine.holds_deletions = True
        await groups.begin_delete(GROUP, "web", polling=False)
        group = emulator.lifecycle.groups[GROUP, "web"]
        async with asyncio.timeout(5):
            await engine.deleted.wait()
        assert (await groups.get(GROUP, "web")).provisioning_state == "Deleting"
        with pytest.raises(ResourceExistsError, match="still transitioning"):
            await groups.begin_create_or_update(GROUP, "web", container_group())
        engine.vanish(group.engine_name)
        await settled(group)
        with pytest.raises(ResourceNotFoundError):
            await groups.get(GROUP, "web")


async def test_a_group_deleted_while_it_is_created_never_reaches_the_engine() -> None:
    engine = ScriptedEngine()
    async with azure(engine, timings={"groupPending": 5, "groupStart": 5, "groupDelete": 1}) as (
        emulator,
        sdk,
    ):
        emulator.clock.freeze()
        groups = sdk.aci.container_groups
        await groups.begin_create_or_update(GROUP, "web", container_group(), polling=False)
        group = emulator.lifecycle.groups[GROUP, "web"]
        creating = group.task
        await groups.begin_delete(GROUP, "web", polling=False)
        emulator.clock.advance(60)
        await settled(group)
        assert creating is not None
        assert creating.cancelled()
        assert engine.specs == {}
        assert emulator.lifecycle.groups == {}


async def test_an_engine_that_refuses_fails_the_operation() -> None:
    engine = ScriptedEngine()
    engine.refuses = "no room"
    async with azure(engine) as (_, sdk):
        with pytest.raises(HttpResponseError, match="no room"):
            await create(sdk, "web")
        assert (await sdk.aci.container_groups.get(GROUP, "web")).provisioning_state == "Failed"


async def test_a_group_that_does_not_start_in_time_fails() -> None:
    engine = ScriptedEngine()
    engine.runs = False
    async with azure(engine) as (emulator, sdk):
        poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", container_group())
        async with asyncio.timeout(5):
            await engine.created.wait()
        emulator.clock.advance(1801)
        with pytest.raises(HttpResponseError, match="did not start within"):
            await poller.result()


async def test_the_life_of_a_resource_group_takes_its_contents_with_it() -> None:
    engine = ScriptedEngine()
    async with azure(engine) as (_, sdk):
        groups = sdk.resources.resource_groups
        made = await groups.create_or_update("other", {"location": LOCATION, "tags": {"a": "b"}})
        assert (made.properties.provisioning_state, made.tags) == ("Succeeded", {"a": "b"})
        await (
            await sdk.aci.container_groups.begin_create_or_update("other", "web", container_group())
        ).result()
        names = [resource.name async for resource in sdk.resources.resources.list_by_resource_group("other")]
        assert names == ["web"]
        await (await groups.begin_delete("other")).result()
        assert not await groups.check_existence("other")
        assert not engine.specs
        with pytest.raises(ResourceNotFoundError, match="ResourceGroupNotFound"):
            [group async for group in sdk.aci.container_groups.list_by_resource_group("other")]


async def test_what_a_region_offers() -> None:
    async with azure(ScriptedEngine()) as (_, sdk):
        await create(sdk, "web")
        usages = {one.name.value: one async for one in sdk.aci.location.list_usage(LOCATION)}
        assert (usages["ContainerGroups"].current_value, usages["StandardCores"].current_value) == (1, 1)
        offered = [one async for one in sdk.aci.location.list_capabilities(LOCATION)]
        assert {one.os_type for one in offered} == {"Linux", "Windows"}
        assert [one async for one in sdk.aci.location.list_cached_images(LOCATION)]
        assert await sdk.aci.container_groups.get_outbound_network_dependencies_endpoints(GROUP, "web") == []
        assert [one async for one in sdk.aci.operations.list()]


async def reaches(emulator: AzureEmulator, name: str, condition: Callable[[Group], bool]) -> None:
    async with asyncio.timeout(5):
        await emulator.lifecycle.groups[GROUP, name].until(condition)


async def settled(group: Group) -> None:
    """No transition of the group is under way any more."""
    assert group.task is not None
    await asyncio.wait_for(asyncio.shield(group.task), 5)
