"""Where container groups are put: vSwitches, their stock and addresses, the security group, the way out."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from vnodectl.checks.alibaba.common import check
from vnodectl.checks.context import Context, gather
from vnodectl.checks.model import Answer, Severity, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON

ECI = ("eci", "2018-08-08")
VPC = ("vpc", "2016-04-28")

_NO_VSWITCH = "no vSwitch is named"
_NO_GROUP = "no security group is named"
_FEW = 16
"""Free addresses from which on it is worth a warning: one for each container group."""

_PROBE = (2.0, 4.0)
"""vCPUs and GiB of a small group: what is out of stock for it is out of stock."""


async def vswitches_exist(context: Context) -> Answer:
    wanted = context.target.alibaba.vswitches
    if not wanted:
        return not_applicable(_NO_VSWITCH)
    found = {str(one["VSwitchId"]): one for one in await context.alibaba_facts.vswitches()}
    absent = [name for name in wanted if name not in found]
    listing = f"aliyun vpc DescribeVSwitches --RegionId {context.alibaba.region}"
    if absent:
        return failed(
            f"there is no vSwitch {', '.join(absent)} in {context.alibaba.region}",
            evidence=f"{len(found)} of {len(wanted)} exist",
            fix=f"{listing}  # and name one of them",
        )
    pending = [name for name, one in found.items() if one.get("Status") not in (None, "Available")]
    if pending:
        return failed(
            f"the vSwitch {', '.join(pending)} is not available",
            evidence=f"status {found[pending[0]].get('Status')}",
            fix=f"{listing}  # and wait until it is Available",
        )
    return passed(", ".join(f"{name} in {one.get('ZoneId')}" for name, one in found.items()))


async def vswitches_in_the_clusters_vpc(context: Context) -> Answer:
    place = context.target.alibaba
    if not place.vswitches:
        return not_applicable(_NO_VSWITCH)
    found = await context.alibaba_facts.vswitches()
    networks = {str(one.get("VpcId")) for one in found}
    if len(networks) > 1:
        return failed(
            "the vSwitches are in different VPCs",
            evidence=", ".join(f"{one['VSwitchId']} in {one.get('VpcId')}" for one in found),
            fix="name vSwitches of one VPC: the cluster's",
        )
    if not place.cluster:
        return passed(f"all are in {', '.join(networks)}")
    ours = str((await context.alibaba_facts.cluster()).get("vpc_id") or "")
    if networks != {ours}:
        return failed(
            "the vSwitches are not in the cluster's VPC: pods there reach neither pods nor services",
            evidence=f"they are in {', '.join(networks)}, the cluster in {ours}",
            fix=f"aliyun vpc DescribeVSwitches --VpcId {ours}  # and name one of them",
        )
    return passed(f"all are in the cluster's {ours}")


async def addresses(context: Context) -> Answer:
    if not context.target.alibaba.vswitches:
        return not_applicable(_NO_VSWITCH)
    found = await context.alibaba_facts.vswitches()
    free = {str(one["VSwitchId"]): int(one.get("AvailableIpAddressCount") or 0) for one in found}
    evidence = ", ".join(f"{name} has {count} free" for name, count in free.items())
    larger = "name another vSwitch besides: groups are placed where there is room"
    if not any(free.values()):
        return failed("the vSwitches have no free address", evidence=evidence, fix=larger)
    if sum(free.values()) < _FEW:
        return warned(
            "the vSwitches have few addresses left: each pod takes one", evidence=evidence, fix=larger
        )
    return passed(evidence)


async def stock(context: Context) -> Answer:
    """Whether the vSwitches' zones have anything left, for a small group or for the size that is wanted."""
    target = context.target
    if not target.alibaba.vswitches:
        return not_applicable(_NO_VSWITCH)
    zones = sorted({str(one.get("ZoneId")) for one in await context.alibaba_facts.vswitches()})
    cpu, memory = (target.cpu, target.memory) if target.cpu else _PROBE
    answers = await gather(*(_available(context, zone, cpu, memory) for zone in zones))
    states = dict(zip(zones, answers, strict=True))
    evidence = ", ".join(f"{zone} {state}" for zone, state in states.items())
    size = f"{cpu:g} vCPU and {memory:g} GiB"
    regions = await context.alibaba_facts.regions()
    ours = next((one for one in regions if one.get("RegionId") == context.alibaba.region), {})
    better = ", ".join(ours.get("RecommendZones") or ()) or "another zone"
    if not any(state == "WithStock" for state in states.values()):
        return failed(
            f"no zone of the vSwitches has {size} in stock",
            evidence=evidence,
            fix=f"name a vSwitch in {better} besides",
        )
    if len(states) > 1 and any(state != "WithStock" for state in states.values()):
        return warned(
            f"not every zone of the vSwitches has {size} in stock",
            evidence=evidence,
            fix=f"name a vSwitch in {better} besides",
        )
    return passed(f"{size}: {evidence}")


