"""An HTTPS server that answers like Alibaba Cloud's OpenAPI gateway, as scripted by a test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from support.fake_arm import certificate

from vnodectl.clouds.alibaba import AlibabaSettings

KEY = "LTAI5tExampleKey"
SECRET = "planted-marker-of-a-key-secret"
REGION = "cn-hangzhou"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeOpenApi:
    """`handle` answers every request; `requests` keeps them."""

    address: str
    ca_file: str
    handle: Handler
    requests: list[web.Request] = field(default_factory=list)

    def settings(self, **changes: Any) -> AlibabaSettings:
        given: dict[str, Any] = {
            "access_key_id": KEY,
            "access_key_secret": SECRET,
            "region": REGION,
            "endpoint": self.address,
            "ca_bundle": self.ca_file,
        }
        return AlibabaSettings(**{**given, **changes})

    @property
    def actions(self) -> list[str]:
        return [request.headers["x-acs-action"] for request in self.requests]


def refused(status: int, code: str, message: str = "no", **headers: str) -> web.Response:
    body = {"Code": code, "Message": message, "RequestId": "R-1", "HostId": "h", "Recommend": "https://x"}
    return web.json_response(body, status=status, headers=headers)


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.json_response({"RequestId": "R-1", "query": dict(request.query)})


@asynccontextmanager
async def fake_openapi(directory: Path, handle: Handler = _echo) -> AsyncIterator[FakeOpenApi]:
    cert, key = certificate(directory)
    fake = FakeOpenApi("", str(cert), handle)

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        fake.requests.append(request)
        return await fake.handle(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app, max_line_size=2**20)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        fake.address = f"127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
