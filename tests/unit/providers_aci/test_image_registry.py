"""The image registry client against a registry over a socket, with every way to be let in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.fake_timer import FakeTimer

from vnodectl.providers.image_registry import ImageRegistry, ImageUnknown, Platform, Reference
from vnodectl.providers.images import ImageConfig
from vnodectl.runtime.provider import RegistryCredential

LINUX, WINDOWS = Platform("linux"), Platform("windows")
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
USER = RegistryCredential("x", "user", "planted-password")


class Registry:
    """`auth`: open, basic, bearer or acr. Contents by digest, tags by repository and name."""

    def __init__(self, auth: str = "open") -> None:
        self.auth = auth
        self.contents: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.host = ""
        self.holds: asyncio.Event | None = None
        self.held = asyncio.Event()

    def put(self, kind: str, document: Any) -> str:
        body = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.contents[digest] = (kind, body)
        return digest

    def image(self, *entrypoint: str, kind: str = OCI) -> str:
        config = self.put("application/json", {"config": {"Entrypoint": list(entrypoint), "User": "7"}})
        return self.put(kind, {"mediaType": kind, "config": {"digest": config}})

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path
        self.asked[path] += 1
        if self.holds is not None:
            self.held.set()
            await self.holds.wait()
        if path == "/token":
            given = request.headers.get("Authorization", "")
            if self.auth == "bearer" and given != _basic():
                return web.Response(status=401)
            assert request.query["scope"] == "repository:team/app:pull"
            return web.json_response({"token": "good"})
        if path.startswith("/oauth2/"):
            form = dict(await request.post())
            self.forms.append(form)  # type: ignore[arg-type]
            if path.endswith("exchange"):
                good = form["access_token"] == "entra-token"
                return web.json_response({"refresh_token": "refresh"}, status=200 if good else 401)
            return web.json_response({"access_token": "good"})
        wanted = {"basic": _basic()}.get(self.auth, "Bearer good")
        if self.auth != "open" and request.headers.get("Authorization") != wanted:
            realm = f'Bearer realm="http://{self.host}/token",service="reg",scope="repository:team/app:pull"'
            challenge = "Basic" if self.auth == "basic" else realm
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        version = path.rpartition("/")[2]
        digest = self.tags.get(version, version)
        if digest not in self.contents:
            return web.json_response({"errors": []}, status=404)
        kind, body = self.contents[digest]
        return web.Response(body=body, headers={"Content-Type": kind})


def _basic() -> str:
    return "Basic " + base64.b64encode(b"user:planted-password").decode()


@asynccontextmanager
async def reading(
    registry: Registry, *, exchange: str = "", hasty: bool = False
) -> AsyncIterator[tuple[ImageRegistry, FakeTimer, str]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        registry.host = f"{server.host}:{server.port}"
        timer = FakeTimer()

        async def token() -> str:
            return exchange

        client = ImageRegistry(
            lambda: http,
            timer,
            exchange=token if exchange else None,
            takes_exchange=lambda _: True,
            plain=frozenset({registry.host}),
            hasty=hasty,
        )
        yield client, timer, f"{registry.host}/team/app"


@pytest.mark.parametrize("kind", [OCI, DOCKER])
async def test_the_entrypoint_of_an_image(kind: str) -> None:
    registry = Registry()
    registry.tags["1"] = registry.image("/run", kind=kind)
    async with reading(registry) as (client, _, image):
        assert await client.config(f"{image}:1", LINUX) == ImageConfig(("/run",), user="7")


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_LIST])
async def test_an_index_has_an_image_for_each_platform(kind: str) -> None:
    registry = Registry()
    entries = [
        {"digest": registry.image(f"/{system}"), "platform": {"os": system, "architecture": "amd64"}}
        for system in ("windows", "linux")
    ]
    arm = {"digest": registry.image("/arm"), "platform": {"os": "linux", "architecture": "arm64"}}
    registry.tags["latest"] = registry.put(kind, {"mediaType": kind, "manifests": [arm, *entries]})
    async with reading(registry) as (client, _, image):
        assert (await client.config(image, LINUX)).entrypoint == ("/linux",)
        assert (await client.config(image, WINDOWS)).entrypoint == ("/windows",)
        with pytest.raises(ImageUnknown, match="no image for linux/riscv64"):
            await client.config(image, Platform("linux", "riscv64"))


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_pull_secret_opens_the_registry(auth: str) -> None:
    registry = Registry(auth)
    registry.tags["latest"] = registry.image("/run")
    async with reading(registry) as (client, _, image):
        assert (await client.config(image, LINUX, USER)).entrypoint == ("/run",)
        assert registry.asked["/token"] <= 1, "one token serves manifest and config"
        with pytest.raises(ImageUnknown, match=r"no pull secret \(HTTP 401\)") as caught:
            await client.config(image, LINUX)
        assert not caught.value.final
        wrong = RegistryCredential("x", "user", "planted-wrong")
        with pytest.raises(ImageUnknown) as caught:
            await client.config(image, LINUX, wrong)
        assert "planted" not in str(caught.value)


async def test_the_connector_s_identity_opens_azure_container_registry() -> None:
    registry = Registry("acr")
    registry.tags["latest"] = registry.image("/run")
    async with reading(registry, exchange="entra-token") as (client, _, image):
        assert (await client.config(image, LINUX)).entrypoint == ("/run",)
        assert [form["grant_type"] for form in registry.forms] == ["access_token", "refresh_token"]
        assert registry.asked["/token"] == 0


async def test_an_identity_that_is_refused_leaves_anonymous_pulls() -> None:
    registry = Registry("acr")
    registry.tags["latest"] = registry.image("/run")
    async with reading(registry, exchange="stale") as (client, _, image):
        assert (await client.config(image, LINUX)).entrypoint == ("/run",)
        assert registry.asked["/token"] == 1


async def test_one_caller_waits_for_a_registry_and_the_others_are_told_so() -> None:
    registry = Registry()
    registry.tags["latest"] = registry.image("/run")
    registry.holds = asyncio.Event()
    async with reading(registry, hasty=True) as (client, _, image):
        first = asyncio.create_task(client.config(image, LINUX), name="test-first")
        await asyncio.wait_for(registry.held.wait(), 10)
        with pytest.raises(ImageUnknown, match="for another pod") as caught:
            await client.config(image, LINUX)
        assert caught.value.retry_after == 1.0
        registry.holds.set()
        assert (await first).entrypoint == ("/run",)


@pytest.mark.parametrize("hasty", [True, False])
async def test_a_refusal_is_not_asked_for_again_at_once(hasty: bool) -> None:
    registry = Registry()
    async with reading(registry, hasty=hasty) as (client, timer, image):
        for _ in range(3):
            with pytest.raises(ImageUnknown, match="has no latest") as caught:
                await client.config(image, LINUX)
            assert caught.value.status == 404
        assert registry.asked.total() == (1 if hasty else 3)
        registry.tags["latest"] = registry.image("/run")
        timer.time += 31
        assert (await client.config(image, LINUX)).entrypoint == ("/run",)


async def test_a_registry_that_hangs_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vnodectl.providers.image_registry._TIMEOUT", 0.05)
    registry = Registry()
    registry.holds = asyncio.Event()
    async with reading(registry, hasty=True) as (client, timer, image):
        with pytest.raises(ImageUnknown, match="did not answer"):
            await client.config(f"{image}:1", LINUX)
        with pytest.raises(ImageUnknown, match="did not answer") as caught:
            await client.config(f"{image}:2", LINUX)
        assert caught.value.retry_after == 30
        assert registry.asked.total() == 1, "another image of that host is not tried"
        monkeypatch.setattr("vnodectl.providers.image_registry._TIMEOUT", 10)
        registry.holds.set()
        registry.tags["2"] = registry.image("/run")
        timer.time += 31
        assert (await client.config(f"{image}:2", LINUX)).entrypoint == ("/run",)


async def test_a_digest_is_read_once_and_a_tag_once_a_minute() -> None:
    registry = Registry()
    digest = registry.tags["latest"] = registry.image("/old")
    async with reading(registry) as (client, timer, image):
        await client.config(f"{image}@{digest}", LINUX)
        await client.config(image, LINUX)
        first = registry.asked.total()
        registry.tags["latest"] = registry.image("/new")
        assert (await client.config(image, LINUX)).entrypoint == ("/old",)
        timer.time += 61
        assert (await client.config(image, LINUX)).entrypoint == ("/new",)
        assert (await client.config(f"{image}@{digest}", LINUX)).entrypoint == ("/old",)
        assert registry.asked.total() == first + 2, "manifest and config of the new image only"


async def test_content_that_is_not_what_its_digest_says() -> None:
    registry = Registry()
    digest = registry.image("/run")
    registry.contents[digest] = (OCI, b'{"mediaType": "x"}')
    async with reading(registry) as (client, _, image):
        with pytest.raises(ImageUnknown, match="not what its digest says") as caught:
            await client.config(f"{image}@{digest}", LINUX)
        assert caught.value.final


async def test_an_old_kind_of_manifest_and_an_image_that_is_not_there() -> None:
    registry = Registry()
    registry.tags["1"] = registry.put("application/vnd.docker.distribution.manifest.v1+json", {"x": 1})
    async with reading(registry) as (client, _, image):
        with pytest.raises(ImageUnknown, match="no manifest with a config") as caught:
            await client.config(f"{image}:1", LINUX)
        assert caught.value.final
        with pytest.raises(ImageUnknown, match="has no 2") as caught:
            await client.config(f"{image}:2", LINUX)
        assert not caught.value.final


async def test_tokens_are_asked_for_over_https_only() -> None:
    registry = Registry("bearer")
    async with reading(registry) as (client, _, image):
        registry.host = "elsewhere.example"
        with pytest.raises(ImageUnknown, match="no https address"):
            await client.config(image, LINUX, USER)


async def test_a_registry_that_does_not_answer() -> None:
    async with aiohttp.ClientSession() as http:
        client = ImageRegistry(lambda: http, FakeTimer(), plain=frozenset({"127.0.0.1:1"}))
        with pytest.raises(ImageUnknown, match=r"127\.0\.0\.1:1") as caught:
            await client.config("127.0.0.1:1/team/app", LINUX)
        assert not caught.value.final


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("nginx", Reference("index.docker.io", "registry-1.docker.io", "library/nginx", "latest")),
        ("team/app:1.2", Reference("index.docker.io", "registry-1.docker.io", "team/app", "1.2")),
        ("r.example:5000/a/b:x", Reference("r.example:5000", "r.example:5000", "a/b", "x")),
        ("r.example/a:x@sha256:ab", Reference("r.example", "r.example", "a", "sha256:ab")),
    ],
)
def test_where_an_image_is_asked_for(image: str, reference: Reference) -> None:
    assert Reference.of(image) == reference
