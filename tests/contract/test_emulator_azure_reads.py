"""Reading changes nothing: every GET that is emulated, several times, on a cloud that has all of it."""

from __future__ import annotations

import re
from typing import Any

from azure.core.rest import HttpRequest
from support.azure_clients import CLIENT, GROUP, LOCATION, OWNER, SECRET, clients, container_group, seed
from support.azure_clients import container as spec
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

READS = 3
NAMES = {
    "resourceGroupName": GROUP,
    "location": LOCATION,
    "containerGroupName": "web",
    "containerName": "web",
    "containerGroupProfileName": "profile",
    "revisionNumber": "1",
    "standbyContainerGroupPoolName": "pool",
    "runtimeView": "latest",
    "resourceName": "aks",  # of a cluster, and of an identity: both are called so here
    "agentPoolName": "nodepool1",
    "federatedIdentityCredentialResourceName": "trust",
    "virtualNetworkName": "vnet",
    "subnetName": "aci",
    "networkSecurityGroupName": "nsg",
    "routeTableName": "routes",
    "natGatewayName": "nat",
    "publicIpAddressName": "out",
    "accountName": "files",
    "registryName": "images",
    "workspaceName": "logs",
    "resourceProviderNamespace": "Microsoft.ContainerInstance",
}
CONTENTS: dict[str, Any] = {
    "clusters": [{"name": "aks", "resourceGroup": GROUP}],
    "virtualNetworks": [{"name": "vnet", "resourceGroup": GROUP, "subnets": [{"name": "aci"}]}],
    "managedIdentities": [
        {
            "name": "aks",
            "resourceGroup": GROUP,
            "clientId": "22222222-0000-0000-0000-000000000001",
            "federatedCredentials": [{"name": "trust", "issuer": "https://i.example", "subject": "s"}],
        }
    ],
    **{
        kind: [{"name": name, "resourceGroup": GROUP}]
        for kind, name in {
            "networkSecurityGroups": "nsg",
            "routeTables": "routes",
            "natGateways": "nat",
            "publicIPAddresses": "out",
            "storageAccounts": "files",
            "registries": "images",
            "workspaces": "logs",
        }.items()
    },
}


def paths(emulator: AzureEmulator) -> dict[str, str]:
    """By template, except those of long-running operations, which other tests follow."""
    world = emulator.world
    assignment = next(one for one in world.assignments.values() if one.principal_id == CLIENT)
    scoped = {
        "roleAssignments": (assignment.scope, assignment.name),
        "roleDefinitions": (f"/subscriptions/{world.subscription}", assignment.role.guid),
    }
    whole = f"/subscriptions/{world.subscription}/resourceGroups/{GROUP}"
    found = {}
    for route in emulator.routes():
        if route.method != "GET" or "{operationId}" in route.template:
            continue
        names = NAMES | {"subscriptionId": world.subscription, "+scope": whole}
        kind = route.template.split("/")[-2]
        if route.template.startswith("/{+scope}/") and kind in scoped:
            names |= dict(zip(("+scope", "name"), scoped[kind], strict=True))
        if "Microsoft.Insights" in route.template:
            names["+scope"] = f"{whole}/providers/Microsoft.ContainerInstance/containerGroups/web"
        path = re.sub(r"\{([^}]+)\}", lambda match, names=names: names[match[1]], route.template)  # type: ignore[misc]
        path = path.replace("//", "/")
        query = "&ipAddress=10.240.0.9" if path.endswith("CheckIPAddressAvailability") else ""
        found[route.template] = f"{path}?api-version={route.versions[0]}{query}"
    return found


async def test_no_read_changes_anything_and_every_one_works() -> None:
    document = seed(**CONTENTS)
    async with (
        AzureEmulator(AzureConfig.from_json(document), engine=ScriptedEngine()) as emulator,
        clients(emulator, OWNER, SECRET) as sdk,
    ):

        async def send(method: str, path: str, body: Any = None) -> Any:
            return await sdk.resources.send_request(HttpRequest(method, path, json=body))

        base = f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}/providers"
        container_instance = f"{base}/Microsoft.ContainerInstance"
        profile = f"{container_instance}/containerGroupProfiles/profile"
        await send("PUT", f"{profile}?api-version=2025-09-01", container_group(containers=[spec()]))
        pool = {
            "elasticityProfile": {"maxReadyCapacity": 1},
            "containerGroupProperties": {"containerGroupProfile": {"id": profile}},
        }
        await send(
            "PUT",
            f"{base}/Microsoft.StandbyPool/standbyContainerGroupPools/pool?api-version=2025-03-01",
            {"location": LOCATION, "properties": pool},
        )
        poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", container_group())
        await poller.result()
        emulator.clock.freeze()
        before, wanted = emulator.state(), paths(emulator)
        assert len(wanted) > 50
        for template, path in wanted.items():
            answers = [await send("GET", path) for _ in range(READS)]
            assert {answer.status_code for answer in answers} == {200}, (template, answers[0].text())
            assert len({answer.text() for answer in answers}) == 1, template
            assert emulator.state() == before, template
