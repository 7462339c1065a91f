"""Roles, identities, federated credentials and Microsoft Graph: who may do what, and how that is changed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.identity.aio import ClientAssertionCredential
from support.azure_clients import (
    CLIENT,
    GROUP,
    LOCATION,
    OWNER,
    READER,
    SECRET,
    Clients,
    clients,
    container_group,
    identity_options,
    seed,
)
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.emulator.certificates import make_certificate
from vnodectl.emulator.jose import SigningKey

NOBODY = "11111111-2222-3333-4444-888888888888"
ACI_ROLE = "5d977122-f97e-4b4d-a52f-6b43003ddb4d"
ISSUER = "https://oidc.example/cluster"
SUBJECT = "system:serviceaccount:vnodes:connector"


@asynccontextmanager
async def azure(**changes: Any) -> AsyncIterator[AzureEmulator]:
    document = seed(**changes)
    document["servicePrincipals"].append({"clientId": NOBODY, "secret": SECRET, "roles": []})
    async with AzureEmulator(AzureConfig.from_json(document), engine=ScriptedEngine()) as emulator:
        yield emulator


def definition(emulator: AzureEmulator, guid: str) -> str:
    provider = f"/subscriptions/{emulator.world.subscription}/providers/Microsoft.Authorization"
    return f"{provider}/roleDefinitions/{guid}"


def scope(emulator: AzureEmulator) -> str:
    return f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}"


async def assign(sdk: Clients, emulator: AzureEmulator, guid: str, principal: str, **more: Any) -> Any:
    properties = {
        "roleDefinitionId": definition(emulator, guid),
        "principalId": principal,
        "principalType": "ServicePrincipal",
        **more,
    }
    return await sdk.authorization.role_assignments.create(
        scope(emulator), str(uuid.uuid4()), {"properties": properties}
    )


async def test_an_assigned_role_gives_exactly_its_rights_and_takes_them_back() -> None:
    async with azure() as emulator, clients(emulator, OWNER) as owner, clients(emulator, NOBODY) as nobody:
        groups = nobody.aci.container_groups
        with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
            await groups.begin_create_or_update(GROUP, "web", container_group())
        made = await assign(owner, emulator, ACI_ROLE, NOBODY)
        await (await groups.begin_create_or_update(GROUP, "web", container_group())).result()
        with pytest.raises(HttpResponseError, match=r"AuthorizationFailed[\s\S]*virtualNetworks/read"):
            _ = [one async for one in nobody.network.virtual_networks.list(GROUP)]
        held = [one async for one in nobody.authorization.permissions.list_for_resource_group(GROUP)]
        assert "Microsoft.ContainerInstance/containerGroups/*" in held[0].actions

        assignments = owner.authorization.role_assignments
        listed = [one async for one in assignments.list_for_scope(scope(emulator), filter="atScope()")]
        assert made.id in [one.id for one in listed]
        await assignments.delete(scope(emulator), made.name)
        with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
            await groups.get(GROUP, "web")


async def test_assignments_are_found_by_principal_and_scope() -> None:
    async with azure() as emulator, clients(emulator, OWNER) as owner:
        assignments, whole = (
            owner.authorization.role_assignments,
            f"/subscriptions/{emulator.world.subscription}",
        )
        made = await assign(owner, emulator, ACI_ROLE, NOBODY)

        async def found(at: str, expression: str) -> list[str]:
            listed = [one async for one in assignments.list_for_scope(at, filter=expression)]
            return sorted(one.role_definition_id.rpartition("/")[2] for one in listed)

        mine, contributor = f"assignedTo('{NOBODY}')", "b24988ac-6180-42a0-ab88-20f7382dd24c"
        assert await found(scope(emulator), f"atScope() and {mine}") == [ACI_ROLE]
        assert await found(whole, f"atScope() and {mine}") == []
        assert await found(whole, f"principalId eq '{NOBODY}'") == [ACI_ROLE]
        assert await found(scope(emulator), f"principalId eq '{CLIENT}'") == [contributor]
        with pytest.raises(HttpResponseError, match="UnsupportedQuery"):
            await found(whole, "name eq 'x'")
        assert (await assignments.get(scope(emulator), made.name)).principal_id == NOBODY


async def test_what_is_refused_as_an_assignment() -> None:
    async with azure() as emulator, clients(emulator, OWNER) as owner, clients(emulator) as contributor:
        await assign(owner, emulator, ACI_ROLE, NOBODY)
        with pytest.raises(HttpResponseError, match="RoleAssignmentExists"):
            await assign(owner, emulator, ACI_ROLE, NOBODY)
        with pytest.raises(HttpResponseError, match="RoleDefinitionDoesNotExist"):
            await assign(owner, emulator, str(uuid.uuid4()), NOBODY)
        with pytest.raises(HttpResponseError, match="PrincipalNotFound"):
            await assign(owner, emulator, ACI_ROLE, str(uuid.uuid4()), principalType=None)
        with pytest.raises(HttpResponseError, match=r"AuthorizationFailed[\s\S]*roleAssignments/write"):
            await assign(contributor, emulator, ACI_ROLE, NOBODY)
        assignments = owner.authorization.role_assignments
        named = {"roleDefinitionId": definition(emulator, ACI_ROLE), "principalId": NOBODY}
        with pytest.raises(HttpResponseError, match="InvalidRoleAssignmentId"):
            await assignments.create(scope(emulator), "not-a-guid", {"properties": named})
        with pytest.raises(ResourceNotFoundError, match="RoleAssignmentNotFound"):
            await assignments.get(scope(emulator), str(uuid.uuid4()))


async def test_a_new_assignment_may_take_its_time() -> None:
    async with (
        azure(timings={"roleAssignment": 60}) as emulator,
        clients(emulator, OWNER) as owner,
        clients(emulator, NOBODY) as nobody,
    ):
        emulator.clock.freeze()
        await assign(owner, emulator, ACI_ROLE, NOBODY)
        with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
            _ = [one async for one in nobody.aci.container_groups.list_by_resource_group(GROUP)]
        emulator.clock.advance(60)
        assert [one async for one in nobody.aci.container_groups.list_by_resource_group(GROUP)] == []


async def test_a_role_of_least_rights_is_defined_assigned_and_removed() -> None:
    async with azure() as emulator, clients(emulator, OWNER) as owner, clients(emulator, NOBODY) as nobody:
        definitions, guid = owner.authorization.role_definitions, str(uuid.uuid4())
        body = {
            "properties": {
                "roleName": "vnode connector",
                "assignableScopes": [scope(emulator)],
                "permissions": [{"actions": ["Microsoft.ContainerInstance/containerGroups/read"]}],
            }
        }
        made = await definitions.create_or_update(scope(emulator), guid, body)
        assert (made.role_name, made.role_type) == ("vnode connector", "CustomRole")
        found = definitions.list(scope(emulator), filter="roleName eq 'vnode connector'")
        assert [one.name async for one in found] == [guid]
        assert [one async for one in definitions.list(f"/subscriptions/{emulator.world.subscription}")]
        await assign(owner, emulator, guid, NOBODY)
        assert [one async for one in nobody.aci.container_groups.list_by_resource_group(GROUP)] == []
        with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
            await nobody.aci.container_groups.begin_delete(GROUP, "web")
        with pytest.raises(HttpResponseError, match="RoleDefinitionHasAssignments"):
            await definitions.delete(scope(emulator), guid)
        with pytest.raises(HttpResponseError, match="CannotModifyBuiltInRole"):
            await definitions.delete(scope(emulator), ACI_ROLE)


async def test_a_subnet_and_an_identity_must_be_allowed_to_be_used() -> None:
    network = {"name": "vnet", "resourceGroup": "elsewhere", "subnets": [{"name": "aci"}]}
    identity = {"name": "app", "resourceGroup": "elsewhere", "clientId": str(uuid.uuid4())}
    async with (
        azure(virtualNetworks=[network], managedIdentities=[identity]) as emulator,
        clients(emulator, OWNER) as owner,
        clients(emulator, NOBODY) as nobody,
    ):
        await assign(owner, emulator, ACI_ROLE, NOBODY)
        other = f"/subscriptions/{emulator.world.subscription}/resourceGroups/elsewhere/providers"
        placed = container_group(
            subnetIds=[{"id": f"{other}/Microsoft.Network/virtualNetworks/vnet/subnets/aci"}]
        )
        del placed["properties"]["ipAddress"]
        named = f"{other}/Microsoft.ManagedIdentity/userAssignedIdentities/app"
        acting = container_group() | {
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {named: {}}}
        }
        for body, action in ((placed, "subnets/join/action"), (acting, "assign/action")):
            with pytest.raises(
                HttpResponseError, match=rf"LinkedAuthorizationFailed[\s\S]*{action}"
            ) as caught:
                await nobody.aci.container_groups.begin_create_or_update(GROUP, "web", body)
            assert caught.value.status_code == 403
            await (await owner.aci.container_groups.begin_create_or_update(GROUP, "web", body)).result()
            await (await owner.aci.container_groups.begin_delete(GROUP, "web")).result()


async def test_an_identity_is_made_used_and_deleted() -> None:
    async with azure() as emulator, clients(emulator, OWNER) as owner:
        identities = owner.identities.user_assigned_identities
        made = await identities.create_or_update(GROUP, "connector", {"location": LOCATION})
        assert (await identities.get(GROUP, "connector")).client_id == made.client_id
        assert [one.name async for one in identities.list_by_subscription()] == ["connector"]
        await assign(owner, emulator, ACI_ROLE, made.principal_id)
        body = container_group() | {
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {made.id: {}}}
        }
        group = await (await owner.aci.container_groups.begin_create_or_update(GROUP, "web", body)).result()
        assert group.identity.user_assigned_identities[made.id].principal_id == made.principal_id
        missing = body["identity"] | {"userAssignedIdentities": {f"{made.id}-gone": {}}}
        with pytest.raises(HttpResponseError, match="FailedIdentityOperation"):
            await owner.aci.container_groups.begin_create_or_update(GROUP, "x", body | {"identity": missing})
        await identities.delete(GROUP, "connector")
        with pytest.raises(ResourceNotFoundError):
            await identities.get(GROUP, "connector")


def assertion(key: SigningKey) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": "api://AzureADTokenExchange",
        "exp": now + 600,
        "nbf": now,
    }
    return key.sign(claims)


async def test_a_federated_credential_lets_a_cluster_in() -> None:
    key = SigningKey.load_or_make(None)
    issuers = {ISSUER: {"jwks": {"keys": [key.jwk()]}}}
    async with azure(issuers=issuers) as emulator, clients(emulator, OWNER) as owner:
        identities, credentials = (
            owner.identities.user_assigned_identities,
            (owner.identities.federated_identity_credentials),
        )
        made = await identities.create_or_update(GROUP, "connector", {"location": LOCATION})
        credential = ClientAssertionCredential(
            emulator.world.tenant, made.client_id, lambda: assertion(key), **identity_options(emulator)
        )
        async with credential:
            with pytest.raises(ClientAuthenticationError, match="AADSTS700211"):
                await credential.get_token("https://management.azure.com/.default")
            body = {"issuer": ISSUER, "subject": SUBJECT, "audiences": ["api://AzureADTokenExchange"]}
            properties = {"properties": body}
            kept = await credentials.create_or_update(GROUP, "connector", "vnodectl", properties)
            assert (kept.issuer, kept.subject) == (ISSUER, SUBJECT)
            assert await credential.get_token("https://management.azure.com/.default")
        assert [one.name async for one in credentials.list(GROUP, "connector")] == ["vnodectl"]
        with pytest.raises(HttpResponseError, match="Conflict"):
            await credentials.create_or_update(GROUP, "connector", "another", properties)
        plain = {"properties": body | {"issuer": "http://oidc.example"}}
        with pytest.raises(HttpResponseError, match="https URL"):
            await credentials.create_or_update(GROUP, "connector", "plain", plain)
        await credentials.delete(GROUP, "connector", "vnodectl")
        with pytest.raises(ResourceNotFoundError):
            await credentials.get(GROUP, "connector", "vnodectl")


@asynccontextmanager
async def graph(emulator: AzureEmulator, client: str) -> AsyncIterator[Any]:
    """Calls of Microsoft Graph with a token for it."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": SECRET,
        "scope": "https://graph.microsoft.com/.default",
    }
    url = f"{emulator.authority_host}/{emulator.world.tenant}/oauth2/v2.0/token"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust(emulator))) as session:
        async with session.post(url, data=form) as answer:
            token = (await answer.json())["access_token"]

        async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            target = f"{emulator.graph_endpoint}/v1.0{path}"
            async with session.request(method, target, json=body, headers=headers) as answer:
                return answer.status, json.loads(await answer.read() or b"null")

        yield call


