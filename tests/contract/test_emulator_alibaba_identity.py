"""Signatures, keys, temporary credentials and rights, as the real SDKs meet them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from alibabacloud_cs20151215 import models as cs
from alibabacloud_eci20180808 import models as eci
from alibabacloud_ram20150501 import models as ram
from alibabacloud_sts20150401 import models as sts
from cryptography.hazmat.primitives.asymmetric import rsa
from support.alibaba_clients import (
    KEY,
    READER_KEY,
    READER_SECRET,
    REGION,
    SECRET,
    USER_KEY,
    USER_SECRET,
    Clients,
    clients,
    created,
    described,
    emulated,
    refused,
    trust,
)

from vnodectl.emulator import jose
from vnodectl.emulator.alibaba.service import AlibabaEmulator

ACCOUNT = "1000000000000001"
ROLE = f"acs:ram::{ACCOUNT}:role/vnode-role"
PROVIDER = f"acs:ram::{ACCOUNT}:oidc-provider/rrsa"
SUBJECT = "system:serviceaccount:kube-system:ack-virtual-node"
ROLES = [{"name": "vnode-role", "policies": ["AliyunECIFullAccess"]}]


async def an_rpc(sdk: Clients) -> Any:
    return await sdk.eci.list_usage_async(eci.ListUsageRequest(region_id=REGION))


async def a_roa(sdk: Clients) -> Any:
    return await sdk.cs.describe_clusters_v1_async(
        cs.DescribeClustersV1Request(name="some name", page_size=5)
    )


CALLS = pytest.mark.parametrize("call", [an_rpc, a_roa])
ALGORITHMS = pytest.mark.parametrize("algorithm", [None, "v2"])
Make = Callable[[Clients], Awaitable[Any]]


@CALLS
@ALGORITHMS
async def test_every_style_and_algorithm_is_verified(call: Make, algorithm: str | None) -> None:
    async with emulated() as emulator:
        await call(clients(emulator, algorithm=algorithm))
        error = await refused(call(clients(emulator, KEY, "wrong", algorithm=algorithm)))
        assert (error.code, error.status_code) == ("SignatureDoesNotMatch", 400)
        assert error.data["Recommend"].startswith("https://api.aliyun.com/troubleshoot?q=SignatureDoes")
        assert error.data["HostId"] == emulator.host
        error = await refused(call(clients(emulator, "LTAI-nobody", SECRET, algorithm=algorithm)))
        assert (error.code, error.status_code) == ("InvalidAccessKeyId.NotFound", 404)


async def test_a_whole_container_group_is_signed_in_the_old_way_too() -> None:
    async with emulated() as emulator:
        sdk = clients(emulator, algorithm="v2")
        variable = eci.CreateContainerGroupRequestContainerEnvironmentVar(
            key="TEXT", value="a b+c/d~e*f&g=h%20\u4e2d\nz"
        )
        container = eci.CreateContainerGroupRequestContainer(
            name="web", image="nginx", environment_var=[variable]
        )
        identity = await created(sdk, container=[container])
        shown = (await described(sdk)).container_groups[0]
        assert shown.container_group_id == identity
        assert shown.containers[0].environment_vars[0].value == variable.value


async def test_an_inactive_key_and_a_token_that_nobody_gave() -> None:
    keys = [{"id": KEY, "secret": SECRET}, {"id": "LTAI-old", "secret": "s", "active": False}]
    async with emulated(accessKeys=keys) as emulator:
        error = await refused(an_rpc(clients(emulator, "LTAI-old", "s")))
        assert error.code == "InvalidAccessKeyId.Inactive"
        error = await refused(an_rpc(clients(emulator, KEY, SECRET, "a-token")))
        assert error.code == "InvalidSecurityToken.MismatchWithAccessKey"


async def test_who_calls() -> None:
    async with emulated(roles=ROLES) as emulator:
        root = (await clients(emulator).sts.get_caller_identity_async()).body
        assert (root.identity_type, root.account_id) == ("Account", ACCOUNT)
        assert root.arn == f"acs:ram::{ACCOUNT}:root"
        user = (await clients(emulator, USER_KEY, USER_SECRET).sts.get_caller_identity_async()).body
        assert (user.identity_type, user.arn) == ("RAMUser", f"acs:ram::{ACCOUNT}:user/vnode")
        role = await assumed(emulator)
        who = (await role.sts.get_caller_identity_async()).body
        assert who.identity_type == "AssumedRoleUser"
        assert who.arn == f"acs:ram::{ACCOUNT}:assumed-role/vnode-role/session"


@ALGORITHMS
async def test_temporary_credentials_of_a_role(algorithm: str | None) -> None:
    async with emulated(roles=ROLES) as emulator:
        role = await assumed(emulator, algorithm=algorithm)
        await created(role)
        credentials = (await credentials_of(emulator)).body.credentials
        keys = (credentials.access_key_id, credentials.access_key_secret)
        error = await refused(an_rpc(clients(emulator, *keys, algorithm=algorithm)))
        assert error.code == "MissingSecurityToken"
        error = await refused(an_rpc(clients(emulator, *keys, "another", algorithm=algorithm)))
        assert error.code == "InvalidSecurityToken.Malformed"
        emulator.clock.advance(3601)
        error = await refused(an_rpc(role))
        assert error.code == "InvalidSecurityToken.Expired"


async def test_roles_that_may_not_be_assumed() -> None:
    elsewhere = {"name": "elsewhere", "trust": {"accounts": ["2000000000000002"]}}
    async with emulated(roles=[*ROLES, elsewhere]) as emulator:
        error = await refused(credentials_of(emulator, sdk=clients(emulator)))
        assert (error.code, error.status_code) == ("NoPermission", 403)
        error = await refused(credentials_of(emulator, role_arn=ROLE.replace("vnode-role", "elsewhere")))
        assert error.code == "NoPermission"
        error = await refused(credentials_of(emulator, role_arn=ROLE.replace("vnode-role", "none")))
        assert (error.code, error.status_code) == ("EntityNotExist.Role", 404)
        error = await refused(credentials_of(emulator, duration_seconds=60))
        assert error.code == "InvalidParameter.DurationSeconds"


async def test_a_service_account_assumes_a_role_by_its_token() -> None:
    key = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    provider = {
        "name": "rrsa",
        "issuer": "https://issuer.example",
        "clientIds": ["sts.aliyuncs.com"],
        "jwks": {"keys": [key.jwk()]},
    }
    role = ROLES[0] | {"trust": {"oidc": [{"provider": "rrsa", "subject": SUBJECT}]}}

    def token(**claims: Any) -> str:
        now = int(time.time())
        return key.sign(
            {
                "iss": "https://issuer.example",
                "sub": SUBJECT,
                "aud": ["sts.aliyuncs.com"],
                "iat": now,
                "exp": now + 600,
                **claims,
            }
        )

    async with emulated(roles=[role], oidcProviders=[provider]) as emulator:
        anonymous = clients(emulator, "", "")

        async def exchange(proof: str, arn: str = PROVIDER) -> Any:
            request = sts.AssumeRoleWithOIDCRequest(
                role_arn=ROLE, oidcprovider_arn=arn, oidctoken=proof, role_session_name="session"
            )
            return (await anonymous.sts.assume_role_with_oidc_async(request)).body

        answer = await exchange(token())
        assert answer.oidctoken_info.subject == SUBJECT
        assert answer.assumed_role_user.arn == f"acs:ram::{ACCOUNT}:assumed-role/vnode-role/session"
        given = answer.credentials
        await created(clients(emulator, given.access_key_id, given.access_key_secret, given.security_token))

        bad = {
            "AuthenticationFail.NoPermission": token(sub="system:serviceaccount:other:name"),
            "AuthenticationFail.OIDCToken.Expired": token(exp=int(time.time()) - 1),
            "AuthenticationFail.OIDCToken.AudienceNotMatch": token(aud="another"),
            "AuthenticationFail.OIDCToken.IssuerNotMatch": token(iss="https://other.example"),
            "AuthenticationFail.OIDCToken.Invalid": "nonsense",
        }
        for code, proof in bad.items():
            error = await refused(exchange(proof))
            assert (error.code, error.status_code) == (code, 401)
        stranger = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        forged = stranger.sign(jose.parse(token()).claims)
        assert (await refused(exchange(forged))).code == "AuthenticationFail.OIDCToken.InvalidSignature"
        assert (await refused(exchange(token(), PROVIDER + "x"))).code == "AuthenticationFail.NoPermission"


async def test_who_may_not_is_refused_but_sees_an_empty_list() -> None:
    async with emulated() as emulator:
        await created(clients(emulator))
        reader = clients(emulator, READER_KEY, READER_SECRET)
        error = await refused(created(reader))
        assert (error.code, error.status_code) == ("Forbidden.RAM", 403)
        error = await refused(reader.cs.describe_clusters_v1_async(cs.DescribeClustersV1Request()))
        assert error.status_code == 403
        assert (await described(reader)).container_groups == []


async def test_roles_and_policies_as_ram_shows_them() -> None:
    role = ROLES[0] | {"trust": {"services": ["ecs.aliyuncs.com"]}, "maxSessionDuration": 7200}
    async with emulated(roles=[role]) as emulator:
        sdk = clients(emulator).ram
        shown = (await sdk.get_role_async(ram.GetRoleRequest(role_name="vnode-role"))).body.role
        assert (shown.arn, shown.max_session_duration) == (ROLE, 7200)
        assert "ecs.aliyuncs.com" in shown.assume_role_policy_document
        policies = await sdk.list_policies_for_role_async(
            ram.ListPoliciesForRoleRequest(role_name="vnode-role")
        )
        assert [one.policy_name for one in policies.body.policies.policy] == ["AliyunECIFullAccess"]
        users = await sdk.list_policies_for_user_async(ram.ListPoliciesForUserRequest(user_name="vnode"))
        assert [one.policy_type for one in users.body.policies.policy] == ["System", "System"]
        error = await refused(sdk.get_user_async(ram.GetUserRequest(user_name="nobody")))
        assert (error.code, error.status_code) == ("EntityNotExist.User", 404)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "MissingParameter"),
        ("Action=ListUsage", 400, "InvalidVersion"),
        ("Action=ListUsage&Version=2000-01-01", 400, "InvalidVersion"),
        ("Action=CreateVirtualNode&Version=2018-08-08", 404, "InvalidAction.NotFound"),
        ("Action=ListUsage&Version=2018-08-08", 400, "MissingAccessKeyId"),
        ("Action=DescribeContainerGroupStatus&Version=2018-08-08", 400, "UnsupportedHTTPMethod"),
        ("Action=ListUsage&Version=2018-08-08&Format=XML", 400, "InvalidParameter.Format"),
    ],
)
async def test_what_the_gateway_refuses_at_once(query: str, status: int, code: str) -> None:
    async with (
        emulated() as emulator,
        aiohttp.ClientSession() as session,
        session.get(f"{emulator.endpoint}/?{query}", ssl=trust(emulator)) as answer,
    ):
        body = await answer.json()
        assert (answer.status, body["Code"]) == (status, code)
        assert body["RequestId"] == answer.headers["x-acs-request-id"]
        assert set(body) == {"Code", "Message", "RequestId", "HostId", "Recommend"}


async def credentials_of(
    emulator: AlibabaEmulator, *, sdk: Clients | None = None, role_arn: str = ROLE, **fields: Any
) -> Any:
    request = sts.AssumeRoleRequest(role_arn=role_arn, role_session_name="session", **fields)
    user = sdk or clients(emulator, USER_KEY, USER_SECRET)
    return await user.sts.assume_role_async(request)


async def assumed(emulator: AlibabaEmulator, *, algorithm: str | None = None) -> Clients:
    given = (await credentials_of(emulator)).body.credentials
    keys = (given.access_key_id, given.access_key_secret, given.security_token)
    return clients(emulator, *keys, algorithm=algorithm)
