"""The rights that checks ask for are all that the connector needs: it works with them and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.aci_cloud import Kubectl, TerminalEngine, aci_cloud
from support.aci_pods import make_pod
from support.azure_clients import CLIENT, GROUP
from support.azure_clients import SECRET as AZURE_SECRET
from support.eci_cloud import KEY, SECRET, eci_cloud
from support.eci_pods import make_pod as make_eci_pod

from vnodectl.checks.alibaba import ram
from vnodectl.checks.azure import roles
from vnodectl.providers.aci import AciSettings
from vnodectl.runtime.provider import LogOptions, ProviderError

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-0000000000a1"
SUBNET = f"{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/aci"
WITH_SUBNET = AciSettings(GROUP, "eastus", subnet_id=SUBNET)


def azure(*actions: str) -> dict[str, Any]:
    """A world where the connector's principal has a role of these actions alone."""
    role = {
        "id": "bbbbbbbb-0000-0000-0000-000000000001",
        "name": "least",
        "actions": list(actions),
        "scopes": [SUBSCRIPTION],
    }
    assigned = [{"role": "least", "scope": f"{SUBSCRIPTION}/resourceGroups/{GROUP}"}]
    subnet = {"name": "aci", "addressPrefix": "10.1.0.0/24"}
    return {
        "roleDefinitions": [role],
        "servicePrincipals": [{"clientId": CLIENT, "secret": AZURE_SECRET, "roles": assigned}],
        "virtualNetworks": [{"name": "vnet", "resourceGroup": GROUP, "subnets": [subnet]}],
    }


async def test_the_custom_role_is_enough_for_a_pod_s_whole_life_in_a_subnet() -> None:
    config = azure(*roles.custom_role(SUBSCRIPTION)["Actions"])
    pod = make_pod()
    async with aci_cloud(TerminalEngine(), config=config, settings=WITH_SUBNET) as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        assert pod.key in (await cloud.said.listed()).keys
        [chunk async for chunk in cloud.provider.logs(pod.key, "main", LogOptions())]
        far = Kubectl()
        code = await asyncio.wait_for(cloud.provider.exec(pod.key, "main", ["sh", "-c", "echo hi"], far), 20)
        assert (code, far.output) == (0, b"hi\n")
        await cloud.provider.delete(pod.key, grace=1)
        await cloud.said.gone(pod.key)


@pytest.mark.parametrize(
    "left_out",
    [
        "Microsoft.ContainerInstance/containerGroups/write",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
    ],
)
async def test_without_one_of_them_no_group_is_made(left_out: str) -> None:
    actions = [one for one in roles.custom_role(SUBSCRIPTION)["Actions"] if one != left_out]
    async with aci_cloud(config=azure(*actions), settings=WITH_SUBNET) as cloud:
        with pytest.raises(ProviderError, match=r"(?i)authorization"):
            await cloud.provider.create(make_pod())


async def test_the_policy_is_enough_for_a_pod_s_whole_life() -> None:
    policy = {"name": "least", "actions": list(ram.ACTIONS)}
    key = {"id": KEY, "secret": SECRET}
    config = {"users": [{"name": "vnode", "policies": [policy], "accessKeys": [key]}]}
    pod = make_eci_pod()
    async with eci_cloud(config=config) as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        assert pod.key in (await cloud.said.listed()).keys
        [chunk async for chunk in cloud.provider.logs(pod.key, "main", LogOptions())]
        await cloud.provider.delete(pod.key, grace=1)
        await cloud.said.gone(pod.key)
