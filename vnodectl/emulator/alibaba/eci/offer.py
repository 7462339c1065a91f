"""What ECI offers and how much of it is used: regions, zones, instance types, quotas."""

from __future__ import annotations

from typing import Any

from vnodectl.emulator.alibaba.calls import ECI, Call, Handler, Operation, region_of
from vnodectl.emulator.alibaba.config import Zone
from vnodectl.emulator.alibaba.eci.imagecaches import ImageCaches
from vnodectl.emulator.alibaba.eci.placement import Placement
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

CATEGORIES = ("InstanceTypeFamily", "InstanceType")
_RECOMMENDED = 2


class Offer:
    def __init__(self, world: World, placement: Placement, caches: ImageCaches) -> None:
        self._world = world
        self._placement = placement
        self._caches = caches

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, **more: Any) -> Operation:
            return Operation(ECI, name, handler, **more)

        return [
            operation("DescribeRegions", self.regions, limit="describe_regions"),
            operation("DescribeAvailableResource", self.available, note="instance types and families"),
            operation("ListUsage", self.usage, note="vCPUs and image caches"),
        ]

    async def regions(self, call: Call) -> JSON:
        chosen = call.params.text("RegionId")
        return {
            "Regions": [
                {
                    "RegionId": region.id,
                    "RegionEndpoint": f"eci.{region.id}.aliyuncs.com",
                    "Zones": [zone.id for zone in region.zones],
                    "RecommendZones": [zone.id for zone in region.zones if zone.on_sale][:_RECOMMENDED],
                }
                for region in self._world.regions.values()
                if chosen in ("", region.id)
            ]
        }

    async def available(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        wanted = params.child("DestinationResource")
        wanted.required("Category")
        category = wanted.choice("Category", CATEGORIES, "")
        zones = self._world.regions[region].zones
        if params.has("ZoneId"):
            zones = tuple(zone for zone in zones if zone.id == params.text("ZoneId"))
            if not zones:
                raise ApiError(404, "InvalidZoneId.NotFound", "The specified ZoneId does not exist.")
        names = (
            self._families(wanted.required("Value"))
            if category == CATEGORIES[0]
            else self._types(wanted.text("Value"), wanted.number("Cores"), wanted.number("Memory"))
        )
        return {
            "AvailableZones": {
                "AvailableZone": [
                    {
                        "RegionId": region,
                        "ZoneId": zone.id,
                        "AvailableResources": {
                            "AvailableResource": [
                                {"Type": category, "SupportedResources": self._supported(names, zone)}
                            ]
                        },
                    }
                    for zone in zones
                ]
            }
        }

    async def usage(self, call: Call) -> JSON:
        region = region_of(call, self._world.regions)
        return {
            "Attributes": {
                "MaxCpu": self._world.quota(region, "vcpu"),
                "UsedCpu": self._placement.cpu(region),
                "MaxImageCacheCount": self._world.quota(region, "imageCaches"),
                "UsedImageCacheCount": len(self._caches.in_region(region)),
                "MaxAutoImageCacheCount": 0,
                "UsedAutoImageCacheCount": 0,
                "MaxDataCacheCount": 0,
                "UsedDataCacheCount": 0,
            }
        }

    def _families(self, family: str) -> dict[str, float]:
        """Each with the vCPUs of its smallest type."""
        cores = [
            one.cpu for name, one in self._world.instance_types.items() if name.rpartition(".")[0] == family
        ]
        return {family: min(cores)} if cores else {}

    def _types(self, name: str, cores: float, memory: float) -> dict[str, float]:
        return {
            known: one.cpu
            for known, one in self._world.instance_types.items()
            if name in ("", known) and cores in (0, one.cpu) and memory in (0, one.memory)
        }

    def _supported(self, names: dict[str, float], zone: Zone) -> JSON:
        def category(cpu: float) -> str:
            if not zone.on_sale:
                return "ClosedWithoutStock"
            return "WithStock" if self._placement.in_stock(zone.id, cpu) else "WithoutStock"

        return {
            "SupportedResource": [
                {"Value": name, "StatusCategory": category(cpu)} for name, cpu in names.items()
            ]
        }
