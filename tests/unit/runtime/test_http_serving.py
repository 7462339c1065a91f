"""TLS of the kubelet's port: whom it shows itself as, whom it trusts, and how both change."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from support.kubelet_api import Authority, client_tls

from vnodectl.runtime.http.serving import (
    SELF_SIGNED_LIFE,
    FileKeyPair,
    FilePem,
    KeyPair,
    NoCertificate,
    SelfSigned,
    ServingTls,
    self_signed,
)

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[x509.Certificate, ssl.SSLObject]:
    """Both ends in memory; the certificate that the client saw and the server's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            break
    assert not waiting
    der = ends[0].getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der), ends[1]


def test_a_self_signed_certificate_names_the_node(tmp_path: Path) -> None:
    pair = self_signed("node-1", ["10.0.0.4", "fd00::1", "node-1"], NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["node-1", "10.0.0.4", "fd00::1"]
    assert certificate.not_valid_after_utc - NOW == SELF_SIGNED_LIFE
    assert b"PRIVATE" not in repr(pair).encode()


def test_a_self_signed_certificate_is_renewed_before_its_end() -> None:
    now = NOW
    source = SelfSigned("node-1", [], lambda: now)
    first = source()
    now = NOW + SELF_SIGNED_LIFE * 0.79
    assert source() is first
    now = NOW + SELF_SIGNED_LIFE * 0.8
    assert source() != first


def test_a_new_certificate_is_served_to_the_next_client(tmp_path: Path) -> None:
    authority = Authority()
    pairs = [authority.issue("one"), authority.issue("two")]
    tls = ServingTls(lambda: pairs[0])
    subjects = []
    for _ in range(2):
        certificate, _ = handshake(tls.listener, client_tls(tmp_path))
        subjects.append(certificate.subject.rfc4514_string())
        pairs.pop(0) if len(pairs) > 1 else None
    assert subjects == ["CN=one", "CN=two"]


def test_broken_files_leave_the_old_certificate_in_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority()
    one, two = authority.issue("one"), authority.issue("two")
    current = one
    tls = ServingTls(lambda: current)
    current = KeyPair(one.certificate, two.key)
    certificate, _ = handshake(tls.listener, client_tls(tmp_path))
    assert certificate.subject.rfc4514_string() == "CN=one"
    assert "cannot be used" in caplog.text
    current = two
    certificate, _ = handshake(tls.listener, client_tls(tmp_path))
    assert certificate.subject.rfc4514_string() == "CN=two"


def test_a_client_certificate_is_asked_for_and_not_needed(tmp_path: Path) -> None:
    authority = Authority()
    tls = ServingTls(lambda: authority.issue("server"), lambda: authority.pem)
    _, server = handshake(tls.listener, client_tls(tmp_path))
    assert not server.getpeercert()
    _, server = handshake(tls.listener, client_tls(tmp_path, authority.issue("alice", "dev")))
    subject = (server.getpeercert() or {})["subject"]
    assert subject == ((("organizationName", "dev"),), (("commonName", "alice"),))


def test_a_client_of_another_authority_is_refused(tmp_path: Path) -> None:
    tls = ServingTls(lambda: Authority().issue("server"), lambda: Authority("trusted").pem)
    with pytest.raises(ssl.SSLError):
        handshake(tls.listener, client_tls(tmp_path, Authority("other").issue("mallory")))


def test_without_a_client_ca_no_certificate_is_looked_at(tmp_path: Path) -> None:
    tls = ServingTls(lambda: Authority().issue("server"))
    _, server = handshake(tls.listener, client_tls(tmp_path, Authority().issue("alice")))
    assert not server.getpeercert()


def test_a_new_client_ca_replaces_the_old_one(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")
    pair = old.issue("server")
    trusted = old.pem
    tls = ServingTls(lambda: pair, lambda: trusted)
    handshake(tls.listener, client_tls(tmp_path, old.issue("alice")))
    trusted = new.pem
    with pytest.raises(ssl.SSLError):
        handshake(tls.listener, client_tls(tmp_path, old.issue("alice")))
    _, server = handshake(tls.listener, client_tls(tmp_path, new.issue("bob")))
    assert server.getpeercert()


def test_a_client_ca_may_come_later(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.issue("server")
    trusted = b""
    tls = ServingTls(lambda: pair, lambda: trusted)
    trusted = authority.pem
    handshake(tls.listener, client_tls(tmp_path))
    _, server = handshake(tls.listener, client_tls(tmp_path, authority.issue("alice")))
    assert server.getpeercert()


def test_sources_that_never_worked_are_an_error() -> None:
    with pytest.raises(ssl.SSLError):
        ServingTls(lambda: KeyPair(b"nothing", b"at all"))
    with pytest.raises(ssl.SSLError):
        ServingTls(lambda: Authority().issue("server"), lambda: b"not PEM")


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(b"c1")
    key.write_bytes(b"k1")
    source, pem = FileKeyPair(certificate, key), FilePem(certificate)
    assert (source(), pem()) == (KeyPair(b"c1", b"k1"), b"c1")
    assert source() is source()
    certificate.write_bytes(b"c2")
    os.utime(certificate, ns=(1, 1))
    assert (source(), pem()) == (KeyPair(b"c2", b"k1"), b"c2")


def test_no_key_is_left_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = len(list(Path("/proc/self/fd").iterdir()))
    ServingTls(lambda: Authority().issue("server"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(tmp_path.iterdir()) == []


def test_without_a_certificate_no_handshake_succeeds_until_there_is_one(tmp_path: Path) -> None:
    there: list[KeyPair] = []

    def source() -> KeyPair:
        if not there:
            raise NoCertificate
        return there[0]

    tls = ServingTls(source)
    with pytest.raises(ssl.SSLError):
        handshake(tls.listener, client_tls(tmp_path))
    there.append(self_signed("node-1", [], NOW))
    certificate, _ = handshake(tls.listener, client_tls(tmp_path))
    assert certificate == x509.load_pem_x509_certificate(there[0].certificate)
