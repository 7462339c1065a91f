"""Replicas share one certificate, and the API server is told of it before it is served."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
from typing import Any

import aiohttp
import pytest

from vnodectl.kube.errors import Conflict, Forbidden, NotFound
from vnodectl.webhook.certificates import LIFE
from vnodectl.webhook.keeper import Keeper, Place
from vnodectl.webhook.patch import Rule
from vnodectl.webhook.server import serving

PLACE = Place("ns", "rel")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Api:
    """The two objects, with versions as the API server keeps them."""

    def __init__(self) -> None:
        self.version = 1
        self.secret: dict[str, Any] | None = {"metadata": {"name": "rel-webhook", "resourceVersion": "1"}}
        self.webhooks: list[dict[str, Any]] = [{"name": f"{n}.x.io", "clientConfig": {}} for n in "ab"]
        self.refused: list[Exception] = []
        self.log: list[str] = []
        self.before_replace: list[Any] = []
        self.told = asyncio.Event()

    async def get(self, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        if self.refused:
            raise self.refused.pop(0)
        if path == PLACE.secret:
            if self.secret is None:
                raise NotFound(404, "NotFound", path)
            return json.loads(json.dumps(self.secret))
        assert path == PLACE.configuration
        if not self.webhooks:
            raise NotFound(404, "NotFound", path)
        return {"webhooks": json.loads(json.dumps(self.webhooks))}

    async def replace(self, path: str, body: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        hooks, self.before_replace = self.before_replace, []
        for hook in hooks:
            await hook()
        assert self.secret is not None
        if body["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        self.version += 1
        self.secret = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.log.append("secret")
        return self.secret

    async def patch(self, path: str, body: Any, *, content_type: str) -> dict[str, Any]:
        assert content_type == "application/json-patch+json"
        for one in body:
            _, _, number, *rest = one["path"].split("/")
            webhook = self.webhooks[int(number)]
            if one["op"] == "test":
                assert webhook["name"] == one["value"]
            else:
                assert rest == ["clientConfig", "caBundle"]
                webhook["clientConfig"]["caBundle"] = one["value"]
        self.log.append("configuration")
        self.told.set()
        return {}

    @property
    def bundles(self) -> set[str]:
        return {webhook["clientConfig"].get("caBundle", "") for webhook in self.webhooks}


@pytest.fixture
def api() -> Api:
    return Api()


def keeper(api: Api, now: datetime.datetime = NOW, **options: Any) -> Keeper:
    return Keeper(api, PLACE, now=lambda: now, **options)  # type: ignore[arg-type]


async def test_the_first_makes_it_and_tells_the_api_server(api: Api) -> None:
    one = keeper(api)
    await one.refresh()
    assert one.current is not None
    assert api.log == ["secret", "configuration"]
    assert {base64.b64decode(bundle) for bundle in api.bundles} == {one.current.ca}


async def test_the_second_takes_over_what_it_finds(api: Api) -> None:
    one, two = keeper(api), keeper(api)
    await one.refresh()
    await two.refresh()
    assert two.current == one.current
    assert api.log == ["secret", "configuration"], "nothing is written twice"


async def test_of_two_at_once_one_wins(api: Api) -> None:
    one, two = keeper(api), keeper(api)
    api.before_replace = [two.refresh]
    await one.refresh()
    assert one.current == two.current
    assert api.log.count("secret") == 1
    assert one.current is not None
    assert {base64.b64decode(bundle) for bundle in api.bundles} == {one.current.ca}


async def test_a_renewal_is_trusted_before_and_after_by_all(api: Api) -> None:
    one, two = keeper(api), keeper(api, NOW + LIFE * 0.7)
    await one.refresh()
    old = one.current
    await two.refresh()
    assert old is not None
    assert two.current not in (None, old)
    (bundle,) = api.bundles
    assert old.ca.strip() in base64.b64decode(bundle), "the replica that has not looked yet is still trusted"


async def test_what_somebody_reset_is_told_again(api: Api) -> None:
    one = keeper(api)
    await one.refresh()
    api.webhooks[1]["clientConfig"] = {}
    await one.refresh()
    assert len(api.bundles) == 1
    api.webhooks = []
    await one.refresh()


async def test_trouble_is_ridden_out(api: Api) -> None:
    one = keeper(api, interval=0.01)
    api.refused = [Forbidden(403, "Forbidden", "not yet")]
    task = asyncio.create_task(one.run())
    await asyncio.wait_for(api.told.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not api.refused


async def test_it_answers_over_tls_to_who_trusts_the_bundle(api: Api, unused_tcp_port: int) -> None:
    one = Keeper(api, PLACE)  # type: ignore[arg-type]
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "request": {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": {"spec": {}}},
    }
    server = serving(api, PLACE, Rule("azure"), "127.0.0.1", unused_tcp_port, keeper=one)  # type: ignore[arg-type]
    async with server as answering, aiohttp.ClientSession() as session, asyncio.timeout(10):
        await answering.wait()
        (bundle,) = api.bundles
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
        url = f"https://127.0.0.1:{unused_tcp_port}/mutate"
        named = {"ssl": context, "server_hostname": PLACE.names[0]}
        async with session.post(url, json=review, **named) as answer:
            body = await answer.json()
        assert body["response"]["allowed"] is True
        assert body["response"]["patch"]
        for wrong in (b"no json", b"{}", b"[]"):
            async with session.post(url, data=wrong, **named) as answer:
                assert answer.status == 400


async def test_without_a_certificate_the_block_still_runs(api: Api, unused_tcp_port: int) -> None:
    api.secret = None
    async with serving(api, PLACE, Rule("azure"), "127.0.0.1", unused_tcp_port) as answering:  # type: ignore[arg-type]
        assert not answering.is_set()
