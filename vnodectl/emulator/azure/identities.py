"""Microsoft.ManagedIdentity: user-assigned identities and their federated credentials."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page, tags_of
from vnodectl.emulator.azure.config import FederatedCredential, Principal, normal_location
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content, resource_not_found
from vnodectl.emulator.azure.shapes import resource_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

KIND = "Microsoft.ManagedIdentity/userAssignedIdentities"
VERSIONS = (
    "2024-11-30",
    "2023-07-31-preview",
    "2023-01-31",
    "2022-01-31-preview",
    "2021-09-30-preview",
    "2018-11-30",
)
MAX_CREDENTIALS = 20
"""Federated credentials of one identity."""

_ALL = f"/subscriptions/{{subscriptionId}}/providers/{KIND}"
_IN_GROUP = f"/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}/providers/{KIND}"
_ONE = f"{_IN_GROUP}/{{resourceName}}"
_CREDENTIALS = f"{_ONE}/federatedIdentityCredentials"
_CREDENTIAL = f"{_CREDENTIALS}/{{federatedIdentityCredentialResourceName}}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}")
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}")


class Identities:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, operation, handler, VERSIONS)

        return [
            route("GET", _ALL, "UserAssignedIdentities_ListBySubscription", self.list),
            route("GET", _IN_GROUP, "UserAssignedIdentities_ListByResourceGroup", self.list),
            route("GET", _ONE, "UserAssignedIdentities_Get", self.get),
            route("PUT", _ONE, "UserAssignedIdentities_CreateOrUpdate", self.put),
            route("PATCH", _ONE, "UserAssignedIdentities_Update", self.patch),
            route("DELETE", _ONE, "UserAssignedIdentities_Delete", self.delete),
            route("GET", _CREDENTIALS, "FederatedIdentityCredentials_List", self.list_credentials),
            route("GET", _CREDENTIAL, "FederatedIdentityCredentials_Get", self.get_credential),
            route("PUT", _CREDENTIAL, "FederatedIdentityCredentials_CreateOrUpdate", self.put_credential),
            route("DELETE", _CREDENTIAL, "FederatedIdentityCredentials_Delete", self.delete_credential),
        ]

    # --- identities ---

    async def list(self, call: Call) -> Answer:
        group = call.params.get("resourceGroupName", "")
        if group:
            self._world.resource_group(group)
        found = {self._id(one).casefold(): one for one in self._managed(group)}
        return page(call, found, self._render, self._world.limits.page_size)

    async def get(self, call: Call) -> Answer:
        return Answer(200, self._render(self._find(call)))

    async def put(self, call: Call) -> Answer:
        group = self._world.group_for_writing(call.params["resourceGroupName"])
        name, document = call.params["resourceName"], call.document()
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        if not _NAME.fullmatch(name):
            raise bad_request("InvalidResourceName", f"The resource name '{name}' is invalid.")
        region = self._world.region(location, KIND)
        existing = next(
            (one for one in self._managed(group.name) if one.name.casefold() == name.casefold()), None
        )
        if existing is not None:
            changed = self._keep(replace(existing, tags=tags_of(document)))
            return Answer(200, self._render(changed))
        made = self._keep(
            Principal(
                client_id=str(uuid.uuid4()),
                object_id=str(uuid.uuid4()),
                name=name,
                resource_group=group.name,
                location=region.name,
                tags=tags_of(document),
            )
        )
        return Answer(201, self._render(made))

    async def patch(self, call: Call) -> Answer:
        found = self._find(call)
        return Answer(200, self._render(self._keep(replace(found, tags=tags_of(call.document())))))

    async def delete(self, call: Call) -> Answer:
        try:
            found = self._find(call)
        except ArmError as error:
            if error.code == "ResourceNotFound":
                return Answer(204)
            raise
        del self._world.principals[found.client_id.casefold()]
        return Answer(200)

    # --- federated credentials ---

    async def list_credentials(self, call: Call) -> Answer:
        identity = self._find(call)
        return Answer(200, {"value": [self._credential(identity, one) for one in identity.federated]})

    async def get_credential(self, call: Call) -> Answer:
        identity = self._find(call)
        return Answer(200, self._credential(identity, self._find_credential(identity, call)))

    async def put_credential(self, call: Call) -> Answer:
        identity = self._find(call)
        name, properties = _credential_name(call), call.document().get("properties")
        if not isinstance(properties, dict):
            raise invalid_content("'properties' is required.")
        if not _CREDENTIAL_NAME.fullmatch(name):
            raise bad_request("BadRequest", f"The federated identity credential name '{name}' is invalid.")
        issuer, subject = properties.get("issuer"), properties.get("subject")
        audiences = properties.get("audiences")
        if not isinstance(issuer, str) or not issuer.startswith("https://"):
            raise bad_request(
                "BadRequest", "The issuer of a federated identity credential must be an https URL."
            )
        if not isinstance(subject, str) or not subject:
            raise bad_request("BadRequest", "The subject of a federated identity credential is required.")
        if not isinstance(audiences, list) or len(audiences) != 1 or not isinstance(audiences[0], str):
            raise bad_request("BadRequest", "A federated identity credential has exactly one audience.")
        others = tuple(one for one in identity.federated if one.name.casefold() != name.casefold())
        if any((one.issuer, one.subject) == (issuer, subject) for one in others):
            raise ArmError(
                409,
                "Conflict",
                "Issuer and subject combination already exists for this Managed Identity.",
            )
        if len(others) >= MAX_CREDENTIALS:
            raise bad_request(
                "BadRequest", f"Too many Federated Identity Credentials. The limit is {MAX_CREDENTIALS}."
            )
        known = len(others) != len(identity.federated)
        made = FederatedCredential(issuer, subject, tuple(audiences), name)
        changed = self._keep(replace(identity, federated=(*others, made)))
        return Answer(200 if known else 201, self._credential(changed, made))

    async def delete_credential(self, call: Call) -> Answer:
        identity = self._find(call)
        name = _credential_name(call).casefold()
        kept = tuple(one for one in identity.federated if one.name.casefold() != name)
        self._keep(replace(identity, federated=kept))
        return Answer(204 if len(kept) == len(identity.federated) else 200)

    # --- what a resource group holds ---

    def resources(self, group: str = "") -> Iterator[JSON]:
        for one in self._managed(group):
            shown = self._render(one)
            yield {name: shown[name] for name in ("id", "name", "type", "location", "tags")}

    async def remove_all(self, group: str) -> None:
        for one in self._managed(group):
            del self._world.principals[one.client_id.casefold()]

    # --- ours ---

    def _managed(self, group: str) -> tuple[Principal, ...]:
        """Those of a resource group, or all of them for ""."""
        return tuple(
            one
            for one in self._world.principals.values()
            if one.managed and (not group or one.resource_group.casefold() == group.casefold())
        )

    def _keep(self, identity: Principal) -> Principal:
        self._world.principals[identity.client_id.casefold()] = identity
        return identity

    def _find(self, call: Call) -> Principal:
        group, name = call.params["resourceGroupName"], call.params["resourceName"]
        self._world.resource_group(group)
        for one in self._managed(group):
            if one.name.casefold() == name.casefold():
                return one
        raise resource_not_found(KIND, name, group)

    def _find_credential(self, identity: Principal, call: Call) -> FederatedCredential:
        name = _credential_name(call)
        for one in identity.federated:
            if one.name.casefold() == name.casefold():
                return one
        kind = f"{KIND}/{identity.name}/federatedIdentityCredentials"
        raise resource_not_found(kind, name, identity.resource_group)

    def _id(self, one: Principal) -> str:
        return identity_id(self._world.subscription, one)

    def _render(self, one: Principal) -> JSON:
        return {
            "id": self._id(one),
            "name": one.name,
            "type": KIND,
            "location": normal_location(one.location),
            "tags": dict(one.tags),
            "properties": {
                "tenantId": self._world.tenant,
                "principalId": one.object_id,
                "clientId": one.client_id,
                "isolationScope": "None",
            },
        }

    def _credential(self, identity: Principal, one: FederatedCredential) -> JSON:
        return {
            "id": f"{self._id(identity)}/federatedIdentityCredentials/{one.name}",
            "name": one.name,
            "type": f"{KIND}/federatedIdentityCredentials",
            "properties": {"issuer": one.issuer, "subject": one.subject, "audiences": list(one.audiences)},
        }


def identity_id(subscription: str, identity: Principal) -> str:
    """The resource id of a managed identity."""
    return resource_id(subscription, identity.resource_group, KIND, identity.name)


def _credential_name(call: Call) -> str:
    return call.params["federatedIdentityCredentialResourceName"]
