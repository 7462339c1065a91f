"""Alibaba Cloud's checks, on the emulator."""

from __future__ import annotations

from typing import Any

from support.alibaba_clients import REGION, ZONES
from support.check_cases.case import FAILED, PASSED, SKIPPED, WARNING, Case

from vnodectl.checks.target import AlibabaTarget, Target

CLUSTER = {"id": "ack-1", "name": "ack", "region": REGION, "vpc": "vpc-1", "vswitches": ["vsw-h"]}
NAT = {
    "id": "ngw-1",
    "vpc": "vpc-1",
    "eips": ["eip-1"],
    "snatTable": "stb-1",
    "snatEntries": [
        {"id": "snat-h", "eips": ["eip-1"], "vswitch": "vsw-h"},
        {"id": "snat-i", "eips": ["eip-1"], "cidr": "172.16.0.0/16"},
    ],
}
VSWITCH_H = {"id": "vsw-h", "vpc": "vpc-1", "zone": ZONES[0], "cidr": "172.16.0.0/24"}
VSWITCH_I = {"id": "vsw-i", "vpc": "vpc-1", "zone": ZONES[1], "cidr": "172.16.1.0/24"}
ALL_WELL: dict[str, Any] = {
    "vpcs": [{"id": "vpc-1", "region": REGION}, {"id": "vpc-2", "region": REGION}],
    "vswitches": [VSWITCH_H, VSWITCH_I, {"id": "vsw-2", "vpc": "vpc-2", "zone": ZONES[0]}],
    "securityGroups": [{"id": "sg-1", "vpc": "vpc-1"}, {"id": "sg-2", "vpc": "vpc-2"}],
    "natGateways": [NAT],
    "eips": [
        {
            "id": "eip-1",
            "region": REGION,
            "address": "198.51.100.7",
            "instance": "ngw-1",
            "instanceType": "Nat",
        }
    ],
    "clusters": [CLUSTER],
}
PLACE = AlibabaTarget(
    region=REGION, vswitches=("vsw-h", "vsw-i"), security_group="sg-1", cluster="ack-1", role="vnode"
)
TARGET = Target(cloud="alibaba", namespace="kube-system", region=REGION, alibaba=PLACE)


def role(*policies: Any) -> dict[str, Any]:
    return {"roles": [{"name": "vnode", "policies": list(policies)}]}


ALL_WELL |= role("AliyunECIFullAccess")


def zones(*entries: Any) -> dict[str, Any]:
    return {"regions": [{"id": REGION, "zones": list(entries)}]}


def cluster(**changes: Any) -> dict[str, Any]:
    return {"clusters": [{**CLUSTER, **changes}]}


LEAST = {
    "name": "least",
    "actions": [
        "eci:CreateContainerGroup",
        "eci:DeleteContainerGroup",
        "eci:Describe*",
        "eci:ExecContainerCommand",
        "eci:RestartContainerGroup",
        "eci:UpdateContainerGroup",
    ],
}

