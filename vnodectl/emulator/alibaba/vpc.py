"""VPC 2016-04-28, read only: what of a network container groups need."""

from __future__ import annotations

from collections.abc import Callable

from vnodectl.emulator.alibaba.calls import VPC, Call, Operation, numbered_page, region_of
from vnodectl.emulator.alibaba.config import Eip, NatGateway, Vpc, VSwitch
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON

_CREATED = "2026-01-01T00:00:00Z"


class Networks:
    """`used` says how many addresses of a vSwitch are taken."""

    def __init__(self, world: World, used: Callable[[str], int]) -> None:
        self._world = world
        self._used = used

    def operations(self) -> list[Operation]:
        return [
            Operation(VPC, "DescribeVpcs", self.vpcs),
            Operation(VPC, "DescribeVSwitches", self.vswitches),
            Operation(VPC, "DescribeNatGateways", self.nat_gateways),
            Operation(VPC, "DescribeEipAddresses", self.eips),
        ]

    async def vpcs(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        wanted = params.text("VpcId").split(",") if params.has("VpcId") else []
        found = [
            vpc
            for vpc in self._world.vpcs.values()
            if vpc.region == region
            and (not wanted or vpc.id in wanted)
            and params.text("VpcName") in ("", vpc.name)
            and (not params.has("IsDefault") or params.flag("IsDefault") == vpc.default)
        ]
        chosen, page = numbered_page(params, found)
        return page | {"Vpcs": {"Vpc": [self._vpc(vpc) for vpc in chosen]}}

    async def vswitches(self, call: Call) -> JSON:
        params, region = call.params, self._region(call)
        found = [
            vswitch
            for vswitch in self._world.vswitches.values()
            if self._world.vpc_region(vswitch.vpc) == region
            and params.text("VSwitchId") in ("", vswitch.id)
            and params.text("VpcId") in ("", vswitch.vpc)
            and params.text("ZoneId") in ("", vswitch.zone)
            and params.text("VSwitchName") in ("", vswitch.name)
            and (not params.has("IsDefault") or params.flag("IsDefault") == vswitch.default)
        ]
        chosen, page = numbered_page(params, found)
        return page | {"VSwitches": {"VSwitch": [self._vswitch(vswitch) for vswitch in chosen]}}

    async def nat_gateways(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        found = [
            gateway
            for gateway in self._world.nat_gateways.values()
            if self._world.vpc_region(gateway.vpc) == region
            and params.text("NatGatewayId") in ("", gateway.id)
            and params.text("VpcId") in ("", gateway.vpc)
        ]
        chosen, page = numbered_page(params, found)
        return page | {"NatGateways": {"NatGateway": [self._nat_gateway(one, region) for one in chosen]}}

    async def eips(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        found = [
            eip
            for eip in self._world.eips.values()
            if eip.region == region
            and params.text("AllocationId") in ("", eip.id)
            and params.text("EipAddress") in ("", eip.address)
            and params.text("AssociatedInstanceId") in ("", eip.instance)
            and params.text("Status") in ("", _eip_status(eip))
        ]
        chosen, page = numbered_page(params, found, most=100)
        return page | {"EipAddresses": {"EipAddress": [_eip(eip) for eip in chosen]}}

    def _region(self, call: Call) -> str:
        """A vSwitch may also be asked for by its network alone."""
        vpc = call.params.text("VpcId")
        if vpc and not call.params.has("RegionId"):
            return self._world.vpc_region(vpc)
        return region_of(call, self._world.regions)

    def _vpc(self, vpc: Vpc) -> JSON:
        vswitches = [one.id for one in self._world.vswitches.values() if one.vpc == vpc.id]
        gateways = [one.id for one in self._world.nat_gateways.values() if one.vpc == vpc.id]
        return {
            "VpcId": vpc.id,
            "VpcName": vpc.name,
            "RegionId": vpc.region,
            "CidrBlock": vpc.cidr,
            "Status": "Available",
            "IsDefault": vpc.default,
            "CreationTime": _CREATED,
            "VSwitchIds": {"VSwitchId": vswitches},
            "NatGatewayIds": {"NatGatewayIds": gateways},
        }

    def _vswitch(self, vswitch: VSwitch) -> JSON:
        return {
            "VSwitchId": vswitch.id,
            "VSwitchName": vswitch.name,
            "VpcId": vswitch.vpc,
            "ZoneId": vswitch.zone,
            "CidrBlock": vswitch.cidr,
            "AvailableIpAddressCount": max(0, vswitch.free - self._used(vswitch.id)),
            "Status": "Available",
            "IsDefault": vswitch.default,
            "CreationTime": _CREATED,
        }

    def _nat_gateway(self, gateway: NatGateway, region: str) -> JSON:
        eips = [self._world.eips[one] for one in gateway.eips if one in self._world.eips]
        tables = [gateway.snat_table] if gateway.snat_table else []
        return {
            "NatGatewayId": gateway.id,
            "VpcId": gateway.vpc,
            "RegionId": region,
            "NatType": "Enhanced",
            "NetworkType": "internet",
            "Status": "Available",
            "BusinessStatus": "Normal",
            "CreationTime": _CREATED,
            "SnatTableIds": {"SnatTableId": tables},
            "IpLists": {
                "IpList": [
                    {
                        "AllocationId": eip.id,
                        "IpAddress": eip.address,
                        "SnatEntryEnabled": bool(tables),
                        "UsingStatus": "UsedBySnatTable" if tables else "Idle",
                    }
                    for eip in eips
                ]
            },
        }


def _eip_status(eip: Eip) -> str:
    return "InUse" if eip.instance else "Available"


def _eip(eip: Eip) -> JSON:
    return {
        "AllocationId": eip.id,
        "IpAddress": eip.address,
        "RegionId": eip.region,
        "Bandwidth": eip.bandwidth,
        "Status": _eip_status(eip),
        "InstanceId": eip.instance,
        "InstanceType": eip.instance_type,
        "InternetChargeType": "PayByTraffic",
        "ChargeType": "PostPaid",
        "AllocationTime": _CREATED,
    }
