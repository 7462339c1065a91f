from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.fake_openapi import KEY, REGION, SECRET, fake_openapi, refused

from vnodectl.clouds.alibaba import (
    AlibabaError,
    AlibabaNotFound,
    AlibabaSession,
    AlibabaSettings,
    AlibabaThrottled,
    AlibabaUnauthorized,
)
from vnodectl.clouds.alibaba.session import ECI_API
from vnodectl.clouds.ownership import Owner
from vnodectl.errors import CloudUnreachable, UsageError


class Naps:
    def __init__(self) -> None:
        self.all: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.all.append(seconds)


def _answers(*bodies: Any) -> Callable[[web.Request], Any]:
    """Each request gets the next answer; the last one stays."""
    left = list(bodies)

    async def handle(_: web.Request) -> web.StreamResponse:
        body = left.pop(0) if len(left) > 1 else left[0]
        return body() if callable(body) else web.json_response(body)

    return handle


async def test_json_goes_through_the_sdk_s_pipeline(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        answer = await session.call(
            "eci", "Do", ECI_API, {"Tag": [{"Key": "a", "Value": "b c"}], "Yes": True, "None": None, "N": 1}
        )
        assert answer["query"] == {
            "RegionId": REGION,
            "Tag.1.Key": "a",
            "Tag.1.Value": "b c",
            "Yes": "true",
            "N": "1",
        }
        sent = fake.requests[0]
        assert (sent.method, sent.path, sent.host) == ("POST", "/", fake.address)
        assert sent.headers["x-acs-action"] == "Do"
        assert sent.headers["Authorization"].startswith(f"ACS3-HMAC-SHA256 Credential={KEY},")
        assert "vnodectl/" in sent.headers["User-Agent"]
        assert SECRET not in str(sent.headers)
        assert session.meter.calls == {"Do": 1}


async def test_a_token_is_signed_and_sent(tmp_path: Path) -> None:
    async with (
        fake_openapi(tmp_path) as fake,
        AlibabaSession(fake.settings(security_token="planted-token")) as session,
    ):
        await session.call("sts", "Who", "1")
        assert fake.requests[0].headers["x-acs-security-token"] == "planted-token"
        assert "x-acs-security-token" in fake.requests[0].headers["Authorization"]
        assert "RegionId" not in fake.requests[0].query


async def test_path_style_products(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        await session.roa("cs", "Put", "1", "POST", "/clusters/a%20b/x", {"Q": 1}, {"b": "ü"})
        sent = fake.requests[0]
        assert (sent.method, sent.raw_path) == ("POST", "/clusters/a%20b/x?Q=1")
        assert json.loads(await sent.read()) == {"b": "ü"}


async def test_the_typed_client_shares_pool_meter_and_errors(tmp_path: Path) -> None:
    from alibabacloud_eci20180808.models import DescribeRegionsRequest

    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers(
            {"Regions": [{"RegionId": "cn-hangzhou"}]}, lambda: refused(403, "Forbidden.RAM")
        )
        found = await session.eci().describe_regions_async(DescribeRegionsRequest())
        assert found.body.regions[0].region_id == "cn-hangzhou"
        with pytest.raises(AlibabaError, match="Forbidden"):
            await session.eci().describe_regions_async(DescribeRegionsRequest())
        assert session.meter.calls == {"DescribeRegions": 2}
        assert session.eci() is session.eci()


async def test_an_unknown_ca_is_not_trusted_and_the_hint_says_how(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings(ca_bundle="")) as session:
        with pytest.raises(CloudUnreachable) as caught:
            await session.call("eci", "Do", ECI_API, retries=False)
        assert "VNODECTL_CA_BUNDLE" in caught.value.hint


async def test_no_error_repeats_a_secret(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers(
            lambda: refused(400, "InvalidParameter", f"{SECRET} and planted-env are wrong")
        )
        with pytest.raises(AlibabaError) as caught:
            await session.call("eci", "Do", ECI_API, {"X": "planted-env"}, hide=["planted-env"])
        assert caught.value.detail == "*** and *** are wrong"


async def test_reads_are_tried_again_after_throttling_and_failures_that_pass(tmp_path: Path) -> None:
    naps = Naps()
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings(), sleep=naps) as session:
        fake.handle = _answers(
            lambda: refused(400, "Throttling.User", **{"x-acs-retry-after": "3000"}),
            lambda: refused(503, "ServiceUnavailable"),
            {"ok": 1},
        )
        assert await session.call("eci", "Do", ECI_API) == {"ok": 1}
        assert naps.all == [3.0, 1.0]
        assert (session.meter.calls["Do"], session.meter.throttled["Do"]) == (3, 1)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: refused(400, "Throttling.User", **{"Retry-After": "600"}),
        lambda: refused(400, "InvalidParameter"),
    ],
)
async def test_what_will_not_pass_soon_is_said_at_once(tmp_path: Path, answer: Any) -> None:
    naps = Naps()
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings(), sleep=naps) as session:
        fake.handle = _answers(answer)
        with pytest.raises(AlibabaError):
            await session.call("eci", "Do", ECI_API)
        assert (naps.all, len(fake.requests)) == ([], 1)


