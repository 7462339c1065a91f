"""What commands and checks ask of Alibaba Cloud: the vendor's SDK against the emulated products."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from support.eci_cloud import REGION, alibaba_settings, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.alibaba import (
    AlibabaForbidden,
    AlibabaNotFound,
    AlibabaSession,
    AlibabaThrottled,
    AlibabaUnauthorized,
)
from vnodectl.clouds.alibaba.session import ECI_API
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator

EVERYTHING = [
    "AliyunECIFullAccess",
    {"name": "reads", "actions": ["vpc:Describe*", "ecs:Describe*", "cs:*"]},
]


@asynccontextmanager
async def _cloud(**changes: Any) -> AsyncIterator[AlibabaEmulator]:
    document = seed(**changes)
    document["users"][0]["policies"] = EVERYTHING
    async with AlibabaEmulator(config_of(document), engine=ScriptedEngine()) as emulator:
        yield emulator


async def test_who_these_keys_are_and_what_the_region_has() -> None:
    async with _cloud() as emulator, AlibabaSession(alibaba_settings(emulator)) as session:
        assert (await session.caller())["AccountId"] == emulator.world.account
        assert {one["RegionId"] for one in await session.regions()} >= {REGION}
        assert (await session.usage())["MaxCpu"] > 0


async def test_networks() -> None:
    async with _cloud() as emulator, AlibabaSession(alibaba_settings(emulator)) as session:
        found = await session.vswitch("vsw-1")
        assert (found["VpcId"], found["ZoneId"]) == ("vpc-1", f"{REGION}-h")
        assert {one["VSwitchId"] for one in await session.vswitches("vpc-1")} == {"vsw-1", "vsw-2"}
        assert (await session.vpc("vpc-1"))["VpcId"] == "vpc-1"
        assert (await session.security_group("sg-1"))["VpcId"] == "vpc-1"
        for missing in (
            session.vswitch("vsw-none"),
            session.vpc("vpc-none"),
            session.security_group("sg-none"),
        ):
            with pytest.raises(AlibabaNotFound):
                await missing


async def test_a_cluster_and_its_kubeconfig(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    cluster = {"id": "c1", "name": "ack", "region": REGION, "vpc": "vpc-1", "kubeconfig": str(kubeconfig)}
    async with _cloud(clusters=[cluster]) as emulator, AlibabaSession(alibaba_settings(emulator)) as session:
        found = await session.cluster("c1")
        assert (found["name"], found["vpc_id"]) == ("ack", "vpc-1")
        assert b"kind: Config" in await session.cluster_kubeconfig("c1", minutes=60)
        with pytest.raises(AlibabaNotFound):
            await session.cluster("c2")


async def test_the_typed_client() -> None:
    from alibabacloud_eci20180808.models import DescribeContainerGroupsRequest

    async with _cloud() as emulator, AlibabaSession(alibaba_settings(emulator)) as session:
        await session.call(
            "eci",
            "CreateContainerGroup",
            ECI_API,
            {
                "ContainerGroupName": "group",
                "VSwitchId": "vsw-1",
                "SecurityGroupId": "sg-1",
                "Container": [{"Name": "c", "Image": "nginx"}],
            },
        )
        found = await session.eci().describe_container_groups_async(
            DescribeContainerGroupsRequest(region_id=REGION)
        )
        assert [one.container_group_name for one in found.body.container_groups] == ["group"]
        with pytest.raises(AlibabaNotFound):
            await session.eci().delete_container_group_async(_delete("eci-none"))


def _delete(group_id: str) -> Any:
    from alibabacloud_eci20180808.models import DeleteContainerGroupRequest

    return DeleteContainerGroupRequest(region_id=REGION, container_group_id=group_id)


async def test_throttling_and_a_missing_right_are_told_apart() -> None:
    async with (
        _cloud(limits={"describeRegions": 1}) as emulator,
        AlibabaSession(alibaba_settings(emulator)) as session,
    ):
        await session.regions()
        with pytest.raises(AlibabaThrottled):
            await session.call("eci", "DescribeRegions", ECI_API, retries=False)
        with pytest.raises(AlibabaForbidden):
            await session.call("ram", "GetRole", "2015-05-01", {"RoleName": "x"})


async def test_a_wrong_key_and_a_wrong_secret() -> None:
    async with _cloud() as emulator:
        for changes in ({"access_key_id": "LTAI5tNobody"}, {"access_key_secret": "planted-wrong"}):
            async with AlibabaSession(alibaba_settings(emulator, **changes)) as session:
                with pytest.raises(AlibabaUnauthorized) as caught:
                    await session.usage()
                assert "planted" not in str(caught.value)


# --- RRSA -----------------------------------------------------------------------------------------


def _jwt(key: rsa.RSAPrivateKey, **claims: Any) -> str:
    import base64
    import json

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    body = part(json.dumps(claims).encode())
    signature = key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{body}.{part(signature)}"


async def test_a_service_account_becomes_a_role_without_any_long_lived_key(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = tmp_path / "sa.pub"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    subject = "system:serviceaccount:kube-system:ack-virtual-node"
    changes = {
        "oidcProviders": [{"name": "ack-rrsa", "issuer": "https://issuer", "publicKeyFile": str(public)}],
        "roles": [
            {
                "name": "vnode",
                "policies": ["AliyunECIFullAccess"],
                "trust": {"oidc": [{"provider": "ack-rrsa", "subject": subject}]},
            }
        ],
    }
    token = tmp_path / "token"
    now = int(time.time())
    claims = {
        "iss": "https://issuer",
        "aud": "sts.aliyuncs.com",
        "sub": subject,
        "iat": now,
        "exp": now + 600,
    }
    token.write_text(_jwt(key, **claims))
    async with _cloud(**changes) as emulator:
        account = emulator.world.account
        settings = alibaba_settings(
            emulator,
            access_key_id="",
            access_key_secret="",
            role_arn=f"acs:ram::{account}:role/vnode",
            oidc_provider_arn=f"acs:ram::{account}:oidc-provider/ack-rrsa",
            oidc_token_file=str(token),
        )
        async with AlibabaSession(settings) as session:
            assert (await session.usage())["MaxCpu"] > 0
            assert (await session.caller())["IdentityType"] == "AssumedRoleUser"
            assert session.meter.calls["AssumeRoleWithOIDC"] == 1
        token.write_text(_jwt(key, **{**claims, "sub": "system:serviceaccount:other:other"}))
        async with AlibabaSession(settings) as session:
            with pytest.raises((AlibabaForbidden, AlibabaUnauthorized)) as caught:
                await session.usage()
            assert token.read_text() not in str(caught.value)
