"""Where a container group goes: vSwitch and security group, as quota, stock and addresses allow."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from vnodectl.emulator.alibaba.config import SecurityGroup, VSwitch
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.specs import Size
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World

MOST_VSWITCHES = 10


@dataclass(frozen=True, slots=True)
class Place:
    vswitch: VSwitch
    security_group: SecurityGroup


class Placement:
    """Counts what living groups take; an ended group's resources are free again."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._addresses: Counter[str] = Counter()

    def clear(self) -> None:
        self._cpu.clear()
        self._addresses.clear()

    def cpu(self, place: str) -> float:
        """vCPUs in use in a region or zone."""
        return round(self._cpu[place], 6)

    def addresses(self, vswitch: str) -> int:
        """How many addresses of a vSwitch groups have."""
        return self._addresses[vswitch]

    def take(self, group: Group) -> None:
        self._count(group, 1)

    def free(self, group: Group) -> None:
        self._count(group, -1)

    def choose(self, params: Params, region: str, size: Size) -> Place:
        """Raises ApiError where no vSwitch will do: what stands against the first, stock before others."""
        candidates = self._candidates(params, region)
        security_group = self._security_group(params, region, candidates[0].vpc)
        limit = self._world.quota(region, "vcpu")
        if self.cpu(region) + size.cpu > limit:
            raise ApiError(403, "QuotaExceeded", "vCPU quota exceeded.")
        if params.text("ScheduleStrategy") != "VSwitchOrdered":
            self._chance.shuffle(candidates)
        refusals = []
        for vswitch in candidates:
            refusal = self._refusal(vswitch, size)
            if refusal is None:
                return Place(vswitch, security_group)
            refusals.append(refusal)
        raise min(refusals, key=lambda one: one.code != "OperationDenied.NoStock")

    def in_stock(self, zone: str, cpu: float) -> bool:
        known, stock = self._world.zone(zone), self._world.stock.get(zone)
        return known is not None and known.on_sale and (stock is None or self.cpu(zone) + cpu <= stock)

    def _candidates(self, params: Params, region: str) -> list[VSwitch]:
        zone = params.text("ZoneId")
        known = {one.id for one in self._world.regions[region].zones}
        if zone and zone not in known:
            raise ApiError(404, "InvalidZoneId.NotFound", "The specified ZoneId does not exist.")
        names = [name.strip() for name in params.text("VSwitchId").split(",") if name.strip()]
        if not names:
            return [self._world.default_vswitch(region, zone)]
        if len(names) > MOST_VSWITCHES:
            raise invalid_parameter("VSwitchId", f"must not name more than {MOST_VSWITCHES} vSwitches")
        vswitches = [self._world.vswitch(name, region) for name in names]
        if len({vswitch.vpc for vswitch in vswitches}) > 1:
            raise invalid_parameter("VSwitchId", "must name vSwitches of one VPC")
        fitting = [vswitch for vswitch in vswitches if zone in ("", vswitch.zone)]
        if not fitting:
            raise ApiError(
                403,
                "OperationDenied.VswZoneMisMatch",
                "The specified VSwitchId is not in the specified Zone.",
            )
        return fitting

    def _security_group(self, params: Params, region: str, vpc: str) -> SecurityGroup:
        if not params.has("SecurityGroupId"):
            return self._world.default_security_group(vpc)
        group = self._world.security_group(params.text("SecurityGroupId"), region)
        if group.vpc != vpc:
            raise ApiError(
                403,
                "OperationDenied.SecurityGroupMisMatch",
                "The specified VSwitchId and SecurityGroupId are not in the same VPC.",
            )
        return group

    def _refusal(self, vswitch: VSwitch, size: Size) -> ApiError | None:
        zone = self._world.zone(vswitch.zone)
        if zone is None or not zone.on_sale:
            return ApiError(403, "Zone.NotOnSale", "The specified zone is not available for purchase.")
        if not self.in_stock(vswitch.zone, size.cpu):
            return ApiError(
                403,
                "OperationDenied.NoStock",
                "Sales of this resource are temporarily suspended in the specified zone. We recommend that "
                "you use the multi-zone creation function to avoid the risk of insufficient resource.",
            )
        if self.addresses(vswitch.id) >= vswitch.free:
            return ApiError(
                403,
                "InvalidVSwitchId.IpNotEnough",
                "The specified VSwitch does not have enough IP addresses.",
            )
        return None

    def _count(self, group: Group, sign: int) -> None:
        for place in (group.region, group.zone):
            self._cpu[place] += sign * group.size.cpu
        self._addresses[group.vswitch.id] += sign
