"""Plans for Alibaba Cloud: names, identities, places, and what the chart is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vnodectl.connector.identity import AccessKey, InstanceRole, RamRole
from vnodectl.connector.plan import Facts, Plan, make_plan, precheck
from vnodectl.connector.removal import make_removal_plan
from vnodectl.connector.settings import Settings, layered
from vnodectl.connector.values import values
from vnodectl.errors import UsageError

HUSH, TOKEN = "planted-secret-key", "planted-token"
PLACE = {"cloud": "alibaba", "region": "cn-hangzhou", "vswitch": "vsw-1,vsw-2", "security_group": "sg-1"}
KEY = {"access_key": "LTAI", "secret_key": HUSH}
ROLE, PROVIDER = "acs:ram::1:role/vnode", "acs:ram::1:oidc-provider/ack"
CLUSTER = Facts(
    cluster_region="cn-shanghai",
    vswitches=("vsw-a", "vsw-b"),
    security_group="sg-c",
    oidc_provider=PROVIDER,
    cluster_uid="0f0e0d0c-1111",
)


def plan(facts: Facts | None = None, **said: Any) -> Plan:
    return make_plan(Settings(**{**PLACE, **KEY, **said}), facts or Facts())


def test_names_are_those_that_users_of_the_add_on_expect() -> None:
    made = plan()
    (connector,) = made.connectors
    assert (made.namespace, made.webhook) == ("kube-system", True)
    assert (connector.release, connector.node) == ("eci-connector-linux-cn-hangzhou", "virtual-kubelet")
    assert connector.secret == "eci-connector-linux-cn-hangzhou-alibaba"


def test_the_add_on_s_release_on_request_and_several_nodes() -> None:
    made = plan(release_name="ack-virtual-node", nodes="3", node_name="vk", namespace="eci")
    (connector,) = made.connectors
    assert (connector.release, made.namespace) == ("ack-virtual-node", "eci")
    assert connector.node_names == ("vk", "vk-2", "vk-3")
    assert connector.owns("vk-12")
    assert not any(connector.owns(node) for node in ("vk-1", "vk-x", "vkx", "v"))


@pytest.mark.parametrize("system", ["Windows", "Both", "both"])
def test_windows_is_refused_before_anybody_is_asked(system: str) -> None:
    with pytest.raises(UsageError, match="runs no Windows containers") as caught:
        precheck(Settings(**PLACE, **KEY, os_type=system))
    assert "--cloud azure" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"region": "hangzhou"}, "bad region 'hangzhou'"),
        ({"vswitch": ",".join(f"vsw-{n}" for n in range(11))}, "11 vSwitches; ECI takes 10"),
        ({"vswitch": "vsw-1, vsw-1"}, "vsw-1 is named twice"),
        ({"resource_group": "g", "cluster_name": "c"}, "-g and -n name an AKS cluster"),
        ({"release_name": "Bad_Name"}, "bad --release-name"),
        ({"node_name": "a" * 64}, "Kubernetes allows 63"),
        ({"webhook": "maybe"}, "bad webhook"),
        ({"ram_role": ROLE}, "--access-key and --ram-role exclude each other"),
        ({"access_key": None}, "a secret key without --access-key"),
        ({"secret_key": None}, "--access-key without its secret"),
        ({"access_key": None, "secret_key": None, "security_token": TOKEN}, "a security token without"),
        ({"access_key": None, "secret_key": None}, "no Alibaba Cloud identity"),
        (
            {"access_key": None, "secret_key": None, "environment_access_key": "k"},
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET is missing",
        ),
        ({"access_key": None, "secret_key": None, "ram_role": "vnode"}, "bad --ram-role 'vnode'"),
    ],
)
def test_what_is_wrong_in_itself(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        precheck(Settings(**{**PLACE, **KEY, **said}))


@pytest.mark.parametrize(
    ("said", "facts", "message"),
    [
        ({"region": None}, Facts(), "no region is given"),
        ({"vswitch": None}, Facts(), "no vSwitch"),
        ({"security_group": None}, Facts(), "no security group"),
        ({"region": "cn-hangzou"}, Facts(regions=frozenset({"cn-hangzhou"})), "unknown region 'cn-hangzou'"),
        ({"access_key": None, "secret_key": None, "ram_role": ROLE}, Facts(), "OIDC provider"),
    ],
)
def test_what_nobody_knows(said: dict[str, Any], facts: Facts, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(facts, **said)


def test_the_cluster_knows_the_rest() -> None:
    made = plan(
        CLUSTER,
        region=None,
        vswitch=None,
        security_group=None,
        access_key=None,
        secret_key=None,
        ram_role=ROLE,
        cluster_id="c1",
    )
    assert made.alibaba is not None
    assert made.azure is None
    assert (made.alibaba.region, made.alibaba.vswitches) == ("cn-shanghai", ("vsw-a", "vsw-b"))
    assert (made.alibaba.security_group, made.alibaba.owner) == ("sg-c", "0f0e0d0c")
    assert made.identity == RamRole(ROLE, PROVIDER)
    assert made.secrets == ()


def test_what_is_said_wins_over_the_cluster() -> None:
    made = plan(CLUSTER)
    assert made.alibaba is not None
    assert (made.alibaba.region, made.alibaba.vswitches) == ("cn-hangzhou", ("vsw-1", "vsw-2"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (KEY, AccessKey("LTAI", HUSH)),
        ({**KEY, "security_token": TOKEN}, AccessKey("LTAI", HUSH, TOKEN)),
        ({"ecs_role": "node"}, InstanceRole("node")),
        ({"ram_role": ROLE, "oidc_provider": PROVIDER}, RamRole(ROLE, PROVIDER)),
        (
            {"environment_access_key": "E", "environment_secret_key": HUSH},
            AccessKey("E", HUSH),
        ),
        (
            {"access_key": "E", "environment_access_key": "E", "environment_secret_key": HUSH},
            AccessKey("E", HUSH),
        ),
        (
            {"environment_ram_role": ROLE, "oidc_provider": PROVIDER},
            RamRole(ROLE, PROVIDER),
        ),
        (
            {"ecs_role": "node", "environment_access_key": "E", "environment_secret_key": HUSH},
            InstanceRole("node"),
        ),
    ],
)
def test_identities(said: dict[str, Any], expected: Any, repository: Path) -> None:
    made = make_plan(Settings(**{**PLACE, **said}), Facts(cluster_uid="abc-1"))
    assert made.identity == expected
    shown = repr(made)
    assert HUSH not in shown
    assert TOKEN not in shown
    given = values(made, made.connectors[0], secret_revision="1")
    schema = json.loads((repository / "charts/vnode-connector/values.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate({"image": {"repository": "r"}, **given})
    assert HUSH not in json.dumps(given)
    assert TOKEN not in json.dumps(given)


def test_a_key_is_never_paired_with_the_secret_of_another() -> None:
    with pytest.raises(UsageError, match="without its secret"):
        make_plan(
            Settings(**PLACE, access_key="mine", environment_access_key="other", environment_secret_key=HUSH),
            Facts(),
        )


def test_the_add_on_s_variables_and_the_sdk_s() -> None:
    environ = {
        "ECI_VSWITCH": "vsw-1,vsw-2",
        "ECI_SECURITY_GROUP": "sg-1",
        "ECI_ACCESS_KEY": "eci",
        "ECI_REGION": "cn-beijing",
    }
    settings = layered({"vswitch": ["vsw-9", "vsw-8"]}, environ, {"webhook": False, "vswitch": ["no"]})
    assert (settings.vswitch, settings.security_group) == ("vsw-9,vsw-8", "sg-1")
    assert (settings.environment_access_key, settings.environment_region) == ("eci", "cn-beijing")
    assert settings.webhook == "false"
    environ |= {"ALIBABA_CLOUD_ACCESS_KEY_ID": "sdk", "ALIBABA_CLOUD_REGION_ID": "cn-hangzhou"}
    settings = layered({}, environ, {})
    assert (settings.environment_access_key, settings.environment_region) == ("sdk", "cn-hangzhou")


def test_where_the_tools_are_is_where_to_install_but_not_which_connector_is_meant() -> None:
    here = Settings(**{**PLACE, **KEY, "region": None, "environment_region": "cn-beijing"})
    assert make_plan(here, Facts()).connectors[0].region == "cn-beijing"
    assert make_removal_plan(here).region is None
    assert make_removal_plan(replace(here, region="cn-hangzhou")).region == "cn-hangzhou"


@pytest.mark.parametrize("key", ["secret-key", "security-token"])
def test_no_secret_belongs_in_a_file_of_settings(key: str) -> None:
    with pytest.raises(UsageError, match="does not belong in a settings file") as caught:
        layered({}, {}, {key: "x"})
    assert "--secret-key-file" in caught.value.hint
    with pytest.raises(UsageError, match="unknown key 'environment_secret_key'"):
        layered({}, {}, {"environment_secret_key": "x"})
