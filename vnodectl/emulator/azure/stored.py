"""Resources that are stored as they are sent: read, listed, put, tagged, deleted, each over time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, page, tags_of
from vnodectl.emulator.azure.config import Stored
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content, resource_not_found
from vnodectl.emulator.azure.kinds import KINDS, Action, Kind
from vnodectl.emulator.azure.operations import Operations
from vnodectl.emulator.azure.shapes import laid_over, resource_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

Handler = Callable[[Call], Awaitable[Answer]]


class StoredResources:
    """All resources of the types in `kinds.KINDS`."""

    def __init__(self, world: World, operations: Operations) -> None:
        self._world = world
        self._operations = operations

    def routes(self) -> list[ArmRoute]:
        routes = [
            route for kind in KINDS for route in StoredKind(self._world, self._operations, kind).routes()
        ]
        for namespace, versions in {kind.namespace: kind.versions for kind in KINDS}.items():
            base = f"/subscriptions/{{subscriptionId}}/providers/{namespace}/locations/{{location}}"
            routes += self._operations.routes(base, versions)
        return routes

    def resources(self, group: str = "") -> Iterator[JSON]:
        for one in self._world.stored.values():
            if not group or one.resource_group.casefold() == group.casefold():
                yield {
                    "id": stored_id(self._world.subscription, one),
                    "name": one.name,
                    "type": one.type,
                    "location": one.location,
                    "tags": dict(one.tags),
                }

    async def remove_all(self, group: str) -> None:
        for key in [key for key in self._world.stored if key[1] == group.casefold()]:
            del self._world.stored[key]


class StoredKind:
    """The operations of one type."""

    def __init__(self, world: World, operations: Operations, kind: Kind) -> None:
        self._world = world
        self._operations = operations
        self._kind = kind

    def routes(self) -> list[ArmRoute]:
        kind = self._kind
        all_of = f"/subscriptions/{{subscriptionId}}/providers/{kind.type}"
        in_group = (
            f"/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}/providers/{kind.type}"
        )
        one = f"{in_group}/{{{kind.parameter}}}"

        def route(method: str, template: str, operation: str, handler: Handler) -> ArmRoute:
            return Route(method, template, f"{kind.operations}_{operation}", handler, kind.versions)

        return [
            route("GET", all_of, "ListAll", self.list),
            route("GET", in_group, "List", self.list),
            route("GET", one, "Get", self.get),
            route("PUT", one, "CreateOrUpdate", self.put),
            route("PATCH", one, "UpdateTags", self.patch),
            route("DELETE", one, "Delete", self.delete),
            *(
                route("POST", f"{one}/{name}", name[:1].upper() + name[1:], self._action(action))
                for name, action in kind.actions.items()
            ),
        ]

    async def list(self, call: Call) -> Answer:
        group = call.params.get("resourceGroupName", "")
        if group:
            self._world.resource_group(group)
        found = {
            stored_id(self._world.subscription, one).casefold(): one
            for (kind, owner, _), one in self._world.stored.items()
            if kind == self._kind.type.casefold() and (not group or owner == group.casefold())
        }
        return page(call, found, self._render, self._world.limits.page_size)

    async def get(self, call: Call) -> Answer:
        return Answer(200, self._render(self._find(call)))

    async def put(self, call: Call) -> Answer:
        group = self._world.group_for_writing(call.params["resourceGroupName"])
        name, document = call.params[self._kind.parameter], call.document()
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        properties = document.get("properties") or {}
        if not isinstance(properties, dict):
            raise invalid_content("'properties' must be an object.")
        region = self._world.region(location, self._kind.type)
        key = self._key(group.name, name)
        existing = self._world.stored.get(key)
        if existing is not None and existing.location != region.name:
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{name}' already exists in location '{existing.location}' in resource group "
                f"'{group.name}'. A resource with the same name cannot be created in location "
                f"'{region.name}'. Please select a new resource name.",
            )
        made = Stored(
            type=self._kind.type,
            name=existing.name if existing else name,
            resource_group=group.name,
            location=region.name,
            tags=tags_of(document),
            properties={field: value for field, value in properties.items() if field != "provisioningState"},
            top={field: document[field] for field in self._kind.top if document.get(field) is not None},
            ready_at=self._world.clock.now() + self._world.timings.resource,
        )
        self._world.stored[key] = made
        return Answer(201 if existing is None else 200, self._render(made), self._follow(call, made.location))

    async def patch(self, call: Call) -> Answer:
        found = self._find(call)
        changed = replace(found, tags=tags_of(call.document()))
        self._world.stored[self._key(found.resource_group, found.name)] = changed
        return Answer(200, self._render(changed))

    async def delete(self, call: Call) -> Answer:
        self._world.resource_group(call.params["resourceGroupName"])
        found = self._world.stored.pop(
            self._key(call.params["resourceGroupName"], call.params[self._kind.parameter]), None
        )
        return (
            Answer(204) if found is None else Answer(202, None, self._follow(call, found.location, gone=True))
        )

    def _action(self, action: Action) -> Handler:
        async def act(call: Call) -> Answer:
            return Answer(200, action(self._find(call)))

        return act

    def _follow(self, call: Call, location: str, *, gone: bool = False) -> dict[str, str]:
        base = (
            f"/subscriptions/{self._world.subscription}/providers/{self._kind.namespace}/locations/{location}"
        )
        operation = self._operations.start(base, lasts=self._world.timings.resource)
        return self._operations.headers(operation, call, location=gone)

    def _key(self, group: str, name: str) -> tuple[str, str, str]:
        return self._kind.type.casefold(), group.casefold(), name.casefold()

    def _find(self, call: Call) -> Stored:
        group, name = call.params["resourceGroupName"], call.params[self._kind.parameter]
        self._world.resource_group(group)
        found = self._world.stored.get(self._key(group, name))
        if found is None:
            raise resource_not_found(self._kind.type, name, group)
        return found

    def _render(self, one: Stored) -> JSON:
        return render(self._kind, one, self._world.subscription, self._world.clock.now())


def stored_id(subscription: str, one: Stored) -> str:
    return resource_id(subscription, one.resource_group, one.type, one.name)


def render(kind: Kind, one: Stored, subscription: str, now: float) -> JSON:
    """As ARM shows it at `now`. Pure."""
    state = "Succeeded" if now >= one.ready_at else "Updating"
    return {
        "id": stored_id(subscription, one),
        "name": one.name,
        "type": one.type,
        "location": one.location,
        "tags": dict(one.tags),
        **{field: one.top.get(field, default) for field, default in kind.top.items()},
        "properties": {"provisioningState": state} | laid_over(kind.defaults, one.properties),
    }
