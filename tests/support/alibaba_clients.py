"""Real Alibaba Cloud SDK clients that talk to an emulator."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from alibabacloud_cs20151215.client import Client as CsClient
from alibabacloud_eci20180808 import models as eci
from alibabacloud_eci20180808.client import Client as EciClient
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_ram20150501.client import Client as RamClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import models as open_api_models
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_vpc20160428.client import Client as VpcClient

from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.emulator.clock import Clock
from vnodectl.engines.api import Engine
from vnodectl.engines.simulated.engine import SimulatedEngine

REGION = "cn-hangzhou"
ZONES = ("cn-hangzhou-h", "cn-hangzhou-i")
KEY, SECRET = "LTAI-root", "the-secret-of-the-account"
READER_KEY, READER_SECRET = "LTAI-reader", "the-secret-of-the-reader"
USER_KEY, USER_SECRET = "LTAI-user", "the-secret-of-the-user"
QUICK = {"scheduling": 0, "changing": 0, "deleting": 0, "imageCache": 0}


def seed(**changes: Any) -> dict[str, Any]:
    """An account's key, a user of ECI, a reader without rights in it, one network; nothing takes time."""
    return {
        "accessKeys": [{"id": KEY, "secret": SECRET}],
        "users": [
            {
                "name": "vnode",
                "policies": ["AliyunECIFullAccess", "AliyunSTSAssumeRoleAccess"],
                "accessKeys": [{"id": USER_KEY, "secret": USER_SECRET}],
            },
            {
                "name": "reader",
                "policies": ["AliyunVPCReadOnlyAccess"],
                "accessKeys": [{"id": READER_KEY, "secret": READER_SECRET}],
            },
        ],
        "vpcs": [{"id": "vpc-1", "region": REGION, "name": "main"}],
        "vswitches": [
            {"id": "vsw-h", "vpc": "vpc-1", "zone": ZONES[0], "cidr": "172.16.0.0/24"},
            {"id": "vsw-i", "vpc": "vpc-1", "zone": ZONES[1], "cidr": "172.16.1.0/24"},
        ],
        "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "name": "pods"}],
        "timings": QUICK,
        **changes,
    }


@asynccontextmanager
async def emulated(
    engine: Engine | None = None, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[AlibabaEmulator]:
    """An emulator, with simulated containers unless an engine is given."""
    clock = clock or Clock()
    engine = engine or SimulatedEngine(home=None, clock=clock)
    await engine.start()
    try:
        async with AlibabaEmulator(config_of(seed(**changes)), engine=engine, clock=clock) as emulator:
            yield emulator
    finally:
        await engine.aclose(remove=True)


async def reaches(
    emulator: AlibabaEmulator, group: str, condition: str | Callable[[Group], bool], *, seconds: float = 10
) -> None:
    """Wait until the group's status is the one named, or the condition holds."""
    wanted = condition if callable(condition) else lambda one: one.status == condition
    async with asyncio.timeout(seconds):
        await emulator.lifecycle.groups[group].until(wanted)


async def gone(emulator: AlibabaEmulator, group: str) -> None:
    """Wait until the group, whose deletion has begun, is no more."""
    known = emulator.lifecycle.groups.get(group)
    if known is not None and known.task is not None:
        async with asyncio.timeout(10):
            await asyncio.wait({known.task})
    assert group not in emulator.lifecycle.groups


def configuration(
    emulator: AlibabaEmulator,
    key: str = KEY,
    secret: str = SECRET,
    token: str | None = None,
    *,
    algorithm: str | None = None,
) -> open_api_models.Config:
    """`algorithm` "v2" signs with HMAC-SHA1; the SDKs' own choice is ACS3-HMAC-SHA256."""
    return open_api_models.Config(
        access_key_id=key,
        access_key_secret=secret,
        security_token=token,
        endpoint=emulator.host,
        protocol="https",
        region_id=REGION,
        ca=str(emulator.ca_file),
        signature_algorithm=algorithm,
    )


def trust(emulator: AlibabaEmulator) -> ssl.SSLContext:
    """For clients that are not SDKs."""
    return ssl.create_default_context(cafile=str(emulator.ca_file))


class Clients:
    """One client for each product, all with the same key."""

    def __init__(self, config: open_api_models.Config) -> None:
        self.eci = EciClient(config)
        self.vpc = VpcClient(config)
        self.ecs = EcsClient(config)
        self.sts = StsClient(config)
        self.ram = RamClient(config)
        self.cs = CsClient(config)


def clients(emulator: AlibabaEmulator, *arguments: Any, **options: Any) -> Clients:
    return Clients(configuration(emulator, *arguments, **options))


async def refused(call: Any) -> AlibabaCloudException:
    """What the SDK raises; fails where the call succeeds."""
    try:
        await call
    except AlibabaCloudException as error:
        return error
    raise AssertionError("the call was not refused")


# --- container groups ---


def container(name: str = "web", **fields: Any) -> eci.CreateContainerGroupRequestContainer:
    values = {"name": name, "image": "nginx", "cpu": 1.0, "memory": 2.0}
    return eci.CreateContainerGroupRequestContainer(**(values | fields))


def script(text: str, name: str = "web", **fields: Any) -> eci.CreateContainerGroupRequestContainer:
    """A container that runs a line of shell; simulated ones know `sleep 3; exit 1`."""
    return container(name, command=["/bin/sh", "-c", text], **fields)


def group(name: str = "web", **fields: Any) -> eci.CreateContainerGroupRequest:
    values = {
        "region_id": REGION,
        "container_group_name": name,
        "v_switch_id": "vsw-h",
        "security_group_id": "sg-1",
        "container": [container()],
    }
    return eci.CreateContainerGroupRequest(**(values | fields))


async def created(clients: Clients, name: str = "web", **fields: Any) -> str:
    """The new group's id."""
    answer = await clients.eci.create_container_group_async(group(name, **fields))
    return str(answer.body.container_group_id)


async def deleted(clients: Clients, identity: str, **fields: Any) -> None:
    request = eci.DeleteContainerGroupRequest(region_id=REGION, container_group_id=identity, **fields)
    await clients.eci.delete_container_group_async(request)


async def described(clients: Clients, **fields: Any) -> Any:
    """The body of DescribeContainerGroups."""
    request = eci.DescribeContainerGroupsRequest(region_id=REGION, **fields)
    return (await clients.eci.describe_container_groups_async(request)).body


async def the_group(clients: Clients, identity: str, **fields: Any) -> Any:
    """As DescribeContainerGroups shows it."""
    found = (await described(clients, container_group_ids=json.dumps([identity]), **fields)).container_groups
    assert len(found) == 1
    return found[0]


async def statuses(clients: Clients, **fields: Any) -> Any:
    """The body of DescribeContainerGroupStatus."""
    request = eci.DescribeContainerGroupStatusRequest(region_id=REGION, **fields)
    return (await clients.eci.describe_container_group_status_async(request)).body
