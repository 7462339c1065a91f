"""What Azure Resource Manager does around every operation: registration, limits, faults, unknown paths."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from support.azure_clients import GROUP, LOCATION, Clients, clients, container, container_group, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator, routes_table

ACI = "Microsoft.ContainerInstance"


@asynccontextmanager
async def azure(**changes: Any) -> AsyncIterator[tuple[AzureEmulator, Clients]]:
    config = AzureConfig.from_json(seed(**changes))
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator, clients(emulator) as sdk:
        yield emulator, sdk


async def create(sdk: Clients, name: str, body: dict[str, Any] | None = None) -> Any:
    poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, name, body or container_group())
    return await poller.result()


async def send(sdk: Clients, method: str, path: str, body: Any = None) -> Any:
    """Through the SDK's own pipeline, without its models."""
    request = HttpRequest(method, path, json=body) if body is not None else HttpRequest(method, path)
    return await sdk.resources.send_request(request)


async def test_an_unregistered_provider_refuses_until_its_registration_has_ended() -> None:
    async with azure(providers={ACI: "NotRegistered"}, timings={"registration": 30}) as (emulator, sdk):
        emulator.clock.freeze()
        providers = sdk.resources.providers
        assert (await providers.get(ACI)).registration_state == "NotRegistered"
        with pytest.raises(HttpResponseError, match="MissingSubscriptionRegistration") as caught:
            await create(sdk, "web")
        assert caught.value.status_code == 409
        assert (await providers.register(ACI)).registration_state == "Registering"
        emulator.clock.advance(29)
        assert (await providers.get(ACI)).registration_state == "Registering"
        emulator.clock.advance(1)
        provider = await providers.get(ACI)
        assert provider.registration_state == "Registered"
        assert "East US" in provider.resource_types[0].locations
        assert {one.namespace async for one in providers.list()} >= {ACI, "Microsoft.ContainerService"}


async def test_a_provider_tells_regions_and_zones_of_each_type() -> None:
    regions = [
        {"name": "eastus", "displayName": "East US", "zones": ["1", "2", "3"], "groupZones": ["2"]},
        {"name": "norwayeast", "displayName": "Norway East", "containerInstances": False, "zones": ["1"]},
    ]
    async with azure(regions=regions) as (_, sdk):
        types = {one.resource_type: one for one in (await sdk.resources.providers.get(ACI)).resource_types}
        groups = types["containerGroups"]
        assert groups.locations == ["East US"]
        assert "2023-05-01" in groups.api_versions
        assert [(one.location, one.zones) for one in groups.zone_mappings] == [("East US", ["2"])]
        network = await sdk.resources.providers.get("Microsoft.Network")
        names = {one.resource_type: one.locations for one in network.resource_types}
        assert names["networkSecurityGroups"] == ["East US", "Norway East"]
        body = container_group() | {"zones": ["1"]}
        with pytest.raises(HttpResponseError, match="InvalidAvailabilityZone"):
            await create(sdk, "web", body)
        assert (await create(sdk, "web", body | {"zones": ["2"]})).zones == ["2"]


async def test_what_a_region_offers_and_what_is_left_of_it() -> None:
    changes = {
        "regions": [
            {
                "name": LOCATION,
                "gpus": ["V100"],
                "spot": False,
                "sizes": {"Linux": {"cpu": 31, "memoryInGB": 240}},
            }
        ],
        "quotas": {LOCATION: {"StandardCores": 10, "StandardV100Cores": 1}},
    }
    async with azure(**changes) as (_, sdk):
        offers = [one async for one in sdk.aci.location.list_capabilities(LOCATION)]
        largest = {(one.os_type, one.ip_address_type, one.gpu): one.capabilities for one in offers}
        assert largest["Linux", "Private", "None"].max_cpu == 31
        assert largest["Windows", "Public", "None"].max_memory_in_gb == 16
        assert largest["Linux", "Public", "V100"].max_gpu_count == 4

        def asking(**requests: Any) -> dict[str, Any]:
            resources = {"requests": {"cpu": 2, "memoryInGB": 4, **requests}}
            return container_group(containers=[container(resources=resources)])

        await create(sdk, "gpu", asking(gpu={"count": 1, "sku": "V100"}))
        usage = {one.name.value: one async for one in sdk.aci.location.list_usage(LOCATION)}
        assert (usage["StandardCores"].current_value, usage["StandardCores"].limit) == (2, 10)
        assert (usage["StandardV100Cores"].current_value, usage["ContainerGroups"].current_value) == (1, 1)
        for name, body, code in (
            ("more", asking(gpu={"count": 1, "sku": "V100"}), "ContainerGroupQuotaReached"),
            ("other", asking(gpu={"count": 1, "sku": "K80"}), "GPU sku 'K80' is not available"),
            ("big", asking(cpu=9), "ContainerGroupQuotaReached"),
        ):
            with pytest.raises(HttpResponseError, match=code):
                await create(sdk, name, body)
        spot = container_group(priority="Spot")
        del spot["properties"]["ipAddress"]
        with pytest.raises(HttpResponseError, match="Spot priority is not available"):
            await create(sdk, "spot", spot)


