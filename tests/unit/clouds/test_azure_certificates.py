"""A service principal with a certificate, through azure-identity to a token endpoint over a socket."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from support.fake_arm import FakeArm, fake_arm

from vnodectl.clouds.azure import AzureSession
from vnodectl.errors import UsageError


def _certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "principal")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, made


def _pem(made: tuple[rsa.RSAPrivateKey, x509.Certificate]) -> bytes:
    key, certificate = made
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


async def _empty(_: web.Request) -> web.StreamResponse:
    return web.json_response({"value": []})


def _thumbprints(arm: FakeArm) -> list[object]:
    """What the assertions say about the certificate they are signed with."""
    found = []
    for form in arm.tokens:
        head = form["client_assertion"].partition(".")[0]
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        found.append(header.get("x5t#S256") or header.get("x5t"))
    return found


async def test_a_certificate_and_its_rotation(tmp_path: Path) -> None:
    file = tmp_path / "principal.pem"
    file.write_bytes(_pem(_certificate()))
    async with fake_arm(tmp_path, _empty) as arm:
        settings = arm.settings(client_secret="", client_certificate_file=str(file))
        async with AzureSession(settings) as session:
            await session.arm("GET", "/subscriptions/s/x", "1")
            await session.arm("GET", "/subscriptions/s/x", "1")
            assert len(arm.tokens) == 1, "the token is kept"
            file.write_bytes(_pem(_certificate()))
            await session.token("https://other.example/.default")
        first, second = _thumbprints(arm)
        assert first != second


async def test_a_pkcs12_file_with_a_password(tmp_path: Path) -> None:
    key, certificate = _certificate()
    file = tmp_path / "principal.pfx"
    encryption = serialization.BestAvailableEncryption(b"planted-password")
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, encryption))
    async with fake_arm(tmp_path, _empty) as arm:
        settings = arm.settings(
            client_secret="",
            client_certificate_file=str(file),
            client_certificate_password="planted-password",
        )
        assert "planted" not in repr(settings)
        async with AzureSession(settings) as session:
            await session.arm("GET", "/subscriptions/s/x", "1")
        assert len(arm.tokens) == 1


async def test_a_file_that_is_no_certificate_is_named_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "principal.pem"
    file.write_text("planted-nonsense")
    async with fake_arm(tmp_path, _empty) as arm:
        settings = arm.settings(client_secret="", client_certificate_file=str(file))
        async with AzureSession(settings) as session:
            with pytest.raises(UsageError, match=r"principal\.pem") as caught:
                await session.arm("GET", "/subscriptions/s/x", "1")
    assert "planted" not in str(caught.value)
