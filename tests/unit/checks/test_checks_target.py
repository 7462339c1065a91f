"""What checks are told: the same of a plan as of the release that it became."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vnodectl.checks.target import AlibabaTarget, Target
from vnodectl.connector.plan import Facts, make_plan
from vnodectl.connector.settings import Settings
from vnodectl.connector.values import values

ALIBABA: dict[str, Any] = {
    "cloud": "alibaba",
    "region": "cn-hangzhou",
    "vswitch": "vsw-1,vsw-2",
    "security_group": "sg-1",
    "cluster_id": "ack-1",
}
AZURE: dict[str, Any] = {
    "aci_resource_group": "groups",
    "location": "eastus",
    "subscription": "sub",
    "tenant": "ten",
    "subnet_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a",
}
FACTS = Facts(oidc_provider="acs:ram::1:oidc-provider/ack", cluster_uid="0f0e-1")


@pytest.mark.parametrize(
    "said",
    [
        {**ALIBABA, "ram_role": "acs:ram::1:role/vnode"},
        {**ALIBABA, "ecs_role": "of-the-node"},
        {**ALIBABA, "access_key": "LTAI", "secret_key": "planted-secret"},
        {**AZURE, "workload_identity": "11111111-2222-3333-4444-555555555555"},
        {**AZURE, "managed_identity": "system"},
        {**AZURE, "service_principal": "11111111-2222-3333-4444-555555555555", "client_secret": "planted"},
        {**AZURE, "service_principal": "1", "client_certificate": "BEGIN CERTIFICATE-----PRIVATE KEY-----"},
    ],
    ids=[
        "ram role",
        "ecs role",
        "key",
        "workload identity",
        "managed identity",
        "service principal",
        "certificate",
    ],
)
def test_an_upgrade_asks_of_a_release_what_its_installation_asked(said: dict[str, Any]) -> None:
    plan = make_plan(Settings(**said), FACTS)
    made = values(plan, plan.connectors[0])
    found = Target.from_values(plan.connectors, plan.namespace, made)
    assert found == Target.from_plan(plan)
    assert Target.from_document(found.document()) == found


def test_the_role_of_a_release_is_the_one_that_is_looked_at() -> None:
    identity = {"type": "ramRole", "roleArn": "acs:ram::1:role/vnode"}
    assert AlibabaTarget.from_values({"identity": identity}).role == "vnode"


def test_an_upgrade_s_chart_is_the_one_that_is_named() -> None:
    plan = replace(make_plan(Settings(**ALIBABA, ecs_role="r"), FACTS), chart="./other.tgz")
    made = values(plan, plan.connectors[0])
    assert Target.from_values(plan.connectors, plan.namespace, made, chart="./other.tgz").chart == plan.chart
