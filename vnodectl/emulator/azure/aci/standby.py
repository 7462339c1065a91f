"""Microsoft.StandbyPool: pools of container groups that wait to be taken.

A pool of N has N places; each is ready some time after it was last taken. That is computed from the clock:
no container runs before its group is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from vnodectl.emulator.azure.aci.checks import optional_object
from vnodectl.emulator.azure.aci.profiles import Profiles
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, in_group, page, tags_of
from vnodectl.emulator.azure.errors import ArmError, bad_request, resource_not_found
from vnodectl.emulator.azure.operations import Operations
from vnodectl.emulator.azure.shapes import resource_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

KIND = "Microsoft.StandbyPool/standbyContainerGroupPools"
VERSIONS = ("2025-10-01", "2025-03-01", "2024-03-01", "2024-03-01-preview", "2023-12-01-preview")
MAX_CAPACITY = 2000

_S = "/subscriptions/{subscriptionId}"
_ALL = f"{_S}/providers/{KIND}"
_IN_GROUP = f"{_S}/resourceGroups/{{resourceGroupName}}/providers/{KIND}"
_ONE = f"{_IN_GROUP}/{{standbyContainerGroupPoolName}}"
_LOCATION = f"{_S}/providers/Microsoft.StandbyPool/locations/{{location}}"
_NAME = re.compile(r"[a-zA-Z0-9-]{3,24}")


@dataclass(slots=True)
class Pool:
    """`places` are the moments (seconds of the clock) at which each of its groups is ready."""

    resource_group: str
    name: str
    location: str
    tags: dict[str, str]
    properties: JSON
    places: list[float]
    ready_at: float

    @property
    def refills(self) -> bool:
        return bool(self.properties["elasticityProfile"].get("refillPolicy", "always") == "always")

    def ready(self, now: float) -> int:
        return sum(1 for moment in self.places if moment <= now)


class StandbyPools:
    def __init__(self, world: World, operations: Operations, profiles: Profiles) -> None:
        self._world = world
        self._operations = operations
        self._profiles = profiles
        self._all: dict[tuple[str, str], Pool] = {}

    def clear(self) -> None:
        self._all.clear()

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, f"StandbyContainerGroupPools_{operation}", handler, VERSIONS)

        view = f"{_ONE}/runtimeViews"
        return [
            route("GET", _ALL, "ListBySubscription", self.list),
            route("GET", _IN_GROUP, "ListByResourceGroup", self.list),
            route("GET", _ONE, "Get", self.get),
            route("PUT", _ONE, "CreateOrUpdate", self.put),
            route("DELETE", _ONE, "Delete", self.delete),
            Route(
                "GET", view, "StandbyContainerGroupPoolRuntimeViews_ListByStandbyPool", self.views, VERSIONS
            ),
            Route(
                "GET",
                f"{view}/{{runtimeView}}",
                "StandbyContainerGroupPoolRuntimeViews_Get",
                self.view,
                VERSIONS,
            ),
            *self._operations.routes(_LOCATION, VERSIONS),
        ]

    async def list(self, call: Call) -> Answer:
        group = call.params.get("resourceGroupName", "")
        if group:
            self._world.resource_group(group)
        found = in_group(self._all.values(), group, self._id)
        return page(call, found, self._render, self._world.limits.page_size)

    async def get(self, call: Call) -> Answer:
        return Answer(200, self._render(self._find(call)))

    async def put(self, call: Call) -> Answer:
        group = self._world.group_for_writing(call.params["resourceGroupName"])
        name, document = call.params["standbyContainerGroupPoolName"], call.document()
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        if not _NAME.fullmatch(name):
            raise bad_request("InvalidResourceName", f"The standby pool name '{name}' is invalid.")
        region, properties = self._world.region(location, KIND), optional_object(document, "properties")
        capacity = optional_object(properties, "elasticityProfile").get("maxReadyCapacity")
        if not isinstance(capacity, int) or not 0 <= capacity <= MAX_CAPACITY:
            raise bad_request(
                "InvalidParameter",
                f"maxReadyCapacity must be a number between 0 and {MAX_CAPACITY}.",
                "properties.elasticityProfile.maxReadyCapacity",
            )
        template = optional_object(properties, "containerGroupProperties")
        self._profiles.referenced(optional_object(template, "containerGroupProfile"))
        now, timings = self._world.clock.now(), self._world.timings
        existing = self._all.get((group.name.casefold(), name.casefold()))
        pool = Pool(
            resource_group=group.name,
            name=existing.name if existing else name,
            location=region.name,
            tags=tags_of(document),
            properties={key: value for key, value in properties.items() if key != "provisioningState"},
            # A changed pool drains its groups and makes new ones.
            places=[now + timings.standby_refill] * capacity,
            ready_at=now + timings.resource,
        )
        self._all[group.name.casefold(), name.casefold()] = pool
        return Answer(200 if existing else 201, self._render(pool), self._follow(call, pool))

    async def delete(self, call: Call) -> Answer:
        self._world.resource_group(call.params["resourceGroupName"])
        key = (
            call.params["resourceGroupName"].casefold(),
            call.params["standbyContainerGroupPoolName"].casefold(),
        )
        gone = self._all.pop(key, None)
        return Answer(204) if gone is None else Answer(202, None, self._follow(call, gone, gone=True))

    async def views(self, call: Call) -> Answer:
        return Answer(200, {"value": [self._view(self._find(call))]})

    async def view(self, call: Call) -> Answer:
        pool = self._find(call)
        if call.params["runtimeView"].casefold() != "latest":
            kind = f"{KIND}/{pool.name}/runtimeViews"
            raise resource_not_found(kind, call.params["runtimeView"], pool.resource_group)
        return Answer(200, self._view(pool))

    def resources(self, group: str = "") -> Iterator[JSON]:
        for one in in_group(self._all.values(), group, self._id).values():
            shown = self._render(one)
            yield {name: shown[name] for name in ("id", "name", "type", "location", "tags")}

    async def remove_all(self, group: str) -> None:
        for key in [key for key in self._all if key[0] == group.casefold()]:
            del self._all[key]

    # --- taking from a pool ---

    def offers(self, wanted: JSON) -> Pool | None:
        """The pool of a group's `standbyPoolProfile` where it has a group ready, else None.

        Raises ArmError for a pool that does not exist, and where the group is wanted from the pool or not at
        all.
        """
        resource = str(wanted.get("id"))
        pool = next(
            (one for one in self._all.values() if self._id(one).casefold() == resource.casefold()), None
        )
        if pool is None:
            raise bad_request(
                "InvalidParameter",
                f"The standby pool '{resource}' was not found.",
                "properties.standbyPoolProfile.id",
            )
        if pool.ready(self._world.clock.now()):
            return pool
        if wanted.get("failContainerGroupCreateOnReuseFailure"):
            raise ArmError(
                409,
                "StandbyPoolExhausted",
                f"The standby pool '{resource}' has no container group that is ready, and the request asks "
                "to fail then.",
            )
        return None

    def take(self, pool: Pool) -> None:
        """One ready group goes; where the pool refills, its place is ready again later."""
        now = self._world.clock.now()
        pool.places.remove(min(pool.places))
        if pool.refills:
            pool.places.append(now + self._world.timings.standby_refill)

    # --- ours ---

    def _follow(self, call: Call, pool: Pool, *, gone: bool = False) -> dict[str, str]:
        base = f"/subscriptions/{self._world.subscription}/providers/Microsoft.StandbyPool"
        lasts = self._world.timings.resource
        operation = self._operations.start(f"{base}/locations/{pool.location}", lasts=lasts)
        return self._operations.headers(operation, call, location=gone)

    def _find(self, call: Call) -> Pool:
        group, name = call.params["resourceGroupName"], call.params["standbyContainerGroupPoolName"]
        self._world.resource_group(group)
        found = self._all.get((group.casefold(), name.casefold()))
        if found is None:
            raise resource_not_found(KIND, name, group)
        return found

    def _id(self, pool: Pool) -> str:
        return resource_id(self._world.subscription, pool.resource_group, KIND, pool.name)

    def _render(self, pool: Pool) -> JSON:
        state = "Succeeded" if self._world.clock.now() >= pool.ready_at else "Creating"
        return {
            "id": self._id(pool),
            "name": pool.name,
            "type": KIND,
            "location": pool.location,
            "tags": dict(pool.tags),
            "properties": pool.properties | {"provisioningState": state},
        }

    def _view(self, pool: Pool) -> JSON:
        ready = pool.ready(self._world.clock.now())
        counts = [
            {"state": "Running", "count": ready},
            {"state": "Creating", "count": len(pool.places) - ready},
        ]
        return {
            "id": f"{self._id(pool)}/runtimeViews/latest",
            "name": "latest",
            "type": f"{KIND}/runtimeViews",
            "properties": {
                "instanceCountSummary": [{"instanceCountsByState": counts}],
                "status": {"code": "HealthState/healthy"},
                "provisioningState": "Succeeded",
            },
        }