CASES = (
    Case("VN-ALI-001", "good keys", PASSED, evidence="acs:ram::"),
    Case("VN-ALI-001", "a wrong secret", options={"secret": "wrong-s3cr3t-marker"}),
    Case("VN-ALI-002", "activated", PASSED),
    Case(
        "VN-ALI-002",
        "not activated",
        cause="not activated",
        faults=({"template": "eci:ListUsage", "status": 403, "code": "Forbidden.NotOpen"},),
    ),
    Case(
        "VN-ALI-002",
        "an outstanding payment",
        cause="outstanding payment",
        faults=({"template": "eci:ListUsage", "status": 400, "code": "Account.Arrearage"},),
    ),
    Case("VN-ALI-003", "a region with ECI", PASSED, evidence=ZONES[0]),
    Case(
        "VN-ALI-003",
        "a region without",
        cause="has no Elastic Container Instance",
        target={"region": "cn-nowhere"},
    ),
    Case("VN-ALI-004", "both are there", PASSED, evidence="vsw-h in cn-hangzhou-h"),
    Case(
        "VN-ALI-004", "one is not there", cause="no vSwitch vsw-x", target={"vswitches": ("vsw-h", "vsw-x")}
    ),
    Case(
        "VN-ALI-004",
        "one is being made",
        cause="not available",
        seed={"vswitches": [VSWITCH_H, {**VSWITCH_I, "status": "Pending"}]},
    ),
    Case("VN-ALI-004", "none is named", SKIPPED, target={"vswitches": ()}),
    Case("VN-ALI-005", "in the cluster's", PASSED, evidence="cluster's vpc-1"),
    Case(
        "VN-ALI-005",
        "in another",
        cause="not in the cluster's VPC",
        evidence="the cluster in vpc-1",
        target={"vswitches": ("vsw-2",)},
    ),
    Case("VN-ALI-005", "in two", cause="different VPCs", target={"vswitches": ("vsw-h", "vsw-2")}),
    Case("VN-ALI-006", "room", PASSED, evidence="vsw-h has 252 free"),
    Case(
        "VN-ALI-006",
        "no room",
        cause="no free address",
        seed={"vswitches": [{**VSWITCH_H, "freeAddresses": 0}, {**VSWITCH_I, "freeAddresses": 0}]},
    ),
    Case(
        "VN-ALI-006",
        "hardly any room",
        WARNING,
        "few addresses",
        seed={"vswitches": [{**VSWITCH_H, "freeAddresses": 3}, {**VSWITCH_I, "freeAddresses": 0}]},
    ),
    Case("VN-ALI-007", "in stock", PASSED, evidence="WithStock"),
    Case(
        "VN-ALI-007",
        "sold out",
        cause="in stock",
        evidence="cn-hangzhou-h WithoutStock",
        seed=zones({"id": ZONES[0], "stock": 0}, {"id": ZONES[1], "onSale": False}),
    ),
    Case("VN-ALI-007", "one zone sold out", WARNING, seed=zones({"id": ZONES[0], "stock": 0}, ZONES[1])),
    Case(
        "VN-ALI-007",
        "a size that nobody sells",
        cause="512 vCPU",
        target={"cpu": 512.0, "memory": 1024.0},
    ),
    Case("VN-ALI-008", "in the same VPC", PASSED, evidence="sg-1 in vpc-1"),
    Case("VN-ALI-008", "in another VPC", cause="different VPCs", target={"security_group": "sg-2"}),
    Case("VN-ALI-008", "not there", cause="no security group sg-x", target={"security_group": "sg-x"}),
    Case("VN-ALI-009", "SNAT for both", PASSED, evidence="ngw-1"),
    Case("VN-ALI-009", "no gateway", WARNING, "no way out", "none", seed={"natGateways": []}),
    Case(
        "VN-ALI-009",
        "SNAT for one only",
        WARNING,
        "groups in vsw-i",
        seed={"natGateways": [{**NAT, "snatEntries": NAT["snatEntries"][:1]}]},
    ),
    Case("VN-ALI-010", "quota left", PASSED, evidence="of 1000 vCPUs"),
    Case("VN-ALI-010", "no quota", cause="no vCPUs", seed={"quotas": {REGION: {"vcpu": 0}}}),
    Case("VN-ALI-011", "a system policy", PASSED, evidence="AliyunECIFullAccess"),
    Case("VN-ALI-011", "a policy of one's own", PASSED, evidence="least", seed=role(LEAST)),
    Case(
        "VN-ALI-011",
        "a reader",
        cause="the role vnode may not do",
        evidence="lacks eci:CreateContainerGroup",
        seed=role("AliyunECIReadOnlyAccess"),
    ),
    Case("VN-ALI-011", "no policy", evidence="has no policy", seed=role()),
    Case("VN-ALI-011", "no such role", cause="the role ghost does not exist", target={"role": "ghost"}),
    Case("VN-ALI-011", "the account itself", PASSED, evidence="the account itself", target={"role": ""}),
    Case(
        "VN-ALI-011",
        "a user that may not read policies",
        SKIPPED,
        "may not read policies",
        target={"role": ""},
        options={"user": True},
    ),
    Case("VN-ALI-012", "it runs", PASSED, evidence="running"),
    Case("VN-ALI-012", "it is being made", cause="is initial", seed=cluster(state="initial")),
    Case("VN-ALI-012", "it is not there", cause="no ACK cluster ack-x", target={"cluster": "ack-x"}),
    Case(
        "VN-ALI-012",
        "it is elsewhere",
        cause="another region",
        seed=cluster(region="cn-shanghai"),
    ),
    Case("VN-ALI-013", "Flannel", PASSED, evidence="flannel"),
    Case("VN-ALI-013", "Terway", PASSED, evidence="terway", seed=cluster(network="terway-eniip")),
    Case("VN-ALI-013", "another one", WARNING, "not calico", seed=cluster(network="calico")),
    Case("VN-ALI-014", "no add-on", PASSED),
    Case(
        "VN-ALI-014",
        "the add-on",
        cause="add-on is installed",
        evidence="v2.13.0",
        seed=cluster(addons={"ack-virtual-node": "v2.13.0"}),
    ),
    Case("VN-ALI-015", "the same time", PASSED),
    Case(
        "VN-ALI-015",
        "an hour ahead",
        WARNING,
        "behind",
        options={"date": 3600.0},
    ),
)
assert {case.verdict for case in CASES} == {PASSED, FAILED, WARNING, SKIPPED}