async def test_retries_end(tmp_path: Path) -> None:
    naps = Naps()
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings(), sleep=naps) as session:
        fake.handle = _answers(lambda: refused(500, "InternalError"))
        with pytest.raises(AlibabaError, match="InternalError"):
            await session.call("eci", "Do", ECI_API)
        assert len(fake.requests) == 4
        with pytest.raises(AlibabaError):
            await session.call("eci", "Do", ECI_API, retries=False)
        assert len(fake.requests) == 5


async def test_what_does_not_answer_like_alibaba_cloud(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers(lambda: web.Response(text="<html>hello</html>"))
        with pytest.raises(CloudUnreachable, match="does not answer like"):
            await session.call("eci", "Do", ECI_API, retries=False)


async def test_a_closed_port(tmp_path: Path) -> None:
    settings = AlibabaSettings(
        access_key_id="i", access_key_secret="ssss", region="r", endpoint="127.0.0.1:1"
    )
    async with AlibabaSession(settings) as session:
        with pytest.raises(CloudUnreachable):
            await session.call("eci", "Do", ECI_API, retries=False)


async def test_nobody_listening_is_said_soon() -> None:
    """Several askers try again on their own, and the session's patience would be theirs times its own."""
    naps = Naps()
    settings = AlibabaSettings(
        access_key_id="i", access_key_secret="ssss", region="r", endpoint="127.0.0.1:1"
    )
    async with AlibabaSession(settings, sleep=naps) as session:
        with pytest.raises(CloudUnreachable):
            await session.caller()
        assert session.meter.calls["GetCallerIdentity"] == 2
    assert sum(naps.all) < 0.5


async def test_an_ecs_instance_without_a_metadata_service_is_said_soon() -> None:
    naps = Naps()
    settings = AlibabaSettings(ecs_role="r", region="r", metadata_endpoint="http://127.0.0.1:1")
    async with AlibabaSession(settings, sleep=naps) as session:
        with pytest.raises(CloudUnreachable):
            await session.caller()
    assert sum(naps.all) < 0.5


async def test_a_wait_that_ran_out_is_not_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that swallows what is sent to it: nothing is refused, and nothing is answered."""
    monkeypatch.setattr("vnodectl.clouds.alibaba.transport.TIMEOUT", 0.05)
    naps, never = Naps(), asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.json_response({})

    async with fake_openapi(tmp_path, silent) as fake, AlibabaSession(fake.settings(), sleep=naps) as session:
        with pytest.raises(CloudUnreachable):
            await session.caller()
        assert session.meter.calls["GetCallerIdentity"] == 1
        never.set()
    assert naps.all == []


async def test_a_connection_that_dies_is_no_reason_to_give_up(tmp_path: Path) -> None:
    naps, died = Naps(), 0

    async def dying(request: web.Request) -> web.StreamResponse:
        nonlocal died
        if died < 3:
            died += 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"AccountId": "1"})

    async with fake_openapi(tmp_path, dying) as fake, AlibabaSession(fake.settings(), sleep=naps) as session:
        assert (await session.caller())["AccountId"] == "1"
    assert naps.all == [0.5, 1.0, 2.0]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers(lambda: web.Response(status=302, headers={"Location": "https://127.0.0.1:1/"}))
        with pytest.raises(CloudUnreachable, match="does not answer like"):
            await session.call("eci", "Do", ECI_API, retries=False)
        assert len(fake.requests) == 1


async def test_a_service_account_s_role_is_assumed_unsigned_and_renewed_when_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("planted-jwt")
    assumed = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal assumed
        if request.headers["x-acs-action"] == "AssumeRoleWithOIDC":
            assert "Authorization" not in request.headers
            assert request.query["OIDCToken"] == "planted-jwt"
            assumed += 1
            keys = {"AccessKeyId": f"STS.{assumed}", "AccessKeySecret": "s", "SecurityToken": "t"}
            return web.json_response({"Credentials": {**keys, "Expiration": "2099-01-01T00:00:00Z"}})
        if "STS.1" in request.headers["Authorization"]:
            return refused(403, "InvalidSecurityToken.Expired")
        return web.json_response({"by": request.headers["Authorization"].partition(",")[0][-5:]})

    async with fake_openapi(tmp_path, handle) as fake:
        settings = fake.settings(
            access_key_id="",
            access_key_secret="",
            role_arn="r",
            oidc_provider_arn="p",
            oidc_token_file=str(token),
        )
        async with AlibabaSession(settings) as session:
            assert await session.call("eci", "Do", ECI_API, retries=False) == {"by": "STS.2"}
            assert assumed == 2


async def test_a_refused_role_names_no_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("planted-jwt")
    async with fake_openapi(tmp_path) as fake:
        fake.handle = _answers(
            lambda: refused(400, "AuthenticationFail.OIDCToken.Invalid", "bad planted-jwt")
        )
        settings = fake.settings(
            access_key_id="",
            access_key_secret="",
            role_arn="r",
            oidc_provider_arn="p",
            oidc_token_file=str(token),
        )
        async with AlibabaSession(settings) as session:
            with pytest.raises(AlibabaUnauthorized) as caught:
                await session.caller()
            assert caught.value.detail == "bad ***"


async def test_nothing_is_opened_without_an_identity() -> None:
    with pytest.raises(UsageError):
        await AlibabaSession(AlibabaSettings()).__aenter__()
    with pytest.raises(RuntimeError):
        _ = AlibabaSession(AlibabaSettings()).http
    with pytest.raises(UsageError, match="region"):
        _ = AlibabaSession(AlibabaSettings()).region


# --- what the commands ask for --------------------------------------------------------------------


async def test_vswitches_vpcs_and_security_groups(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers({"VSwitches": {"VSwitch": [{"VSwitchId": "vsw-1", "ZoneId": "z"}]}})
        assert (await session.vswitch("vsw-1"))["ZoneId"] == "z"
        fake.handle = _answers({"VSwitches": {"VSwitch": []}})
        with pytest.raises(AlibabaNotFound, match=r"InvalidVSwitchId\.NotFound"):
            await session.vswitch("vsw-2")
        fake.handle = _answers({"Vpcs": {"Vpc": []}})
        with pytest.raises(AlibabaNotFound):
            await session.vpc("vpc-2")
        fake.handle = _answers({"SecurityGroups": {"SecurityGroup": [{"VpcId": "v"}]}})
        assert (await session.security_group("sg-1"))["VpcId"] == "v"
        assert fake.requests[-1].query["SecurityGroupIds"] == '["sg-1"]'


async def test_every_vswitch_of_a_vpc_page_by_page(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        number = int(request.query["PageNumber"])
        page = [{"VSwitchId": f"vsw-{number}-{n}"} for n in range(50 if number == 1 else 3)]
        return web.json_response({"TotalCount": 53, "VSwitches": {"VSwitch": page}})

    async with fake_openapi(tmp_path, handle) as fake, AlibabaSession(fake.settings()) as session:
        assert len(await session.vswitches("vpc-1")) == 53
        assert len(fake.requests) == 2


async def test_quotas_regions_and_the_caller(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers({"Attributes": {"MaxCpu": 1000.0}}, {"Attributes": '{"MaxCpu": 5}'})
        assert await session.usage() == {"MaxCpu": 1000.0}
        assert await session.usage() == {"MaxCpu": 5}
        fake.handle = _answers({"Regions": [{"RegionId": "cn-hangzhou"}]})
        assert await session.regions() == [{"RegionId": "cn-hangzhou"}]
        fake.handle = _answers({"AccountId": "1"})
        assert (await session.caller())["AccountId"] == "1"


async def test_a_cluster_and_its_kubeconfig(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers({"name": "ack"}, {"config": "apiVersion: v1"}, {})
        assert (await session.cluster("c/1"))["name"] == "ack"
        assert fake.requests[-1].raw_path == "/clusters/c%2F1"
        assert await session.cluster_kubeconfig("c1", private=True, minutes=60) == b"apiVersion: v1"
        assert dict(fake.requests[-1].query) == {"PrivateIpAddress": "true", "TemporaryDurationMinutes": "60"}
        with pytest.raises(AlibabaError, match="NoKubeconfig"):
            await session.cluster_kubeconfig("c1")


async def test_the_groups_of_a_node_page_by_page(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if "NextToken" in request.query:
            return web.json_response({"ContainerGroups": [{"ContainerGroupId": "b"}], "NextToken": ""})
        return web.json_response({"ContainerGroups": [{"ContainerGroupId": "a"}], "NextToken": "t"})

    async with fake_openapi(tmp_path, handle) as fake, AlibabaSession(fake.settings()) as session:
        found = await session.container_groups(Owner("node-1", "conn"))
        assert [one["ContainerGroupId"] for one in found] == ["a", "b"]
        assert fake.requests[0].query["Tag.1.Value"] == "node-1"


async def test_throttling_carries_its_time(tmp_path: Path) -> None:
    async with fake_openapi(tmp_path) as fake, AlibabaSession(fake.settings()) as session:
        fake.handle = _answers(lambda: refused(400, "Throttling.User", **{"x-acs-retry-after": "60000"}))
        with pytest.raises(AlibabaThrottled) as caught:
            await session.call("eci", "Do", ECI_API, retries=False)
        assert caught.value.retry_after == 60.0
