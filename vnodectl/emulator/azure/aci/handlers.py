"""Microsoft.ContainerInstance: the operations on container groups and their containers."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterator

from vnodectl.emulator.azure.access import Access
from vnodectl.emulator.azure.aci.checks import number, optional_object
from vnodectl.emulator.azure.aci.features import validate_features
from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.aci.lifecycle import Lifecycle
from vnodectl.emulator.azure.aci.locations import Locations
from vnodectl.emulator.azure.aci.placement import Placement
from vnodectl.emulator.azure.aci.profiles import Profiles, merged
from vnodectl.emulator.azure.aci.render import render, render_listed
from vnodectl.emulator.azure.aci.standby import Pool, StandbyPools
from vnodectl.emulator.azure.aci.streams import Streams, notice
from vnodectl.emulator.azure.aci.translate import engine_name
from vnodectl.emulator.azure.aci.validate import totals, validate
from vnodectl.emulator.azure.aci.versions import VERSIONS, known
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, Handler, page, tags_of
from vnodectl.emulator.azure.config import CONTAINER_GROUPS
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content, resource_not_found
from vnodectl.emulator.azure.identities import identity_id
from vnodectl.emulator.azure.operations import Operations
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route
from vnodectl.engines.api import EngineError, GroupPhase, LogQuery, NoSuchGroup

LOG_LIMIT = 4 * 1024 * 1024
"""ACI gives back at most the last 4 MB of a log."""

_SUBSCRIPTION = "/subscriptions/{subscriptionId}"
_PROVIDER = "/providers/Microsoft.ContainerInstance"
_ALL = f"{_SUBSCRIPTION}/providers/{CONTAINER_GROUPS}"
_IN_GROUP = f"{_SUBSCRIPTION}/resourceGroups/{{resourceGroupName}}/providers/{CONTAINER_GROUPS}"
_ONE = _IN_GROUP + "/{containerGroupName}"
_CONTAINER = _ONE + "/containers/{containerName}"
_LOCATION = f"{_SUBSCRIPTION}{_PROVIDER}/locations/{{location}}"
_SUBNET_LINK = (
    f"{_SUBSCRIPTION}/resourceGroups/{{resourceGroupName}}/providers/Microsoft.Network/virtualNetworks/"
    f"{{virtualNetworkName}}/subnets/{{subnetName}}{_PROVIDER}/serviceAssociationLinks/default"
)
_IMMUTABLE = ("osType", "restartPolicy", "subnetIds")


class ContainerGroups:
    def __init__(
        self,
        world: World,
        operations: Operations,
        lifecycle: Lifecycle,
        placement: Placement,
        streams: Streams,
        access: Access,
        profiles: Profiles,
        pools: StandbyPools,
    ) -> None:
        self._world = world
        self._operations = operations
        self._lifecycle = lifecycle
        self._placement = placement
        self._streams = streams
        self._access = access
        self._profiles = profiles
        self._pools = pools

    def routes(self) -> list[ArmRoute]:
        locations = Locations(self._world, self._placement.usage)

        def route(method: str, template: str, operation: str, handler: Handler, note: str = "") -> ArmRoute:
            return Route(method, template, operation, handler, VERSIONS, note)

        return [
            route("GET", f"{_PROVIDER}/operations", "Operations_List", self.list_operations),
            route("GET", _ALL, "ContainerGroups_List", self.list_all, "no instanceView"),
            route(
                "GET", _IN_GROUP, "ContainerGroups_ListByResourceGroup", self.list_in_group, "no instanceView"
            ),
            route("GET", _ONE, "ContainerGroups_Get", self.get),
            route("PUT", _ONE, "ContainerGroups_CreateOrUpdate", self.put),
            route("PATCH", _ONE, "ContainerGroups_Update", self.patch, "tags only"),
            route("DELETE", _ONE, "ContainerGroups_Delete", self.delete),
            route("POST", _ONE + "/start", "ContainerGroups_Start", self.start),
            route("POST", _ONE + "/stop", "ContainerGroups_Stop", self.stop),
            route("POST", _ONE + "/restart", "ContainerGroups_Restart", self.restart),
            route(
                "GET",
                _ONE + "/outboundNetworkDependenciesEndpoints",
                "ContainerGroups_GetOutboundNetworkDependenciesEndpoints",
                self.outbound,
            ),
            route("GET", _CONTAINER + "/logs", "Containers_ListLogs", self.logs, "Windows: simulated"),
            route("POST", _CONTAINER + "/exec", "Containers_ExecuteCommand", self.exec, "Windows: simulated"),
            route("POST", _CONTAINER + "/attach", "Containers_Attach", self.attach, "Windows: simulated"),
            route("GET", _LOCATION + "/usages", "Location_ListUsage", locations.usages),
            route("GET", _LOCATION + "/capabilities", "Location_ListCapabilities", locations.capabilities),
            route("GET", _LOCATION + "/cachedImages", "Location_ListCachedImages", locations.cached_images),
            route(
                "DELETE",
                _SUBNET_LINK,
                "SubnetServiceAssociationLink_Delete",
                self.delete_link,
                "where no group uses the subnet",
            ),
            *self._operations.routes(_LOCATION, VERSIONS),
        ]

    # --- reading ---

    async def list_operations(self, _call: Call) -> Answer:
        actions = ("containerGroups/read", "containerGroups/write", "containerGroups/delete")
        return Answer(
            200,
            {
                "value": [
                    {
                        "name": f"Microsoft.ContainerInstance/{action}",
                        "display": {
                            "provider": "Microsoft Container Instance",
                            "resource": "Container Group",
                            "operation": action.rpartition("/")[2],
                        },
                        "origin": "User",
                    }
                    for action in actions
                ]
            },
        )

    async def list_all(self, call: Call) -> Answer:
        return self._list(call, "")

    async def list_in_group(self, call: Call) -> Answer:
        return self._list(call, self._world.resource_group(call.params["resourceGroupName"]).name)

    async def get(self, call: Call) -> Answer:
        return Answer(200, known(render(self._find(call)), call.api_version))

    async def outbound(self, call: Call) -> Answer:
        self._find(call)
        return Answer(200, [])  # Always empty, says the service's description.

    def resources(self, group: str = "") -> Iterator[JSON]:
        for one in self._lifecycle.in_group(group):
            yield {
                "id": one.id,
                "name": one.name,
                "type": CONTAINER_GROUPS,
                "location": one.location,
                "tags": dict(one.tags),
            }

    async def remove_all(self, group: str) -> None:
        await self._lifecycle.remove_all(group)

    def _list(self, call: Call, resource_group: str) -> Answer:
        groups = {group.id.casefold(): group for group in self._lifecycle.in_group(resource_group)}
        return page(
            call,
            groups,
            lambda group: known(render_listed(group), call.api_version),
            self._world.limits.page_size,
        )

    def _find(self, call: Call) -> Group:
        resource_group, name = call.params["resourceGroupName"], call.params["containerGroupName"]
        self._world.resource_group(resource_group)
        group = self._lifecycle.groups.get((resource_group.casefold(), name.casefold()))
        if group is None:
            raise resource_not_found(CONTAINER_GROUPS, name, resource_group)
        return group

    # --- changing ---

    async def put(self, call: Call) -> Answer:
        resource_group = self._world.group_for_writing(call.params["resourceGroupName"])
        name, document = call.params["containerGroupName"], known(call.document(), call.api_version)
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        region = self._world.region(location, CONTAINER_GROUPS)
        pool, document = self._from_templates(document)
        validate(name, document)
        validate_features(name, document)
        properties = _with_defaults(document["properties"])
        existing = self._lifecycle.groups.get((resource_group.name.casefold(), name.casefold()))
        if existing is not None and existing.location != region.name:
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{name}' already exists in location '{existing.location}' in resource group "
                f"'{resource_group.name}'. A resource with the same name cannot be created in location "
                f"'{region.name}'. Please select a new resource name.",
            )
        tags, zones = tags_of(document), _zones(document)
        self._check_linked(call, properties, document)
        identity = self._identity(document, existing)
        self._placement.check(name, region, properties, zones, existing)
        if existing is None:
            self._placement.count_create()
            group = Group(
                subscription=self._world.subscription,
                resource_group=resource_group.name,
                name=name,
                location=region.name,
                properties=properties,
                tags=tags,
                zones=zones,
                identity=identity,
                engine=self._lifecycle.engine(properties["osType"]),
                engine_name=engine_name(self._world.subscription, resource_group.name, name),
                standby=pool is not None,
            )
            if pool is not None:
                self._pools.take(pool)
            if properties.get("standbyPoolProfile"):
                properties["isCreatedFromStandbyPool"] = pool is not None
            operation = self._lifecycle.create(group)
            return Answer(
                201,
                known(render(group), call.api_version),
                self._operations.headers(operation, call, location=False),
            )
        self._lifecycle.require_settled(existing)
        _check_update(existing, properties)
        self._placement.count_create()
        existing.properties, existing.tags, existing.identity = properties, tags, identity
        operation = self._lifecycle.update(existing)
        return Answer(
            200,
            known(render(existing), call.api_version),
            self._operations.headers(operation, call, location=False),
        )

    async def patch(self, call: Call) -> Answer:
        group, document = self._find(call), call.document()
        if "tags" in document:
            group.tags = tags_of(document)
        return Answer(200, known(render(group), call.api_version))

    async def delete(self, call: Call) -> Answer:
        try:
            group = self._find(call)
        except ArmError as error:
            if error.code == "ResourceNotFound":
                return Answer(204)
            raise
        if group.deletion is None:
            self._placement.count_delete()
        operation = self._lifecycle.delete(group)
        return Answer(202, None, self._operations.headers(operation, call, location=True))

    async def delete_link(self, call: Call) -> Answer:
        """ACI's mark on a subnet, which stays when the last group has gone."""
        subnet = call.path.partition("/providers/Microsoft.ContainerInstance")[0].casefold()
        if subnet.endswith("/serviceassociationlinks/default"):
            subnet = subnet.partition("/providers/microsoft.containerinstance")[0]
        if subnet not in self._world.group_links:
            return Answer(204)
        if used := self._lifecycle.in_subnet(subnet):
            raise ArmError(
                409,
                "ServiceAssociationLinkInUse",
                f"The service association link of subnet '{subnet}' is used by {used} container group(s).",
            )
        self._world.group_links.discard(subnet)
        return Answer(200)

    async def start(self, call: Call) -> Answer:
        operation = self._lifecycle.start_group(self._find(call))
        if operation is None:
            return Answer(204)
        return Answer(202, None, self._operations.headers(operation, call, location=True))

    async def stop(self, call: Call) -> Answer:
        self._lifecycle.stop(self._find(call))
        return Answer(204)

    async def restart(self, call: Call) -> Answer:
        operation = self._lifecycle.restart(self._find(call))
        return Answer(204, None, self._operations.location_header(operation, call))

    # --- containers ---

    async def logs(self, call: Call) -> Answer:
        group, container = self._find_container(call)
        tail, timestamps = call.query.get("tail"), call.query.get("timestamps", "false")
        if tail is not None and not re.fullmatch(r"-?\d{1,9}", tail):
            raise bad_request("InvalidParameter", f"The value '{tail}' of 'tail' is no number.", "tail")
        query = LogQuery(
            tail=int(tail) if tail and int(tail) > 0 else None, timestamps=timestamps.casefold() == "true"
        )
        kept = b""
        try:
            async for chunk in group.engine.logs(group.engine_name, container, query):
                kept = (kept + chunk)[-LOG_LIMIT:]
        except NoSuchGroup as error:
            raise _not_ready(group) from error
        except EngineError as error:
            raise ArmError(500, "InternalServerError", f"The log cannot be read: {error}") from error
        content = kept.decode(errors="replace")
        if group.pretended:
            content = _limited(notice(group, container) + content, query.tail)
        return Answer(200, {"content": content})

    async def exec(self, call: Call) -> Answer:
        group, container = self._find_container(call)
        document = call.document()
        command = document.get("command")
        if not isinstance(command, str) or not command:
            raise invalid_content("'command' is required and must be a string.")
        size = optional_object(document, "terminalSize")
        columns, rows = number(size, "cols", "terminalSize") or 80, number(size, "rows", "terminalSize") or 24
        return self._stream(call, group, container, command, (int(columns), int(rows)))

    async def attach(self, call: Call) -> Answer:
        group, container = self._find_container(call)
        return self._stream(call, group, container, None, (80, 24))

    def _stream(
        self, call: Call, group: Group, container: str, command: str | None, size: tuple[int, int]
    ) -> Answer:
        if group.status is None or group.status.phase is not GroupPhase.RUNNING:
            raise _not_ready(group)
        life = self._world.timings.exec_ticket
        return Answer(
            200, self._streams.issue(group, container, command, size, base_url=call.base_url, life=life)
        )

    def _find_container(self, call: Call) -> tuple[Group, str]:
        group, container = self._find(call), call.params["containerName"]
        if not group.has_container(container):
            raise ArmError(
                404,
                "ContainerNotFound",
                f"The container '{container}' was not found in container group '{group.name}'.",
            )
        if not group.in_engine or group.status is None:
            raise _not_ready(group)
        return group, container

    def _identity(self, document: JSON, existing: Group | None) -> JSON | None:
        identity = optional_object(document, "identity")
        kind = str(identity.get("type") or "None")
        if kind == "None":
            return None
        shown: JSON = {"type": kind}
        if "SystemAssigned" in kind:
            before = (existing.identity or {}).get("principalId") if existing else None
            shown |= {"principalId": before or str(uuid.uuid4()), "tenantId": self._world.tenant}
        if "UserAssigned" in kind:
            named = optional_object(identity, "userAssignedIdentities")
            if not named:
                raise bad_request(
                    "InvalidIdentityValues",
                    "The identity of type UserAssigned must name at least one identity.",
                )
            shown["userAssignedIdentities"] = {key: self._user_assigned(key) for key in named}
        return shown

    def _from_templates(self, document: JSON) -> tuple[Pool | None, JSON]:
        """The pool that has a group for this one, and the group with what its profile says."""
        properties = optional_object(document, "properties")
        if properties.get("containerGroupProfile") is None:
            return None, document
        reference = optional_object(properties, "containerGroupProfile")
        properties = merged(self._profiles.referenced(reference), properties)
        pool = None
        if properties.get("standbyPoolProfile") is not None:
            pool = self._pools.offers(optional_object(properties, "standbyPoolProfile"))
        if pool is not None:
            placed = optional_object(pool.properties, "containerGroupProperties").get("subnetIds")
            if placed:
                properties.setdefault("subnetIds", copy.deepcopy(placed))
        return pool, document | {"properties": properties}

    def _user_assigned(self, resource: str) -> JSON:
        """Raises ArmError for an identity that does not exist."""
        for one in self._world.principals.values():
            if one.managed and identity_id(self._world.subscription, one).casefold() == resource.casefold():
                return {"principalId": one.object_id, "clientId": one.client_id}
        raise bad_request(
            "FailedIdentityOperation",
            "Identity operation for resource failed with error 'Failed to perform resource identity "
            f"operation. Status: 'BadRequest'. The resource '{resource}' was not found.'.",
        )

    def _check_linked(self, call: Call, properties: JSON, document: JSON) -> None:
        """Who creates a group must be allowed to use its subnet and its identities. Raises ArmError 403."""
        doing = f"{CONTAINER_GROUPS}/write"
        join = "Microsoft.Network/virtualNetworks/subnets/join/action"
        for subnet in properties.get("subnetIds") or ():
            self._access.check_linked(call.principal, doing, call.path, join, str(subnet.get("id")))
        assign = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
        identity = optional_object(document, "identity")
        for resource in optional_object(identity, "userAssignedIdentities"):
            self._access.check_linked(call.principal, doing, call.path, assign, resource)


