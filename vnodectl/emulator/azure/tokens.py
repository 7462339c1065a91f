"""Access tokens: issued by the emulated Entra ID, verified by the emulated ARM."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from vnodectl.emulator import jose
from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import ArmError
from vnodectl.emulator.azure.world import World

PUBLIC_ARM = (
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
    "https://management.core.usgovcloudapi.net/",
    "https://management.core.usgovcloudapi.net",
    "https://management.usgovcloudapi.net",
    "https://management.core.chinacloudapi.cn/",
    "https://management.core.chinacloudapi.cn",
    "https://management.chinacloudapi.cn",
)
"""What the ARMs of Microsoft's clouds accept as audience; the emulator's own endpoint is accepted as well."""


@dataclass(frozen=True, slots=True)
class Issued:
    """`expires` in seconds since the epoch."""

    token: str
    expires: float


class Tokens:
    """Signs and verifies version 1.0 tokens, as ARM gets them."""

    def __init__(self, key: jose.SigningKey, world: World) -> None:
        self.key = key
        self._world = world

    @property
    def tenant(self) -> str:
        return self._world.tenant

    @property
    def issuer(self) -> str:
        return f"https://sts.windows.net/{self.tenant}/"

    def issue(self, principal: Principal, audience: str) -> Issued:
        now = self._world.clock.now()
        expires = now + self._world.timings.token_lifetime
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(expires),
            "appid": principal.client_id,
            "appidacr": "2" if principal.federated or principal.managed else "1",
            "idp": self.issuer,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self.tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        return Issued(self.key.sign(claims), expires)

    def verify(self, authorization: str, audiences: tuple[str, ...], authority: str) -> jose.JSON:
        """The claims of a good `Authorization` header. Raises ArmError 401 in ARM's words."""
        challenge = {
            "WWW-Authenticate": f'Bearer authorization_uri="{authority}/{self.tenant}", '
            'error="invalid_token", error_description="The access token is missing or invalid."'
        }

        def refuse(code: str, message: str) -> ArmError:
            return ArmError(401, code, message, headers=challenge)

        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise refuse(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        if scheme.casefold() != "bearer" or not token:
            raise refuse(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            )
        try:
            parsed = jose.parse(token.strip())
            jose.verify(parsed, self.key.public)
        except jose.BadToken as error:
            raise refuse("InvalidAuthenticationToken", "The access token is invalid.") from error
        claims, now = parsed.claims, self._world.clock.now()
        if claims.get("exp", 0) <= now:
            raise refuse(
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time '{_arm_time(claims.get('exp', 0))}' is earlier than "
                f"current UTC time '{_arm_time(now)}'.",
            )
        if claims.get("aud") not in audiences:
            raise refuse(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource "
                f"'{claims.get('aud')}'. It should exactly match with one of the allowed audiences "
                f"{','.join(repr(audience) for audience in audiences)}.",
            )
        if claims.get("iss") != self.issuer:
            raise refuse(
                "InvalidAuthenticationTokenTenant",
                f"The access token is from the wrong issuer '{claims.get('iss')}'. It must match the tenant "
                f"'{self.issuer}' associated with this subscription.",
            )
        return claims


def _arm_time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%m/%d/%Y %I:%M:%S %p")