def trust(emulator: AzureEmulator) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(emulator.ca_file))


async def test_graph_tells_when_a_secret_expires() -> None:
    ends = 1_900_000_000
    principals = [{"clientId": CLIENT, "secret": SECRET, "secretExpires": ends, "name": "connector"}]
    async with azure(servicePrincipals=principals) as emulator, graph(emulator, CLIENT) as call:
        status, found = await call(
            "GET", f"/applications?$filter=appId eq '{CLIENT}'&$select=appId,passwordCredentials"
        )
        (application,) = found["value"]
        assert (status, sorted(application)) == (200, ["appId", "passwordCredentials"])
        (password,) = application["passwordCredentials"]
        assert (password["endDateTime"], password["secretText"]) == ("2030-03-17T17:46:40.000Z", None)
        status, same = await call("GET", f"/applications(appId='{CLIENT}')")
        assert (status, same["displayName"]) == (200, "connector")
        status, principal = await call("GET", f"/servicePrincipals(appId='{CLIENT}')")
        assert (principal["id"], principal["servicePrincipalType"]) == (CLIENT, "Application")
        status, error = await call("GET", "/applications/none")
        assert (status, error["error"]["code"]) == (404, "Request_ResourceNotFound")
        status, error = await call("GET", "/users")
        assert (status, error["error"]["code"]) == (400, "BadRequest")


