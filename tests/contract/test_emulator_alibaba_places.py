"""Where container groups go: vSwitches, stock, quotas, addresses, sizes, image caches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from alibabacloud_eci20180808 import models as eci
from alibabacloud_vpc20160428 import models as vpc
from support.alibaba_clients import (
    REGION,
    ZONES,
    Clients,
    clients,
    container,
    created,
    deleted,
    emulated,
    gone,
    reaches,
    refused,
    seed,
    the_group,
)

BOTH = "vsw-h,vsw-i"


def stocked(*stock: float | None, **more: Any) -> list[dict[str, Any]]:
    zones = [
        {"id": zone} | ({} if amount is None else {"stock": amount}) | more
        for zone, amount in zip(ZONES, stock, strict=True)
    ]
    return [{"id": REGION, "zones": zones}, "cn-shanghai"]


async def test_groups_fall_over_to_the_next_vswitch_when_a_zone_is_sold_out() -> None:
    async with emulated(regions=stocked(2, 1)) as emulator:
        sdk = clients(emulator)
        ordered = {"v_switch_id": BOTH, "schedule_strategy": "VSwitchOrdered"}
        groups = [await created(sdk, **ordered) for _ in range(3)]
        zones = [(await the_group(sdk, one)).zone_id for one in groups]
        assert zones == [ZONES[0], ZONES[0], ZONES[1]]
        error = await refused(created(sdk, **ordered))
        assert (error.code, error.status_code) == ("OperationDenied.NoStock", 403)
        await deleted(sdk, groups[0])
        await gone(emulator, groups[0])
        again = await created(sdk, **ordered)
        assert (await the_group(sdk, again)).zone_id == ZONES[0]


async def test_without_an_order_groups_spread() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        groups = [await created(sdk, v_switch_id=BOTH) for _ in range(12)]
        zones = Counter([(await the_group(sdk, one)).zone_id for one in groups])
        assert set(zones) == set(ZONES)


async def test_addresses_of_a_vswitch_run_out() -> None:
    vswitches = [{"id": "vsw-h", "vpc": "vpc-1", "zone": ZONES[0], "freeAddresses": 1}]
    async with emulated(vswitches=vswitches) as emulator:
        sdk = clients(emulator)
        web = await created(sdk)
        error = await refused(created(sdk))
        assert (error.code, error.status_code) == ("InvalidVSwitchId.IpNotEnough", 403)
        request = vpc.DescribeVSwitchesRequest(region_id=REGION, v_switch_id="vsw-h")
        shown = (await sdk.vpc.describe_vswitches_async(request)).body.v_switches.v_switch[0]
        assert shown.available_ip_address_count == 0
        await deleted(sdk, web)
        await gone(emulator, web)
        await created(sdk)


async def test_the_quota_of_a_region() -> None:
    async with emulated(quotas={REGION: {"vcpu": 2}}) as emulator:
        sdk = clients(emulator)
        await created(sdk)
        error = await refused(created(sdk, container=[container(cpu=2.0)]))
        assert (error.code, error.status_code) == ("QuotaExceeded", 403)
        usage = (await sdk.eci.list_usage_async(eci.ListUsageRequest(region_id=REGION))).body.attributes
        assert (usage["UsedCpu"], usage["MaxCpu"]) == (1.0, 2.0)
        emulator.change_setting("quotas", {REGION: {"vcpu": 4}})
        await created(sdk, container=[container(cpu=2.0)])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"v_switch_id": "vsw-none"}, "InvalidVSwitchId.NotFound"),
        ({"v_switch_id": "vsw-h,vsw-far"}, "InvalidVSwitchId.NotFound"),
        ({"security_group_id": "sg-none"}, "InvalidSecurityGroupId.NotFound"),
        ({"security_group_id": "sg-2"}, "OperationDenied.SecurityGroupMisMatch"),
        ({"zone_id": ZONES[1]}, "OperationDenied.VswZoneMisMatch"),
        ({"zone_id": "moon-a"}, "InvalidZoneId.NotFound"),
        ({"v_switch_id": ",".join(["vsw-h"] * 11)}, "InvalidParameter"),
    ],
)
async def test_places_that_do_not_fit(fields: dict[str, Any], code: str) -> None:
    more = seed()
    vpcs = [*more["vpcs"], {"id": "vpc-2", "region": REGION}, {"id": "vpc-3", "region": "cn-shanghai"}]
    vswitches = [*more["vswitches"], {"id": "vsw-far", "vpc": "vpc-3", "zone": "cn-shanghai-b"}]
    groups = [*more["securityGroups"], {"id": "sg-2", "vpc": "vpc-2"}]
    async with emulated(vpcs=vpcs, vswitches=vswitches, securityGroups=groups) as emulator:
        assert (await refused(created(clients(emulator), **fields))).code == code


async def test_a_zone_that_is_not_on_sale() -> None:
    async with emulated(regions=stocked(None, None, onSale=False)) as emulator:
        error = await refused(created(clients(emulator)))
        assert (error.code, error.status_code) == ("Zone.NotOnSale", 403)


async def test_defaults_are_made_where_no_network_is_named() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        web = await created(sdk, v_switch_id=None, security_group_id=None)
        shown = await the_group(sdk, web)
        assert shown.vpc_id == f"vpc-default-{REGION}"
        assert shown.security_group_id == f"sg-default-{shown.vpc_id}"


async def test_public_addresses() -> None:
    eips = [{"id": "eip-1", "region": REGION, "address": "203.0.113.77"}]
    async with emulated(eips=eips) as emulator:
        sdk = clients(emulator)
        own = await created(sdk, eip_instance_id="eip-1")
        assert (await the_group(sdk, own)).internet_ip == "203.0.113.77"
        error = await refused(created(sdk, eip_instance_id="eip-1"))
        assert error.code == "IncorrectEipStatus"

        made = await created(sdk, auto_create_eip=True, eip_bandwidth=10)
        address = (await the_group(sdk, made)).internet_ip
        assert await addresses(sdk) == {"203.0.113.77": own, address: made}
        for one in (own, made):
            await deleted(sdk, one)
            await gone(emulator, one)
        assert await addresses(sdk) == {"203.0.113.77": ""}


async def addresses(sdk: Clients) -> dict[str, str]:
    request = vpc.DescribeEipAddressesRequest(region_id=REGION)
    found = (await sdk.vpc.describe_eip_addresses_async(request)).body.eip_addresses.eip_address
    return {one.ip_address: one.instance_id for one in found}


async def test_sizes_are_rounded_up_to_what_is_sold() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        web = await created(sdk, container=[container("a", cpu=7.0, memory=13.0)])
        shown = await the_group(sdk, web)
        assert (shown.cpu, shown.memory) == (8, 14)
        typed = await the_group(sdk, await created(sdk, instance_type="ecs.c6.large"))
        assert (typed.cpu, typed.memory, typed.instance_type) == (2, 4, "ecs.c6.large")
        plain = await the_group(sdk, await created(sdk, container=[container(cpu=None, memory=None)]))
        assert (plain.cpu, plain.memory) == (2, 4)


async def test_what_is_offered() -> None:
    async with emulated(regions=stocked(1, 8)) as emulator:
        sdk = clients(emulator)
        regions = (await sdk.eci.describe_regions_async(eci.DescribeRegionsRequest())).body.regions
        assert [one.region_id for one in regions] == [REGION, "cn-shanghai"]
        assert (regions[0].zones, regions[0].region_endpoint) == (list(ZONES), f"eci.{REGION}.aliyuncs.com")

        async def available(category: str, value: str) -> list[tuple[str, str, str]]:
            wanted = eci.DescribeAvailableResourceRequestDestinationResource(category=category, value=value)
            request = eci.DescribeAvailableResourceRequest(region_id=REGION, destination_resource=wanted)
            answer = (await sdk.eci.describe_available_resource_async(request)).body
            return [
                (zone.zone_id, one.value, one.status_category)
                for zone in answer.available_zones.available_zone
                for resource in zone.available_resources.available_resource
                for one in resource.supported_resources.supported_resource
            ]

        assert await available("InstanceType", "ecs.c6.xlarge") == [
            (ZONES[0], "ecs.c6.xlarge", "WithoutStock"),
            (ZONES[1], "ecs.c6.xlarge", "WithStock"),
        ]
        assert await available("InstanceTypeFamily", "ecs.c6") == [
            (ZONES[0], "ecs.c6", "WithoutStock"),
            (ZONES[1], "ecs.c6", "WithStock"),
        ]
        assert await available("InstanceType", "ecs.none.large") == []
        emulator.change_setting("regions", stocked(8, 8, onSale=False))
        assert {one[2] for one in await available("InstanceTypeFamily", "ecs.c6")} == {"ClosedWithoutStock"}


async def test_image_caches_are_made_in_steps_and_used() -> None:
    async with emulated(timings={"scheduling": 0, "imageCache": 100}) as emulator:
        emulator.clock.freeze()
        sdk = clients(emulator)
        cache = await cached(sdk, "nginx-cache", ["nginx", "busybox"])
        assert (await caches(sdk))[0].status == "Preparing"
        error = await refused(created(sdk, image_snapshot_id=cache))
        assert (error.code, error.status_code) == ("ImageSnapshot.IncorrectStatus", 400)
        emulator.clock.advance(60)
        shown = (await caches(sdk))[0]
        assert (shown.status, shown.progress) == ("Creating", "50%")
        emulator.clock.advance(40)
        shown = (await caches(sdk, match_image=["nginx"]))[0]
        assert (shown.status, shown.progress, shown.images) == ("Ready", "100%", ["nginx", "busybox"])
        assert await caches(sdk, match_image=["redis"]) == []
        for fields in ({"image_snapshot_id": cache}, {"auto_match_image_cache": True}):
            web = await created(sdk, **fields)
            assert "SuccessfulHitImageCache" in [event.reason for event in (await the_group(sdk, web)).events]
        request = eci.DeleteImageCacheRequest(region_id=REGION, image_cache_id=cache)
        await sdk.eci.delete_image_cache_async(request)
        assert await caches(sdk) == []
        assert (await refused(sdk.eci.delete_image_cache_async(request))).code == "InvalidParameter.NotFound"


async def test_image_caches_that_fail_expire_and_run_out() -> None:
    quotas = {REGION: {"imageCaches": 2}}
    async with emulated(quotas=quotas, inaccessibleImages=["^private/"]) as emulator:
        sdk = clients(emulator)
        await cached(sdk, "broken", ["private/app"])
        await cached(sdk, "short", ["nginx"], retention_days=2, elimination_strategy="LRU")
        broken = next(one for one in await caches(sdk) if one.image_cache_name == "broken")
        assert (broken.status, broken.events[0].type) == ("Failed", "Warning")
        await cached(sdk, "next", ["nginx"])
        assert {one.image_cache_name for one in await caches(sdk)} == {"broken", "next"}
        error = await refused(cached(sdk, "more", ["nginx"]))
        assert (error.code, error.status_code) == ("QuotaExceeded", 403)
        emulator.clock.advance(86401)
        assert {one.image_cache_name for one in await caches(sdk)} == {"next"}


async def test_disks_can_be_enlarged() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator)
        volumes = [
            eci.CreateContainerGroupRequestVolume(
                name="disk",
                type="DiskVolume",
                disk_volume=eci.CreateContainerGroupRequestVolumeDiskVolume(disk_id="d-1", disk_size=20),
            ),
            eci.CreateContainerGroupRequestVolume(name="scratch", type="EmptyDirVolume"),
        ]
        web = await created(sdk, volume=volumes)
        await reaches(emulator, web, "Running")

        async def resize(name: str, size: int) -> None:
            request = eci.ResizeContainerGroupVolumeRequest(
                region_id=REGION, container_group_id=web, volume_name=name, new_size=size
            )
            await sdk.eci.resize_container_group_volume_async(request)

        await resize("disk", 40)
        assert (await refused(resize("disk", 10))).code == "InvalidParameter"
        error = await refused(resize("scratch", 40))
        assert (error.code, error.status_code) == ("InvalidVolumeType", 403)


async def cached(sdk: Clients, name: str, images: list[str], **fields: Any) -> str:
    request = eci.CreateImageCacheRequest(region_id=REGION, image_cache_name=name, image=images, **fields)
    return str((await sdk.eci.create_image_cache_async(request)).body.image_cache_id)


async def caches(sdk: Clients, **fields: Any) -> Any:
    request = eci.DescribeImageCachesRequest(region_id=REGION, **fields)
    return (await sdk.eci.describe_image_caches_async(request)).body.image_caches
