"""A kubelet API on loopback with its own client CA, and clients of it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.process_provider import ProcessProvider
from support.spdy_client import SpdyClient

from vnodectl.runtime.http.identity import Attributes, Identity, ReviewUnavailable
from vnodectl.runtime.http.serving import KeyPair
from vnodectl.runtime.provider import PodKey

JSON = dict[str, Any]
_ISSUED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_EXPIRES = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """A certificate authority in memory."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self._subject, self._key, ca=True).sign(self._key, hashes.SHA256())
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, user: str, *groups: str, addresses: tuple[str, ...] = ()) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        builder = self._builder(subject, key, ca=False)
        if addresses:
            names = [x509.DNSName(address) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_ISSUED)
            .not_valid_after(_EXPIRES)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


def client_tls(directory: Path, pair: KeyPair | None = None) -> ssl.SSLContext:
    """Trusts every server, as an API server without --kubelet-certificate-authority does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        file = directory / "client.pem"
        file.write_bytes(pair.key + pair.certificate)
        context.load_cert_chain(file)
    return context


class Pods:
    """A `PodSource` of pods that a test makes."""

    def __init__(self, *pods: JSON) -> None:
        self.items = list(pods)

    def get(self, namespace: str, name: str) -> tuple[PodKey, JSON] | None:
        for pod in self.items:
            meta = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return PodKey(namespace, name, meta["uid"]), pod
        return None

    def list(self) -> list[JSON]:
        return self.items


def pod(name: str = "web", *containers: str, state: JSON | None = None) -> JSON:
    names = containers or ("main",)
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": one, "image": "busybox"} for one in names]},
        "status": {
            "containerStatuses": [
                {"name": one, "image": "busybox", "state": state or {"running": {}}, "lastState": {}}
                for one in names
            ]
        },
    }


class Reviews:
    """A `Reviewer` with a table. `down` makes every question fail; `asked` is what was asked."""

    def __init__(self) -> None:
        self.tokens: dict[str, Identity] = {}
        self.allow: Callable[[Identity, Attributes], bool] = lambda *_: True
        self.down: Exception | None = None
        self.asked: list[str] = []

    async def token_review(self, token: str) -> Identity | None:
        self.asked.append(f"token {token}")
        if self.down is not None:
            raise self.down
        return self.tokens.get(token)

    async def access_review(self, identity: Identity, attributes: Attributes) -> bool:
        self.asked.append(f"{identity.name} {attributes.verb} {attributes.subresource}")
        if self.down is not None:
            raise self.down
        return self.allow(identity, attributes)

    def fail(self) -> None:
        self.down = ReviewUnavailable("connection refused")


@asynccontextmanager
async def session(tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


@asynccontextmanager
async def spdy(
    port: int, path: str, tls: ssl.SSLContext, *protocols: str, token: str = ""
) -> AsyncIterator[tuple[SpdyClient, asyncio.StreamWriter, str]]:
    """POST with an upgrade; gives the client, its socket, and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    head = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
    head += [f"X-Stream-Protocol-Version: {name}" for name in protocols]
    head += [f"Authorization: Bearer {token}"] if token else []
    writer.write("\r\n".join([*head, "", ""]).encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        yield SpdyClient(send, lambda: reader.read(65536)), writer, answer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def until_running(provider: ProcessProvider, count: int) -> None:
    """Wait until so many requests are under way at the provider."""
    async with asyncio.timeout(20):
        while provider.running != count:
            provider.changed.clear()
            await provider.changed.wait()


async def until_idle(provider: ProcessProvider) -> None:
    """Wait until nothing that was asked of the provider is under way."""
    await until_running(provider, 0)