def _with_defaults(properties: JSON) -> JSON:
    filled = copy.deepcopy(properties)
    for name in ("provisioningState", "instanceView", "isCreatedFromStandbyPool"):
        filled.pop(name, None)
    filled.setdefault("restartPolicy", "Always")
    filled.setdefault("sku", "Standard")
    filled.setdefault("initContainers", [])
    if filled.get("ipAddress"):
        filled["ipAddress"].setdefault("type", "Public")
        filled["ipAddress"].pop("ip", None)
    for container in (*filled["containers"], *(filled["initContainers"] or ())):
        inner = container["properties"]
        inner.pop("instanceView", None)
        for name in ("command", "environmentVariables"):
            inner[name] = inner.get(name) or []
    for container in filled["containers"]:
        container["properties"]["ports"] = container["properties"].get("ports") or []
    return filled


def _zones(document: JSON) -> list[str]:
    zones = document.get("zones") or []
    if not isinstance(zones, list) or not all(isinstance(zone, str) for zone in zones):
        raise invalid_content("'zones' must be a list of strings.")
    return list(zones)


def _check_update(group: Group, properties: JSON) -> None:
    before, after = group.properties, properties
    same = all((before.get(name) or None) == (after.get(name) or None) for name in _IMMUTABLE)
    if not same or totals(before) != totals(after):
        raise bad_request(
            "InvalidContainerGroupUpdate",
            f"The updates on container group '{group.name}' are invalid. If you are going to update the os "
            "type, restart policy, network profile, CPU, memory or GPU resources for a container group, "
            "you must delete it first and then create a new one.",
        )


def _not_ready(group: Group) -> ArmError:
    return ArmError(
        409, "ContainerGroupDeploymentNotReady", f"The container group '{group.name}' is not ready."
    )


def _limited(text: str, tail: int | None) -> str:
    return text if tail is None else "".join(text.splitlines(keepends=True)[-tail:])
