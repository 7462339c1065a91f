"""Whether an image can be pulled, asked of a registry over a socket with a cluster's pull secrets."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from aiohttp import web
from support.fake_api import fake_cluster, serve

from vnodectl.checks.readers import SecretRef
from vnodectl.checks.registry import open_registries
from vnodectl.errors import Unreachable

KIND = "application/vnd.oci.image.manifest.v1+json"
BASIC = "Basic " + base64.b64encode(b"user:planted-password").decode()
PULL = SecretRef("vnode-system", "pull")


class Registry:
    """One image `team/app:1`; with `closed` only for who has the password."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        config = json.dumps({"config": {}}).encode()
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        manifest = json.dumps({"mediaType": KIND, "config": {"digest": digest}}).encode()
        self.contents = {f"/v2/team/app/blobs/{digest}": config, "/v2/team/app/manifests/1": manifest}

    async def handle(self, request: web.Request) -> web.Response:
        if self.closed and request.headers.get("Authorization") != BASIC:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=registry"})
        if request.path not in self.contents:
            return web.json_response({"errors": []}, status=404)
        return web.Response(body=self.contents[request.path], headers={"Content-Type": KIND})


def secret(server: str) -> dict[str, Any]:
    auths = {"auths": {server: {"username": "user", "password": "planted-password"}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(auths).encode()).decode()}
    return {"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson", "data": data}


@pytest.mark.parametrize(
    ("closed", "tag", "secrets", "status"),
    [
        (False, "1", (), 200),
        (False, "2", (), 404),
        (True, "1", (), 401),
        (True, "1", (PULL,), 200),
        (True, "1", (SecretRef("vnode-system", "nothing"),), 401),
    ],
)
async def test_what_a_registry_says(closed: bool, tag: str, secrets: Any, status: int) -> None:
    async with fake_cluster() as (api, kube), serve(Registry(closed=closed).handle) as server:
        host = f"{server.host}:{server.port}"
        api.put("secrets", secret(host), namespace="vnode-system")
        async with open_registries(kube, plain=frozenset({host})) as registries:
            found = await registries.manifest(f"{host}/team/app:{tag}", secrets)
    assert found.status == status
    assert "planted-password" not in found.detail


async def test_a_registry_out_of_reach() -> None:
    async with open_registries(None, plain=frozenset({"127.0.0.1:1"})) as registries:
        with pytest.raises(Unreachable):
            await registries.manifest("127.0.0.1:1/team/app:1")
