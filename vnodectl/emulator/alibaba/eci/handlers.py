"""Container groups: to make, change, end, list and tag them."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from vnodectl.emulator.alibaba.calls import ECI, Call, Handler, Operation, region_of, token_page
from vnodectl.emulator.alibaba.eci import podstatus, view
from vnodectl.emulator.alibaba.eci.eips import check_eip, eip_of
from vnodectl.emulator.alibaba.eci.events import AGENT, SERVICE, Counted, events_of, long
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.imagecaches import ImageCache, ImageCaches
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.eci.placement import Place, Placement
from vnodectl.emulator.alibaba.eci.select import group_of, groups_of, since_of
from vnodectl.emulator.alibaba.eci.specs import Size, sizes_of
from vnodectl.emulator.alibaba.eci.update import KINDS, merged, merged_tags
from vnodectl.emulator.alibaba.eci.validate import check_parts, check_tags, validate
from vnodectl.emulator.alibaba.eci.volumes import disk_size, is_disk
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.idempotency import ClientTokens
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

PAGE = 20
STATUS_PAGE = 200
_LETTERS = string.ascii_lowercase + string.digits
_POST = ("POST",)


class ContainerGroups:
    """`chance` makes the ids."""

    def __init__(
        self,
        world: World,
        placement: Placement,
        lifecycle: Lifecycle,
        caches: ImageCaches,
        tokens: ClientTokens,
        chance: random.Random,
    ) -> None:
        self._world = world
        self._placement = placement
        self._lifecycle = lifecycle
        self._caches = caches
        self._tokens = tokens
        self._chance = chance

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, limit: str = "", **more: Any) -> Operation:
            return Operation(ECI, name, handler, limit=limit, **more)

        return [
            operation("CreateContainerGroup", self.create, "create_container_group"),
            operation("DeleteContainerGroup", self.delete, "delete_container_group"),
            operation("RestartContainerGroup", self.restart, "restart_container_group"),
            operation(
                "UpdateContainerGroup",
                self.update,
                "update_container_group",
                note="config files in place; everything else makes the containers anew",
            ),
            operation(
                "DescribeContainerGroups",
                self.describe,
                "describe_container_groups",
                note="who may not gets an empty list",
                denied=_nothing,
            ),
            operation(
                "DescribeContainerGroupStatus",
                self.status,
                "describe_container_group_status",
                methods=_POST,
            ),
            operation(
                "DescribeContainerGroupEvents",
                self.events,
                "describe_container_group_events",
                methods=_POST,
            ),
            operation(
                "ResizeContainerGroupVolume",
                self.resize,
                "resize_container_group_volume",
                note="checked, and nothing more",
            ),
        ]

    # --- making and ending ---

    async def create(self, call: Call) -> JSON:
        async def work() -> JSON:
            group = self._make(call.params, region_of(call, self._world.regions))
            return {"ContainerGroupId": group.id}

        return await self._tokens.once(call, work)

    async def delete(self, call: Call) -> JSON:
        async def work() -> JSON:
            self._lifecycle.delete(self._find(call), force=call.params.flag("Force"))
            return {}

        return await self._tokens.once(call, work)

    async def restart(self, call: Call) -> JSON:
        async def work() -> JSON:
            self._lifecycle.restart(self._find(call))
            return {}

        return await self._tokens.once(call, work)

    async def update(self, call: Call) -> JSON:
        async def work() -> JSON:
            self._update(self._find(call), call.params)
            return {}

        return await self._tokens.once(call, work)

    async def resize(self, call: Call) -> JSON:
        async def work() -> JSON:
            group, name = self._find(call), call.params.required("VolumeName")
            size = call.params.integer("NewSize", least=5, most=32768)
            volume = next((one for one in group.params.items("Volume") if one.text("Name") == name), None)
            if volume is None:
                raise invalid_parameter("VolumeName", "names a volume that does not exist")
            if not is_disk(volume):
                raise ApiError(403, "InvalidVolumeType", "The volume type does not support this operation.")
            if size < disk_size(volume):
                raise invalid_parameter("NewSize", "must not be smaller than the volume")
            return {}

        return await self._tokens.once(call, work)

    # --- looking ---

    async def describe(self, call: Call) -> JSON:
        with_events = call.params.flag("WithEvent", True)
        found = groups_of(call, self._lifecycle, self._world.regions)
        page, token = token_page(call.params, found, size=PAGE, most=PAGE)
        return {
            "ContainerGroups": [view.render(group, with_events=with_events) for group in page],
            "NextToken": token,
            "TotalCount": len(found),
        }

    async def status(self, call: Call) -> JSON:
        since = since_of(call, self._world.clock.now())
        found = {
            identity: group
            for identity, group in groups_of(call, self._lifecycle, self._world.regions).items()
            if since is None or group.changed >= since
        }
        page, token = token_page(call.params, found, size=STATUS_PAGE, most=STATUS_PAGE)
        return {
            "Data": [podstatus.render(group) for group in page],
            "NextToken": token,
            "TotalCount": len(found),
        }

    async def events(self, call: Call) -> JSON:
        source = call.params.choice("EventSource", ("", SERVICE, AGENT), "")
        since = since_of(call, self._world.clock.now())
        found: dict[str, tuple[Group, list[Counted]]] = {}
        for identity, group in groups_of(call, self._lifecycle, self._world.regions).items():
            events = [one for one in events_of(group, source) if since is None or one.last >= since]
            if events or since is None:
                found[identity] = (group, events)
        page, token = token_page(call.params, found, size=STATUS_PAGE, most=STATUS_PAGE)
        return {
            "Data": [_events(group, events) for group, events in page],
            "NextToken": token,
            "TotalCount": len(found),
        }

    # --- the work ---

    def _find(self, call: Call) -> Group:
        return group_of(call, self._lifecycle, self._world.regions)

    def _make(self, params: Params, region: str) -> Group:
        validate(params, self._world.limits)
        sizes = sizes_of(params, region, self._world.instance_types)
        check_eip(self._world, params, region)
        cache = self._cache(params, region)
        size, place = self._choose(params, region, sizes)
        if params.flag("DryRun"):
            raise ApiError(400, "DryRunOperation", "Request validation has been passed with DryRun flag set.")
        group = self._group(params, region, size, place)
        if cache is not None:
            self._caches.hit(cache, group)
        self._lifecycle.create(group)
        return group

    def _choose(self, params: Params, region: str, sizes: Sequence[Size]) -> tuple[Size, Place]:
        """The first of the sizes that is in stock somewhere. Raises ApiError as for the first."""
        refusals = []
        for size in sizes:
            try:
                return size, self._placement.choose(params, region, size)
            except ApiError as refusal:
                refusals.append(refusal)
        raise refusals[0]

    def _group(self, params: Params, region: str, size: Size, place: Place) -> Group:
        eip, own = eip_of(self._world, params, region)
        return Group(
            id=f"eci-{''.join(self._chance.choices(_LETTERS, k=20))}",
            region=region,
            params=params,
            tags={tag.text("Key"): tag.text("Value") for tag in params.items("Tag")},
            vswitch=place.vswitch,
            security_group=place.security_group,
            size=size,
            engine=self._lifecycle.engine,
            created=self._world.clock.now(),
            eip=eip.id if eip else "",
            own_eip=own,
            internet_ip=eip.address if eip else "",
        )

    def _cache(self, params: Params, region: str) -> ImageCache | None:
        if params.has("ImageSnapshotId"):
            return self._caches.usable(params.text("ImageSnapshotId"), region)
        if not params.flag("AutoMatchImageCache"):
            return None
        containers = (*params.items("Container"), *params.items("InitContainer"))
        return self._caches.matching([one.text("Image") for one in containers], region)

    def _update(self, group: Group, update: Params) -> None:
        incremental = update.choice("UpdateType", KINDS, KINDS[0]) == KINDS[1]
        check_tags(update)
        tags = merged_tags(group.tags, update, incremental=incremental)
        params = merged(group.params, update, incremental=incremental)
        if params.tree != group.params.tree:
            check_parts(params, self._world.limits)
            self._check_size(params, group)
            self._lifecycle.replace(group, params)
        elif tags == group.tags:
            raise ApiError(400, "NoNeedUpdate", "Nothing in the request differs from the container group.")
        group.tags = tags

    def _check_size(self, params: Params, group: Group) -> None:
        """An instance keeps its size: its containers must fit. Raises ApiError."""
        kept: Mapping[str, Any] = {
            "Cpu": str(group.size.cpu),
            "Memory": str(group.size.memory),
            "InstanceType": "",
        }
        sizes_of(Params({**params.tree, **kept}), group.region, {})


def _nothing() -> JSON:
    return {"ContainerGroups": [], "NextToken": "", "TotalCount": 0}


def _events(group: Group, events: list[Counted]) -> JSON:
    return {
        "ContainerGroupId": group.id,
        "Name": group.name,
        "Namespace": "default",
        "uuid": podstatus.uid(group),
        "Annotations": "{}",
        "Events": long(events, group),
    }
