"""ECS 2014-05-26, read only: security groups, regions and zones."""

from __future__ import annotations

from vnodectl.emulator.alibaba.calls import ECS, Call, Operation, numbered_page, region_of, token_page
from vnodectl.emulator.alibaba.config import SecurityGroup
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

_CREATED = "2026-01-01T00:00:00Z"
_MOST_IDS = 100


class Compute:
    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> list[Operation]:
        return [
            Operation(ECS, "DescribeRegions", self.regions),
            Operation(ECS, "DescribeZones", self.zones),
            Operation(ECS, "DescribeSecurityGroups", self.security_groups),
            Operation(ECS, "DescribeSecurityGroupAttribute", self.security_group),
        ]

    async def regions(self, _call: Call) -> JSON:
        return {
            "Regions": {
                "Region": [
                    {
                        "RegionId": region.id,
                        "LocalName": region.name,
                        "RegionEndpoint": f"ecs.{region.id}.aliyuncs.com",
                    }
                    for region in self._world.regions.values()
                ]
            }
        }

    async def zones(self, call: Call) -> JSON:
        region = self._world.regions[region_of(call, self._world.regions)]
        return {
            "Zones": {
                "Zone": [
                    {
                        "ZoneId": zone.id,
                        "LocalName": zone.id,
                        "ZoneType": "AvailabilityZone",
                        "AvailableInstanceTypes": {"InstanceTypes": list(self._world.instance_types)},
                        "AvailableResourceCreation": {"ResourceTypes": ["VSwitch", "Instance", "Disk"]},
                    }
                    for zone in region.zones
                ]
            }
        }

    async def security_groups(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        ids = params.json_texts("SecurityGroupIds", _MOST_IDS)
        found = {
            group.id: group
            for group in self._world.security_groups.values()
            if self._world.vpc_region(group.vpc) == region
            and (ids is None or group.id in ids)
            and params.text("SecurityGroupId") in ("", group.id)
            and params.text("VpcId") in ("", group.vpc)
            and params.text("SecurityGroupName") in ("", group.name)
        }
        if params.has("MaxResults") or params.has("NextToken"):
            chosen, token = token_page(params, found, size=10, most=100, name="MaxResults")
            page: JSON = {"NextToken": token, "TotalCount": len(found)}
        else:
            chosen, page = numbered_page(params, list(found.values()), most=100)
        return page | {
            "RegionId": region,
            "SecurityGroups": {"SecurityGroup": [_security_group(group) for group in chosen]},
        }

    async def security_group(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        group = self._world.security_group(params.required("SecurityGroupId"), region)
        direction = params.choice("Direction", ("egress", "ingress", "all"), "all")
        return {
            "RegionId": region,
            "SecurityGroupId": group.id,
            "SecurityGroupName": group.name,
            "VpcId": group.vpc,
            "Description": "",
            "InnerAccessPolicy": "Accept",
            "Permissions": {
                "Permission": [
                    rule for rule in group.rules if direction in ("all", rule.get("Direction", "ingress"))
                ]
            },
        }


def _security_group(group: SecurityGroup) -> JSON:
    return {
        "SecurityGroupId": group.id,
        "SecurityGroupName": group.name,
        "SecurityGroupType": group.type,
        "VpcId": group.vpc,
        "Description": "",
        "CreationTime": _CREATED,
        "RuleCount": len(group.rules),
    }
