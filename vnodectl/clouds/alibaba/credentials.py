"""From settings to keys: fixed, from a file that may change, or temporary ones that are renewed in time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vnodectl.clouds.alibaba.errors import AlibabaError, AlibabaUnauthorized, unreachable
from vnodectl.clouds.alibaba.settings import AlibabaSettings
from vnodectl.clouds.secret_file import SecretFile
from vnodectl.errors import CloudUnreachable, UsageError, VnodectlError

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_RENEW_BEFORE = 900.0
"""Temporary keys are renewed this many seconds before they end, as the vendor's SDKs do, or when a
quarter of their life is left, if that is later."""

_METADATA_TIMEOUT = 5.0
_METADATA_TOKEN_LIFE = "21600"  # noqa: S105 — seconds


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with. `expires_at` in seconds since the epoch; None: these keys do not end."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    expires_at: float | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no message may repeat."""
        return tuple(one for one in (self.access_key_secret, self.security_token) if one)


class KeySource(Protocol):
    async def keys(self) -> Keys:
        """The keys to use now. Raises `UsageError`, `AlibabaError` or `CloudUnreachable`."""

    def refused(self) -> None:
        """The service said that the last keys have ended."""


class FixedKeys:
    """Keys from the settings; the secret may come from a file, which is looked at before each use."""

    def __init__(self, settings: AlibabaSettings) -> None:
        self._settings = settings
        self._file = SecretFile(settings.secret_file, "access key secret") if settings.secret_file else None

    async def keys(self) -> Keys:
        secret = self._file.read() if self._file else self._settings.access_key_secret
        return Keys(self._settings.access_key_id, secret, self._settings.security_token)

    def refused(self) -> None:
        """Nothing to renew."""


class RenewedKeys:
    """Temporary keys, renewed once for all callers before they end; `renew` fetches new ones.

    While renewing fails, keys that still work stay in use.
    """

    def __init__(self, renew: Callable[[], Awaitable[Keys]], clock: Callable[[], float]) -> None:
        self._renew = renew
        self._clock = clock
        self._current: Keys | None = None
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def keys(self) -> Keys:
        async with self._lock:
            now = self._clock()
            current = self._current
            if current is not None and now < self._renew_at:
                return current
            try:
                fresh = await self._renew()
            except VnodectlError as error:
                if current is None or now >= (current.expires_at or now):
                    raise
                log.warning("renewing Alibaba Cloud's temporary keys failed: %s", error)
                return current
            self._current = fresh
            life = max(0.0, (fresh.expires_at or now) - now)
            self._renew_at = now + life - min(_RENEW_BEFORE, life / 4)
            return fresh

    def refused(self) -> None:
        self._current, self._renew_at = None, 0.0


AssumeRole = Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]
"""An unsigned `AssumeRoleWithOIDC` of STS with these parameters; its answer."""


def key_source(
    settings: AlibabaSettings,
    *,
    assume_role: AssumeRole,
    http: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> KeySource:
    """The source that `settings` ask for. Nothing is sent yet. Raises `UsageError` as `check` does."""
    check(settings)
    if settings.access_key_id:
        return FixedKeys(settings)
    if settings.oidc_token_file:
        return RenewedKeys(lambda: _from_oidc(settings, assume_role), clock)
    return RenewedKeys(lambda: _from_instance(settings, http), clock)


def check(settings: AlibabaSettings) -> None:
    """Raises `UsageError` for no identity, or half of one."""
    if not settings.has_identity:
        raise UsageError(
            "no Alibaba Cloud credentials are given",
            hint="set ALIBABA_CLOUD_ACCESS_KEY_ID and …_SECRET, or run: aliyun configure",
        )
    secret = bool(settings.access_key_secret or settings.secret_file)
    if bool(settings.access_key_id) != secret and not settings.oidc_token_file:
        missing = "an access key secret" if settings.access_key_id else "the access key's id"
        raise UsageError(f"{missing} is missing", hint="give both of the access key's id and secret")
    if not settings.access_key_id and settings.oidc_token_file:
        for name, value in (
            ("ALIBABA_CLOUD_ROLE_ARN", settings.role_arn),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", settings.oidc_provider_arn),
        ):
            if not value:
                raise UsageError(f"an OIDC token is given without {name}", hint="RRSA needs all three")


async def _from_oidc(settings: AlibabaSettings, assume_role: AssumeRole) -> Keys:
    """The RAM role that the pod's service account may assume (STS AssumeRoleWithOIDC)."""
    try:
        token = Path(settings.oidc_token_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"OIDC token file {settings.oidc_token_file}: {error.strerror}") from error
    answer = await assume_role(
        {
            "RoleArn": settings.role_arn,
            "OIDCProviderArn": settings.oidc_provider_arn,
            "OIDCToken": token,
            "RoleSessionName": settings.role_session_name,
            "DurationSeconds": "3600",
        }
    )
    return _parse(answer.get("Credentials"), "STS")


async def _from_instance(settings: AlibabaSettings, http: aiohttp.ClientSession) -> Keys:
    """The RAM role of the ECS instance, from its metadata service (the hardened mode, with a token)."""
    import aiohttp

    base = settings.metadata_endpoint
    timeout = aiohttp.ClientTimeout(total=_METADATA_TIMEOUT)
    try:
        ask = {"X-aliyun-ecs-metadata-token-ttl-seconds": _METADATA_TOKEN_LIFE}
        async with http.put(f"{base}/latest/api/token", headers=ask, timeout=timeout) as response:
            headers = {"X-aliyun-ecs-metadata-token": await response.text()} if response.status == 200 else {}
        url = f"{base}/latest/meta-data/ram/security-credentials/{settings.ecs_role}"
        async with http.get(url, headers=headers, timeout=timeout) as response:
            if response.status == 404:
                raise AlibabaUnauthorized(
                    404,
                    "NoInstanceRole",
                    f"this ECS instance has no RAM role {settings.ecs_role}",
                    hint="attach the role to the instance, or give an access key",
                )
            if response.status != 200:
                raise CloudUnreachable(f"the ECS metadata service answered HTTP {response.status}")
            body = json.loads(await response.text())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(error) from error
    except ValueError as error:
        raise CloudUnreachable("the ECS metadata service did not answer in JSON") from error
    return _parse(body, "the ECS metadata service")


def _parse(body: Any, who: str) -> Keys:
    try:
        return Keys(
            body["AccessKeyId"],
            body["AccessKeySecret"],
            body["SecurityToken"],
            datetime.fromisoformat(body["Expiration"]).timestamp(),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AlibabaError(0, "NoCredentials", f"{who} gave no usable credentials") from error
