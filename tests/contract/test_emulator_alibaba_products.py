"""What an installation and its checks ask of VPC, ECS and Container Service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alibabacloud_cs20151215 import models as cs
from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_vpc20160428 import models as vpc
from support.alibaba_clients import REGION, ZONES, clients, emulated, refused

RULE = {"Direction": "ingress", "IpProtocol": "TCP", "PortRange": "10250/10250", "SourceCidrIp": "10.0.0.0/8"}
NETWORK = {
    "vpcs": [
        {"id": "vpc-1", "region": REGION, "name": "main", "cidr": "172.16.0.0/12"},
        {"id": "vpc-2", "region": "cn-shanghai"},
    ],
    "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "name": "pods", "rules": [RULE]}],
    "natGateways": [{"id": "ngw-1", "vpc": "vpc-1", "eips": ["eip-1"], "snatTable": "stb-1"}],
    "eips": [
        {
            "id": "eip-1",
            "region": REGION,
            "address": "203.0.113.9",
            "instance": "ngw-1",
            "instanceType": "Nat",
        }
    ],
}


async def test_networks() -> None:
    async with emulated(**NETWORK) as emulator:
        sdk = clients(emulator).vpc
        vpcs = (await sdk.describe_vpcs_async(vpc.DescribeVpcsRequest(region_id=REGION))).body.vpcs.vpc
        assert [(one.vpc_id, one.cidr_block, one.status) for one in vpcs] == [
            ("vpc-1", "172.16.0.0/12", "Available")
        ]
        assert sorted(vpcs[0].v_switch_ids.v_switch_id) == ["vsw-h", "vsw-i"]
        answer = (
            await sdk.describe_vswitches_async(
                vpc.DescribeVSwitchesRequest(region_id=REGION, vpc_id="vpc-1", page_size=1, page_number=2)
            )
        ).body
        assert (answer.total_count, answer.page_number) == (2, 2)
        (second,) = answer.v_switches.v_switch
        assert (second.v_switch_id, second.zone_id, second.available_ip_address_count) == (
            "vsw-i",
            ZONES[1],
            252,
        )
        none = vpc.DescribeVSwitchesRequest(region_id=REGION, v_switch_id="vsw-none")
        assert (await sdk.describe_vswitches_async(none)).body.total_count == 0


async def test_gateways_and_addresses() -> None:
    async with emulated(**NETWORK) as emulator:
        sdk = clients(emulator).vpc
        gateways = await sdk.describe_nat_gateways_async(
            vpc.DescribeNatGatewaysRequest(region_id=REGION, vpc_id="vpc-1")
        )
        gateway = gateways.body.nat_gateways.nat_gateway[0]
        assert (gateway.nat_gateway_id, gateway.status) == ("ngw-1", "Available")
        assert [one.ip_address for one in gateway.ip_lists.ip_list] == ["203.0.113.9"]
        eips = await sdk.describe_eip_addresses_async(vpc.DescribeEipAddressesRequest(region_id=REGION))
        eip = eips.body.eip_addresses.eip_address[0]
        assert (eip.allocation_id, eip.status, eip.instance_type) == ("eip-1", "InUse", "Nat")


async def test_security_groups_regions_and_zones() -> None:
    async with emulated(**NETWORK) as emulator:
        sdk = clients(emulator).ecs
        groups = await sdk.describe_security_groups_async(
            ecs.DescribeSecurityGroupsRequest(region_id=REGION, security_group_ids=json.dumps(["sg-1"]))
        )
        group = groups.body.security_groups.security_group[0]
        assert (group.security_group_id, group.vpc_id, group.security_group_name) == ("sg-1", "vpc-1", "pods")
        request = ecs.DescribeSecurityGroupAttributeRequest(region_id=REGION, security_group_id="sg-1")
        rules = (await sdk.describe_security_group_attribute_async(request)).body.permissions.permission
        assert [(one.port_range, one.source_cidr_ip) for one in rules] == [("10250/10250", "10.0.0.0/8")]
        request.security_group_id = "sg-none"
        error = await refused(sdk.describe_security_group_attribute_async(request))
        assert (error.code, error.status_code) == ("InvalidSecurityGroupId.NotFound", 404)
        regions = await sdk.describe_regions_async(ecs.DescribeRegionsRequest())
        assert REGION in [one.region_id for one in regions.body.regions.region]
        zones = await sdk.describe_zones_async(ecs.DescribeZonesRequest(region_id=REGION))
        assert ZONES[0] in [one.zone_id for one in zones.body.zones.zone]


def cluster(**fields: Any) -> dict[str, Any]:
    return {
        "id": "c0ffee",
        "name": "ack",
        "region": REGION,
        "vpc": "vpc-1",
        "vswitches": ["vsw-h", "vsw-i"],
        "securityGroup": "sg-1",
        "addons": {"ack-virtual-node": "v2.13.0"},
        **fields,
    }


async def test_a_cluster_and_its_credentials(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    clusters = [cluster(kubeconfig=str(kubeconfig), properties={"tags": [{"key": "a", "value": "b"}]})]
    async with emulated(clusters=clusters) as emulator:
        sdk = clients(emulator).cs
        listed = (await sdk.describe_clusters_v1_async(cs.DescribeClustersV1Request(page_size=10))).body
        assert [(one.cluster_id, one.state) for one in listed.clusters] == [("c0ffee", "running")]
        assert listed.page_info.total_count == 1
        shown = (await sdk.describe_cluster_detail_async("c0ffee")).body
        assert (shown.name, shown.vpc_id, shown.vswitch_ids) == ("ack", "vpc-1", ["vsw-h", "vsw-i"])
        assert (shown.tags[0].key, shown.security_group_id) == ("a", "sg-1")
        request = cs.DescribeClusterUserKubeconfigRequest(temporary_duration_minutes=60)
        given = (await sdk.describe_cluster_user_kubeconfig_async("c0ffee", request)).body
        assert given.config == kubeconfig.read_text()
        assert given.expiration
        addons = (await sdk.list_cluster_addon_instances_async("c0ffee")).body.addons
        assert [(one.name, one.version) for one in addons] == [("ack-virtual-node", "v2.13.0")]
        addon = await sdk.get_cluster_addon_instance_async("c0ffee", "ack-virtual-node")
        assert addon.body.state == "active"
        versions = (await sdk.describe_cluster_addons_version_async("c0ffee")).body
        assert versions["ack-virtual-node"]["version"] == "v2.13.0"


async def test_clusters_that_are_not_there_or_have_no_credentials() -> None:
    async with emulated(clusters=[cluster()]) as emulator:
        sdk = clients(emulator).cs
        error = await refused(sdk.describe_cluster_detail_async("c-none"))
        assert (error.code, error.status_code) == ("ErrorClusterNotFound", 404)
        request = cs.DescribeClusterUserKubeconfigRequest()
        error = await refused(sdk.describe_cluster_user_kubeconfig_async("c0ffee", request))
        assert error.code == "ErrorGetClusterUserConfig"
        error = await refused(sdk.get_cluster_addon_instance_async("c0ffee", "none"))
        assert error.code == "AddonNotFound"
        nodes = cs.DescribeClusterNodesRequest()
        error = await refused(sdk.describe_cluster_nodes_async("c0ffee", nodes))
        assert (error.code, error.status_code) == ("InvalidAction.NotFound", 404)
