"""Signing and verifying JSON Web Tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vnodectl.emulator.jose import BadToken, SigningKey, key_of_pem, keys_of_jwks, parse, verify


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def test_a_token_survives_the_trip_and_no_change(key: SigningKey) -> None:
    token = key.sign({"sub": "me"})
    parsed = parse(token)
    assert parsed.claims == {"sub": "me"}
    verify(parsed, keys_of_jwks({"keys": [key.jwk()]})[key.kid])
    head, body, signature = token.split(".")
    other = key.sign({"sub": "you"}).split(".")[1]
    with pytest.raises(BadToken, match="signature"):
        verify(parse(f"{head}.{other}.{signature}"), key.public)
    assert body != other


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "!!.!!.!!", "W10.W10.W10"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(BadToken):
        parse(token)


def test_an_algorithm_that_does_not_fit_the_key_is_refused(key: SigningKey) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(BadToken, match="does not fit the key"):
        verify(parse(key.sign({})), elliptic)


def test_other_signatures_are_understood(key: SigningKey) -> None:
    import jwt

    elliptic = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    public = elliptic.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    verify(parse(jwt.encode({"sub": "me"}, elliptic, algorithm="ES256")), key_of_pem(public))
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for algorithm in ("RS256", "PS256"):
        verify(parse(jwt.encode({"sub": "me"}, private, algorithm=algorithm)), private.public_key())
    # ... and ours by others.
    assert jwt.decode(key.sign({"sub": "me"}), key.public, algorithms=["RS256"]) == {"sub": "me"}


@pytest.mark.parametrize("jwks", [{}, {"keys": [{"kty": "RSA"}]}, {"keys": 5}])
def test_broken_key_sets(jwks: dict[str, object]) -> None:
    with pytest.raises(BadToken):
        keys_of_jwks(jwks)


def test_a_key_is_kept_for_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "state" / "key.pem"
    first = SigningKey.load_or_make(file)
    assert SigningKey.load_or_make(file).kid == first.kid
    assert SigningKey.load_or_make(None).kid != first.kid
    assert file.stat().st_mode & 0o077 == 0
