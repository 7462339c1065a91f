"""Tokens of other issuers (workload identity) as proof of who somebody is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnodectl.emulator import jose
from vnodectl.emulator.azure.config import FederatedCredential, Keys, Principal
from vnodectl.emulator.azure.errors import EntraError


def parse_assertion(assertion: str) -> jose.Token:
    """Raises EntraError for what is no JWT."""
    try:
        return jose.parse(assertion)
    except jose.BadToken as error:
        raise EntraError(401, "invalid_client", 50027, "JWT token is invalid or malformed.") from error


def check_assertion(
    principal: Principal, token: jose.Token, now: float, issuers: Mapping[str, Keys] | None = None
) -> None:
    """Raises EntraError unless one of the principal's federated credentials covers the token.

    `now` is the real time: the token's issuer does not follow the emulated clock. `issuers` are keys by
    issuer, for credentials that bring none of their own.
    """
    claims = token.claims
    credential = _matching(principal, claims)
    expiry, start = _number(claims.get("exp")), _number(claims.get("nbf"))
    if expiry <= now or start > now + 300:
        raise EntraError(
            401,
            "invalid_client",
            700024,
            "Client assertion is not within its valid time range. Check its nbf and exp.",
        )
    where = credential.keys or (issuers or {}).get(credential.issuer.rstrip("/")) or Keys()
    for key in _keys(where, credential.issuer, str(token.header.get("kid", ""))):
        try:
            jose.verify(token, key)
            return
        except jose.BadToken:
            continue
    raise EntraError(
        401,
        "invalid_client",
        5000811,
        "Unable to verify token signature. The signing key identifier does not match any valid registered "
        "keys.",
    )


def _matching(principal: Principal, claims: jose.JSON) -> FederatedCredential:
    issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
    audience = claims.get("aud", "")
    audiences = audience if isinstance(audience, list) else [audience]
    found = [one for one in principal.federated if one.issuer.rstrip("/") == issuer.rstrip("/")]
    if not found:
        raise _no_match(700211, "issuer", issuer)
    found = [one for one in found if one.subject == subject]
    if not found:
        raise _no_match(700213, "subject", subject)
    found = [one for one in found if set(one.audiences) & set(audiences)]
    if not found:
        raise _no_match(700212, "audience", ",".join(map(str, audiences)))
    return found[0]


def _no_match(number: int, part: str, value: str) -> EntraError:
    return EntraError(
        401,
        "invalid_client",
        number,
        f"No matching federated identity record found for presented assertion {part} '{value}'. Check your "
        "federated identity credential Subject, Audience and Issuer against the presented assertion.",
    )


def _keys(where: Keys, issuer: str, kid: str) -> list[jose.PublicKey]:
    try:
        return jose.issuer_keys(
            kid, jwks=where.jwks, jwks_file=where.jwks_file, public_key_file=where.public_key_file
        )
    except jose.BadToken as error:
        raise EntraError(
            400, "invalid_request", 50166, f"The key set of the issuer '{issuer}' cannot be read."
        ) from error


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
