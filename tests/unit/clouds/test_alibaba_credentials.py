from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vnodectl.clouds.alibaba import AlibabaError, AlibabaSettings, AlibabaUnauthorized
from vnodectl.clouds.alibaba.credentials import Keys, RenewedKeys, key_source
from vnodectl.errors import CloudUnreachable, UsageError

AT = 1_800_000_000.0
IN_AN_HOUR = "2027-01-15T09:00:00Z"


async def _no_role(_: Mapping[str, str]) -> dict[str, Any]:
    raise AssertionError("no role is to be assumed")


def _source(settings: AlibabaSettings, **changes: Any) -> Any:
    given = {"assume_role": _no_role, "http": None, "clock": lambda: AT}
    return key_source(settings, **{**given, **changes})


async def test_fixed_keys_and_their_token() -> None:
    settings = AlibabaSettings(access_key_id="i", access_key_secret="planted", security_token="planted2")
    keys = await _source(settings).keys()
    assert keys == Keys("i", "planted", "planted2")
    assert keys.secrets == ("planted", "planted2")
    assert "planted" not in repr(keys)


async def test_a_secret_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    source = _source(AlibabaSettings(access_key_id="i", secret_file=str(file)))
    assert (await source.keys()).access_key_secret == "old"
    file.write_text("newer")
    assert (await source.keys()).access_key_secret == "newer"
    file.unlink()
    with pytest.raises(UsageError, match="access key secret file"):
        await source.keys()


@pytest.mark.parametrize(
    "settings",
    [
        AlibabaSettings(),
        AlibabaSettings(access_key_id="i"),
        AlibabaSettings(secret_file="/x"),
        AlibabaSettings(oidc_token_file="/t", role_arn="r"),
        AlibabaSettings(oidc_token_file="/t", oidc_provider_arn="p"),
    ],
)
def test_half_an_identity_is_refused(settings: AlibabaSettings) -> None:
    with pytest.raises(UsageError):
        _source(settings)


def _credentials(number: int, expiration: str = IN_AN_HOUR) -> dict[str, Any]:
    return {
        "Credentials": {
            "AccessKeyId": f"STS.{number}",
            "AccessKeySecret": f"secret-{number}",
            "SecurityToken": f"token-{number}",
            "Expiration": expiration,
        }
    }


async def test_a_service_account_becomes_a_role(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-jwt\n")
    asked: list[Mapping[str, str]] = []

    async def assume(parameters: Mapping[str, str]) -> dict[str, Any]:
        asked.append(parameters)
        return _credentials(len(asked))

    settings = AlibabaSettings(role_arn="role", oidc_provider_arn="provider", oidc_token_file=str(token))
    source = _source(settings, assume_role=assume)
    assert (await source.keys()).access_key_id == "STS.1"
    assert asked[0] == {
        "RoleArn": "role",
        "OIDCProviderArn": "provider",
        "OIDCToken": "the-jwt",
        "RoleSessionName": "vnodectl",
        "DurationSeconds": "3600",
    }
    token.unlink()
    source.refused()
    with pytest.raises(UsageError, match="OIDC token file"):
        await source.keys()


async def test_an_answer_without_keys_is_an_error(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt")

    async def assume(_: Mapping[str, str]) -> dict[str, Any]:
        return {"Credentials": {"AccessKeyId": "only"}}

    settings = AlibabaSettings(role_arn="r", oidc_provider_arn="p", oidc_token_file=str(token))
    with pytest.raises(AlibabaError, match="NoCredentials"):
        await _source(settings, assume_role=assume).keys()


class Renewing:
    def __init__(self, life: float = 3600.0) -> None:
        self.now = AT
        self.life = life
        self.renewed = 0
        self.error: Exception | None = None
        self.source = RenewedKeys(self._renew, lambda: self.now)

    async def _renew(self) -> Keys:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.renewed += 1
        return Keys(f"k{self.renewed}", "s", "t", self.now + self.life)

    async def id(self) -> str:
        return (await self.source.keys()).access_key_id


async def test_temporary_keys_are_renewed_before_they_end() -> None:
    renewing = Renewing()
    assert await renewing.id() == "k1"
    renewing.now += 2690
    assert await renewing.id() == "k1"
    renewing.now += 20
    assert await renewing.id() == "k2"


async def test_short_lived_keys_are_used_for_most_of_their_life() -> None:
    renewing = Renewing(life=400)
    await renewing.id()
    renewing.now += 299
    assert await renewing.id() == "k1"
    renewing.now += 2
    assert await renewing.id() == "k2"


async def test_many_callers_renew_once() -> None:
    renewing = Renewing()
    found = await asyncio.gather(*(renewing.id() for _ in range(20)))
    assert (set(found), renewing.renewed) == ({"k1"}, 1)


async def test_keys_that_still_work_outlive_a_failure_to_renew() -> None:
    renewing = Renewing()
    await renewing.id()
    renewing.now += 3000
    renewing.error = CloudUnreachable("gone")
    assert await renewing.id() == "k1"
    renewing.now += 700
    with pytest.raises(CloudUnreachable):
        await renewing.id()


async def test_refused_keys_are_not_used_again() -> None:
    renewing = Renewing()
    await renewing.id()
    renewing.source.refused()
    assert await renewing.id() == "k2"


# --- the role of an ECS instance ------------------------------------------------------------------


@asynccontextmanager
async def _metadata(
    answer: web.Response, *, token: bool = True
) -> AsyncIterator[tuple[str, list[web.Request]]]:
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        if request.method == "PUT":
            return web.Response(text="metadata-token", status=200 if token else 404)
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


async def _from_instance(answer: web.Response, **options: Any) -> tuple[Keys, list[web.Request]]:
    async with _metadata(answer, **options) as (endpoint, requests), aiohttp.ClientSession() as http:
        settings = AlibabaSettings(ecs_role="node", metadata_endpoint=endpoint)
        return await _source(settings, http=http).keys(), requests


async def test_an_instance_s_role_comes_from_its_metadata() -> None:
    body = {**_credentials(1)["Credentials"], "Code": "Success"}
    keys, requests = await _from_instance(web.json_response(body))
    assert (keys.access_key_id, keys.security_token) == ("STS.1", "token-1")
    assert requests[1].path == "/latest/meta-data/ram/security-credentials/node"
    assert requests[1].headers["X-aliyun-ecs-metadata-token"] == "metadata-token"


async def test_metadata_without_tokens() -> None:
    body = _credentials(1)["Credentials"]
    keys, requests = await _from_instance(web.json_response(body), token=False)
    assert keys.access_key_id == "STS.1"
    assert "X-aliyun-ecs-metadata-token" not in requests[1].headers


async def test_an_instance_without_that_role() -> None:
    with pytest.raises(AlibabaUnauthorized, match="NoInstanceRole"):
        await _from_instance(web.Response(status=404))


@pytest.mark.parametrize("answer", [web.Response(status=500), web.Response(text="<html>")])
async def test_metadata_that_does_not_work(answer: web.Response) -> None:
    with pytest.raises(CloudUnreachable):
        await _from_instance(answer)


async def test_no_metadata_at_all() -> None:
    settings = AlibabaSettings(ecs_role="node", metadata_endpoint="http://127.0.0.1:1")
    async with aiohttp.ClientSession() as http:
        with pytest.raises(CloudUnreachable):
            await _source(settings, http=http).keys()