async def _available(context: Context, zone: str, cpu: float, memory: float) -> str:
    """The best that DescribeAvailableResource says of instance types of the size in the zone."""
    params = {
        "ZoneId": zone,
        "DestinationResource": {"Category": "InstanceType", "Cores": int(cpu), "Memory": memory},
    }
    answer = await context.alibaba.call(ECI[0], "DescribeAvailableResource", ECI[1], params)
    found = {
        str(kind.get("StatusCategory"))
        for place in (answer.get("AvailableZones") or {}).get("AvailableZone") or ()
        for resource in (place.get("AvailableResources") or {}).get("AvailableResource") or ()
        for kind in (resource.get("SupportedResources") or {}).get("SupportedResource") or ()
    }
    for state in ("WithStock", "ClosedWithStock", "WithoutStock", "ClosedWithoutStock"):
        if state in found:
            return state
    return "without offers"


async def security_group(context: Context) -> Answer:
    place = context.target.alibaba
    if not place.security_group:
        return not_applicable(_NO_GROUP)
    found = await context.alibaba_facts.security_group()
    listing = f"aliyun ecs DescribeSecurityGroups --RegionId {context.alibaba.region}"
    if found is None:
        return failed(
            f"there is no security group {place.security_group} in {context.alibaba.region}",
            evidence="DescribeSecurityGroups does not know it",
            fix=f"{listing}  # and name one of them",
        )
    vpc = str(found.get("VpcId") or "")
    networks = {str(one.get("VpcId")) for one in await context.alibaba_facts.vswitches()}
    if networks and networks != {vpc}:
        return failed(
            "the security group and the vSwitches are in different VPCs",
            evidence=f"{place.security_group} is in {vpc}, the vSwitches in {', '.join(sorted(networks))}",
            fix=f"{listing} --VpcId {min(networks)}  # and name one of them",
        )
    return passed(f"{place.security_group} in {vpc}")


async def way_out(context: Context) -> Answer:
    """A NAT gateway with an SNAT entry for the vSwitch. Which pods ask for an EIP no plan knows."""
    if not context.target.alibaba.vswitches:
        return not_applicable(_NO_VSWITCH)
    switches = await context.alibaba_facts.vswitches()
    covered: set[str] = set()
    gateways: list[str] = []
    for network in sorted({str(one.get("VpcId")) for one in switches}):
        answer = await context.alibaba.call(VPC[0], "DescribeNatGateways", VPC[1], {"VpcId": network})
        for gateway in (answer.get("NatGateways") or {}).get("NatGateway") or ():
            name = str(gateway["NatGatewayId"])
            gateways.append(name)
            if gateway.get("Status") not in (None, "Available", "InUse"):
                continue
            table = await context.alibaba.call(
                VPC[0], "DescribeSnatTableEntries", VPC[1], {"NatGatewayId": name}
            )
            entries = (table.get("SnatTableEntries") or {}).get("SnatTableEntry") or ()
            covered |= {str(one["VSwitchId"]) for one in switches if _covers(entries, one)}
    bare = [str(one["VSwitchId"]) for one in switches if str(one["VSwitchId"]) not in covered]
    if not bare:
        return passed(f"{', '.join(gateways)} lets {', '.join(sorted(covered))} out")
    return failed(
        f"groups in {', '.join(bare)} have no way out but an EIP of their own: others cannot pull images of"
        " public registries",
        evidence=f"NAT gateways: {', '.join(gateways) or 'none'}; no SNAT entry",
        fix=(
            "aliyun vpc CreateSnatEntry --SnatTableId <table> --SnatIp <EIP>"
            f' --SourceVSwitchId {bare[0]}  # or annotate pods: k8s.aliyun.com/eci-with-eip: "true"'
        ),
    )


def _covers(entries: Any, vswitch: JSON) -> bool:
    for entry in entries:
        if entry.get("Status") not in (None, "Available"):
            continue
        if entry.get("SourceVSwitchId") == vswitch["VSwitchId"]:
            return True
        source, own = entry.get("SourceCIDR"), vswitch.get("CidrBlock")
        if source and own and ip_network(own).subnet_of(ip_network(source)):  # type: ignore[arg-type]
            return True
    return False


CHECKS = (
    check(
        4, "Do the vSwitches exist?", vswitches_exist, "Groups that name a vSwitch that is not there fail."
    ),
    check(
        5,
        "Are the vSwitches in the cluster's VPC?",
        vswitches_in_the_clusters_vpc,
        "Pods on virtual nodes talk to the cluster's pods and services through its VPC.",
        needs=("VN-ALI-004", "VN-ALI-012"),
    ),
    check(
        6,
        "Have the vSwitches free addresses?",
        addresses,
        "Each container group takes an address of a vSwitch; without one its pod stays Pending.",
        needs=("VN-ALI-004",),
    ),
    check(
        7,
        "Have the vSwitches' zones anything in stock?",
        stock,
        "A zone that is sold out takes no group; several vSwitches in several zones help.",
        needs=("VN-ALI-003", "VN-ALI-004"),
    ),
    check(
        8,
        "Is the security group in the same VPC?",
        security_group,
        "A group whose security group and vSwitch are of different VPCs is refused.",
        needs=("VN-ALI-004",),
    ),
    check(
        9,
        "Can container groups pull images of public registries?",
        way_out,
        "Without a NAT gateway, images from outside the VPC reach only pods that ask for an EIP of their own"
        " (the annotation `k8s.aliyun.com/eci-with-eip`, which `eci-profile` can add).",
        needs=("VN-ALI-004",),
        severity=Severity.WARNING,
    ),
)
