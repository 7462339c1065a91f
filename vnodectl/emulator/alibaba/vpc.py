"""VPC 2016-04-28, read only: what of a network container groups need."""

from __future__ import annotations

from collections.abc import Callable

from vnodectl.emulator.alibaba.calls import VPC, Call, Operation, numbered_page, region_of
from vnodectl.emulator.alibaba.config import Eip, NatGateway, SnatEntry, Vpc, VSwitch
from vnodectl.emulator.alibaba.errors import missing_parameter
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
            Operation(VPC, "DescribeSnatTableEntries", self.snat_entries),
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

    async def snat_entries(self, call: Call) -> JSON:
        params, region = call.params, region_of(call, self._world.regions)
        if not any(params.has(name) for name in ("SnatTableId", "SnatEntryId", "NatGatewayId")):
            raise missing_parameter("SnatTableId")
        found = [
            (gateway, entry)
            for gateway in self._world.nat_gateways.values()
            if self._world.vpc_region(gateway.vpc) == region
            and params.text("NatGatewayId") in ("", gateway.id)
            and params.text("SnatTableId") in ("", gateway.snat_table)
            for entry in gateway.snat_entries
            if params.text("SnatEntryId") in ("", entry.id)
            and params.text("SourceVSwitchId") in ("", entry.vswitch)
            and params.text("SourceCIDR") in ("", self._source(entry))
        ]
        chosen, page = numbered_page(params, found)
        return page | {"SnatTableEntries": {"SnatTableEntry": [self._snat_entry(*one) for one in chosen]}}

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
            "Status": vpc.status,
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
            "Status": vswitch.status,
            "IsDefault": vswitch.default,
            "CreationTime": _CREATED,
        }

    def _nat_gateway(self, gateway: NatGateway, region: str) -> JSON:
        eips = [self._world.eips[one] for one in gateway.eips if one in self._world.eips]
        tables = [gateway.snat_table] if gateway.snat_table else []
        used = {one for entry in gateway.snat_entries for one in entry.eips}
        return {
            "NatGatewayId": gateway.id,
            "VpcId": gateway.vpc,
            "RegionId": region,
            "NatType": "Enhanced",
            "NetworkType": "internet",
            "Status": gateway.status,
            "BusinessStatus": "Normal",
            "CreationTime": _CREATED,
            "SnatTableIds": {"SnatTableId": tables},
            "IpLists": {
                "IpList": [
                    {
                        "AllocationId": eip.id,
                        "IpAddress": eip.address,
                        "SnatEntryEnabled": eip.id in used,
                        "UsingStatus": "UsedBySnatTable" if eip.id in used else "Idle",
                    }
                    for eip in eips
                ]
            },
        }

    def _source(self, entry: SnatEntry) -> str:
        """A vSwitch's entry has the addresses of the vSwitch."""
        vswitch = self._world.vswitches.get(entry.vswitch)
        return vswitch.cidr if vswitch else entry.cidr

    def _snat_entry(self, gateway: NatGateway, entry: SnatEntry) -> JSON:
        eips = [self._world.eips[one].address for one in entry.eips if one in self._world.eips]
        return {
            "SnatEntryId": entry.id,
            "SnatEntryName": entry.id,
            "SnatTableId": gateway.snat_table,
            "NatGatewayId": gateway.id,
            "SnatIp": ",".join(eips),
            "SourceVSwitchId": entry.vswitch,
            "SourceCIDR": self._source(entry),
            "Status": entry.status,
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
