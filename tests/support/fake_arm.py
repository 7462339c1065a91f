"""An HTTPS server that answers like ARM and a token endpoint, as scripted by a test."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vnodectl.clouds.azure import AzureSettings

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
CLIENT = "33333333-3333-3333-3333-333333333333"
SECRET = "planted-marker-of-a-client-secret"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeArm:
    """`handle` answers everything but token requests; `tokens` holds the forms that were posted."""

    url: str
    ca_file: str
    handle: Handler
    requests: list[web.Request] = field(default_factory=list)
    tokens: list[dict[str, str]] = field(default_factory=list)
    refuse_tokens: bool = False

    def settings(self, **changes: Any) -> AzureSettings:
        given: dict[str, Any] = {
            "subscription_id": SUBSCRIPTION,
            "tenant_id": TENANT,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "authority_host": self.url,
            "arm_endpoint": self.url,
            "ca_bundle": self.ca_file,
        }
        return AzureSettings(**{**given, **changes})


def certificate(directory: Path) -> tuple[Path, Path]:
    """(certificate, key) of a self-signed server on 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake arm")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "tls.crt", directory / "tls.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


async def _unexpected(request: web.Request) -> web.StreamResponse:
    raise AssertionError(f"unexpected {request.method} {request.path}")


@asynccontextmanager
async def fake_arm(directory: Path, handle: Handler = _unexpected) -> AsyncIterator[FakeArm]:
    certificate_file, key_file = certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    fake = FakeArm("", str(certificate_file), handle)

    async def token(request: web.Request) -> web.StreamResponse:
        form = {key: str(value) for key, value in (await request.post()).items()}
        fake.tokens.append(form)
        if fake.refuse_tokens:
            return web.json_response(
                {
                    "error": "invalid_client",
                    "error_description": f"AADSTS7000215: Invalid client secret {form.get('client_secret')}",
                },
                status=401,
            )
        return web.json_response(
            {"token_type": "Bearer", "expires_in": 3599, "access_token": f"token-{len(fake.tokens)}"}
        )

    async def anything(request: web.Request) -> web.StreamResponse:
        await request.read()
        fake.requests.append(request)
        return await fake.handle(request)

    app = web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", token)
    app.router.add_route("*", "/{path:.*}", anything)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        fake.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
