"""The webhook's certificate and the CA that signs it: made together, renewed together.

The CA's key is thrown away with each pair: nothing that leaks can sign anything later. So that the API
server trusts replicas that serve the old pair and those that serve the new one, a bundle holds the CA before
as well.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

LIFE = datetime.timedelta(days=90)
RENEW_AFTER = 2 / 3
"""Of a certificate's life: the rest is for replicas that have not looked yet."""

_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Bundle:
    """PEM. `ca` are the authorities to trust: that of `certificate` first, then the one before."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)

    def data(self) -> dict[str, str]:
        """As a Secret's data."""
        named = {"ca.crt": self.ca, "tls.crt": self.certificate, "tls.key": self.key}
        return {name: base64.b64encode(value).decode() for name, value in named.items()}


def of_data(data: Mapping[str, str] | None) -> Bundle | None:
    """From a Secret's data; None where it is not whole."""
    try:
        ca, certificate, key = (
            base64.b64decode((data or {})[name], validate=True) for name in ("ca.crt", "tls.crt", "tls.key")
        )
    except (KeyError, ValueError):
        return None
    return Bundle(ca, certificate, key)


def usable(bundle: Bundle | None, names: tuple[str, ...], now: datetime.datetime) -> Bundle | None:
    """The bundle if it is good for all of these DNS names and not due for renewal, else None."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if bundle is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(bundle.certificate)
        authority = x509.load_pem_x509_certificates(bundle.ca)[0]
        key = load_pem_private_key(bundle.key, password=None)
        certificate.verify_directly_issued_by(authority)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:
        # cryptography raises what its parts raise; whatever cannot be read is made anew.
        return None
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    fresh = begins <= now < begins + (ends - begins) * RENEW_AFTER
    covered = set(names) <= set(found.get_values_for_type(x509.DNSName))
    return bundle if fresh and covered and key.public_key() == certificate.public_key() else None


def make(names: tuple[str, ...], now: datetime.datetime, before: Bundle | None = None) -> Bundle:
    """A new CA, and a certificate of it for these DNS names; both are good for LIFE from `now` (UTC).

    Of `before` the CA is kept, as long as it is good.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # The time tells one CA from the next: the API server looks authorities up by their names.
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"vnodectl webhook {int(now.timestamp())}")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])

    def builder(whose: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(whose)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + LIFE)
        )

    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=False,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    authority = (
        builder(issuer, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        builder(subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Bundle(
        authority.public_bytes(pem) + _still_good(before, now),
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _still_good(before: Bundle | None, now: datetime.datetime) -> bytes:
    """The newest CA of the bundle before, b"" where it has ended or cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        newest = x509.load_pem_x509_certificates(before.ca)[0] if before else None
    except ValueError:
        return b""
    if newest is None or newest.not_valid_after_utc <= now:
        return b""
    return newest.public_bytes(serialization.Encoding.PEM)
