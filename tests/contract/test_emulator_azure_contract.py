"""What SDKs may expect of Azure. By default of the emulator; a real subscription can be named instead.

See `support.azure_place`. Nothing here knows which of the two it talks to, except how long it may take.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from support.azure_place import Place
from support.azure_place import place as open_place

pytestmark = pytest.mark.timeout(900)

GROUPS = "Microsoft.ContainerInstance/containerGroups"
HELLO = "mcr.microsoft.com/azuredocs/aci-helloworld"
SHELL = "mcr.microsoft.com/azurelinux/busybox:1.36"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path) as found:
        yield found


def container(name: str = "web", image: str = HELLO, **properties: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": 1, "memoryInGB": 1}}
    return {"name": name, "properties": {"image": image, "resources": resources, **properties}}


def group(place: Place, *containers: dict[str, Any], **properties: Any) -> dict[str, Any]:
    found = list(containers) or [container()]
    return {"location": place.location, "properties": {"osType": "Linux", "containers": found, **properties}}


async def create(place: Place, name: str, body: dict[str, Any]) -> Any:
    poller = await place.sdk.aci.container_groups.begin_create_or_update(place.group, name, body)
    return await poller.result()


async def reached(place: Place, name: str, state: str) -> Any:
    """The group, once it is in `state`. Nothing tells a client of ARM: it has to ask again."""
    async with asyncio.timeout(300):
        while True:
            found = await place.sdk.aci.container_groups.get(place.group, name)
            if found.instance_view.state == state:
                return found
            await asyncio.sleep(place.pause)


async def send(place: Place, method: str, path: str, body: Any = None) -> Any:
    return await place.sdk.resources.send_request(HttpRequest(method, path, json=body))


async def test_a_container_group_lives_and_ends(place: Place) -> None:
    groups = place.sdk.aci.container_groups
    variables = [{"name": "PLAIN", "value": "seen"}, {"name": "SECRET", "secureValue": "planted-secret"}]
    body = group(place, container(environmentVariables=variables)) | {"tags": {"owner": "contract"}}
    made = await create(place, "life", body)
    assert made.id.casefold() == place.id(GROUPS, "life").casefold()
    assert (made.provisioning_state, made.instance_view.state) == ("Succeeded", "Running")
    (one,) = made.containers
    assert one.instance_view.current_state.state == "Running"
    assert {entry.name: entry.value for entry in one.environment_variables} == {
        "PLAIN": "seen",
        "SECRET": None,
    }
    assert "planted-secret" not in str(made.serialize(keep_readonly=True))

    listed = [found async for found in groups.list_by_resource_group(place.group)]
    assert [(found.name, found.provisioning_state) for found in listed] == [("life", "Succeeded")]
    assert listed[0].instance_view is None
    tagged = await groups.update(place.group, "life", {"tags": {"owner": "other"}})
    assert tagged.tags == {"owner": "other"}
    assert (await place.sdk.aci.containers.list_logs(place.group, "life", "web", tail=5)).content is not None

    await groups.stop(place.group, "life")
    await reached(place, "life", "Stopped")
    await (await groups.begin_start(place.group, "life")).result()
    assert (await groups.get(place.group, "life")).instance_view.state == "Running"

    await (await groups.begin_delete(place.group, "life")).result()
    with pytest.raises(ResourceNotFoundError) as caught:
        await groups.get(place.group, "life")
    assert caught.value.error.code == "ResourceNotFound"
    answer = await send(place, "DELETE", f"{place.id(GROUPS, 'life')}?api-version=2023-05-01")
    assert answer.status_code == 204


async def test_a_container_that_ends_keeps_its_exit_code(place: Place) -> None:
    job = container("job", SHELL, command=["/bin/sh", "-c", "exit 3"])
    await create(place, "job", group(place, job, restartPolicy="Never"))
    found = await reached(place, "job", "Failed")
    state = found.containers[0].instance_view.current_state
    assert (state.state, state.exit_code) == ("Terminated", 3)
    assert state.finish_time >= state.start_time


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("Bad_Name", {}, "InvalidContainerGroupName"),
        ("web", {"osType": "Plan9"}, "InvalidOsType"),
        ("web", {"containers": [container("Bad_Name")]}, "InvalidContainerName"),
        ("web", {"containers": [container(resources={})]}, "ResourceRequestsNotSpecified"),
        (
            "web",
            {"containers": [container(resources={"requests": {"cpu": 1}})]},
            "ResourceSomeRequestsNotSpecified",
        ),
        (
            "web",
            {"ipAddress": {"type": "Public", "ports": [{"port": 80, "protocol": "TCP"}]}},
            "UnreferencedIpAddressPorts",
        ),
        ("web", {"ipAddress": {"type": "Public", "ports": []}}, "MissingIpAddressPorts"),
        (
            "web",
            {
                "containers": [container(ports=[{"port": 80}])],
                "ipAddress": {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]},
            },
            "PrivateIPAddressNotSupported",
        ),
        (
            "web",
            {
                "priority": "Spot",
                "containers": [container(ports=[{"port": 80}])],
                "ipAddress": {"type": "Public", "ports": [{"port": 80, "protocol": "TCP"}]},
            },
            "SpotPriorityContainerGroupNotSupportedForInboundConnectivity",
        ),
    ],
)
async def test_what_is_refused_and_with_which_code(
    place: Place, name: str, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await create(place, name, group(place, **change))
    assert (caught.value.status_code, caught.value.error.code) == (400, code)


async def test_what_does_not_exist_is_told_in_the_same_words(place: Place) -> None:
    base = f"/subscriptions/{place.subscription}"
    for path, status, code in (
        (f"{base}/resourceGroups/none-of-that-name?api-version=2021-04-01", 404, "ResourceGroupNotFound"),
        (f"{base}/providers/Contoso.Nothing?api-version=2021-04-01", 404, "InvalidResourceNamespace"),
        (f"{base}/providers/{GROUPS}", 400, "MissingApiVersionParameter"),
        (f"{base}/providers/{GROUPS}?api-version=soon", 400, "InvalidApiVersionParameter"),
        (f"{base}/providers/{GROUPS}?api-version=2001-01-01", 400, "NoRegisteredProviderFound"),
    ):
        answer = await send(place, "GET", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path


async def test_what_a_region_offers(place: Place) -> None:
    offers = [one async for one in place.sdk.aci.location.list_capabilities(place.location)]
    assert {"Linux"} <= {one.os_type for one in offers}
    assert all(one.capabilities.max_cpu >= 1 for one in offers if one.os_type == "Linux")
    usage = {one.name.value: one async for one in place.sdk.aci.location.list_usage(place.location)}
    assert usage["ContainerGroups"].limit >= usage["ContainerGroups"].current_value
    assert [one.image async for one in place.sdk.aci.location.list_cached_images(place.location)]
    provider = await place.sdk.resources.providers.get("Microsoft.ContainerInstance")
    kinds = {one.resource_type: one for one in provider.resource_types}
    assert kinds["containerGroups"].locations
    assert "2023-05-01" in kinds["containerGroups"].api_versions


async def test_a_delegated_subnet_holds_groups_and_is_held_by_them(place: Place) -> None:
    networks, subnets = place.sdk.network.virtual_networks, place.sdk.network.subnets
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    poller = await networks.begin_create_or_update(
        place.group, "vnet", {"location": place.location, "properties": space}
    )
    await poller.result()

    async def put(name: str, prefix: str, *services: str) -> Any:
        delegations = [{"name": "d", "properties": {"serviceName": service}} for service in services]
        properties = {"addressPrefix": prefix, "delegations": delegations}
        poller = await subnets.begin_create_or_update(place.group, "vnet", name, {"properties": properties})
        return await poller.result()

    made = await put("aci", "10.0.1.0/24", GROUPS)
    assert made.delegations[0].service_name == GROUPS
    with pytest.raises(HttpResponseError) as caught:
        await put("over", "10.0.1.128/25")
    assert caught.value.error.code == "NetcfgSubnetRangesOverlap"
    body = group(place, container(ports=[{"port": 80}]), subnetIds=[{"id": made.id}])
    placed = await create(place, "inside", body)
    assert placed.subnet_ids[0].id.casefold() == made.id.casefold()
    with pytest.raises(HttpResponseError) as caught:
        await put("aci", "10.0.1.0/24")
    assert caught.value.error.code.startswith("SubnetDelegationsCannotChange")
    plain = await put("plain", "10.0.2.0/24")
    with pytest.raises(HttpResponseError) as caught:
        await create(place, "outside", group(place, subnetIds=[{"id": plain.id}]))
    assert caught.value.error.code == "SubnetMissingRequiredDelegation"


async def test_an_identity_its_federation_and_its_role(place: Place) -> None:
    identities = place.sdk.identities.user_assigned_identities
    credentials = place.sdk.identities.federated_identity_credentials
    made = await identities.create_or_update(place.group, "connector", {"location": place.location})
    trust = {
        "issuer": "https://oidc.example/cluster",
        "subject": "system:serviceaccount:vnodes:connector",
        "audiences": ["api://AzureADTokenExchange"],
    }
    await credentials.create_or_update(place.group, "connector", "vnodectl", {"properties": trust})
    assert [one.subject async for one in credentials.list(place.group, "connector")] == [trust["subject"]]
    role = f"/subscriptions/{place.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    properties = {
        "roleDefinitionId": role,
        "principalId": made.principal_id,
        "principalType": "ServicePrincipal",
    }
    assignments, name = place.sdk.authorization.role_assignments, str(uuid.uuid4())
    await assignments.create(place.group_id(), name, {"properties": properties})
    wanted = f"principalId eq '{made.principal_id}'"
    found = [one async for one in assignments.list_for_scope(place.group_id(), filter=wanted)]
    assert [one.role_definition_id.rpartition("/")[2] for one in found] == [READER]
    with pytest.raises(HttpResponseError) as caught:
        await assignments.create(place.group_id(), str(uuid.uuid4()), {"properties": properties})
    assert caught.value.error.code == "RoleAssignmentExists"
    await assignments.delete(place.group_id(), name)
    permissions = place.sdk.authorization.permissions.list_for_resource_group(place.group)
    assert any("*" in one.actions for one in [found async for found in permissions])


async def test_clusters_are_listed_and_missed(place: Place) -> None:
    clusters = place.sdk.aks.managed_clusters
    assert [one.name async for one in clusters.list_by_resource_group(place.group)] == []
    with pytest.raises(ResourceNotFoundError):
        await clusters.get(place.group, "none")
