"""STS 2015-04-01: who am I, and temporary credentials for a role."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any

from vnodectl.emulator.alibaba import oidc
from vnodectl.emulator.alibaba.calls import STS, Call, Handler, Operation
from vnodectl.emulator.alibaba.config import Role
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.identities import number_of
from vnodectl.emulator.alibaba.world import Session, World
from vnodectl.emulator.documents import JSON

_SESSION = re.compile(r"[A-Za-z0-9.@_-]{2,64}")
_SHORTEST = 900
KEPT = 10_000
"""So many of the latest sessions are known; a service account's token is renewed hourly."""


class Sts:
    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, **more: Any) -> Operation:
            return Operation(STS, name, handler, **more)

        return [
            operation("GetCallerIdentity", self.caller, open=True),
            operation("AssumeRole", self.assume, note="policies of a session are not looked at"),
            operation("AssumeRoleWithOIDC", self.assume_with_oidc, anonymous=True, note="for RRSA"),
        ]

    async def caller(self, call: Call) -> JSON:
        who = call.identity
        principal = f"{who.id}:{who.session}" if who.session else who.id
        body: JSON = {
            "AccountId": who.account,
            "Arn": who.arn,
            "IdentityType": who.kind,
            "PrincipalId": principal,
        }
        return body | ({"RoleId": who.id} if who.session else {"UserId": who.id})

    async def assume(self, call: Call) -> JSON:
        role = self._role(call.params.required("RoleArn"))
        session = self._session_name(call)
        if call.identity.kind == "Account":
            raise ApiError(403, "NoPermission", "Roles may not be assumed by root accounts.")
        if call.identity.account not in role.accounts:
            raise ApiError(
                403,
                "NoPermission",
                "You are not authorized to do this action. You should be authorized by RAM.",
            )
        return self._credentials(role, session, self._duration(call, role))

    async def assume_with_oidc(self, call: Call) -> JSON:
        params = call.params
        session = self._session_name(call)
        arn = params.required("OIDCProviderArn")
        provider = self._world.oidc_providers.get(arn.rpartition("/")[2])
        if provider is None or arn != self.provider_arn(provider.name):
            raise oidc.no_provider()
        role = self._role(params.required("RoleArn"))
        claims = oidc.verified_claims(provider, params.required("OIDCToken"), self._world.clock.wall())
        oidc.check_trust(role, provider, claims)
        token_info = {
            "Issuer": str(claims.get("iss", "")),
            "Subject": str(claims.get("sub", "")),
            "ClientIds": ",".join(oidc.audiences(claims)),
            "ExpirationTime": _stamp(float(claims.get("exp", 0))),
            "IssuanceTime": _stamp(float(claims.get("iat", 0))),
            "VerificationInfo": "Success",
        }
        return self._credentials(role, session, self._duration(call, role)) | {"OIDCTokenInfo": token_info}

    def provider_arn(self, name: str) -> str:
        return f"acs:ram::{self._world.account}:oidc-provider/{name}"

    def _role(self, arn: str) -> Role:
        name = arn.rpartition("/")[2]
        role = self._world.roles.get(name)
        if role is None or arn.casefold() != f"acs:ram::{self._world.account}:role/{name}".casefold():
            raise ApiError(404, "EntityNotExist.Role", f"The role not exists: {arn}.")
        return role

    def _session_name(self, call: Call) -> str:
        name = call.params.required("RoleSessionName")
        if not _SESSION.fullmatch(name):
            raise ApiError(
                400,
                "InvalidParameter.RoleSessionName",
                "The parameter RoleSessionName is wrongly formed.",
            )
        return name

    def _duration(self, call: Call, role: Role) -> float:
        duration = call.params.number("DurationSeconds", min(3600.0, role.max_session))
        if not _SHORTEST <= duration <= role.max_session:
            raise ApiError(
                400,
                "InvalidParameter.DurationSeconds",
                f"The Min/Max value of DurationSeconds is {_SHORTEST}/{role.max_session:.0f}.",
            )
        return duration

    def _credentials(self, role: Role, session: str, duration: float) -> JSON:
        made = Session(
            key_id=f"STS.{secrets.token_hex(12)}",
            secret=secrets.token_urlsafe(32),
            token=secrets.token_urlsafe(96),
            role=role.name,
            name=session,
            expires=self._world.clock.now() + duration,
        )
        sessions = self._world.sessions
        sessions[made.key_id] = made
        if len(sessions) > KEPT:
            del sessions[next(iter(sessions))]
        account = self._world.account
        return {
            "Credentials": {
                "AccessKeyId": made.key_id,
                "AccessKeySecret": made.secret,
                "SecurityToken": made.token,
                "Expiration": _stamp(made.expires),
            },
            "AssumedRoleUser": {
                "Arn": f"acs:ram::{account}:assumed-role/{role.name}/{session}",
                "AssumedRoleId": f"{number_of(account, 'role', role.name)}:{session}",
            },
        }


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
