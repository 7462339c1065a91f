"""What an installation and its checks ask of VPC, ECS and Container Service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alibabacloud_cs20151215 import models as cs
from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ram20150501 import models as ram
from alibabacloud_vpc20160428 import models as vpc
from support.alibaba_clients import REGION, ZONES, clients, emulated, refused

RULE = {"Direction": "ingress", "IpProtocol": "TCP", "PortRange": "10250/10250", "SourceCidrIp": "10.0.0.0/8"}
NETWORK = {
    "vpcs": [
        {"id": "vpc-1", "region": REGION, "name": "main", "cidr": "172.16.0.0/12"},
        {"id": "vpc-2", "region": "cn-shanghai"},
    ],
    "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "name": "pods", "rules": [RULE]}],
    "natGateways": [
        {
            "id": "ngw-1",
            "vpc": "vpc-1",
            "eips": ["eip-1"],
            "snatTable": "stb-1",
            "snatEntries": [
                {"id": "snat-1", "eips": ["eip-1"], "vswitch": "vsw-h"},
                {"id": "snat-2", "eips": ["eip-1"], "cidr": "10.1.0.0/16", "status": "Pending"},
            ],
        }
    ],
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
        assert [(one.ip_address, one.using_status) for one in gateway.ip_lists.ip_list] == [
            ("203.0.113.9", "UsedBySnatTable")
        ]
        eips = await sdk.describe_eip_addresses_async(vpc.DescribeEipAddressesRequest(region_id=REGION))
        eip = eips.body.eip_addresses.eip_address[0]
        assert (eip.allocation_id, eip.status, eip.instance_type) == ("eip-1", "InUse", "Nat")


async def test_who_gets_out_through_a_gateway() -> None:
    async with emulated(**NETWORK) as emulator:
        sdk = clients(emulator).vpc

        async def entries(**fields: Any) -> list[tuple[str, str, str, str, str]]:
            request = vpc.DescribeSnatTableEntriesRequest(region_id=REGION, **fields)
            answer = (await sdk.describe_snat_table_entries_async(request)).body
            return [
                (one.snat_entry_id, one.source_vswitch_id, one.source_cidr, one.snat_ip, one.status)
                for one in answer.snat_table_entries.snat_table_entry
            ]

        first = ("snat-1", "vsw-h", "172.16.0.0/24", "203.0.113.9", "Available")
        second = ("snat-2", "", "10.1.0.0/16", "203.0.113.9", "Pending")
        assert await entries(snat_table_id="stb-1") == [first, second]
        assert await entries(nat_gateway_id="ngw-1", source_vswitch_id="vsw-h") == [first]
        assert await entries(snat_table_id="stb-1", source_cidr="10.1.0.0/16") == [second]
        assert await entries(nat_gateway_id="ngw-none") == await entries(snat_table_id="stb-none") == []
        assert (await refused(entries())).code == "MissingParameter"


async def test_states_that_are_seeded_and_changed() -> None:
    async with emulated(**NETWORK) as emulator:
        sdk = clients(emulator)
        emulator.seed(
            {
                "vpcs": [{"id": "vpc-1", "region": REGION, "status": "Pending"}],
                "vswitches": [{"id": "vsw-h", "vpc": "vpc-1", "zone": ZONES[0], "status": "Pending"}],
                "natGateways": [{"id": "ngw-1", "vpc": "vpc-1", "status": "Creating"}],
                "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "type": "enterprise"}],
            }
        )
        vpcs = (await sdk.vpc.describe_vpcs_async(vpc.DescribeVpcsRequest(region_id=REGION))).body
        assert vpcs.vpcs.vpc[0].status == "Pending"
        wanted = vpc.DescribeVSwitchesRequest(region_id=REGION, v_switch_id="vsw-h")
        vswitches = (await sdk.vpc.describe_vswitches_async(wanted)).body.v_switches.v_switch
        assert [one.status for one in vswitches] == ["Pending"]
        gateways = vpc.DescribeNatGatewaysRequest(region_id=REGION)
        shown = (await sdk.vpc.describe_nat_gateways_async(gateways)).body.nat_gateways.nat_gateway[0]
        assert (shown.status, shown.ip_lists.ip_list) == ("Creating", [])
        groups = ecs.DescribeSecurityGroupsRequest(region_id=REGION)
        group = (await sdk.ecs.describe_security_groups_async(groups)).body.security_groups.security_group[0]
        assert group.security_group_type == "enterprise"


async def test_what_a_policy_allows() -> None:
    users = [{"name": "eve", "policies": [{"name": "mine", "actions": ["eci:Describe*", "vpc:*"]}]}]
    async with emulated(users=users) as emulator:
        sdk = clients(emulator).ram

        async def actions(name: str, kind: str) -> list[str]:
            request = ram.GetPolicyRequest(policy_name=name, policy_type=kind)
            answer = (await sdk.get_policy_async(request)).body
            version = ram.GetPolicyVersionRequest(
                policy_name=name, policy_type=kind, version_id=answer.policy.default_version
            )
            document = (await sdk.get_policy_version_async(version)).body.policy_version.policy_document
            assert document == answer.default_policy_version.policy_document
            (statement,) = json.loads(document)["Statement"]
            assert statement["Effect"] == "Allow"
            return list(statement["Action"])

        assert await actions("mine", "Custom") == ["eci:Describe*", "vpc:*"]
        assert "eci:*" in await actions("AliyunECIFullAccess", "System")
        for name, kind in (("mine", "System"), ("none", "Custom")):
            error = await refused(actions(name, kind))
            assert (error.code, error.status_code) == ("EntityNotExist.Policy", 404)
        wrong = ram.GetPolicyVersionRequest(policy_name="mine", policy_type="Custom", version_id="v9")
        assert (await refused(sdk.get_policy_version_async(wrong))).code == "EntityNotExist.Policy.Version"


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


async def test_a_cluster_in_trouble_with_an_addon_that_failed() -> None:
    addons = {"ack-virtual-node": {"version": "v2.9.0", "state": "install_failed", "config": '{"a":1}'}}
    clusters = [cluster(state="unavailable", network="terway-eniip", addons=addons)]
    async with emulated(clusters=clusters) as emulator:
        sdk = clients(emulator).cs
        shown = (await sdk.describe_cluster_detail_async("c0ffee")).body
        assert shown.state == "unavailable"
        assert json.loads(shown.meta_data)["Capabilities"]["Network"] == "terway-eniip"
        listed = (await sdk.list_cluster_addon_instances_async("c0ffee")).body.addons
        assert [(one.name, one.state) for one in listed] == [("ack-virtual-node", "install_failed")]
        addon = (await sdk.get_cluster_addon_instance_async("c0ffee", "ack-virtual-node")).body
        assert (addon.version, addon.config) == ("v2.9.0", '{"a":1}')
        emulator.seed({"clusters": [cluster()]})
        assert (await sdk.describe_cluster_detail_async("c0ffee")).body.state == "running"


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
