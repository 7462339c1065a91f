"""Container group profiles: groups that are written down once, with all their revisions."""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from vnodectl.emulator.azure.aci.checks import items, optional_object
from vnodectl.emulator.azure.aci.validate import validate
from vnodectl.emulator.azure.aci.versions import PROFILE_VERSIONS
from vnodectl.emulator.azure.aci.view import without_secrets
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call, in_group, page, tags_of
from vnodectl.emulator.azure.errors import ArmError, bad_request, resource_not_found
from vnodectl.emulator.azure.shapes import resource_id
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

KIND = "Microsoft.ContainerInstance/containerGroupProfiles"
_ALL = f"/subscriptions/{{subscriptionId}}/providers/{KIND}"
_IN_GROUP = f"/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}/providers/{KIND}"
_ONE = f"{_IN_GROUP}/{{containerGroupProfileName}}"
_NAME = re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")


@dataclass(slots=True)
class Profile:
    """`revisions` are the properties by revision, from 1 on, as they were sent."""

    resource_group: str
    name: str
    location: str
    tags: dict[str, str]
    zones: list[str]
    revisions: list[JSON] = field(default_factory=list)


class Profiles:
    """All profiles of the subscription."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: dict[tuple[str, str], Profile] = {}

    def clear(self) -> None:
        self._all.clear()

    def routes(self) -> list[ArmRoute]:
        def route(
            method: str, template: str, operation: str, handler: Callable[[Call], Awaitable[Answer]]
        ) -> ArmRoute:
            return Route(method, template, operation, handler, PROFILE_VERSIONS)

        return [
            route("GET", _ALL, "ContainerGroupProfiles_ListBySubscription", self.list),
            route("GET", _IN_GROUP, "ContainerGroupProfiles_ListByResourceGroup", self.list),
            route("GET", _ONE, "ContainerGroupProfiles_Get", self.get),
            route("PUT", _ONE, "ContainerGroupProfiles_CreateOrUpdate", self.put),
            route("PATCH", _ONE, "ContainerGroupProfiles_Update", self.patch),
            route("DELETE", _ONE, "ContainerGroupProfiles_Delete", self.delete),
            route("GET", f"{_ONE}/revisions", "CGProfile_ListAllRevisions", self.list_revisions),
            route(
                "GET", f"{_ONE}/revisions/{{revisionNumber}}", "CGProfile_GetByRevisionNumber", self.revision
            ),
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
        name, document = call.params["containerGroupProfileName"], call.document()
        location = document.get("location")
        if not isinstance(location, str) or not location:
            raise bad_request("LocationRequired", "The location property is required for this definition.")
        if not _NAME.fullmatch(name):
            raise bad_request(
                "InvalidContainerGroupProfileName", f"The container group profile name '{name}' is invalid."
            )
        region = self._world.region(location, KIND)
        validate("profile", document)
        properties = copy.deepcopy(document["properties"])
        properties.pop("revision", None)
        existing = self._all.get((group.name.casefold(), name.casefold()))
        profile = existing or Profile(group.name, name, region.name, {}, [])
        profile.tags, profile.zones = tags_of(document), list(document.get("zones") or [])
        profile.revisions.append(properties)
        self._all[group.name.casefold(), name.casefold()] = profile
        return Answer(200 if existing else 201, self._render(profile))

    async def patch(self, call: Call) -> Answer:
        profile = self._find(call)
        if "tags" in call.document():
            profile.tags = tags_of(call.document())
        return Answer(200, self._render(profile))

    async def delete(self, call: Call) -> Answer:
        self._world.resource_group(call.params["resourceGroupName"])
        key = (
            call.params["resourceGroupName"].casefold(),
            call.params["containerGroupProfileName"].casefold(),
        )
        return Answer(204 if self._all.pop(key, None) is None else 200)

    async def list_revisions(self, call: Call) -> Answer:
        profile = self._find(call)
        numbers = range(1, len(profile.revisions) + 1)
        return Answer(200, {"value": [self._render(profile, number) for number in numbers]})

    async def revision(self, call: Call) -> Answer:
        profile, wanted = self._find(call), call.params["revisionNumber"]
        if not wanted.isdecimal() or not 1 <= int(wanted) <= len(profile.revisions):
            kind = f"{KIND}/{profile.name}/revisions"
            raise resource_not_found(kind, wanted, profile.resource_group)
        return Answer(200, self._render(profile, int(wanted)))

    def resources(self, group: str = "") -> Iterator[JSON]:
        for one in in_group(self._all.values(), group, self._id).values():
            shown = self._render(one)
            yield {name: shown[name] for name in ("id", "name", "type", "location", "tags")}

    async def remove_all(self, group: str) -> None:
        for key in [key for key in self._all if key[0] == group.casefold()]:
            del self._all[key]

    # --- what groups and pools take from a profile ---

    def referenced(self, reference: JSON) -> JSON:
        """The properties behind `{"id", "revision"}`; without a revision the newest. Raises ArmError."""
        wanted = str(reference.get("id"))
        number: object = reference.get("revision")
        for one in self._all.values():
            if self._id(one).casefold() == wanted.casefold():
                if number is None:
                    return one.revisions[-1]
                if isinstance(number, int) and 1 <= number <= len(one.revisions):
                    return one.revisions[number - 1]
                raise bad_request(
                    "InvalidParameter",
                    f"The container group profile '{wanted}' has no revision '{number}'.",
                    "properties.containerGroupProfile.revision",
                )
        raise bad_request(
            "InvalidParameter",
            f"The container group profile '{wanted}' was not found.",
            "properties.containerGroupProfile.id",
        )

    def _find(self, call: Call) -> Profile:
        group, name = call.params["resourceGroupName"], call.params["containerGroupProfileName"]
        self._world.resource_group(group)
        found = self._all.get((group.casefold(), name.casefold()))
        if found is None:
            raise resource_not_found(KIND, name, group)
        return found

    def _id(self, one: Profile) -> str:
        return resource_id(self._world.subscription, one.resource_group, KIND, one.name)

    def _render(self, one: Profile, revision: int = 0) -> JSON:
        """`revision` 0: the newest."""
        number = revision or len(one.revisions)
        properties = without_secrets(one.revisions[number - 1]) | {"revision": number}
        properties.setdefault("sku", "Standard")
        body: JSON = {
            "id": self._id(one),
            "name": one.name,
            "type": KIND,
            "location": one.location,
            "tags": dict(one.tags),
            "properties": properties,
        }
        return body | {"zones": list(one.zones)} if one.zones else body


def merged(profile: JSON, asked: JSON) -> JSON:
    """A group's properties, where it gives only what differs from a profile. Pure. Raises ArmError.

    Containers are the profile's; of the request's only the config maps are taken, by name.
    """
    result = copy.deepcopy(profile)
    result |= {name: copy.deepcopy(value) for name, value in asked.items() if name != "containers"}
    by_name = {entry["name"]: entry["properties"] for entry in result["containers"]}
    for entry in items(asked, "containers"):
        name, given = entry.get("name"), optional_object(entry, "properties")
        if name not in by_name:
            raise ArmError(
                400,
                "InvalidParameter",
                f"The container '{name}' is not one of the container group profile.",
                target="properties.containers",
            )
        if given.get("configMap") is not None:
            by_name[name]["configMap"] = copy.deepcopy(given["configMap"])
    return result
