"""Image caches: made in steps on the emulated clock, matched by container groups, limited by a quota.

A cache's state is computed when it is looked at. Nothing is pulled for it: what an engine has pulled is the
engine's, whether it is cached or not.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vnodectl.emulator.alibaba.calls import (
    ECI,
    Call,
    Handler,
    Operation,
    has_tags,
    region_of,
    tag_list,
    token_page,
    wanted_tags,
)
from vnodectl.emulator.alibaba.eci.events import stamp
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.host import inaccessible
from vnodectl.emulator.alibaba.eci.validate import check_tags
from vnodectl.emulator.alibaba.errors import ApiError, missing_parameter, not_found
from vnodectl.emulator.alibaba.idempotency import ClientTokens
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

PAGE = 20
DEFAULT_SIZE = 20
MOST_MATCHES = 100
_DAY = 86400.0
_PREPARING = 0.2
"""The part of a cache's making before its snapshot is begun."""


@dataclass(slots=True)
class ImageCache:
    """`builder` is the id of the container group that ECI would pull with. Moments in emulated seconds."""

    id: str
    region: str
    name: str
    images: tuple[str, ...]
    tags: dict[str, str]
    created: float
    ready: float
    builder: str
    snapshot: str
    size: int
    broken: bool
    expires: float | None
    eliminated: bool
    resource_group: str = ""
    matched: float | None = None

    def progress(self, now: float) -> float:
        """From 0 to 1."""
        length = self.ready - self.created
        return 1.0 if now >= self.ready or length <= 0 else (now - self.created) / length

    def status(self, now: float) -> str:
        progress = self.progress(now)
        if progress < _PREPARING:
            return "Preparing"
        if self.broken:
            return "Failed"
        return "Ready" if progress >= 1 else "Creating"

    def gone(self, now: float) -> bool:
        """A cache that failed is kept for a day."""
        end = self.expires
        if self.broken:
            end = min(self.ready + _DAY, end if end is not None else float("inf"))
        return end is not None and now >= end