async def test_a_disabled_subscription_can_only_be_read() -> None:
    async with azure() as (emulator, sdk):
        await create(sdk, "web")
        emulator.seed({"subscriptionState": "Disabled"})
        path = f"/subscriptions/{emulator.world.subscription}?api-version=2022-12-01"
        assert (await send(sdk, "GET", path)).json()["state"] == "Disabled"
        with pytest.raises(HttpResponseError, match="ReadOnlyDisabledSubscription"):
            await create(sdk, "more")
        assert (await sdk.aci.container_groups.get(GROUP, "web")).name == "web"


async def test_storage_registries_and_workspaces() -> None:
    changes = {
        "storageAccounts": [
            {"name": "files", "resourceGroup": GROUP, "kind": "Storage", "sku": {"name": "Standard_GRS"}}
        ],
        "registries": [{"name": "images", "resourceGroup": GROUP}],
        "workspaces": [{"name": "logs", "resourceGroup": GROUP}],
    }
    async with azure(**changes) as (emulator, sdk):
        base = f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}/providers"
        account = f"{base}/Microsoft.Storage/storageAccounts/files"
        body = (await send(sdk, "GET", f"{account}?api-version=2023-05-01")).json()
        assert (body["kind"], body["sku"]["name"]) == ("Storage", "Standard_GRS")
        keys = (await send(sdk, "POST", f"{account}/listKeys?api-version=2023-05-01")).json()["keys"]
        assert [key["keyName"] for key in keys] == ["key1", "key2"]
        registry = f"{base}/Microsoft.ContainerRegistry/registries/images?api-version=2023-07-01"
        assert (await send(sdk, "GET", registry)).json()["properties"]["adminUserEnabled"] is False
        workspace = f"{base}/Microsoft.OperationalInsights/workspaces/logs/sharedKeys?api-version=2022-10-01"
        assert (await send(sdk, "POST", workspace)).json()["primarySharedKey"]
        listed = [one.type async for one in sdk.resources.resources.list_by_resource_group(GROUP)]
        assert "Microsoft.Storage/storageAccounts" in listed
        await (await sdk.resources.resource_groups.begin_delete(GROUP)).result()
        assert emulator.world.stored == {}


