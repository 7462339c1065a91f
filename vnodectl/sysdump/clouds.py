"""The container groups of the connectors, as the clouds describe them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.ownership import CONNECTOR, scoped
from vnodectl.errors import VnodectlError
from vnodectl.sysdump import allow
from vnodectl.sysdump.allow import pick
from vnodectl.sysdump.bundle import Files, Skipped

if TYPE_CHECKING:
    from vnodectl.clouds.alibaba import AlibabaSession
    from vnodectl.clouds.azure import AzureSession

JSON = dict[str, Any]
Found = tuple[Files, Sequence[str]]

DETAILED_MAX = 200
"""Groups of which the state of each container is read, too: that is one request for each."""

_AT_ONCE = 8


async def azure_groups(
    azure: AzureSession, resource_groups: Sequence[str], releases: Sequence[str], owner: str
) -> Found:
    """Groups in these resource groups that say that they are of one of the connectors, or of any where there
    is none: what is left of one that is gone. `owner` tells this cluster's from those of others; connectors
    that have none leave it out."""
    from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API

    if not resource_groups:
        raise Skipped("no resource group of container groups is known (--aci-resource-group)")
    ours = {*releases, *(scoped(release, owner) for release in releases)}
    found: list[JSON] = []
    for name in resource_groups:
        for one in await azure.container_groups(name):
            said = (one.get("tags") or {}).get(CONNECTOR)
            if said and (not releases or said in ours):
                found.append(one)
    found.sort(key=lambda one: str(one.get("id")))
    slots = asyncio.Semaphore(_AT_ONCE)
    remarks: list[str] = []

    async def detailed(group: JSON) -> JSON:
        async with slots:
            try:
                return await azure.arm("GET", str(group["id"]), CONTAINER_INSTANCE_API)
            except VnodectlError as error:
                remarks.append(f"{group.get('name')}: {error.message}")
                return group

    async with asyncio.TaskGroup() as tasks:
        made = [
            tasks.create_task(detailed(one), name=f"sysdump group {one.get('name')}")
            for one in found[:DETAILED_MAX]
        ]
    whole = [task.result() for task in made] + found[DETAILED_MAX:]
    if len(found) > DETAILED_MAX:
        remarks.append(f"{len(found)} container groups; of {DETAILED_MAX} their containers' state was read")
    return {"cloud/azure/container-groups.json": [pick(one, allow.AZURE_GROUP) for one in whole]}, remarks


async def azure_place(azure: AzureSession, resource_groups: Sequence[str]) -> Found:
    """The resource provider's state, and the resource groups."""
    from vnodectl.clouds.azure.session import RESOURCES_API

    provider = "Microsoft.ContainerInstance"
    body = await azure.arm("GET", f"{azure.subscription}/providers/{provider}", RESOURCES_API)
    groups = [await azure.resource_group(name) for name in resource_groups]
    spec = {
        "id": allow.KEEP,
        "name": allow.KEEP,
        "location": allow.KEEP,
        "properties": {"provisioningState": allow.KEEP},
    }
    return {
        "cloud/azure/place.json": {
            "subscription": azure.subscription.rpartition("/")[2],
            "provider": {"namespace": provider, "registrationState": body.get("registrationState")},
            "resourceGroups": [pick(one, spec) for one in groups],
        }
    }, ()


async def alibaba_groups(alibaba: AlibabaSession, releases: Sequence[str], owner: str) -> Found:
    """The container groups of these connectors; `owner` tells this cluster's from those of others."""
    if not releases:
        raise Skipped("there is no connector whose container groups could be listed")
    found: list[JSON] = []
    for release in releases:
        found += await alibaba.tagged_groups({CONNECTOR: scoped(release, owner)})
    return {"cloud/alibaba/container-groups.json": [pick(one, allow.ALIBABA_GROUP) for one in found]}, ()


async def alibaba_place(alibaba: AlibabaSession) -> Found:
    """Who asks, the region's quotas, and how much of them is used."""
    caller = await alibaba.caller()
    kept = {key: caller.get(key) for key in ("AccountId", "Arn", "IdentityType")}
    return {
        "cloud/alibaba/place.json": {
            "region": alibaba.region,
            "caller": kept,
            "usage": await alibaba.usage(),
        }
    }, ()
