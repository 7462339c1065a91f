"""Tags of container groups and image caches."""

from __future__ import annotations

from typing import Any

from vnodectl.emulator.alibaba.calls import (
    ECI,
    Call,
    Handler,
    Operation,
    has_tags,
    region_of,
    token_page,
    wanted_tags,
)
from vnodectl.emulator.alibaba.eci.imagecaches import ImageCaches
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.eci.validate import MOST_TAGS, check_tags
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter, missing_parameter, not_found
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

KINDS = ("containergroup", "imagecache")
MOST_RESOURCES = 50


class Tagging:
    def __init__(self, world: World, lifecycle: Lifecycle, caches: ImageCaches) -> None:
        self._world = world
        self._lifecycle = lifecycle
        self._caches = caches

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, limit: str, **more: Any) -> Operation:
            return Operation(ECI, name, handler, limit=limit, **more)

        return [
            operation("TagResources", self.tag, "tag_resources"),
            operation("UntagResources", self.untag, "untag_resources"),
            operation("ListTagResources", self.list, "list_tag_resources"),
        ]

    async def tag(self, call: Call) -> JSON:
        check_tags(call.params)
        new = {one.text("Key"): one.text("Value") for one in call.params.items("Tag")}
        if not new:
            raise missing_parameter("Tag.1.Key")
        named = self._named(call)
        if any(len({*tags, *new}) > MOST_TAGS for tags in named.values()):
            raise ApiError(400, "NumberExceed.Tags", f"The length of tags exceeded limit: {MOST_TAGS}.")
        for tags in named.values():
            tags.update(new)
        return {}

    async def untag(self, call: Call) -> JSON:
        keys, every = call.params.texts("TagKey"), call.params.flag("All")
        for tags in self._named(call).values():
            for key in tuple(tags) if every and not keys else keys:
                tags.pop(key, None)
        return {}

    async def list(self, call: Call) -> JSON:
        kind, known = self._known(call)
        wanted, named = wanted_tags(call.params), call.params.texts("ResourceId")
        if not wanted and not named:
            raise missing_parameter("ResourceId.1")
        found = {
            f"{identity}/{key}": {
                "ResourceId": identity,
                "ResourceType": kind,
                "TagKey": key,
                "TagValue": value,
            }
            for identity, tags in known.items()
            for key, value in tags.items()
            if (not named or identity in named) and has_tags(tags, wanted)
        }
        page, token = token_page(call.params, found, size=MOST_RESOURCES, most=MOST_RESOURCES)
        return {"TagResources": page, "NextToken": token}

    def _named(self, call: Call) -> dict[str, dict[str, str]]:
        """The tags of each resource that the call names."""
        _, known = self._known(call)
        ids = call.params.texts("ResourceId")
        if not ids:
            raise missing_parameter("ResourceId.1")
        if len(ids) > MOST_RESOURCES:
            raise invalid_parameter("ResourceId", f"must not have more than {MOST_RESOURCES} entries")
        if not known.keys() >= set(ids):
            raise not_found("ResourceId")
        return {identity: known[identity] for identity in ids}

    def _known(self, call: Call) -> tuple[str, dict[str, dict[str, str]]]:
        region = region_of(call, self._world.regions)
        kind = call.params.required("ResourceType")
        if kind.casefold() not in KINDS:
            raise invalid_parameter("ResourceType", "must be ContainerGroup or ImageCache")
        if kind.casefold() == KINDS[0]:
            return kind, {group.id: group.tags for group in self._lifecycle.in_region(region)}
        return kind, {cache.id: cache.tags for cache in self._caches.in_region(region)}