async def test_graph_shows_certificates(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, ["app"])
    principals = [{"clientId": CLIENT, "secret": SECRET, "certificateFiles": [str(made.certificate)]}]
    async with azure(servicePrincipals=principals) as emulator, graph(emulator, CLIENT) as call:
        _, application = await call("GET", f"/applications(appId='{CLIENT}')")
        (key,) = application["keyCredentials"]
        assert (key["type"], key["usage"], key["displayName"]) == (
            "AsymmetricX509Cert",
            "Verify",
            "server.pem",
        )
        assert key["endDateTime"] > key["startDateTime"]


async def test_graph_keeps_federated_credentials_of_an_application() -> None:
    async with azure() as emulator, graph(emulator, CLIENT) as call:
        _, application = await call("GET", f"/applications(appId='{CLIENT}')")
        path = f"/applications/{application['id']}/federatedIdentityCredentials"
        body = {
            "name": "aks",
            "issuer": ISSUER,
            "subject": SUBJECT,
            "audiences": ["api://AzureADTokenExchange"],
        }
        status, made = await call("POST", path, body)
        assert (status, made["name"]) == (201, "aks")
        assert (await call("POST", path, body))[0] == 409
        assert (await call("GET", path))[1]["value"] == [made]
        assert (await call("DELETE", f"{path}/aks"))[0] == 204
        assert (await call("GET", path))[1]["value"] == []


async def test_graph_takes_its_own_tokens_and_asks_for_rights() -> None:
    principals = [{"clientId": READER, "secret": SECRET, "graphRoles": []}]
    async with azure(servicePrincipals=principals) as emulator, graph(emulator, READER) as call:
        status, error = await call("GET", "/applications")
        assert (status, error["error"]["code"]) == (403, "Authorization_RequestDenied")
        emulator.gateway.faults.add({"template": "/v1.0/applications", "status": 429, "times": 1})
        assert (await call("GET", "/applications"))[0] == 429
        async with clients(emulator, READER) as sdk:
            request = HttpRequest("GET", f"{emulator.graph_endpoint}/v1.0/applications")
            answer = await sdk.resources.send_request(request)
            assert answer.status_code == 401
            assert "wrong audience" in answer.json()["error"]["message"]