async def test_limits_are_told_and_kept() -> None:
    async with azure(limits={"reads": 3, "readsPerSecond": 0.5}) as (emulator, sdk):
        emulator.clock.freeze()
        path = f"/subscriptions/{emulator.world.subscription}/locations?api-version=2022-12-01"
        remaining = [
            (await send(sdk, "GET", path)).headers["x-ms-ratelimit-remaining-subscription-reads"]
            for _ in range(3)
        ]
        assert remaining == ["2", "1", "0"]
        answer = await send(sdk, "GET", path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
        assert answer.json()["error"]["code"] == "SubscriptionRequestsThrottled"
        emulator.clock.advance(2)
        assert (await send(sdk, "GET", path)).status_code == 200


async def test_the_service_limits_creates_and_deletes_itself() -> None:
    async with azure(limits={"groupCreatesPer5Minutes": 2, "groupDeletesPer5Minutes": 1}) as (emulator, sdk):
        emulator.clock.freeze()
        for name in ("a", "b"):
            await create(sdk, name)
        with pytest.raises(HttpResponseError, match="TooManyRequests") as caught:
            await create(sdk, "c")
        assert caught.value.response is not None
        assert caught.value.response.headers["Retry-After"] == "300"
        emulator.clock.advance(300)
        await create(sdk, "c")
        await (await sdk.aci.container_groups.begin_delete(GROUP, "a")).result()
        with pytest.raises(HttpResponseError, match="TooManyRequests"):
            await sdk.aci.container_groups.begin_delete(GROUP, "b")


async def test_quota_size_region_and_image_decide_about_a_group() -> None:
    changes = {
        "quotas": {LOCATION: {"ContainerGroups": 1}},
        "inaccessibleImages": ["^private/"],
        "regions": [LOCATION, {"name": "eastus2euap", "containerInstances": False}],
    }
    async with azure(**changes) as (_, sdk):
        private = container_group(containers=[container(image="private/app")])
        large = container_group(containers=[container(resources={"requests": {"cpu": 5, "memoryInGB": 4}})])
        elsewhere = container_group() | {"location": "eastus2euap"}
        for body, status, code in (
            (private, 400, "InaccessibleImage"),
            (large, 409, "ServiceUnavailable"),
            (elsewhere, 400, "LocationNotAvailableForResourceType"),
        ):
            with pytest.raises(HttpResponseError, match=code) as caught:
                await create(sdk, "web", body)
            assert caught.value.status_code == status
        await create(sdk, "web")
        with pytest.raises(
            HttpResponseError, match=r"ContainerGroupQuotaReached[\s\S]*Limit: '1', Usage: '1'"
        ):
            await create(sdk, "more")


async def test_a_subnet_must_exist_and_be_delegated() -> None:
    network = {
        "name": "vnet",
        "resourceGroup": GROUP,
        "subnets": [{"name": "aci"}, {"name": "plain", "delegations": []}],
    }
    async with azure(virtualNetworks=[network]) as (emulator, sdk):
        base = (
            f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network/"
            "virtualNetworks/vnet/subnets"
        )
        answer = await send(sdk, "GET", f"{base}/aci?api-version=2024-05-01")
        delegation = answer.json()["properties"]["delegations"][0]["properties"]["serviceName"]
        assert delegation == f"{ACI}/containerGroups"

        def body(subnet: str) -> dict[str, Any]:
            made = container_group(subnetIds=[{"id": f"{base}/{subnet}"}])
            del made["properties"]["ipAddress"]
            return made

        assert (await create(sdk, "web", body("aci"))).ip_address.type == "Private"
        with pytest.raises(HttpResponseError, match="InvalidResourceReference"):
            await create(sdk, "other", body("missing"))
        with pytest.raises(HttpResponseError, match="SubnetMissingRequiredDelegation"):
            await create(sdk, "other", body("plain"))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        (
            "GET",
            f"/subscriptions/{{s}}/providers/{ACI}/sandboxes?api-version=2023-05-01",
            404,
            "InvalidResourceType",
        ),
        (
            "GET",
            "/subscriptions/{s}/providers/Contoso.Nothing/x?api-version=1",
            404,
            "InvalidResourceNamespace",
        ),
        ("GET", "/nothing/of/the/kind", 404, "NotFound"),
        (
            "POST",
            f"/subscriptions/{{s}}/providers/{ACI}/containerGroups?api-version=2023-05-01",
            405,
            "MethodNotAllowed",
        ),
        ("GET", f"/subscriptions/{{s}}/providers/{ACI}/containerGroups", 400, "MissingApiVersionParameter"),
        ("GET", "/subscriptions/{s}?api-version=soon", 400, "InvalidApiVersionParameter"),
        (
            "GET",
            f"/subscriptions/{{s}}/providers/{ACI}/containerGroups?api-version=2001-01-01",
            400,
            "NoRegisteredProviderFound",
        ),
        (
            "GET",
            f"/subscriptions/99999999-0000-0000-0000-000000000000/providers/{ACI}/containerGroups?api-version=2023-05-01",
            404,
            "SubscriptionNotFound",
        ),
    ],
)
async def test_what_is_not_there_fails_in_arms_shape(
    method: str, path: str, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with azure() as (emulator, sdk):
        answer = await send(sdk, method, path.format(s=emulator.world.subscription))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-ms-request-id"]
        assert answer.headers["x-ms-correlation-request-id"]
        loud = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(loud) == (1 if status in (404, 405) and code != "SubscriptionNotFound" else 0)


@pytest.mark.parametrize("version", ["2025-09-01", "2023-05-01", "2022-10-01-preview"])
async def test_api_versions_and_paths_in_any_case(version: str) -> None:
    async with azure() as (emulator, sdk):
        subscription = emulator.world.subscription
        path = f"/SUBSCRIPTIONS/{subscription}/providers/microsoft.containerinstance/CONTAINERGROUPS"
        answer = await send(sdk, "GET", f"{path}?api-version={version}")
        assert (answer.status_code, answer.json()) == (200, {"value": []})


async def test_a_managed_cluster_and_its_credentials(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    profile = {
        "networkProfile": {"networkPlugin": "kubenet"},
        "addonProfiles": {"aciConnectorLinux": {"enabled": True}},
    }
    cluster = {
        "name": "aks",
        "resourceGroup": "clusters",
        "kubeconfig": str(kubeconfig),
        "properties": profile,
    }
    locked = {"name": "locked", "resourceGroup": "clusters", "properties": {"disableLocalAccounts": True}}
    async with azure(clusters=[cluster, locked]) as (_, sdk):
        clusters = sdk.aks.managed_clusters
        found = await clusters.get("clusters", "aks")
        assert found.network_profile.network_plugin == "kubenet"
        assert found.network_profile.service_cidr == "10.0.0.0/16"
        assert found.addon_profiles["aciConnectorLinux"].enabled
        assert found.agent_pool_profiles[0].os_type == "Linux"
        assert [one.name async for one in clusters.list_by_resource_group("clusters")] == ["aks", "locked"]
        assert [pool.name async for pool in sdk.aks.agent_pools.list("clusters", "aks")] == ["nodepool1"]
        with pytest.raises(ResourceNotFoundError):
            await clusters.get("clusters", "other")

        with pytest.raises(HttpResponseError, match="no kubeconfig that can be read"):
            await clusters.list_cluster_user_credentials("clusters", "aks")
        kubeconfig.write_text("apiVersion: v1\n")
        answer = await clusters.list_cluster_user_credentials("clusters", "aks")
        value = answer.kubeconfigs[0].value
        assert bytes(value) in (b"apiVersion: v1\n", base64.b64encode(b"apiVersion: v1\n"))
        with pytest.raises(HttpResponseError, match="disable local accounts"):
            await clusters.list_cluster_admin_credentials("clusters", "locked")


async def test_a_cluster_is_all_that_a_seed_says() -> None:
    properties = {
        "kubernetesVersion": "1.35",
        "powerState": {"code": "Stopped"},
        "provisioningState": "Failed",
        "nodeResourceGroup": "machines",
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            "networkPolicy": "cilium",
            "networkDataplane": "cilium",
            "ipFamilies": ["IPv4", "IPv6"],
            "serviceCidr": "172.16.0.0/16",
        },
        "apiServerAccessProfile": {"enablePrivateCluster": True, "authorizedIPRanges": ["20.1.2.0/24"]},
        "oidcIssuerProfile": {"enabled": True, "issuerURL": "https://oidc.example/cluster"},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
        "agentPoolProfiles": [{"name": "pool", "count": 2, "vnetSubnetID": "/subnet", "osType": "Linux"}],
    }
    cluster = {
        "name": "aks",
        "resourceGroup": "clusters",
        "properties": properties,
        "sku": {"tier": "Standard"},
    }
    async with azure(clusters=[cluster]) as (emulator, sdk):
        found = await sdk.aks.managed_clusters.get("clusters", "aks")
        network, access = found.network_profile, found.api_server_access_profile
        assert (network.network_plugin_mode, network.network_policy, network.network_dataplane) == (
            "overlay",
            "cilium",
            "cilium",
        )
        assert (network.ip_families, network.service_cidr) == (["IPv4", "IPv6"], "172.16.0.0/16")
        assert (access.enable_private_cluster, access.authorized_ip_ranges) == (True, ["20.1.2.0/24"])
        assert (found.power_state.code, found.provisioning_state) == ("Stopped", "Failed")
        assert found.oidc_issuer_profile.issuer_url == "https://oidc.example/cluster"
        assert found.security_profile.workload_identity.enabled
        assert found.agent_pool_profiles[0].vnet_subnet_id == "/subnet"
        assert found.identity_profile["kubeletidentity"].object_id
        assert (found.kubernetes_version, found.sku.tier) == ("1.35", "Standard")
        assert await sdk.resources.resource_groups.get("machines")
        # What is seeded again replaces what was there.
        emulator.seed({"clusters": [cluster | {"properties": {}}]})
        assert (await sdk.aks.managed_clusters.get("clusters", "aks")).power_state.code == "Running"


async def test_faults_hit_what_they_name_and_then_are_spent() -> None:
    async with azure() as (emulator, sdk):
        faults = emulator.gateway.faults
        faults.add(
            {"method": "PUT", "path": "containerGroups/web", "times": 1, "status": 503, "code": "Busy"}
        )
        with pytest.raises(HttpResponseError, match="Busy"):
            await create(sdk, "web")
        await create(sdk, "web")
        # aiohttp's client sends a GET once more when a connection that was used before breaks.
        faults.add({"method": "GET", "path": "containerGroups/web", "drop": True, "skip": 1, "times": 2})
        await sdk.aci.container_groups.get(GROUP, "web")
        with pytest.raises(AzureError):
            await sdk.aci.container_groups.get(GROUP, "web")
        await sdk.aci.container_groups.get(GROUP, "web")
        assert faults.listed() == []


async def test_a_lost_answer_leaves_its_effect() -> None:
    async with azure() as (emulator, sdk):
        emulator.gateway.faults.add({"method": "PUT", "drop": True, "after": True, "times": 2})
        with pytest.raises(AzureError):
            await create(sdk, "web")
        assert (await sdk.aci.container_groups.get(GROUP, "web")).name == "web"


async def test_the_control_api_steers_everything() -> None:
    async with azure() as (emulator, sdk), aiohttp.ClientSession(emulator.control_url) as control:

        async def call(method: str, path: str, body: Any = None) -> Any:
            async with control.request(method, path, json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        assert (await call("GET", "/"))["armEndpoint"] == emulator.arm_endpoint
        await call("POST", "/clock", {"frozen": True})
        before = (await call("GET", "/clock"))["now"]
        assert (await call("POST", "/clock", {"advance": 60}))["now"] == before + 60
        await call("POST", "/clock", {"frozen": False})
        await call("PUT", "/latency", {"seconds": 0.001})
        await call("PUT", "/providers", {ACI: "NotRegistered"})
        await call("PUT", "/quotas", {"East US": {"ContainerGroups": 3}})
        await call("PUT", "/regions", [LOCATION, "norwayeast"])
        fault = await call("POST", "/faults", {"template": "/subscriptions", "status": 500})
        assert [one["id"] for one in await call("GET", "/faults")] == [fault["id"]]
        await call("DELETE", f"/faults/{fault['id']}")
        with pytest.raises(HttpResponseError, match="MissingSubscriptionRegistration"):
            await create(sdk, "web")
        await call("PUT", "/providers", {ACI: "Registered"})
        await create(sdk, "web")
        assert (await call("GET", "/quotas"))[LOCATION]["ContainerGroups"] == {"limit": 3, "used": 1}
        puts = await call("GET", "/calls?method=PUT&template=containergroups")
        assert [(one["status"], one["code"]) for one in puts] == [
            (409, "MissingSubscriptionRegistration"),
            (201, ""),
        ]
        counters = await call("GET", "/counters")
        assert any(one["status"] == 201 and one["count"] == 1 for one in counters)
        state = await call("GET", "/state")
        assert [one["name"] for one in state["containerGroups"]] == ["web"]
        await call("POST", "/seed", {"resourceGroups": [{"name": "more"}]})
        assert await sdk.resources.resource_groups.check_existence("more")
        await call("POST", "/reset")
        assert not await sdk.resources.resource_groups.check_existence("more")
        assert [group async for group in sdk.aci.container_groups.list()] == []
        async with control.get("/routes") as answer:
            assert "ContainerGroups_CreateOrUpdate" in await answer.text()


async def test_two_emulators_share_nothing() -> None:
    other = "00000000-0000-0000-0000-0000000000a2"
    async with azure() as (first, sdk), azure(subscription=other) as (second, more):
        await create(sdk, "web")
        assert [group async for group in more.aci.container_groups.list()] == []
        second.clock.advance(7200)
        assert (await sdk.aci.container_groups.get(GROUP, "web")).name == "web"
        assert second.gateway.recorder.count("PUT") == 0
        assert first.arm_endpoint != second.arm_endpoint


async def test_the_table_of_what_is_emulated_needs_no_emulator() -> None:
    async with azure() as (emulator, _):
        assert emulator.routes_table() == routes_table()
    table = routes_table()
    assert "| PUT | `/subscriptions/{subscriptionId}/resourcegroups/{resourceGroupName}` |" in table
    assert "`/{tenant}/oauth2/v2.0/token`" in table


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("POST", "/clock", {"advance": -1}, "at least 0"),
        ("POST", "/faults", {"colour": "red"}, "unknown field 'colour'"),
        ("POST", "/faults", {"path": "("}, "no regular expression"),
        ("POST", "/seed", {"resourceGroup": []}, "there is no such field"),
        ("PUT", "/providers", {ACI: "Perhaps"}, "must be one of"),
        ("DELETE", "/faults/fault-9", None, "there is no fault"),
    ],
)
async def test_mistakes_in_the_control_api_are_explained(
    method: str, path: str, body: Any, says: str
) -> None:
    async with (
        azure() as (emulator, _),
        aiohttp.ClientSession(emulator.control_url) as control,
        control.request(method, path, json=body) as answer,
    ):
        assert answer.status == 400
        assert says in (await answer.json())["error"]
