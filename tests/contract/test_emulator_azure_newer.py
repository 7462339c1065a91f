"""What newer API versions of container groups add (profiles, standby pools) and older ones do not see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.core.rest import HttpRequest
from support.azure_clients import GROUP, LOCATION, Clients, clients, container, container_group, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

ACI, POOL = "2025-09-01", "2025-03-01"
GROUPS = "Microsoft.ContainerInstance/containerGroups"
PROFILES = "Microsoft.ContainerInstance/containerGroupProfiles"
POOLS = "Microsoft.StandbyPool/standbyContainerGroupPools"


class Cloud:
    """Plain JSON through the SDK's pipeline, as its models lack all of this."""

    def __init__(self, emulator: AzureEmulator, sdk: Clients, engine: ScriptedEngine) -> None:
        self.emulator, self.sdk, self.engine = emulator, sdk, engine

    def id(self, kind: str, name: str) -> str:
        group = f"/subscriptions/{self.emulator.world.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{kind}/{name}"

    async def send(self, method: str, path: str, version: str, body: Any = None) -> tuple[int, Any]:
        request = HttpRequest(method, f"{path}?api-version={version}", json=body)
        answer = await self.sdk.resources.send_request(request)
        return answer.status_code, answer.json() if answer.content else None

    async def profile(self, **properties: Any) -> Any:
        path = self.id(PROFILES, "web")
        status, made = await self.send("PUT", path, ACI, container_group(**properties))
        assert status in (200, 201), made
        return made

    async def pool(self, capacity: int, **elasticity: Any) -> tuple[int, Any]:
        reference = {"id": self.id(PROFILES, "web"), "revision": 1}
        properties = {
            "elasticityProfile": {"maxReadyCapacity": capacity, **elasticity},
            "containerGroupProperties": {"containerGroupProfile": reference},
        }
        body = {"location": LOCATION, "properties": properties}
        return await self.send("PUT", self.id(POOLS, "warm"), POOL, body)

    async def from_pool(self, name: str, version: str = ACI, **changes: Any) -> tuple[int, Any]:
        properties = {
            "containerGroupProfile": {"id": self.id(PROFILES, "web"), "revision": 1},
            "standbyPoolProfile": {"id": self.id(POOLS, "warm")},
            "containers": [{"name": "web", "properties": {"configMap": {"keyValuePairs": {"color": "red"}}}}],
            **changes,
        }
        body = {"location": LOCATION, "properties": properties}
        return await self.send("PUT", self.id(GROUPS, name), version, body)

    async def ready(self) -> dict[str, int]:
        _, view = await self.send("GET", self.id(POOLS, "warm") + "/runtimeViews/latest", POOL)
        counts = view["properties"]["instanceCountSummary"][0]["instanceCountsByState"]
        return {one["state"]: one["count"] for one in counts}


@asynccontextmanager
async def azure(**changes: Any) -> AsyncIterator[Cloud]:
    engine, config = ScriptedEngine(), AzureConfig.from_json(seed(**changes))
    async with AzureEmulator(config, engine=engine) as emulator, clients(emulator) as sdk:
        yield Cloud(emulator, sdk, engine)


async def test_a_profile_keeps_all_its_revisions() -> None:
    async with azure() as cloud:
        first = await cloud.profile()
        assert (first["type"], first["properties"]["revision"]) == (PROFILES, 1)
        secret = container(environmentVariables=[{"name": "KEY", "secureValue": "hidden"}])
        second = await cloud.profile(containers=[secret])
        assert second["properties"]["revision"] == 2
        assert "hidden" not in str(second)
        path = cloud.id(PROFILES, "web")
        _, listed = await cloud.send("GET", f"{path}/revisions", ACI)
        assert [one["properties"]["revision"] for one in listed["value"]] == [1, 2]
        _, old = await cloud.send("GET", f"{path}/revisions/1", ACI)
        assert old["properties"] == first["properties"]
        assert (await cloud.send("GET", f"{path}/revisions/3", ACI))[0] == 404
        _, tagged = await cloud.send("PATCH", path, ACI, {"tags": {"team": "a"}})
        assert (tagged["tags"], tagged["properties"]["revision"]) == ({"team": "a"}, 2)
        status, error = await cloud.send("PUT", cloud.id(PROFILES, "-bad"), ACI, container_group())
        assert (status, error["error"]["code"]) == (400, "InvalidContainerGroupProfileName")
        assert (await cloud.send("DELETE", path, ACI))[0] == 200
        assert (await cloud.send("DELETE", path, ACI))[0] == 204
        assert (await cloud.send("GET", path, "2023-05-01"))[1]["error"][
            "code"
        ] == "NoRegisteredProviderFound"