class ImageCaches:
    def __init__(self, world: World, tokens: ClientTokens) -> None:
        self._world = world
        self._tokens = tokens
        self._caches: dict[str, ImageCache] = {}

    def clear(self) -> None:
        self._caches.clear()

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, **more: Any) -> Operation:
            return Operation(ECI, name, handler, **more)

        return [
            operation("CreateImageCache", self.create, limit="create_image_cache"),
            operation("DescribeImageCaches", self.describe),
            operation("DeleteImageCache", self.delete),
        ]

    # --- for container groups ---

    def in_region(self, region: str) -> list[ImageCache]:
        now = self._world.clock.now()
        return [one for one in self._caches.values() if one.region == region and not one.gone(now)]

    def named(self, identity: str, region: str) -> ImageCache | None:
        """By the id of the cache or of its snapshot."""
        return next((one for one in self.in_region(region) if identity in (one.id, one.snapshot)), None)

    def usable(self, identity: str, region: str) -> ImageCache:
        """Raises ApiError where a group cannot be made from it."""
        cache = self.named(identity, region)
        if cache is None:
            raise ApiError(404, "ImageSnapshot.NotFound", "The specified image cache does not exist.")
        if cache.status(self._world.clock.now()) != "Ready":
            raise ApiError(
                400,
                "ImageSnapshot.IncorrectStatus",
                "The status of the specified image cache does not support this operation.",
            )
        return cache

    def matching(self, images: Sequence[str], region: str) -> ImageCache | None:
        """The ready one that has most of the images."""
        now, wanted = self._world.clock.now(), set(images)
        ready = [one for one in self.in_region(region) if one.status(now) == "Ready"]
        best = max(ready, key=lambda one: (len(wanted & set(one.images)), one.created), default=None)
        return best if best is not None and wanted & set(best.images) else None

    def hit(self, cache: ImageCache, group: Group) -> None:
        now = self._world.clock.now()
        cache.matched = now
        group.note(
            now,
            "Normal",
            "SuccessfulHitImageCache",
            f"[eci.imagecache]Successfully hit image cache {cache.id}, eci will be scheduled with this "
            "image cache.",
        )

    # --- operations ---

    async def create(self, call: Call) -> JSON:
        async def work() -> JSON:
            cache = self._make(call)
            self._caches[cache.id] = cache
            return {"ImageCacheId": cache.id, "ContainerGroupId": cache.builder}

        return await self._tokens.once(call, work)

    async def describe(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        tags, matches = wanted_tags(params), set(params.texts("MatchImage")[:MOST_MATCHES])
        whole = params.flag("ImageFullMatch")

        def chosen(cache: ImageCache) -> bool:
            common = matches & set(cache.images)
            return (
                params.text("ImageCacheId") in ("", cache.id)
                and params.text("ImageCacheName") in ("", cache.name)
                and params.text("SnapshotId") in ("", cache.snapshot)
                and params.text("Image") in ("", *cache.images)
                and params.text("ResourceGroupId") in ("", cache.resource_group)
                and has_tags(cache.tags, tags)
                and (not matches or (common == matches if whole else bool(common)))
            )

        found = {one.id: one for one in self.in_region(region) if chosen(one)}
        page, token = token_page(params, found, size=PAGE, most=PAGE)
        now = self._world.clock.now()
        return {
            "ImageCaches": [_render(one, now) for one in page],
            "NextToken": token,
            "TotalCount": len(found),
        }

    async def delete(self, call: Call) -> JSON:
        region = region_of(call, self._world.regions)
        identity = call.params.required("ImageCacheId")

        async def work() -> JSON:
            cache = self.named(identity, region)
            if cache is None or cache.id != identity:
                raise not_found("ImageCacheId")
            del self._caches[cache.id]
            return {}

        return await self._tokens.once(call, work)

    def _make(self, call: Call) -> ImageCache:
        params, region = call.params, region_of(call, self._world.regions)
        name, images = params.required("ImageCacheName"), tuple(params.texts("Image"))
        if not images:
            raise missing_parameter("Image.1")
        check_tags(params)
        for one in ("AutoMatchImageCache", "Flash"):
            params.flag(one)
        for vswitch in filter(None, params.text("VSwitchId").split(",")):
            self._world.vswitch(vswitch.strip(), region)
        if params.has("SecurityGroupId"):
            self._world.security_group(params.text("SecurityGroupId"), region)
        self._make_room(region)
        now, days = self._world.clock.now(), params.integer("RetentionDays", least=0)
        return ImageCache(
            id=f"imc-{secrets.token_hex(10)}",
            region=region,
            name=name,
            images=images,
            tags={tag.text("Key"): tag.text("Value") for tag in params.items("Tag")},
            created=now,
            ready=now + self._world.timings.image_cache,
            builder=f"eci-{secrets.token_hex(10)}",
            snapshot=f"s-{secrets.token_hex(10)}",
            size=params.integer("ImageCacheSize", DEFAULT_SIZE, least=1, most=32768),
            broken=inaccessible(images, self._world),
            expires=now + days * _DAY if days else None,
            eliminated=params.text("EliminationStrategy") == "LRU",
            resource_group=params.text("ResourceGroupId"),
        )

    def _make_room(self, region: str) -> None:
        """At the quota the least recently matched of those that may be eliminated goes. Raises ApiError."""
        known = self.in_region(region)
        if len(known) < self._world.quota(region, "imageCaches"):
            return
        free = [one for one in known if one.eliminated]
        if not free:
            raise ApiError(403, "QuotaExceeded", "ImageCache quota exceeded.")
        del self._caches[min(free, key=lambda one: one.matched or one.created).id]


def _render(cache: ImageCache, now: float) -> JSON:
    status = cache.status(now)
    done = cache.progress(now)
    snapshot = max(0.0, (done - _PREPARING) / (1 - _PREPARING))
    return {
        "ImageCacheId": cache.id,
        "ImageCacheName": cache.name,
        "ContainerGroupId": cache.builder,
        "RegionId": cache.region,
        "ResourceGroupId": cache.resource_group,
        "Status": status,
        "Progress": "0%" if status in ("Preparing", "Failed") else f"{round(snapshot * 100)}%",
        "SnapshotId": cache.snapshot if status in ("Creating", "Ready") else "",
        "FlashSnapshotId": "",
        "ImageCacheSize": cache.size,
        "Images": list(cache.images),
        "CreationTime": stamp(cache.created),
        "ExpireDateTime": "" if cache.expires is None else stamp(cache.expires),
        "LastMatchedTime": "" if cache.matched is None else stamp(cache.matched),
        "EliminationStrategy": "LRU" if cache.eliminated else "",
        "Tags": tag_list(cache.tags),
        "Events": _events(cache, status),
    }


def _events(cache: ImageCache, status: str) -> list[JSON]:
    if status == "Preparing":
        return []
    reason, kind, verb = (
        ("Failed", "Warning", "Failed to") if cache.broken else ("Pulled", "Normal", "Success")
    )
    moment = stamp(cache.created + (cache.ready - cache.created) * _PREPARING)
    return [
        {
            "Name": f"{cache.name}.{index}",
            "Type": kind,
            "Reason": reason,
            "Message": f"{verb} pull image {image}",
            "Count": 1,
            "FirstTimestamp": moment,
            "LastTimestamp": moment,
        }
        for index, image in enumerate(cache.images)
    ]
