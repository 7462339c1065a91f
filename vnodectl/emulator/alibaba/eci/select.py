"""Which container groups a call speaks of."""

from __future__ import annotations

from collections.abc import Iterable

from vnodectl.emulator.alibaba.calls import Call, has_tags, region_of, wanted_tags
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.errors import invalid_parameter, not_found

MOST_IDS = 20
MOST_TAGS = 10
SHORTEST, LONGEST = 60, 3600
"""Seconds that SinceSecond may look back."""


def group_of(call: Call, lifecycle: Lifecycle, regions: Iterable[str]) -> Group:
    """The one of the call's ContainerGroupId; a region need not be named. Raises ApiError."""
    region = region_of(call, regions) if call.params.has("RegionId") else ""
    group = lifecycle.groups.get(call.params.required("ContainerGroupId"))
    if group is None or region not in ("", group.region):
        raise not_found("ContainerGroupId")
    return group


def groups_of(call: Call, lifecycle: Lifecycle, regions: Iterable[str]) -> dict[str, Group]:
    """All of a region that the call's filters leave, by their ids. Raises ApiError."""
    params, region = call.params, region_of(call, regions)
    ids = params.json_texts("ContainerGroupIds", MOST_IDS)
    tags = wanted_tags(params)
    if len(tags) > MOST_TAGS:
        raise invalid_parameter("Tag", f"must not have more than {MOST_TAGS} entries")

    def chosen(group: Group) -> bool:
        return (
            (ids is None or group.id in ids)
            and has_tags(group.tags, tags)
            and params.text("VSwitchId") in ("", group.vswitch.id)
            and params.text("ZoneId") in ("", group.zone)
            and params.text("SecurityGroupId") in ("", group.security_group.id)
            and params.text("ResourceGroupId") in ("", group.params.text("ResourceGroupId"))
            and params.text("ContainerGroupName") in ("", group.name)
            and params.text("Status") in ("", group.status)
        )

    return {group.id: group for group in lifecycle.in_region(region) if chosen(group)}


def since_of(call: Call, now: float) -> float | None:
    """The moment from which on changes are asked for; None for all. Raises ApiError."""
    if not call.params.has("SinceSecond"):
        return None
    return now - call.params.integer("SinceSecond", least=SHORTEST, most=LONGEST)
