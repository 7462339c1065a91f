"""Whether a request is who it says it is, and fresh: keys, STS tokens, time and nonce."""

from __future__ import annotations

from collections import OrderedDict

from vnodectl.emulator.alibaba.errors import ApiError, gateway_error
from vnodectl.emulator.alibaba.identities import ROOT, Identity, number_of
from vnodectl.emulator.alibaba.signatures import Signed, mismatch
from vnodectl.emulator.alibaba.world import Session, World

SKEW = 900.0
"""Seconds that a request's time may be away from the real time."""


class Access:
    def __init__(self, world: World) -> None:
        self._world = world
        self._nonces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def clear(self) -> None:
        self._nonces.clear()

    def authenticate(self, signed: Signed) -> Identity:
        """Raises ApiError of the gateway."""
        now = self._world.clock.wall()
        if abs(now - signed.time) > SKEW:
            raise gateway_error(
                400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."
            )
        session = self._world.sessions.get(signed.key_id)
        secret, identity = self._session(session, signed) if session else self._key(signed)
        if not signed.made_with(secret):
            raise mismatch()
        self._use(signed, now)
        return identity

    def _key(self, signed: Signed) -> tuple[str, Identity]:
        key = self._world.access_keys.get(signed.key_id)
        if key is None:
            raise gateway_error(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if not key.active:
            raise gateway_error(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        if signed.token:
            raise gateway_error(
                400,
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            )
        account = self._world.account
        if not key.user:
            return key.secret, Identity(account, "Account", id=account, key_id=key.id, policies=ROOT)
        user = self._world.users.get(key.user)
        return key.secret, Identity(
            account,
            "RAMUser",
            key.user,
            number_of(account, "user", key.user),
            key_id=key.id,
            policies=user.policies if user else (),
        )

    def _session(self, session: Session, signed: Signed) -> tuple[str, Identity]:
        if not signed.token:
            raise gateway_error(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
        if signed.token != session.token:
            raise gateway_error(
                400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."
            )
        if self._world.clock.now() >= session.expires:
            raise gateway_error(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
        role = self._world.roles.get(session.role)
        account = self._world.account
        return session.secret, Identity(
            account,
            "AssumedRoleUser",
            session.role,
            number_of(account, "role", session.role),
            session.name,
            session.key_id,
            role.policies if role else (),
        )

    def _use(self, signed: Signed, now: float) -> None:
        if not signed.nonce:
            raise gateway_error(400, "MissingSignatureNonce", "SignatureNonce is mandatory for this action.")
        while self._nonces and next(iter(self._nonces.values())) < now - 2 * SKEW:
            self._nonces.popitem(last=False)
        key = (signed.key_id, signed.nonce)
        if key in self._nonces:
            raise gateway_error(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[key] = now


def forbidden() -> ApiError:
    return ApiError(
        403,
        "Forbidden.RAM",
        "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
    )
