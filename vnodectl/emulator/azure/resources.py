"""Microsoft.Resources: subscription, tenant, locations, resource providers and resource groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Protocol

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page, tags_of
from vnodectl.emulator.azure.config import normal_location
from vnodectl.emulator.azure.errors import ArmError, bad_request
from vnodectl.emulator.azure.operations import Operation, Operations
from vnodectl.emulator.azure.world import ALWAYS_REGISTERED, ResourceGroup, World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route
from vnodectl.emulator.tasks import TaskOwner

VERSIONS = (
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2021-04-01",
    "2021-01-01",
    "2020-10-01",
    "2020-06-01",
    "2020-01-01",
    "2019-11-01",
    "2019-10-01",
    "2019-05-01",
    "2018-05-01",
    "2018-02-01",
    "2017-05-10",
    "2016-09-01",
    "2016-06-01",
)

S = "/subscriptions/{subscriptionId}"
GROUP = S + "/resourcegroups/{resourceGroupName}"
PROVIDER = S + "/providers/{resourceProviderNamespace}"


class Contents(Protocol):
    """Another service's resources, as a resource group sees them."""

    def resources(self, group: str = "") -> Iterator[JSON]:
        """In one group, or in all."""

    async def remove_all(self, group: str) -> None:
        """Delete what the group holds; returns when it is gone. Raises ArmError."""


