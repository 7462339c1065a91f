"""What calls have in common: pages, filters, SinceSecond, ClientToken, limits, dry runs, tags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alibabacloud_eci20180808 import models as eci
from support.alibaba_clients import (
    REGION,
    Clients,
    clients,
    container,
    created,
    deleted,
    described,
    emulated,
    gone,
    group,
    reaches,
    refused,
    statuses,
    the_group,
)
from support.scripted_engine import STARTED, ScriptedEngine

from vnodectl.engines.api import GroupPhase, Terminated

TAGS = eci.DescribeContainerGroupStatusRequestTag


def tagged(**tags: str) -> list[eci.CreateContainerGroupRequestTag]:
    return [eci.CreateContainerGroupRequestTag(key=key, value=value) for key, value in tags.items()]


async def test_groups_come_in_pages_of_twenty_and_statuses_in_pages_of_two_hundred() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        ids = {await created(sdk, f"web-{number}") for number in range(23)}
        first = await described(sdk)
        assert (len(first.container_groups), first.total_count) == (20, 23)
        # What is deleted meanwhile neither repeats nor hides others.
        await deleted(sdk, first.container_groups[0].container_group_id)
        await gone(emulator, first.container_groups[0].container_group_id)
        second = await described(sdk, next_token=first.next_token)
        assert (len(second.container_groups), second.next_token) == (3, "")
        found = {one.container_group_id for one in (*first.container_groups, *second.container_groups)}
        assert found == ids
        pods = await statuses(sdk)
        assert (len(pods.data), pods.next_token) == (22, "")
        pods = await statuses(sdk, limit=10)
        assert (len(pods.data), pods.total_count, bool(pods.next_token)) == (10, 22, True)
        for wrong in ({"limit": 21}, {"limit": 0}, {"next_token": "%"}):
            assert (await refused(described(sdk, **wrong))).code == "InvalidParameter"


async def test_filters() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        one = await created(sdk, "one", tag=tagged(node="a", team="x"))
        two = await created(sdk, "two", tag=tagged(node="b", team="x"), v_switch_id="vsw-i")

        async def found(**fields: Any) -> list[str]:
            return [group.container_group_id for group in (await described(sdk, **fields)).container_groups]

        tag = eci.DescribeContainerGroupsRequestTag
        assert await found(container_group_ids=json.dumps([one])) == [one]
        assert await found(container_group_name="two") == [two]
        assert await found(v_switch_id="vsw-i") == [two]
        assert await found(zone_id="cn-hangzhou-h") == [one]
        assert await found(tag=[tag(key="node", value="a"), tag(key="team", value="x")]) == [one]
        assert set(await found(tag=[tag(key="team")])) == {one, two}
        assert await found(status="Succeeded") == []
        pods = await statuses(sdk, tag=[TAGS(key="node", value="b")])
        assert [pod.container_group_id for pod in pods.data] == [two]
        many = json.dumps([one] * 21)
        assert (await refused(found(container_group_ids=many))).code == "InvalidParameter"
        elsewhere = eci.DescribeContainerGroupsRequest(region_id="cn-shanghai")
        assert (await sdk.eci.describe_container_groups_async(elsewhere)).body.container_groups == []
        wrong_place = eci.DeleteContainerGroupRequest(region_id="cn-shanghai", container_group_id=one)
        error = await refused(sdk.eci.delete_container_group_async(wrong_place))
        assert error.code == "InvalidParameter.NotFound"
        nowhere = eci.DescribeContainerGroupsRequest(region_id="moon-1")
        error = await refused(sdk.eci.describe_container_groups_async(nowhere))
        assert (error.code, error.status_code) == ("InvalidRegionId.NotFound", 404)


async def test_since_second_shows_what_changed() -> None:
    engine = ScriptedEngine()
    async with emulated(engine) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        ids = [await created(sdk, name) for name in ("still", "moving")]
        for identity in ids:
            await reaches(emulator, identity, "Running")
        emulator.clock.advance(300)
        assert (await statuses(sdk, since_second=60)).data == []
        engine.become(ids[1], GroupPhase.RUNNING, Terminated(0, "Completed", STARTED, STARTED + 1))
        await reaches(emulator, ids[1], lambda group: group.changed == emulator.clock.now())
        changed = await statuses(sdk, since_second=60)
        assert [pod.container_group_id for pod in changed.data] == [ids[1]]
        assert len((await statuses(sdk, since_second=3600)).data) == 2
        for seconds in (59, 3601):
            assert (await refused(statuses(sdk, since_second=seconds))).code == "InvalidParameter"


async def test_events_of_groups() -> None:
    async with emulated(ScriptedEngine()) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        await reaches(emulator, web, "Running")

        async def events(**fields: Any) -> Any:
            request = eci.DescribeContainerGroupEventsRequest(region_id=REGION, **fields)
            return (await sdk.eci.describe_container_group_events_async(request)).body.data

        told = (await events())[0]
        assert (told.container_group_id, told.name) == (web, "web")
        assert [(one.reason, one.count) for one in told.events] == [("Pulling", 1)]
        assert told.events[0].involved_object.uid == web
        assert (await events(event_source="EciService"))[0].events == []


async def test_the_same_token_gives_the_same_group() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        one = await created(sdk, client_token="once")
        assert await created(sdk, client_token="once") == one
        assert await created(sdk) != one
        error = await refused(created(sdk, "other", client_token="once"))
        assert (error.code, error.status_code) == ("IdempotentParameterMismatch", 400)
        # A token belongs to an operation, and only what succeeded is remembered.
        await deleted(sdk, one, client_token="once")
        await deleted(sdk, one, client_token="once")
        assert (await refused(created(sdk, v_switch_id="vsw-none", client_token="again"))).code == (
            "InvalidVSwitchId.NotFound"
        )
        await created(sdk, client_token="again")
        assert (await refused(created(sdk, client_token="x" * 65))).code == "InvalidParameter"
        emulator.clock.advance(86401)
        assert await created(sdk, client_token="once") != one


async def test_calls_are_limited_by_the_minute() -> None:
    limits = {"createContainerGroup": 2}
    async with emulated(limits=limits) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        await created(sdk)
        emulator.clock.advance(30)
        await created(sdk)
        for _ in range(2):
            error = await refused(created(sdk))
            assert (error.code, error.status_code) == ("Throttling.User", 400)
        await described(sdk)
        emulator.clock.advance(31)
        await created(sdk)
        assert (await refused(created(sdk))).code == "Throttling.User"


async def test_a_dry_run_checks_and_makes_nothing() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        error = await refused(created(sdk, dry_run=True))
        assert (error.code, error.status_code) == ("DryRunOperation", 400)
        error = await refused(created(sdk, dry_run=True, security_group_id="sg-none"))
        assert (error.code, error.status_code) == ("InvalidSecurityGroupId.NotFound", 404)
        assert emulator.lifecycle.groups == {}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"container_group_name": "Web"}, "InvalidParameter"),
        ({"container_group_name": None}, "MissingParameter"),
        ({"container": []}, "MissingParameter"),
        ({"container": [container(), container()]}, "InvalidParameter.DuplicatedName"),
        ({"container": [container(cpu=65.0)]}, "InvalidParameter.CPU.Memory"),
        ({"container": [container(image=None)]}, "MissingParameter"),
        ({"restart_policy": "Sometimes"}, "InvalidParameter"),
        ({"tag": tagged(**{f"t{number}": "" for number in range(21)})}, "NumberExceed.Tags"),
        ({"eip_instance_id": "eip-none"}, "InvalidAllocationId.NotFound"),
        ({"image_snapshot_id": "imc-none"}, "ImageSnapshot.NotFound"),
        ({"instance_type": "ecs.moon.large"}, "InvalidInstanceTypeForEciBuy"),
    ],
)
async def test_what_a_group_may_not_be(fields: dict[str, Any], code: str) -> None:
    async with emulated() as emulator:
        error = await refused(
            clients(emulator).eci.create_container_group_async(group(**({"name": "web"} | fields)))
        )
        assert error.code == code
        assert emulator.lifecycle.groups == {}


async def test_tags_are_added_listed_and_removed() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        web, other = await created(sdk, tag=tagged(a="1")), await created(sdk)
        common = {"region_id": REGION, "resource_type": "ContainerGroup"}
        add = eci.TagResourcesRequest(
            resource_id=[web, other], tag=[eci.TagResourcesRequestTag(key="b", value="2")], **common
        )
        await sdk.eci.tag_resources_async(add)
        assert await listed(sdk, resource_id=[web]) == {(web, "a", "1"), (web, "b", "2")}
        only = [eci.ListTagResourcesRequestTag(key="a")]
        assert {identity for identity, _, _ in await listed(sdk, tag=only)} == {web}
        await sdk.eci.untag_resources_async(
            eci.UntagResourcesRequest(resource_id=[web], tag_key=["a"], **common)
        )
        await sdk.eci.untag_resources_async(
            eci.UntagResourcesRequest(resource_id=[other], all=True, **common)
        )
        assert await listed(sdk, resource_id=[web, other]) == {(web, "b", "2")}
        assert [one.key for one in (await the_group(sdk, web)).tags] == ["b"]
        many = [eci.TagResourcesRequestTag(key=f"t{number}", value="") for number in range(20)]
        error = await refused(
            sdk.eci.tag_resources_async(eci.TagResourcesRequest(resource_id=[web], tag=many, **common))
        )
        assert error.code == "NumberExceed.Tags"
        missing = eci.TagResourcesRequest(resource_id=["eci-none"], tag=add.tag, **common)
        assert (await refused(sdk.eci.tag_resources_async(missing))).code == "InvalidParameter.NotFound"


async def listed(sdk: Clients, **fields: Any) -> set[tuple[str, str, str]]:
    request = eci.ListTagResourcesRequest(region_id=REGION, resource_type="ContainerGroup", **fields)
    found = (await sdk.eci.list_tag_resources_async(request)).body.tag_resources
    return {(one.resource_id, one.tag_key, one.tag_value) for one in found}