async def test_a_group_from_a_profile_gives_only_what_differs() -> None:
    async with azure() as cloud:
        await cloud.profile()
        status, made = await cloud.from_pool("web", standbyPoolProfile=None)
        assert (status, made["properties"]["containers"][0]["properties"]["image"]) == (201, "nginx")
        assert made["properties"].get("isCreatedFromStandbyPool") is None
        await cloud.engine.created.wait()
        (spec,) = cloud.engine.specs.values()
        (mount,) = spec.containers[0].mounts
        assert mount.path == "/mnt/configmap/web"
        (file,) = spec.volumes[mount.volume].files
        assert (file.path, file.content) == ("color", b"red")
        for change, says in (
            ({"containerGroupProfile": {"id": cloud.id(PROFILES, "none")}}, "was not found"),
            ({"containerGroupProfile": {"id": cloud.id(PROFILES, "web"), "revision": 9}}, "no revision '9'"),
            ({"containers": [{"name": "other", "properties": {}}]}, "'other' is not one"),
        ):
            status, error = await cloud.from_pool("x", **({"standbyPoolProfile": None} | change))
            assert status == 400
            assert says in error["error"]["message"]


async def test_a_pool_gives_groups_at_once_and_fills_up_again() -> None:
    timings = {"groupPending": 20, "groupStart": 20, "standbyStart": 1, "standbyRefill": 60, "resource": 5}
    async with azure(timings=timings) as cloud:
        clock = cloud.emulator.clock
        clock.freeze()
        await cloud.profile()
        status, made = await cloud.pool(2)
        assert (status, made["properties"]["provisioningState"]) == (201, "Creating")
        assert await cloud.ready() == {"Running": 0, "Creating": 2}
        clock.advance(60)
        for _ in range(3):
            assert await cloud.ready() == {"Running": 2, "Creating": 0}
        _, one = await cloud.from_pool("one")
        assert one["properties"]["isCreatedFromStandbyPool"] is True
        assert await cloud.ready() == {"Running": 1, "Creating": 1}
        clock.advance(1)
        await cloud.engine.created.wait()
        await cloud.from_pool("two")
        only = {"id": cloud.id(POOLS, "warm"), "failContainerGroupCreateOnReuseFailure": True}
        status, error = await cloud.from_pool("three", standbyPoolProfile=only)
        assert (status, error["error"]["code"]) == (409, "StandbyPoolExhausted")
        status, late = await cloud.from_pool("three")
        assert (status, late["properties"]["isCreatedFromStandbyPool"]) == (201, False)
        clock.advance(60)
        assert await cloud.ready() == {"Running": 2, "Creating": 0}
        status, _ = await cloud.send("DELETE", cloud.id(POOLS, "warm"), POOL)
        assert status == 202
        status, error = await cloud.from_pool("four")
        assert (status, error["error"]["target"]) == (400, "properties.standbyPoolProfile.id")


async def test_a_pool_needs_a_profile_and_a_sensible_size() -> None:
    async with azure() as cloud:
        status, error = await cloud.pool(2)
        assert (status, error["error"]["target"]) == (400, "properties.containerGroupProfile.id")
        await cloud.profile()
        status, error = await cloud.pool(2001)
        assert (status, error["error"]["target"]) == (400, "properties.elasticityProfile.maxReadyCapacity")
        await cloud.pool(1, refillPolicy="never")
        await cloud.from_pool("one")
        assert await cloud.ready() == {"Running": 0, "Creating": 0}


async def test_an_older_version_neither_sees_nor_sets_what_is_newer() -> None:
    async with azure() as cloud:
        await cloud.profile()
        await cloud.pool(1)
        await cloud.from_pool("new")
        _, shown = await cloud.send("GET", cloud.id(GROUPS, "new"), "2023-05-01")
        assert "standbyPoolProfile" not in shown["properties"]
        assert "configMap" not in shown["properties"]["containers"][0]["properties"]
        _, shown = await cloud.send("GET", cloud.id(GROUPS, "new"), ACI)
        assert shown["properties"]["isCreatedFromStandbyPool"] is True
        # With an older version the references are not read: what is left is no group.
        status, error = await cloud.from_pool("old", "2023-05-01")
        assert (status, error["error"]["code"]) == (400, "InvalidOsType")
        body = container_group(priority="Spot") | {"zones": ["1"]}
        _, made = await cloud.send("PUT", cloud.id(GROUPS, "before-spot"), "2021-07-01", body)
        assert "priority" not in made["properties"]
        assert "zones" not in made


