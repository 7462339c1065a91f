"""Settings of groups through the emulated ARM, which checks them as the service documents it."""

from __future__ import annotations

import base64
from typing import Any

from support.aci_cloud import AciCloud, aci_cloud
from support.aci_pods import make_pod
from support.azure_clients import GROUP, LOCATION, container_group

from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API, path_of
from vnodectl.providers.aci import AciSettings
from vnodectl.providers.aci.group import STANDBY_API
from vnodectl.providers.aci.names import group_name
from vnodectl.providers.aci.settings import LogAnalytics
from vnodectl.runtime.provider import EnvVar

ACI = "Microsoft.ContainerInstance"
NETWORK = {
    "name": "vnet",
    "resourceGroup": GROUP,
    "addressPrefixes": ["10.0.0.0/8"],
    "subnets": [
        {"name": "aci", "addressPrefix": "10.2.0.0/24", "delegations": [f"{ACI}/containerGroups"]},
        {"name": "more", "addressPrefix": "10.3.0.0/24", "delegations": [f"{ACI}/containerGroups"]},
    ],
}
IDENTITY = {
    "name": "puller",
    "resourceGroup": GROUP,
    "location": LOCATION,
    "clientId": "99999999-2222-3333-4444-555555555555",
}
OURS = "aci.vnodectl.io/"


def _id(cloud: AciCloud, kind: str, name: str) -> str:
    return path_of(cloud.session.subscription, GROUP, kind, name)


async def _sent(cloud: AciCloud, pod: Any) -> dict[str, Any]:
    await cloud.provider.create(pod)
    path = _id(cloud, f"{ACI}/containerGroups", group_name(pod.key))
    return await cloud.session.arm("GET", path, CONTAINER_INSTANCE_API)


async def test_identities_that_pull_and_read_keys_are_the_group_s_own() -> None:
    spec = {"containers": [{"name": "main", "image": "team.azurecr.io/app:1"}]}
    async with aci_cloud(config={"managedIdentities": [IDENTITY]}) as cloud:
        user = _id(cloud, "Microsoft.ManagedIdentity/userAssignedIdentities", "puller")
        annotations = {
            f"{OURS}registry-identity": user,
            f"{OURS}encryption-vault": "https://v.vault.azure.net/",
            f"{OURS}encryption-key": "k",
            f"{OURS}encryption-key-version": "1",
            f"{OURS}encryption-identity": user,
            f"{OURS}identity": "system",
        }
        group = await _sent(cloud, make_pod(spec, annotations=annotations))
    assert group["identity"]["type"] == "SystemAssigned, UserAssigned"
    (credential,) = group["properties"]["imageRegistryCredentials"]
    assert credential["server"] == "team.azurecr.io"
    assert credential["identity"].lower() == user.lower()
    assert group["properties"]["encryptionProperties"]["keyName"] == "k"


async def test_a_subnet_with_the_cluster_s_dns_and_a_kube_proxy(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("planted-token")
    (tmp_path / "ca.crt").write_text("CA")
    network = f"/subscriptions/{{}}/resourceGroups/{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
    async with aci_cloud(config={"virtualNetworks": [NETWORK]}) as probe:
        subscription = probe.emulator.world.subscription
    subnet = f"{network.format(subscription)}/subnets/aci"
    settings = AciSettings(
        GROUP,
        LOCATION,
        subnet_id=subnet,
        cluster_dns="10.0.0.10",
        cluster_cidr="10.244.0.0/16",
        api_server="https://api:443",
        kube_proxy_account=str(tmp_path),
        log_analytics=LogAnalytics("workspace", base64.b64encode(b"planted-key").decode()),
    )
    spec = {"containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}]}
    config = {"virtualNetworks": [NETWORK], "subscription": subscription}
    async with aci_cloud(config=config, settings=settings) as cloud:
        group = await _sent(cloud, make_pod(spec))
        other = {
            f"{OURS}subnet": f"{network.format(subscription)}/subnets/more",
            f"{OURS}cluster-dns": "false",
        }
        moved = await _sent(
            cloud, make_pod(spec, uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11", annotations=other)
        )
    properties = group["properties"]
    assert properties["subnetIds"][0]["id"].endswith("/subnets/aci")
    assert properties["ipAddress"]["type"] == "Private"
    assert properties["dnsConfig"]["nameServers"] == ["10.0.0.10"]
    assert properties["extensions"][0]["properties"]["extensionType"] == "kube-proxy"
    assert properties["diagnostics"]["logAnalytics"]["workspaceId"] == "workspace"
    assert "planted" not in str(group)
    assert base64.b64encode(b"planted-key").decode() not in str(group)
    assert moved["properties"]["subnetIds"][0]["id"].endswith("/subnets/more")
    assert "dnsConfig" not in moved["properties"]


async def test_spot_and_confidential_groups() -> None:
    async with aci_cloud() as cloud:
        spot = await _sent(cloud, make_pod(annotations={f"{OURS}priority": "Spot"}))
        assert spot["properties"]["priority"] == "Spot"
        policy = base64.b64encode(b"package policy").decode()
        secret = make_pod(
            uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11",
            annotations={"microsoft.containerinstance.virtualnode.ccepolicy": policy},
        )
        group = await _sent(cloud, secret)
        assert group["properties"]["sku"] == "Confidential"
        assert group["properties"]["confidentialComputeProperties"]["ccePolicy"] == policy


async def test_a_pod_from_a_standby_pool() -> None:
    async with aci_cloud() as cloud:
        profile = _id(cloud, f"{ACI}/containerGroupProfiles", "web")
        pool = _id(cloud, "Microsoft.StandbyPool/standbyContainerGroupPools", "warm")
        await cloud.session.arm("PUT", profile, STANDBY_API, body=container_group())
        reference = {"id": profile, "revision": 1}
        await cloud.session.arm(
            "PUT",
            pool,
            "2025-03-01",
            body={
                "location": LOCATION,
                "properties": {
                    "elasticityProfile": {"maxReadyCapacity": 1},
                    "containerGroupProperties": {"containerGroupProfile": reference},
                },
            },
        )
        pod = make_pod(
            {"containers": [{"name": "web", "image": "nginx"}]},
            annotations={f"{OURS}standby-pool": pool, f"{OURS}profile": profile},
            env={"web": (EnvVar("COLOUR", "red"),)},
        )
        await cloud.provider.create(pod)
        status = await cloud.said.state(pod.key, "running")
        assert status["containerStatuses"][0]["name"] == "web"
        path = _id(cloud, f"{ACI}/containerGroups", group_name(pod.key))
        group = await cloud.session.arm("GET", path, STANDBY_API)
        assert group["properties"]["isCreatedFromStandbyPool"] is True
        assert pod.key in (await cloud.said.listed()).keys
