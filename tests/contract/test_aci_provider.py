"""The ACI provider's life with its groups: the vendor's SDK against the emulated ARM over a socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.aci_cloud import BRISK, CONNECTOR, NODE, aci_cloud, azure_settings
from support.aci_pods import make_pod
from support.azure_clients import CLIENT, GROUP, READER, container_group
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.azure import AzureForbidden, AzureNotFound, AzureSession, AzureUnauthorized
from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API, path_of
from vnodectl.providers.aci.names import group_name
from vnodectl.runtime.provider import (
    EnvVar,
    Gone,
    Health,
    Listed,
    NotFound,
    PodKey,
    Rejected,
    Retryable,
    Seen,
)

POD = make_pod(
    {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}],
    }
)
OTHER = make_pod(name="web-1", uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11")


def _path(name: str, session: AzureSession) -> str:
    return path_of(session.subscription, GROUP, "Microsoft.ContainerInstance/containerGroups", name)


async def test_a_pod_runs_ends_with_its_exit_code_and_goes() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        running = await cloud.said.state(POD.key, "running")
        assert running["podIP"]
        assert running["containerStatuses"][0]["ready"]
        cloud.end(3)
        ended = (await cloud.said.state(POD.key, "terminated"))["containerStatuses"][0]
        assert (ended["state"]["terminated"]["exitCode"], ended["state"]["terminated"]["reason"]) == (
            3,
            "Error",
        )
        assert ended["containerID"].startswith("aci://subscriptions/")
        cloud.engine.holds_deletions = True
        await cloud.provider.delete(POD.key, grace=30)
        assert POD.key in (await cloud.said.listed()).keys
        assert Gone(POD.key) not in cloud.said.all
        cloud.engine.vanish(next(iter(cloud.engine.seen)))
        await cloud.said.gone(POD.key)
        assert (await cloud.said.listed()).keys == frozenset()


async def test_out_of_memory_is_told() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.end(137, "OOMKilled")
        ended = (await cloud.said.state(POD.key, "terminated"))["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_the_group_carries_the_pod_and_no_secret_is_readable() -> None:
    pod = replace(POD, env={"main": (EnvVar("TOKEN", "planted-marker", secret=True), EnvVar("MODE", "x"))})
    async with aci_cloud() as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(POD.key, "running")
        (group,) = await cloud.session.container_groups(GROUP)
        assert group["name"] == group_name(POD.key)
        assert group["tags"] == {
            "vnodectl-namespace": "default",
            "vnodectl-pod": "web-0",
            "vnodectl-uid": POD.key.uid,
            "vnodectl-node": NODE,
            "vnodectl-connector": CONNECTOR,
            "vnodectl-created": "2026-01-02T03:04:05Z",
        }
        assert "planted-marker" not in str(group)
        (spec,) = cloud.engine.specs.values()
        assert spec.containers[0].env["TOKEN"] == "planted-marker"


async def test_creating_twice_makes_one_group_and_restarts_nothing() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        await cloud.provider.create(POD)
        assert cloud.calls("PUT") == 1


async def test_a_restarted_connector_finds_its_groups_and_makes_none_anew() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        from vnodectl.providers.aci import AciSettings, create_provider

        again = create_provider(
            cloud.session,
            AciSettings(GROUP, "eastus"),
            node_name=NODE,
            connector=CONNECTOR,
            os_type="Linux",
            capacity={},
            budget=BRISK,
        )
        await again.create(POD)
        assert cloud.calls("PUT") == 1
        sightings = again.observe()
        first = await anext(sightings)
        assert isinstance(first, Listed)
        assert first.keys == {POD.key}
        await sightings.aclose()  # type: ignore[attr-defined]


async def test_a_create_whose_answer_was_lost_is_found_again() -> None:
    async with aci_cloud() as cloud:
        cloud.fault(method="PUT", status=502, after=True, times=1)
        with pytest.raises(Retryable):
            await cloud.provider.create(POD)
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        assert cloud.calls("PUT") == 1


async def test_a_group_of_the_same_name_with_another_uid_is_never_taken_over() -> None:
    async with aci_cloud() as cloud:
        name = group_name(POD.key)
        foreign = container_group() | {
            "tags": {
                "vnodectl-namespace": "default",
                "vnodectl-pod": "web-0",
                "vnodectl-uid": "another",
                "vnodectl-node": NODE,
                "vnodectl-connector": CONNECTOR,
            }
        }
        path = _path(name, cloud.session)
        await cloud.session.arm("PUT", path, CONTAINER_INSTANCE_API, body=foreign)
        with pytest.raises(Rejected, match="NameTaken"):
            await cloud.provider.create(POD)
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)
        assert (await cloud.session.arm("GET", path, CONTAINER_INSTANCE_API))["tags"][
            "vnodectl-uid"
        ] == "another"
        assert cloud.calls("DELETE") == 0


async def test_groups_of_others_are_not_seen() -> None:
    async with aci_cloud() as cloud:
        for name, tags in (
            ("stranger", {}),
            ("neighbour", {"vnodectl-node": "virtual-kubelet-other", "vnodectl-connector": CONNECTOR}),
        ):
            body = container_group() | {"tags": tags}
            await cloud.session.arm("PUT", _path(name, cloud.session), CONTAINER_INSTANCE_API, body=body)
        assert (await cloud.said.listed()).keys == frozenset()
        await cloud.provider.create(POD)
        assert (await cloud.said.listed()).keys == {POD.key}


async def test_deleting_what_is_not_there_says_gone() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)


async def test_a_group_deleted_by_somebody_else_is_gone() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        path = _path(group_name(POD.key), cloud.session)
        await cloud.session.arm("DELETE", path, CONTAINER_INSTANCE_API)
        await cloud.said.gone(POD.key)


async def test_a_delete_during_provisioning_leaves_nothing() -> None:
    engine = ScriptedEngine()
    engine.runs = False
    async with aci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        await asyncio.wait_for(engine.created.wait(), 10)
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)
        assert engine.seen == {}


async def test_a_group_that_cannot_be_provisioned_fails_the_pod_with_arm_s_words() -> None:
    engine = ScriptedEngine()
    engine.refuses = "no room for this group"
    async with aci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        failed = await cloud.said.until(
            lambda one: isinstance(one, Seen) and one.status.get("phase") == "Failed"
        )
        assert isinstance(failed, Seen)
        assert "no room for this group" in failed.status["message"]
        assert failed.status["reason"] == "Failed"
        while await cloud.session.container_groups(GROUP):
            await cloud.said.listed()
        await cloud.provider.create(POD)
        assert cloud.calls("PUT") == 1, "a Failed pod is not started again"
        assert Gone(POD.key) not in cloud.said.all
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.gone(POD.key)


async def test_what_arm_refuses_for_good_is_rejected() -> None:
    async with aci_cloud() as cloud:
        cloud.fault(method="PUT", status=400, code="InvalidImage", message="no such thing", times=1)
        with pytest.raises(Rejected, match="InvalidImage: no such thing"):
            await cloud.provider.create(POD)


async def test_an_error_that_repeats_a_secret_is_told_without_it() -> None:
    pod = replace(POD, env={"main": (EnvVar("TOKEN", "planted-marker", secret=True),)})
    async with aci_cloud() as cloud:
        message = "the value 'planted-marker' of TOKEN is wrong"
        cloud.fault(method="PUT", status=400, code="InvalidParameter", message=message, times=1)
        with pytest.raises(Rejected) as caught:
            await cloud.provider.create(pod)
        assert caught.value.message == "the value '***' of TOKEN is wrong"


async def test_a_full_quota_may_be_tried_again() -> None:
    async with aci_cloud(config={"quotas": {"eastus": {"ContainerGroups": 0}}}) as cloud:
        with pytest.raises(Retryable, match="ContainerGroupQuotaReached"):
            await cloud.provider.create(POD)


async def test_an_image_that_cannot_be_pulled_is_tried_again() -> None:
    async with aci_cloud(config={"inaccessibleImages": ["^nginx"]}) as cloud:
        with pytest.raises(Retryable, match="ErrImagePull"):
            await cloud.provider.create(POD)


async def test_one_throttled_create_comes_back_at_once_and_delays_no_other() -> None:
    async with aci_cloud() as cloud:
        cloud.fault(
            method="PUT",
            path=group_name(POD.key),
            status=429,
            code="TooManyRequests",
            message="slow down",
            headers={"Retry-After": "600"},
        )
        with pytest.raises(Retryable) as caught:
            await asyncio.wait_for(cloud.provider.create(POD), 10)
        assert caught.value.retry_after == 600
        await cloud.provider.create(OTHER)
        await cloud.said.state(OTHER.key, "running")


async def test_one_throttled_read_delays_no_other_pod() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.fault(
            method="GET",
            path=f"{group_name(OTHER.key)}$",
            skip=1,
            status=429,
            code="TooManyRequests",
            headers={"Retry-After": "600"},
        )
        await cloud.provider.create(OTHER)
        await cloud.said.listed()
        (name,) = [one.name for one in cloud.engine.seen.values() if one.name][:1]
        cloud.engine.become(name, *_ended())
        await cloud.said.state(POD.key, "terminated")


def _ended() -> tuple[object, object]:
    from vnodectl.engines.api import GroupPhase, Terminated

    return GroupPhase.FAILED, Terminated(9, "Error", 1_800_000_000.0, 1_800_000_005.0)


async def test_a_lost_page_says_nothing_about_any_group() -> None:
    async with aci_cloud(config={"limits": {"pageSize": 1}}) as cloud:
        await cloud.provider.create(POD)
        await cloud.provider.create(OTHER)
        assert (await cloud.said.listed()).keys == {POD.key, OTHER.key}
        cloud.fault(method="GET", path="containerGroups$", skip=1, status=500, code="InternalServerError")
        bad = await cloud.said.health(False, after=len(cloud.said.all))
        assert bad.reason == "InternalServerError"
        assert all(one.keys >= {POD.key} for one in cloud.said.all if isinstance(one, Listed) and one.keys)
        assert not any(isinstance(one, Gone) for one in cloud.said.all)
        before = len(cloud.said.all)
        cloud.emulator.gateway.faults.clear()
        await cloud.said.health(True, after=before)
        assert (await cloud.said.listed()).keys == {POD.key, OTHER.key}


async def test_the_first_thing_said_of_a_dead_cloud_is_bad_health() -> None:
    async with aci_cloud() as cloud:
        cloud.fault(method="GET", path="containerGroups$", status=503, code="ServerBusy")
        from vnodectl.providers.aci import AciSettings, create_provider

        late = create_provider(
            cloud.session,
            AciSettings(GROUP, "eastus"),
            node_name=NODE,
            connector=CONNECTOR,
            os_type="Linux",
            capacity={},
        )
        sightings = late.observe()
        first = await anext(sightings)
        assert first == Health(ok=False, reason="ServerBusy", message=first.message)  # type: ignore[union-attr]
        await sightings.aclose()  # type: ignore[attr-defined]


async def test_remaining_reads_are_known_to_the_observer() -> None:
    async with aci_cloud() as cloud:
        await cloud.said.listed()
        assert cloud.session.meter.remaining_reads > 0


async def test_nothing_is_known_of_a_pod_without_a_group() -> None:
    async with aci_cloud() as cloud:
        with pytest.raises(NotFound):
            await cloud.provider.exec(PodKey("a", "b", "c"), "main", ["ls"], None)  # type: ignore[arg-type]


async def test_a_wrong_secret_and_a_missing_right() -> None:
    async with aci_cloud() as cloud:
        async with AzureSession(azure_settings(cloud.emulator, client_secret="planted-wrong")) as session:
            with pytest.raises(AzureUnauthorized) as refused:
                await session.container_groups(GROUP)
            assert "planted-wrong" not in refused.value.message
        async with AzureSession(azure_settings(cloud.emulator, client_id=READER)) as session:
            with pytest.raises(AzureForbidden):
                await session.arm("DELETE", _path("x", session), CONTAINER_INSTANCE_API)
            with pytest.raises(AzureNotFound):
                await session.resource_group("nothing-here")
            assert "eastus" in await session.locations()
            assert (await session.resource_group(GROUP))["location"] == "eastus"


async def test_a_managed_identity_and_a_rotated_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    identity = {
        "name": "id",
        "resourceGroup": GROUP,
        "location": "eastus",
        "clientId": "99999999-2222-3333-4444-555555555555",
        "assigned": True,
    }
    async with aci_cloud(config={"managedIdentities": [identity]}) as cloud:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", cloud.emulator.imds_endpoint)
        settings = azure_settings(cloud.emulator, client_secret="", client_id=identity["clientId"])
        async with AzureSession(settings) as session:
            assert await session.container_groups(GROUP) == []
        file = tmp_path / "secret"  # type: ignore[operator]
        file.write_text("the-old-secret")
        settings = azure_settings(cloud.emulator, client_secret="", client_secret_file=str(file))
        async with AzureSession(settings) as session:
            with pytest.raises(AzureUnauthorized):
                await session.container_groups(GROUP)
            from support.azure_clients import SECRET

            file.write_text(SECRET)
            assert await session.container_groups(GROUP) == []
    assert CLIENT
