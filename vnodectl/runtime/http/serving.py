"""TLS of the kubelet's port: certificates and the client CA may change while it serves."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

_log = logging.getLogger(__name__)

SELF_SIGNED_LIFE = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM: a certificate with the intermediate ones behind it, and its private key."""

    certificate: bytes
    key: bytes = field(repr=False)


class NoCertificate(Exception):
    """There is none to serve with yet: handshakes fail until there is."""


CertificateSource = Callable[[], KeyPair]
"""What to serve with now. Called at each handshake, so it must be quick and keep what it made. May raise
NoCertificate."""

PemSource = Callable[[], bytes]
"""PEM certificates that are trusted now; b"" where there are none. Called at each handshake."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class SelfSigned:
    """A certificate of our own making, made anew after 80 % of its life.

    `addresses` are IP addresses or DNS names under which the node is reached.
    """

    def __init__(
        self, node: str, addresses: Sequence[str], now: Callable[[], datetime.datetime] = _now
    ) -> None:
        self._node = node
        self._addresses = tuple(addresses)
        self._now = now
        self._made: tuple[datetime.datetime, KeyPair] | None = None

    def __call__(self) -> KeyPair:
        now = self._now()
        if self._made is None or now >= self._made[0] + SELF_SIGNED_LIFE * 0.8:
            self._made = (now, self_signed(self._node, self._addresses, now))
        return self._made[1]


def self_signed(node: str, addresses: Sequence[str], now: datetime.datetime) -> KeyPair:
    """A server certificate for the node's name and addresses, good for a year from `now` (UTC)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    # As a kubelet names its own; the time makes two certificates of one node distinguishable.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{node}@{int(now.timestamp())}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + SELF_SIGNED_LIFE)
        .add_extension(x509.SubjectAlternativeName(general_names((node, *addresses))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def general_names(texts: Sequence[str]) -> list[x509.GeneralName]:
    """Names of a certificate: IP addresses as such, everything else as DNS names."""
    return [_general_name(text) for text in dict.fromkeys(texts)]


def _general_name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class FileKeyPair:
    """A certificate and key in files, read again when one of them has changed."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._read: tuple[tuple[tuple[int, int], ...], KeyPair] | None = None

    def __call__(self) -> KeyPair:
        stamp = tuple(_stamp(file) for file in self._files)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, KeyPair(*(file.read_bytes() for file in self._files)))
        return self._read[1]


class FilePem:
    """Trusted certificates in a file, read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: tuple[tuple[int, int], bytes] | None = None

    def __call__(self) -> bytes:
        stamp = _stamp(self._file)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, self._file.read_bytes())
        return self._read[1]


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_ino


def no_client_ca() -> bytes:
    """Client certificates are not asked for."""
    return b""


class ServingTls:
    """The server's TLS settings, renewed between two handshakes when their sources say something new.

    With a client CA, clients are asked for a certificate, but need none; one of another CA fails the
    handshake. While the sources fail, what they said last goes on.
    """

    def __init__(self, certificate: CertificateSource, client_ca: PemSource = no_client_ca) -> None:
        """Raises OSError (which ssl.SSLError is) or ValueError where the sources cannot be used even once."""
        self._certificate = certificate
        self._client_ca = client_ca
        self._pair: KeyPair | None = None
        with contextlib.suppress(NoCertificate):
            self._pair = certificate()
        self._ca = client_ca()
        self._latest = _context(self._pair, self._ca)
        self.listener = _context(self._pair, self._ca)
        """The context to listen with."""
        self.listener.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        """Gives the alert to end the handshake with, or None."""
        try:
            self._refresh()
        except NoCertificate:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        except (OSError, ValueError) as error:
            _log.warning("the new serving certificate or client CA cannot be used: %s", error)
        connection.context = self._latest
        return None

    def _refresh(self) -> None:
        pair, ca = self._certificate(), self._client_ca()
        if (pair, ca) == (self._pair, self._ca):
            return
        self._latest = _context(pair, ca)
        self._pair, self._ca = pair, ca
        # Unlike certificates and trust, a connection takes the mode from the context it began with, so
        # a first client CA counts from the next connection on.
        self.listener.verify_mode = self._latest.verify_mode


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    # Python's ssl reads certificates from files only; this one is in memory and has no name.
    descriptor = os.memfd_create("serving", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _context(pair: KeyPair | None, client_ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pair is not None:
        _load(context, pair)
    if client_ca.strip():
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
        # Every certificate given is trusted, roots or not, as the API server's own flag means it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
