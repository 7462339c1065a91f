"""JSON Web Tokens: the few lines of RFC 7515 to 7519 that an identity service needs, over `cryptography`."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

JSON = dict[str, Any]


class BadToken(Exception):
    """Not a JWT, of an algorithm that is not accepted, or its signature does not fit."""


@dataclass(frozen=True, slots=True)
class Token:
    header: JSON
    claims: JSON
    signed: bytes
    signature: bytes


class SigningKey:
    """An RSA key with the id under which its public half is published."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives import hashes, serialization

        self._key = key
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(der)
        self.kid = _encode(digest.finalize()[:20])

    @classmethod
    def load_or_make(cls, file: Path | None) -> SigningKey:
        """Kept in `file` (0600), so that tokens outlive a restart; only in memory without one."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        if file is not None and file.is_file():
            loaded = serialization.load_pem_private_key(file.read_bytes(), None)
            if isinstance(loaded, rsa.RSAPrivateKey):
                return cls(loaded)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return cls(key)

    @property
    def public(self) -> rsa.RSAPublicKey:
        return self._key.public_key()

    def jwk(self) -> JSON:
        numbers = self.public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": _encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": _encode(numbers.e.to_bytes(3, "big")),
        }

    def sign(self, claims: JSON) -> str:
        """RS256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        header = {"typ": "JWT", "alg": "RS256", "kid": self.kid, "x5t": self.kid}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"


def parse(token: str) -> Token:
    """Without looking at the signature. Raises BadToken."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(_decode(head)), json.loads(_decode(body))
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise BadToken("not a JWT")
        return Token(header, claims, f"{head}.{body}".encode(), _decode(signature))
    except (ValueError, binascii.Error) as error:
        raise BadToken("not a JWT") from error


def verify(token: Token, key: PublicKey) -> None:
    """Raises BadToken unless `key` has signed the token with RS256, PS256 or ES256."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

    algorithm = token.header.get("alg")
    sha = hashes.SHA256()
    try:
        if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(token.signature, token.signed, padding.PKCS1v15(), sha)
        elif algorithm == "PS256" and isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(mgf=padding.MGF1(sha), salt_length=padding.PSS.DIGEST_LENGTH)
            key.verify(token.signature, token.signed, pss, sha)
        elif algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            half = len(token.signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (token.signature[:half], token.signature[half:]))
            key.verify(utils.encode_dss_signature(r, s), token.signed, ec.ECDSA(sha))
        else:
            raise BadToken(f"algorithm {algorithm!r} does not fit the key")
    except InvalidSignature as error:
        raise BadToken("the signature does not fit") from error


def keys_of_jwks(jwks: JSON) -> dict[str, PublicKey]:
    """RSA and P-256 keys by their id. Raises BadToken for a set that cannot be read."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    keys: dict[str, PublicKey] = {}
    try:
        for jwk in jwks["keys"]:
            if jwk["kty"] == "RSA":
                keys[jwk.get("kid", "")] = rsa.RSAPublicNumbers(_int(jwk["e"]), _int(jwk["n"])).public_key()
            elif jwk["kty"] == "EC" and jwk["crv"] == "P-256":
                numbers = ec.EllipticCurvePublicNumbers(_int(jwk["x"]), _int(jwk["y"]), ec.SECP256R1())
                keys[jwk.get("kid", "")] = numbers.public_key()
    except (KeyError, TypeError, ValueError) as error:
        raise BadToken("the issuer's key set cannot be read") from error
    return keys


def key_of_pem(pem: bytes) -> PublicKey:
    """Raises BadToken unless it is an RSA or EC public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise BadToken("the issuer's public key cannot be read") from error
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise BadToken("the issuer's public key is neither RSA nor EC")
    return key


def issuer_keys(
    kid: str, *, jwks: JSON | None = None, jwks_file: str = "", public_key_file: str = ""
) -> list[PublicKey]:
    """What a seed knows of an issuer: the key of that id, or all of its keys where it has none of that id.

    Files are read now, so that an issuer may change its keys. Raises BadToken where they cannot be read.
    """
    try:
        if public_key_file:
            return [key_of_pem(Path(public_key_file).read_bytes())]
        if jwks_file:
            jwks = json.loads(Path(jwks_file).read_bytes())
    except (OSError, ValueError) as error:
        raise BadToken("the issuer's keys cannot be read") from error
    keys = keys_of_jwks(jwks or {"keys": []})
    return [keys[kid]] if kid in keys else list(keys.values())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _int(text: str) -> int:
    return int.from_bytes(_decode(text), "big")
