"""Certificates of an application: assertions that a client signs itself, in place of a secret."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vnodectl.emulator import jose
from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import EntraError

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class AppCertificate:
    """`thumbprints` are SHA-256 and SHA-1, as in the headers `x5t#S256` and `x5t`; times in seconds."""

    name: str
    thumbprints: frozenset[str]
    begins: float
    ends: float
    key: jose.PublicKey


def certificates_of(principal: Principal) -> list[AppCertificate]:
    """Those that the seed names, as their files are now; one that cannot be read is left out."""
    from cryptography import x509

    found = []
    for file in principal.certificate_files:
        try:
            read = x509.load_pem_x509_certificate(Path(file).read_bytes())
        except (OSError, ValueError):
            continue
        found.append(_certificate(file, read))
    return [one for one in found if one is not None]


def _certificate(file: str, read: x509.Certificate) -> AppCertificate | None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = read.public_key()
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        return None
    # SHA-1 only finds the certificate; the signature is checked with its key.
    prints = (read.fingerprint(kind) for kind in (hashes.SHA256(), hashes.SHA1()))  # noqa: S303
    return AppCertificate(
        name=Path(file).name,
        thumbprints=frozenset(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in prints),
        begins=read.not_valid_before_utc.timestamp(),
        ends=read.not_valid_after_utc.timestamp(),
        key=key,
    )


def check_own_assertion(
    principal: Principal, token: jose.Token, now: float, audiences: Collection[str]
) -> None:
    """A token that `principal` has issued to itself. Raises EntraError with the service's AADSTS numbers.

    `now` is the real time, which the client's clock follows; `audiences` are the token endpoint's URLs.
    """
    claims = token.claims
    if str(claims.get("sub", "")).casefold() != principal.client_id.casefold():
        raise EntraError(
            401,
            "invalid_client",
            700021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        )
    if claims.get("aud") not in audiences:
        raise EntraError(
            401, "invalid_client", 700023, "Client assertion audience claim does not match Realm issuer."
        )
    wanted = {str(token.header.get(name, "")).rstrip("=") for name in ("x5t#S256", "x5t", "kid")}
    known = next((one for one in certificates_of(principal) if one.thumbprints & wanted), None)
    if known is None:
        raise _bad_signature(principal, "The key was not found.")
    expiry, start = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expiry, (int, float)) or expiry <= now or start > now + 300:
        raise EntraError(
            401,
            "invalid_client",
            700024,
            "Client assertion is not within its valid time range. Check its nbf and exp.",
        )
    if not known.begins <= now < known.ends:
        raise EntraError(
            401,
            "invalid_client",
            1000502,
            "The provided certificate is not within its specified validity period.",
        )
    try:
        jose.verify(token, known.key)
    except jose.BadToken as error:
        raise _bad_signature(principal, "The signature does not fit the key.") from error


def _bad_signature(principal: Principal, reason: str) -> EntraError:
    return EntraError(
        401,
        "invalid_client",
        700027,
        f"The certificate with identifier used to sign the client assertion is not registered on application "
        f"'{principal.client_id}'. [Reason - {reason}]",
    )
