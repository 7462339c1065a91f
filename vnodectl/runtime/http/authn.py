"""Authentication: a client certificate, else a bearer token."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Generic, TypeVar

from vnodectl.runtime.http.identity import Identity, Reviewer

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TOKEN_TTL: Final = 120.0
"""Seconds for which a token is known (kubelet: authentication.webhook.cacheTTL)."""
BAD_TOKEN_TTL: Final = 10.0
"""Shorter, as a token may become good: its ServiceAccount was made just now."""
CACHE_SIZE: Final = 4096


class Cache(Generic[K, V]):
    """Values that live for a time, at most `size` of them; `clock` in seconds, never going back."""

    def __init__(self, clock: Callable[[], float], size: int = CACHE_SIZE) -> None:
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> tuple[V] | None:
        """The value in a tuple, as a value may be None; None where there is none or it is too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        until, value = entry
        if self._clock() >= until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return (value,)

    def put(self, key: K, value: V, ttl: float) -> None:
        self._entries[key] = (self._clock() + ttl, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


class Authenticator:
    """Says who sent a request."""

    def __init__(self, reviewer: Reviewer, clock: Callable[[], float]) -> None:
        self._reviewer = reviewer
        self._tokens: Cache[bytes, Identity | None] = Cache(clock)

    async def identify(
        self, certificate: Mapping[str, Any] | None, authorization: str | None
    ) -> Identity | None:
        """None for a request with no credentials, or wrong ones.

        `certificate` is what `ssl` says of a verified client certificate, `authorization` the header.
        Raises what the reviewer raises.
        """
        if certificate:
            return from_certificate(certificate)
        token = bearer_token(authorization)
        return await self._by_token(token) if token else None

    async def _by_token(self, token: str) -> Identity | None:
        # The cache must not be a list of valid tokens.
        key = hashlib.sha256(token.encode()).digest()
        known = self._tokens.get(key)
        if known is not None:
            return known[0]
        identity = await self._reviewer.token_review(token)
        self._tokens.put(key, identity, BAD_TOKEN_TTL if identity is None else TOKEN_TTL)
        return identity


def from_certificate(certificate: Mapping[str, Any]) -> Identity | None:
    """The subject: CN is the user, each O a group. None without a CN."""
    subject = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    names = [value for key, value in subject if key == "commonName"]
    if not names:
        return None
    groups = tuple(value for key, value in subject if key == "organizationName")
    return Identity(names[-1], (*groups, "system:authenticated"))


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header, or ""."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