class Resources:
    """`types` are the resource types by namespace, with the api-versions of each."""

    def __init__(
        self,
        world: World,
        operations: Operations,
        tasks: TaskOwner,
        contents: tuple[Contents, ...],
        types: Mapping[str, Mapping[str, tuple[str, ...]]],
    ) -> None:
        self._world = world
        self._operations = operations
        self._tasks = tasks
        self._contents = contents
        self._types = types

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, operation, handler, VERSIONS)

        return [
            route("GET", "/subscriptions", "Subscriptions_List", self.list_subscriptions),
            route("GET", S, "Subscriptions_Get", self.get_subscription),
            route("GET", S + "/locations", "Subscriptions_ListLocations", self.list_locations),
            route("GET", "/tenants", "Tenants_List", self.list_tenants),
            route("GET", S + "/providers", "Providers_List", self.list_providers),
            route("GET", PROVIDER, "Providers_Get", self.get_provider),
            route("POST", PROVIDER + "/register", "Providers_Register", self.register),
            route("POST", PROVIDER + "/unregister", "Providers_Unregister", self.unregister),
            route("GET", S + "/resourcegroups", "ResourceGroups_List", self.list_groups),
            route("PUT", GROUP, "ResourceGroups_CreateOrUpdate", self.put_group),
            route("GET", GROUP, "ResourceGroups_Get", self.get_group),
            route("HEAD", GROUP, "ResourceGroups_CheckExistence", self.head_group),
            route("PATCH", GROUP, "ResourceGroups_Update", self.patch_group),
            route("DELETE", GROUP, "ResourceGroups_Delete", self.delete_group),
            route("GET", S + "/resources", "Resources_List", self.list_resources),
            route("GET", GROUP + "/resources", "Resources_ListByResourceGroup", self.list_resources),
            *self._operations.routes(S, VERSIONS)[1:],
        ]

    # --- subscription and tenant ---

    async def list_subscriptions(self, _call: Call) -> Answer:
        return Answer(200, {"value": [self._subscription()], "count": {"type": "Total", "value": 1}})

    async def get_subscription(self, _call: Call) -> Answer:
        return Answer(200, self._subscription())

    async def list_tenants(self, _call: Call) -> Answer:
        tenant = self._world.tenant
        return Answer(
            200, {"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant, "tenantCategory": "Home"}]}
        )

    async def list_locations(self, _call: Call) -> Answer:
        base = f"/subscriptions/{self._world.subscription}/locations"
        return Answer(
            200,
            {
                "value": [
                    {
                        "id": f"{base}/{region.name}",
                        "name": region.name,
                        "type": "Region",
                        "displayName": region.display_name,
                        "regionalDisplayName": region.display_name,
                        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
                    }
                    for region in self._world.regions.values()
                ]
            },
        )

    def _subscription(self) -> JSON:
        subscription = self._world.subscription
        return {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "tenantId": self._world.tenant,
            "displayName": self._world.seeded.subscription_name,
            "state": self._world.subscription_state,
            "subscriptionPolicies": {"spendingLimit": "Off"},
            "authorizationSource": "RoleBased",
        }

    # --- resource providers ---

    async def list_providers(self, _call: Call) -> Answer:
        return Answer(200, {"value": [self._provider(name) for name in self._world.namespaces()]})

    async def get_provider(self, call: Call) -> Answer:
        return Answer(200, self._provider(self._namespace(call)))

    async def register(self, call: Call) -> Answer:
        namespace = self._namespace(call)
        if self._world.registration(namespace) in ("NotRegistered", "Unregistering"):
            self._world.set_registration(namespace, "Registering")
        return Answer(200, self._provider(namespace))

    async def unregister(self, call: Call) -> Answer:
        namespace = self._namespace(call)
        used = [
            resource
            for contents in self._contents
            for resource in contents.resources()
            if resource["type"].casefold().startswith(f"{namespace.casefold()}/")
        ]
        if used or namespace in ALWAYS_REGISTERED:
            raise ArmError(
                409,
                "ConflictingResourceProviderUnregistration",
                f"The namespace '{namespace}' cannot be unregistered while {len(used)} of its resources "
                "exist.",
            )
        if self._world.registration(namespace) in ("Registered", "Registering"):
            self._world.set_registration(namespace, "Unregistering")
        return Answer(200, self._provider(namespace))

    def _namespace(self, call: Call) -> str:
        wanted = call.params["resourceProviderNamespace"]
        namespace = self._world.namespace(wanted)
        if namespace is None:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{wanted}' is invalid.")
        return namespace

    def _provider(self, namespace: str) -> JSON:
        types = []
        for name, versions in self._types.get(namespace, {}).items():
            kind = f"{namespace}/{name}"
            regions = [
                region
                for region in self._world.regions.values()
                if region.container_instances or namespace != "Microsoft.ContainerInstance"
            ]
            zoned = [
                {"location": region.display_name, "zones": list(zones)}
                for region in regions
                if (zones := region.zones_of(kind))
            ]
            types.append(
                {
                    "resourceType": name,
                    "locations": [region.display_name for region in regions],
                    "apiVersions": list(versions),
                    "zoneMappings": zoned,
                    "capabilities": "CrossResourceGroupResourceMove, SupportsTags, SupportsLocation",
                }
            )
        return {
            "id": f"/subscriptions/{self._world.subscription}/providers/{namespace}",
            "namespace": namespace,
            "registrationPolicy": "RegistrationFree"
            if namespace in ALWAYS_REGISTERED
            else "RegistrationRequired",
            "registrationState": self._world.registration(namespace),
            "resourceTypes": types,
        }

    # --- resource groups ---

    async def list_groups(self, call: Call) -> Answer:
        return page(call, self._world.resource_groups, self._group, self._world.limits.page_size)

    async def get_group(self, call: Call) -> Answer:
        return Answer(200, self._group(self._world.resource_group(call.params["resourceGroupName"])))

    async def head_group(self, call: Call) -> Answer:
        known = call.params["resourceGroupName"].casefold() in self._world.resource_groups
        return Answer(204 if known else 404)

    async def put_group(self, call: Call) -> Answer:
        name, document = call.params["resourceGroupName"], call.document()
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        if (
            len(name) > 90
            or name.endswith(".")
            or not all(char.isalnum() or char in "-_.()" for char in name)
        ):
            raise bad_request(
                "InvalidResourceGroup",
                f"The provided resource group name '{name}' has these invalid characters or is too long. "
                "The name can only be a letter, digit, '-', '.', '(', ')' or '_', at most 90, and must not "
                "end with '.'.",
            )
        region = self._world.region(location, "Microsoft.Resources/resourceGroups")
        existing = self._world.resource_groups.get(name.casefold())
        if existing is None:
            self._world.ensure_group(name, region.name, tags_of(document))
            return Answer(201, self._group(self._world.resource_group(name)))
        if normal_location(existing.location) != region.name:
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists in "
                f"location '{existing.location}'.",
            )
        self._world.group_for_writing(name).tags = tags_of(document)
        return Answer(200, self._group(existing))

    async def patch_group(self, call: Call) -> Answer:
        group = self._world.group_for_writing(call.params["resourceGroupName"])
        if "tags" in call.document():
            group.tags = tags_of(call.document())
        return Answer(200, self._group(group))

    async def delete_group(self, call: Call) -> Answer:
        group = self._world.resource_group(call.params["resourceGroupName"])
        operation = self._operations.start(f"/subscriptions/{self._world.subscription}")
        group.deleting = True
        self._tasks.start(self._delete(group, operation), name=f"delete-resource-group-{group.name}")
        return Answer(202, None, self._operations.location_header(operation, call))

    async def _delete(self, group: ResourceGroup, operation: Operation) -> None:
        await self._world.clock.sleep_until(operation.started + self._world.timings.resource_group_delete)
        try:
            for contents in self._contents:
                await contents.remove_all(group.name)
        except ArmError as error:
            group.deleting = False
            self._operations.fail(operation, error.code, error.message)
            return
        self._world.resource_groups.pop(group.name.casefold(), None)
        self._operations.succeed(operation)

    async def list_resources(self, call: Call) -> Answer:
        group = call.params.get("resourceGroupName", "")
        if group:
            self._world.resource_group(group)
        found = [resource for contents in self._contents for resource in contents.resources(group)]
        kind = _type_filter(call.query.get("$filter", ""))
        chosen = {
            resource["id"].casefold(): resource
            for resource in found
            if not kind or resource["type"].casefold() == kind
        }
        return page(call, chosen, dict, self._world.limits.page_size)

    def _group(self, group: ResourceGroup) -> JSON:
        body: JSON = {
            "id": f"/subscriptions/{self._world.subscription}/resourceGroups/{group.name}",
            "name": group.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": group.location,
            "properties": {"provisioningState": "Deleting" if group.deleting else "Succeeded"},
        }
        return body | {"tags": dict(group.tags)} if group.tags else body


def resource_types(routes: Iterable[ArmRoute]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Each type that `routes` serve, by namespace, with its api-versions."""
    types: dict[str, dict[str, tuple[str, ...]]] = {
        "Microsoft.Resources": {"resourceGroups": VERSIONS, "subscriptions": VERSIONS}
    }
    for route in routes:
        _, _, own = route.template.rpartition("/providers/")
        namespace, *parts = own.split("/")
        name = "/".join(part for part in parts if not part.startswith("{"))
        if (
            route.method == "GET"
            and parts
            and not parts[-1].startswith("{")
            and "operation" not in name.casefold()
        ):
            types.setdefault(namespace, {}).setdefault(name, route.versions)
    return types


def _type_filter(expression: str) -> str:
    """Of `$filter` only `resourceType eq '…'`. Raises ArmError for anything else."""
    if not expression:
        return ""
    name, _, value = expression.partition(" eq ")
    if name.strip() != "resourceType" or not value.strip().startswith("'"):
        raise bad_request(
            "InvalidFilterInQueryString", f"Invalid $filter '{expression}' specified in the query string."
        )
    return value.strip().strip("'").casefold()
