"""What container groups use, from the engine: one record, of now.

An engine knows CPU and memory of its containers; networks, disks and file systems are not counted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vnodectl.emulator.alibaba.calls import ECI, Call, Handler, Operation, region_of
from vnodectl.emulator.alibaba.eci.events import stamp
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.eci.select import MOST_IDS, group_of
from vnodectl.emulator.alibaba.eci.volumes import GIB
from vnodectl.emulator.alibaba.errors import invalid_parameter, missing_parameter
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import ContainerUsage, EngineError, Running

PERIODS = ("15", "30", "60", "600")
_NANO = 1e9


class Metrics:
    def __init__(self, world: World, lifecycle: Lifecycle) -> None:
        self._world = world
        self._lifecycle = lifecycle

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, limit: str, **more: Any) -> Operation:
            return Operation(ECI, name, handler, limit=limit, **more)

        note = "one record: CPU and memory now"
        return [
            operation("DescribeContainerGroupMetric", self.one, "describe_container_group_metric", note=note),
            operation(
                "DescribeMultiContainerGroupMetric",
                self.several,
                "describe_multi_container_group_metric",
                note=note,
            ),
        ]

    async def one(self, call: Call) -> JSON:
        params = call.params
        params.choice("Period", PERIODS, "60")
        group = group_of(call, self._lifecycle, self._world.regions)
        now = self._world.clock.now()
        begin, end = moment(params, "StartTime"), moment(params, "EndTime")
        wanted = (begin is None or begin <= now) and (end is None or end >= now - float(PERIODS[0]))
        return {
            "ContainerGroupId": group.id,
            "Records": await self._records(group) if wanted else [],
        }

    async def several(self, call: Call) -> JSON:
        region = region_of(call, self._world.regions)
        ids = call.params.json_texts("ContainerGroupIds", MOST_IDS)
        if not ids:
            raise missing_parameter("ContainerGroupIds")
        groups = [group for group in self._lifecycle.in_region(region) if group.id in ids]
        return {
            "MonitorDatas": [
                {"ContainerGroupId": group.id, "Records": await self._records(group)} for group in groups
            ]
        }

    async def _records(self, group: Group) -> list[JSON]:
        """None where nothing runs."""
        if not group.in_engine or group.status != "Running":
            return []
        try:
            usage = await group.engine.usage(group.id)
        except EngineError:
            return []
        return [record(group, usage)] if usage else []


def moment(params: Params, name: str) -> float | None:
    """A time in RFC 3339, in seconds since the epoch. Raises ApiError."""
    if not params.has(name):
        return None
    try:
        read = datetime.fromisoformat(params.text(name))
    except ValueError as error:
        raise invalid_parameter(params.at(name), "must be a time such as 2018-08-02T15:00:00Z") from error
    if read.tzinfo is None:
        raise invalid_parameter(params.at(name), "must name its time zone")
    return read.timestamp()


def record(group: Group, usage: Iterable[ContainerUsage]) -> JSON:
    """Pure. Each container may use as much as it was given, or all of the group."""
    given = {
        one.text("Name"): (one.number("Cpu") or group.size.cpu, one.number("Memory") or group.size.memory)
        for one in group.containers()
    }
    known = [one for one in usage if one.name in given]
    return {
        "Timestamp": stamp(max((one.time for one in known), default=0.0)),
        "CPU": _cpu(group, known, group.size.cpu),
        "Memory": _memory(known, group.size.memory),
        "Containers": [
            {
                "Name": one.name,
                "CPU": _cpu(group, [one], given[one.name][0]),
                "Memory": _memory([one], given[one.name][1]),
            }
            for one in known
        ],
        "Network": {"Interfaces": []},
        "Disk": [],
        "Filesystem": [],
    }


def _cpu(group: Group, usage: list[ContainerUsage], limit: float) -> JSON:
    """`UsageNanoCores` is the average since each container's start."""
    started = {
        one.name: one.state.started_at
        for one in (group.seen.containers if group.seen else ())
        if isinstance(one.state, Running)
    }
    nano_cores = 0.0
    for one in usage:
        lasted = one.time - started.get(one.name, one.time)
        nano_cores += one.cpu_seconds / lasted * _NANO if lasted > 0 else 0.0
    return {
        "UsageNanoCores": int(nano_cores),
        "UsageCoreNanoSeconds": int(sum(one.cpu_seconds for one in usage) * _NANO),
        "Load": 0,
        "Limit": int(limit * 1000),
    }


def _memory(usage: list[ContainerUsage], limit: float) -> JSON:
    working_set = sum(one.memory_working_set for one in usage)
    used = sum(one.memory_usage for one in usage)
    return {
        "UsageBytes": used,
        "WorkingSet": working_set,
        "Rss": working_set,
        "Cache": max(0, used - working_set),
        "AvailableBytes": max(0, int(limit * GIB) - working_set),
    }
