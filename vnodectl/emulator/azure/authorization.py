"""Microsoft.Authorization: role assignments, role definitions and permissions, at any scope."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from vnodectl.emulator.azure.access import SCOPED, within
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call
from vnodectl.emulator.azure.config import RoleDefinition
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content
from vnodectl.emulator.azure.roles import find
from vnodectl.emulator.azure.world import RoleAssignment, World
from vnodectl.emulator.clock import iso
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

VERSIONS = (
    "2022-05-01-preview",
    "2022-04-01",
    "2020-10-01-preview",
    "2020-08-01-preview",
    "2020-04-01-preview",
    "2018-09-01-preview",
    "2018-07-01",
    "2018-01-01-preview",
    "2015-07-01",
)
_PROVIDER = f"{SCOPED}providers/Microsoft.Authorization"
_ASSIGNMENTS = f"{_PROVIDER}/roleAssignments"
_DEFINITIONS = f"{_PROVIDER}/roleDefinitions"
_CREATED = 1577836800.0
"""Built-in definitions and seeded assignments are from 2020-01-01T00:00:00Z."""


class Authorization:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, operation, handler, VERSIONS)

        assignment, definition = f"{_ASSIGNMENTS}/{{name}}", f"{_DEFINITIONS}/{{name}}"
        return [
            route("GET", _ASSIGNMENTS, "RoleAssignments_ListForScope", self.list_assignments),
            route("GET", assignment, "RoleAssignments_Get", self.get_assignment),
            route("PUT", assignment, "RoleAssignments_Create", self.put_assignment),
            route("DELETE", assignment, "RoleAssignments_Delete", self.delete_assignment),
            route("GET", _DEFINITIONS, "RoleDefinitions_List", self.list_definitions),
            route("GET", definition, "RoleDefinitions_Get", self.get_definition),
            route("PUT", definition, "RoleDefinitions_CreateOrUpdate", self.put_definition),
            route("DELETE", definition, "RoleDefinitions_Delete", self.delete_definition),
            route("GET", f"{_PROVIDER}/permissions", "Permissions_ListForScope", self.permissions),
        ]

    # --- assignments ---

    async def list_assignments(self, call: Call) -> Answer:
        scope, wanted = call.params["scope"], Filter.read(call.query.get("$filter", ""))
        found = [
            one
            for one in self._world.assignments.values()
            if (within(scope, one.scope) or (not wanted.at_scope and within(one.scope, scope)))
            and (not wanted.principal or one.principal_id.casefold() == wanted.principal)
        ]
        return Answer(
            200, {"value": [self._assignment(one) for one in sorted(found, key=lambda one: one.id)]}
        )

    async def get_assignment(self, call: Call) -> Answer:
        found = self._world.assignments.get(self._assignment_id(call))
        if found is None:
            raise ArmError(
                404, "RoleAssignmentNotFound", f"The role assignment '{call.params['name']}' is not found."
            )
        return Answer(200, self._assignment(found))

    async def put_assignment(self, call: Call) -> Answer:
        name, scope = call.params["name"], call.params["scope"]
        properties = call.document().get("properties")
        if not isinstance(properties, dict):
            raise invalid_content("'properties' is required.")
        if not _is_guid(name):
            raise bad_request(
                "InvalidRoleAssignmentId",
                f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
            )
        role_id, principal_id = str(properties.get("roleDefinitionId")), str(properties.get("principalId"))
        role = find(self._world.roles.values(), role_id) if role_id.startswith("/") else None
        if role is None:
            raise ArmError(
                404,
                "RoleDefinitionDoesNotExist",
                f"The specified role definition with ID '{role_id.rpartition('/')[2]}' does not exist.",
            )
        kind = properties.get("principalType")
        # Naming the type skips the look into the directory: a new principal may not have arrived there yet.
        if not _is_guid(principal_id) or (kind is None and self._world.principal_of(principal_id) is None):
            raise bad_request(
                "PrincipalNotFound",
                f"Principal {principal_id.replace('-', '')} does not exist in the directory "
                f"{self._world.tenant}. Check that you have the correct principal ID. If you are creating "
                "this principal and then immediately assigning a role, this error might be related to a "
                "replication delay. In this case, set the role assignment principalType property to a value, "
                "such as ServicePrincipal, User, or Group.",
            )
        made = RoleAssignment(
            name,
            scope,
            role,
            principal_id,
            str(kind or "ServicePrincipal"),
            since=self._world.clock.now() + self._world.timings.role_assignment,
            description=str(properties.get("description") or ""),
        )
        for one in self._world.assignments.values():
            same = (
                one.scope.casefold() == scope.casefold()
                and one.role.guid == role.guid
                and one.principal_id.casefold() == principal_id.casefold()
            )
            if same and one.name.casefold() != name.casefold():
                raise ArmError(
                    409,
                    "RoleAssignmentExists",
                    "The role assignment already exists. The ID of the existing role assignment is "
                    f"{one.name.replace('-', '')}.",
                )
            if one.name.casefold() == name.casefold() and not same:
                raise ArmError(
                    400,
                    "RoleAssignmentUpdateNotPermitted",
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                )
        if made.id.casefold() in self._world.assignments:
            return Answer(200, self._assignment(self._world.assignments[made.id.casefold()]))
        self._world.assign(made)
        return Answer(201, self._assignment(made))

    async def delete_assignment(self, call: Call) -> Answer:
        gone = self._world.assignments.pop(self._assignment_id(call), None)
        return Answer(204) if gone is None else Answer(200, self._assignment(gone))

    def _assignment_id(self, call: Call) -> str:
        path = f"{call.params['scope'].rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
        return f"{path}/{call.params['name']}".casefold()

    def _assignment(self, one: RoleAssignment) -> JSON:
        created = iso(max(one.since, _CREATED))
        return {
            "id": one.id,
            "name": one.name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "roleDefinitionId": self._definition_id(one.role),
                "principalId": one.principal_id,
                "principalType": one.principal_type,
                "scope": one.scope,
                "condition": None,
                "conditionVersion": None,
                "createdOn": created,
                "updatedOn": created,
                "description": one.description or None,
                "delegatedManagedIdentityResourceId": None,
            },
        }

    # --- definitions ---

    async def list_definitions(self, call: Call) -> Answer:
        scope, name = call.params["scope"], _role_filter(call.query.get("$filter", ""))
        found = [
            role
            for role in self._world.roles.values()
            if any(within(scope, one) or one == "/" for one in role.scopes) and name(role)
        ]
        return Answer(200, {"value": [self._definition(role) for role in found]})

    async def get_definition(self, call: Call) -> Answer:
        return Answer(200, self._definition(self._find_definition(call.params["name"])))

    async def put_definition(self, call: Call) -> Answer:
        name, properties = call.params["name"], call.document().get("properties")
        if not isinstance(properties, dict) or not isinstance(properties.get("roleName"), str):
            raise invalid_content("'properties.roleName' is required.")
        if not _is_guid(name):
            raise bad_request("InvalidRoleDefinitionId", f"The role definition ID '{name}' must be a GUID.")
        existing = self._world.roles.get(name.casefold())
        if existing is not None and not existing.custom:
            raise ArmError(
                403, "CannotModifyBuiltInRole", f"The role definition '{existing.name}' is built in."
            )
        scopes = tuple(map(str, properties.get("assignableScopes") or ()))
        if not scopes:
            raise bad_request(
                "RoleDefinitionHasNoAssignableScopes", "The role definition must have assignable scopes."
            )
        if any(
            one.name == properties["roleName"] and one is not existing for one in self._world.roles.values()
        ):
            raise ArmError(
                409,
                "RoleDefinitionWithSameNameExists",
                f"A custom role with the same name '{properties['roleName']}' already exists in this "
                "directory. Use a different name.",
            )
        granted = (properties.get("permissions") or [{}])[0]
        role = RoleDefinition(
            guid=name.casefold(),
            name=properties["roleName"],
            description=str(properties.get("description") or ""),
            actions=tuple(granted.get("actions") or ()),
            not_actions=tuple(granted.get("notActions") or ()),
            data_actions=tuple(granted.get("dataActions") or ()),
            custom=True,
            scopes=scopes,
        )
        self._world.roles[role.guid] = role
        for one in [one for one in self._world.assignments.values() if one.role.guid == role.guid]:
            self._world.assign(replace(one, role=role))
        return Answer(201, self._definition(role))

    async def delete_definition(self, call: Call) -> Answer:
        role = self._world.roles.get(call.params["name"].casefold())
        if role is None:
            return Answer(204)
        if not role.custom:
            raise ArmError(403, "CannotModifyBuiltInRole", f"The role definition '{role.name}' is built in.")
        if any(one.role.guid == role.guid for one in self._world.assignments.values()):
            raise bad_request(
                "RoleDefinitionHasAssignments",
                f"There are existing role assignments referencing role (code: {role.guid}).",
            )
        return Answer(200, self._definition(self._world.roles.pop(role.guid)))

    def _find_definition(self, name: str) -> RoleDefinition:
        role = self._world.roles.get(name.casefold())
        if role is None:
            raise ArmError(
                404,
                "RoleDefinitionDoesNotExist",
                f"The specified role definition with ID '{name}' does not exist.",
            )
        return role

    def _definition_id(self, role: RoleDefinition) -> str:
        provider = f"/subscriptions/{self._world.subscription}/providers/Microsoft.Authorization"
        return f"{provider}/roleDefinitions/{role.guid}"

    def _definition(self, role: RoleDefinition) -> JSON:
        return {
            "id": self._definition_id(role),
            "name": role.guid,
            "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {
                "roleName": role.name,
                "type": "CustomRole" if role.custom else "BuiltInRole",
                "description": role.description,
                "assignableScopes": list(role.scopes),
                "permissions": [_permission(role)],
                "createdOn": iso(_CREATED),
                "updatedOn": iso(_CREATED),
            },
        }

    # --- permissions ---

    async def permissions(self, call: Call) -> Answer:
        scope = call.params["scope"]
        held = [one.role for one in self._world.assigned(call.principal) if within(scope, one.scope)]
        return Answer(200, {"value": [_permission(role) for role in held]})


@dataclass(frozen=True, slots=True)
class Filter:
    """Of role assignments. `principal` in lower case, "": anybody."""

    at_scope: bool = False
    principal: str = ""

    @classmethod
    def read(cls, expression: str) -> Filter:
        """atScope(), principalId eq '…' and assignedTo('…'), joined by `and`. Raises ArmError."""
        at_scope, principal = False, ""
        for term in re.split(r"\s+and\s+", expression.strip()) if expression.strip() else ():
            if term.strip() == "atScope()":
                at_scope = True
            elif found := re.fullmatch(r"(?:principalId eq '([^']*)'|assignedTo\('([^']*)'\))", term.strip()):
                principal = (found[1] or found[2] or "").casefold()
            else:
                raise bad_request("UnsupportedQuery", f"The filter '{expression}' is not supported. ")
        return cls(at_scope, principal)


def _role_filter(expression: str) -> Callable[[RoleDefinition], bool]:
    """roleName eq '…', type eq 'BuiltInRole|CustomRole', atScopeAndBelow(). Raises ArmError."""
    if not expression or expression.strip() in ("atScopeAndBelow()", "atScope()"):
        return lambda _role: True
    found = re.fullmatch(r"\s*(roleName|type) eq '([^']*)'\s*", expression, re.IGNORECASE)
    if found is None:
        raise bad_request("UnsupportedQuery", f"The filter '{expression}' is not supported.")
    field, value = found[1].casefold(), found[2].casefold()
    if field == "rolename":
        return lambda role: role.name.casefold() == value
    return lambda role: ("customrole" if role.custom else "builtinrole") == value


def _permission(role: RoleDefinition) -> JSON:
    return {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": [],
    }


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
