"""Tokens of OIDC providers (RRSA) as proof of who somebody is."""

from __future__ import annotations

from typing import Any

from vnodectl.emulator import jose
from vnodectl.emulator.alibaba.config import OidcProvider, Role
from vnodectl.emulator.alibaba.errors import ApiError

JSON = dict[str, Any]


def verified_claims(provider: OidcProvider, token: str, now: float) -> JSON:
    """Raises ApiError 401. `now` is the real time: the issuer does not follow the emulated clock."""
    try:
        parsed = jose.parse(token)
    except jose.BadToken as error:
        raise _failure(
            "OIDCToken.Invalid", "The number of Jwt field should be divided into 3 parts with '.' ."
        ) from error
    claims = parsed.claims
    if str(claims.get("iss", "")).rstrip("/") != provider.issuer.rstrip("/"):
        raise _failure("OIDCToken.IssuerNotMatch", "Invalid issuer.")
    if not set(audiences(claims)) & set(provider.client_ids):
        raise _failure("OIDCToken.AudienceNotMatch", "Invalid audience.")
    if _number(claims.get("exp")) <= now:
        raise _failure("OIDCToken.Expired", "This JsonWebToken is expired.")
    try:
        keys = jose.issuer_keys(
            str(parsed.header.get("kid", "")),
            jwks=provider.jwks,
            jwks_file=provider.jwks_file,
            public_key_file=provider.public_key_file,
        )
    except jose.BadToken as error:
        raise _failure("OIDCToken.HttpsUrlInvalid", "The keys of the issuer cannot be read.") from error
    for key in keys:
        try:
            jose.verify(parsed, key)
            return claims
        except jose.BadToken:
            continue
    raise _failure("OIDCToken.InvalidSignature", "OIDC token validate failed: invalid signature.")


def check_trust(role: Role, provider: OidcProvider, claims: JSON) -> None:
    """Raises ApiError 401 unless the role may be assumed with such a token."""
    for trust in role.oidc:
        fits = trust.provider == provider.name and trust.subject == str(claims.get("sub", ""))
        if fits and trust.audience in ("", *audiences(claims)):
            return
    raise no_permission()


def audiences(claims: JSON) -> list[str]:
    audience = claims.get("aud", [])
    return [str(one) for one in audience] if isinstance(audience, list) else [str(audience)]


def no_permission() -> ApiError:
    return _failure("NoPermission", "There is no permission")


def no_provider() -> ApiError:
    return _failure("NoPermission", "No such OIDC Provider registered.")


def _failure(code: str, message: str) -> ApiError:
    return ApiError(401, f"AuthenticationFail.{code}", message)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
