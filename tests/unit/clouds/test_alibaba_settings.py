from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vnodectl.clouds.alibaba import AlibabaSettings
from vnodectl.errors import UsageError

NOWHERE = {"HOME": "/nowhere"}


def _profile(tmp_path: Path, *profiles: dict[str, Any], current: str = "default") -> dict[str, str]:
    directory = tmp_path / ".aliyun"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"current": current, "profiles": list(profiles)}))
    return {"HOME": str(tmp_path)}


def test_everything_has_a_variable() -> None:
    settings = AlibabaSettings.from_environment(
        {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "id",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "planted-secret",
            "ALIBABA_CLOUD_SECURITY_TOKEN": "planted-token",
            "VNODECTL_ALIBABA_SECRET_FILE": "/secret",
            "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/x",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/x",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/token",
            "ALIBABA_CLOUD_ROLE_SESSION_NAME": "me",
            "ALIBABA_CLOUD_ECS_METADATA": "role",
            "ALIBABA_CLOUD_REGION_ID": "cn-beijing",
            "VNODECTL_ALIBABA_ENDPOINT": "https://gateway.example:8443/",
            "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
            "VNODECTL_CA_BUNDLE": "/ca.pem",
        }
    )
    assert settings == AlibabaSettings(
        access_key_id="id",
        access_key_secret="planted-secret",
        security_token="planted-token",
        secret_file="/secret",
        role_arn="acs:ram::1:role/x",
        oidc_provider_arn="acs:ram::1:oidc-provider/x",
        oidc_token_file="/token",
        role_session_name="me",
        ecs_role="role",
        region="cn-beijing",
        endpoint="gateway.example:8443",
        vpc_endpoints=True,
        ca_bundle="/ca.pem",
    )
    assert "planted" not in repr(settings)


def test_the_add_on_s_own_names_are_understood() -> None:
    settings = AlibabaSettings.from_environment(
        {"ECI_ACCESS_KEY": "id", "ECI_SECRET_KEY": "secret", "ECI_REGION": "cn-hangzhou"}
    )
    assert (settings.access_key_id, settings.access_key_secret, settings.region) == (
        "id",
        "secret",
        "cn-hangzhou",
    )


def test_products_answer_in_their_region() -> None:
    settings = AlibabaSettings(region="cn-hangzhou")
    assert settings.host("eci") == "eci.cn-hangzhou.aliyuncs.com"
    assert settings.host("ram") == "ram.aliyuncs.com"
    inside = AlibabaSettings(region="cn-hangzhou", vpc_endpoints=True)
    assert inside.host("eci") == "eci-vpc.cn-hangzhou.aliyuncs.com"
    assert AlibabaSettings(endpoint="a:1", region="x").host("ram") == "a:1"
    with pytest.raises(UsageError, match="region"):
        AlibabaSettings().host("eci")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("https://[::1]:8443", "[::1]:8443"),
        ("gateway.example", "gateway.example"),
    ],
)
def test_one_endpoint_for_all(given: str, meant: str) -> None:
    found = AlibabaSettings.from_environment({**NOWHERE, "VNODECTL_ALIBABA_ENDPOINT": given})
    assert found.endpoint == meant


@pytest.mark.parametrize("given", ["http://a:1", "https://a/path", "https://u:p@a", "https://", "a:b"])
def test_an_endpoint_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="VNODECTL_ALIBABA_ENDPOINT"):
        AlibabaSettings.from_environment({**NOWHERE, "VNODECTL_ALIBABA_ENDPOINT": given})


def test_the_cli_s_profile_is_used_where_nothing_else_is_given(tmp_path: Path) -> None:
    env = _profile(
        tmp_path,
        {"name": "other", "mode": "AK", "access_key_id": "no"},
        {
            "name": "default",
            "mode": "StsToken",
            "access_key_id": "id",
            "access_key_secret": "secret",
            "sts_token": "token",
            "region_id": "cn-beijing",
        },
    )
    settings = AlibabaSettings.from_environment(env)
    assert (settings.access_key_id, settings.security_token, settings.region) == ("id", "token", "cn-beijing")
    given = AlibabaSettings.from_environment({**env, "ECI_ACCESS_KEY": "mine", "ECI_SECRET_KEY": "s"})
    assert (given.access_key_id, given.security_token) == ("mine", "")
    named = AlibabaSettings.from_environment({**env, "ALIBABA_CLOUD_PROFILE": "other"})
    assert named.access_key_id == "no"


def test_a_profile_of_an_instance_s_role(tmp_path: Path) -> None:
    env = _profile(tmp_path, {"name": "default", "mode": "EcsRamRole", "ram_role_name": "node"})
    assert AlibabaSettings.from_environment(env).ecs_role == "node"


def test_a_profile_that_only_the_cli_can_use_is_named(tmp_path: Path) -> None:
    env = _profile(tmp_path, {"name": "default", "mode": "CloudSSO"})
    with pytest.raises(UsageError, match="CloudSSO"):
        AlibabaSettings.from_environment(env)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"profiles": 1}', '{"profiles": [1]}'])
def test_a_broken_profile_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".aliyun").mkdir()
    (tmp_path / ".aliyun" / "config.json").write_text(text)
    assert not AlibabaSettings.from_environment({"HOME": str(tmp_path)}).has_identity
