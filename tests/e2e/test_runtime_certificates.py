"""Serving certificates by CertificateSigningRequest, signed by a real controller-manager."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_asyncio
from cryptography import x509

from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.runtime.http.csr import CERTIFICATE_SIGNING_REQUESTS, SIGNER, ClusterCertificate
from vnodectl.runtime.http.serving import KeyPair

pytestmark = pytest.mark.e2e

FALLBACK = KeyPair(b"self-signed", b"key")


@pytest_asyncio.fixture
async def client(control_plane) -> AsyncIterator[KubeClient]:
    async with await connect(control_plane.kubeconfig) as made:
        yield made


@asynccontextmanager
async def asking(client: KubeClient, node: str, *, again: float = 300.0) -> AsyncIterator[ClusterCertificate]:
    source = ClusterCertificate(
        client, node, ("10.1.2.3",), lambda: FALLBACK, clock=time.time, poll=0.05, again=again
    )
    task = asyncio.create_task(source.run(), name="certificate under test")
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for request in await requests(client, node):
            with suppress(NotFound):
                await client.delete(CERTIFICATE_SIGNING_REQUESTS.path(name=request["metadata"]["name"]))


async def requests(client: KubeClient, node: str) -> list[dict]:
    found, _ = await client.list(CERTIFICATE_SIGNING_REQUESTS.path())
    return [one for one in found if one["metadata"]["name"].startswith(f"{node}-")]


async def until(look):
    async with asyncio.timeout(30):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.05)


async def answer(client: KubeClient, request: dict, kind: str) -> None:
    path = CERTIFICATE_SIGNING_REQUESTS.path(name=request["metadata"]["name"], subresource="approval")
    condition = {"type": kind, "status": "True", "reason": "Test", "message": "says the test"}
    await client.replace(path, {**request, "status": {"conditions": [condition]}})


async def test_an_approved_request_is_served_and_until_then_the_fallback(client: KubeClient):
    node = f"vn-{uuid.uuid4().hex[:8]}"
    async with asking(client, node) as source:
        (request,) = await until(lambda: requests(client, node))
        assert request["spec"]["signerName"] == SIGNER
        assert source() is FALLBACK
        await answer(client, request, "Approved")

        async def served() -> bool:
            return source() is not FALLBACK

        await until(served)
        certificate = x509.load_pem_x509_certificates(source().certificate)[0]
        assert certificate.subject.rfc4514_string() == f"CN=system:node:{node},O=system:nodes"
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [node]
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]
        assert b"PRIVATE KEY" in source().key


async def test_a_denied_request_leaves_the_fallback_and_is_asked_again(client: KubeClient):
    node = f"vn-{uuid.uuid4().hex[:8]}"
    async with asking(client, node, again=0.1) as source:
        (first,) = await until(lambda: requests(client, node))
        await answer(client, first, "Denied")

        async def asked_again() -> bool:
            return len(await requests(client, node)) > 1

        await until(asked_again)
        assert source() is FALLBACK


async def test_a_certificate_that_ended_is_not_served(client: KubeClient):
    node = f"vn-{uuid.uuid4().hex[:8]}"
    now = [time.time()]
    source = ClusterCertificate(client, node, (), lambda: FALLBACK, clock=lambda: now[0], poll=0.05)
    task = asyncio.create_task(source.run(), name="certificate under test")
    try:
        (request,) = await until(lambda: requests(client, node))
        await answer(client, request, "Approved")

        async def served() -> bool:
            return source() is not FALLBACK

        await until(served)
        now[0] += 10 * 365 * 86400
        assert source() is FALLBACK
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_name_that_no_certificate_can_hold_is_said_and_not_sent(client: KubeClient, caplog):
    node = "vn-" + "x" * 57
    async with asking(client, node, again=0.05):

        async def said() -> bool:
            return "too long" in caplog.text

        await until(said)
        assert await requests(client, node) == []