@pytest.mark.parametrize(
    ("changes", "code", "target"),
    [
        ({"priority": "Cheap"}, "PriorityNotSpecified", None),
        ({"priority": "Spot"}, "SpotPriorityContainerGroupNotSupportedForInboundConnectivity", None),
        (
            {"priority": "Spot", "ipAddress": None, "sku": "Confidential"},
            "SpotPriorityContainerGroupNotSupportedInSku",
            None,
        ),
        (
            {"confidentialComputeProperties": {"ccePolicy": "!"}},
            "InvalidParameter",
            "properties.confidentialComputeProperties.ccePolicy",
        ),
        (
            {"encryptionProperties": {"keyName": "k"}},
            "InvalidParameter",
            "properties.encryptionProperties.vaultBaseUrl",
        ),
        (
            {"diagnostics": {"logAnalytics": {"workspaceId": "w"}}},
            "InvalidParameter",
            "properties.diagnostics.logAnalytics.workspaceKey",
        ),
        (
            {"extensions": [{"name": "x"}]},
            "InvalidParameter",
            "properties.extensions[0].properties.extensionType",
        ),
        (
            {"identityAcls": {"acls": [{"access": "All", "identity": "/id"}]}},
            "InvalidParameter",
            "properties.identityAcls",
        ),
        (
            {"imageRegistryCredentials": [{"server": "r.azurecr.io", "identity": "/id"}]},
            "InvalidParameter",
            "properties.imageRegistryCredentials",
        ),
        (
            {"volumes": [{"name": "v", "secretReference": {"file": "missing"}}]},
            "InvalidParameter",
            "properties.volumes",
        ),
        (
            {"containers": [container(securityContext={"runAsUser": -1})]},
            "InvalidParameter",
            "securityContext of container 'web'",
        ),
        (
            {"containers": [container(configMap={"keyValuePairs": {"a": 1}})]},
            "InvalidRequestContent",
            None,
        ),
    ],
)
async def test_features_are_checked(changes: dict[str, Any], code: str, target: str | None) -> None:
    async with azure() as cloud:
        status, error = await cloud.send("PUT", cloud.id(GROUPS, "web"), ACI, container_group(**changes))
        assert (status, error["error"]["code"], error["error"].get("target")) == (400, code, target)


async def test_what_is_secret_is_not_given_back() -> None:
    analytics = {
        "workspaceId": "w",
        "workspaceKey": "planted-key",
        "workspaceResourceId": "/planted/workspace",
        "logType": "ContainerInsights",
    }
    async with azure() as cloud:
        body = container_group(diagnostics={"logAnalytics": analytics})
        _, made = await cloud.send("PUT", cloud.id(GROUPS, "web"), ACI, body)
        assert made["properties"]["diagnostics"] == {
            "logAnalytics": {"workspaceId": "w", "logType": "ContainerInsights"}
        }


async def test_outbound_dependencies_are_always_empty() -> None:
    async with azure() as cloud:
        await cloud.send("PUT", cloud.id(GROUPS, "web"), ACI, container_group())
        path = cloud.id(GROUPS, "web") + "/outboundNetworkDependenciesEndpoints"
        assert await cloud.send("GET", path, ACI) == (200, [])


async def test_a_domain_name_may_be_of_ones_own() -> None:
    async with azure() as cloud:
        address = {"type": "Public", "ports": [{"port": 80}], "dnsNameLabel": "hello"}
        scoped = address | {"autoGeneratedDomainNameLabelScope": "Noreuse"}
        _, plain = await cloud.send("PUT", cloud.id(GROUPS, "a"), ACI, container_group(ipAddress=address))
        _, own = await cloud.send("PUT", cloud.id(GROUPS, "b"), ACI, container_group(ipAddress=scoped))
        assert plain["properties"]["ipAddress"]["fqdn"] == f"hello.{LOCATION}.azurecontainer.io"
        label, unique, rest = own["properties"]["ipAddress"]["fqdn"].split(".", 2)
        assert (label, len(unique), rest) == ("hello", 16, f"{LOCATION}.azurecontainer.io")
