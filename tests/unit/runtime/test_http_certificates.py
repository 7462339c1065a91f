"""Which certificate a node serves with, by its settings."""

from __future__ import annotations

import asyncio
import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.kubelet_api import Authority

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import KubeClient
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.runtime.http import csr
from vnodectl.runtime.http.certificates import CertificateMode, serving
from vnodectl.runtime.http.csr import ClusterCertificate
from vnodectl.runtime.http.serving import KeyPair, NoCertificate, self_signed

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


class Signer:
    """The part of a cluster that answers certificate requests: `answers` are given one per read."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.made: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.made.append(body)
        return {"metadata": {"name": f"request-{len(self.made)}"}}

    async def get(self, path: str) -> dict[str, Any]:
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return {"status": answer}


class Sleeps:
    """Time that passes at once, and is noted; after `limit` sleeps the sleeper is cancelled."""

    def __init__(self, limit: int) -> None:
        self.delays: list[float] = []
        self.limit = limit

    async def __call__(self, delay: float) -> None:
        self.delays.append(delay)
        if len(self.delays) >= self.limit:
            raise asyncio.CancelledError


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    made = Sleeps(12)
    monkeypatch.setattr(csr.asyncio, "sleep", made)
    return made


def served(mode: CertificateMode, files: tuple[Path, Path] | None = None) -> Any:
    return serving(mode, files, KubeClient.__new__(KubeClient), "vn", ("10.0.0.4",), clock=lambda: 0.0)


def names(pair: KeyPair) -> str:
    return x509.load_pem_x509_certificate(pair.certificate).subject.rfc4514_string()


def test_self_signed_asks_nobody():
    found = served(CertificateMode.SELF_SIGNED)
    assert found.renew is None
    assert names(found.source()).startswith("CN=vn@")


def test_auto_asks_and_serves_meanwhile():
    found = served(CertificateMode.AUTO)
    assert found.renew is not None
    assert names(found.source()).startswith("CN=vn@")


def test_csr_serves_nothing_meanwhile():
    found = served(CertificateMode.CSR)
    assert found.renew is not None
    with pytest.raises(NoCertificate):
        found.source()


def test_files_win_and_are_read_again(tmp_path: Path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(name: str) -> KeyPair:
        pair = self_signed(name, [], NOW)
        cert.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return pair

    first = put("one")
    found = served(CertificateMode.CSR, (cert, key))
    assert found.renew is None
    assert found.source() == first
    second = put("two")
    assert found.source() == second


async def test_one_request_is_watched_ever_less_often_and_none_is_added(sleeps: Sleeps):
    """A cluster where nobody approves anything must not fill up with requests."""
    signer = Signer(ClusterUnreachable("away"))
    source = ClusterCertificate(signer, "vn", (), lambda: KeyPair(b"own", b""), clock=lambda: 0.0)
    with pytest.raises(asyncio.CancelledError):
        await source.run()
    assert len(signer.made) == 1
    assert sleeps.delays == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60]
    assert source().certificate == b"own"


@pytest.mark.parametrize(("uid", "owners"), [("", None), ("u1", ["u1"])])
async def test_a_request_goes_with_its_node(sleeps: Sleeps, uid: str, owners: list[str] | None):
    signer = Signer()
    sleeps.limit = 1
    source = ClusterCertificate(
        signer, "vn", (), lambda: KeyPair(b"", b""), clock=lambda: 0.0, uid=lambda: uid
    )
    with pytest.raises(asyncio.CancelledError):
        await source.run()
    found = signer.made[0]["metadata"].get("ownerReferences")
    assert (found and [one["uid"] for one in found]) == owners


async def test_a_request_that_vanished_is_made_again_later(sleeps: Sleeps):
    signer = Signer({}, NotFound(404, "NotFound", "gone"))
    source = ClusterCertificate(signer, "vn", (), lambda: KeyPair(b"own", b""), clock=lambda: 0.0, again=7)
    with pytest.raises(asyncio.CancelledError):
        await source.run()
    assert len(signer.made) == 2
    assert sleeps.delays[:3] == [2, 7, 2]


async def test_a_certificate_is_renewed_at_about_80_percent_of_its_life(sleeps: Sleeps):
    chain = Authority("signer").issue("system:node:vn").certificate
    begins, ends = csr._validity(chain)
    signer = Signer({"certificate": base64.b64encode(chain).decode()})
    source = ClusterCertificate(signer, "vn", (), lambda: KeyPair(b"own", b""), clock=lambda: begins)
    sleeps.limit = 1
    with pytest.raises(asyncio.CancelledError):
        await source.run()
    assert 0.7 * (ends - begins) <= sleeps.delays[0] <= 0.9 * (ends - begins)
    assert source().certificate == chain


async def test_a_refusal_is_said_once_and_asked_again(sleeps: Sleeps, caplog: pytest.LogCaptureFixture):
    class Refusing(Signer):
        async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            self.made.append(body)
            raise Forbidden(403, "Forbidden", "not allowed")

    signer = Refusing()
    sleeps.limit = 3
    with pytest.raises(asyncio.CancelledError):
        await ClusterCertificate(signer, "vn", (), lambda: KeyPair(b"", b""), clock=lambda: 0.0).run()
    assert len(signer.made) == 3
    assert [one.levelname for one in caplog.records if "not allowed" in one.message] == ["WARNING"]
