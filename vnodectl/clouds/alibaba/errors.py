"""What Alibaba Cloud answers when it says no, by what a caller does about it.

AlibabaError                1  the service refused or failed the request
├── AlibabaUnauthorized     5  no credentials, or they do not work (any more)
├── AlibabaForbidden        1  known, but without the right
├── AlibabaNotFound         1  there is no such thing
└── AlibabaThrottled        1  too many calls of this API
No answer at all is `vnodectl.errors.CloudUnreachable`:

NotConnected                5  nobody took the connection
NoAnswer                    5  the wait for a connection or an answer ran out

The kind follows from `Code`, as its HTTP status differs between products: a quota is 403 for one and 400
for another, throttling 400, 429 or 503.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vnodectl.errors import EXIT_UNREACHABLE, CloudUnreachable, VnodectlError

_MAX_MESSAGE = 1500
_NAMED = re.compile(
    r"(?i)\b((?:AccessKeySecret|SecurityToken|OIDCToken|Signature|Password|akSecret)\"?\s*[=:]\s*\"?)"
    r"([^\s\"'&;,]+)"
)
_UNAUTHORIZED = (
    "InvalidAccessKeyId",
    "InvalidSecurityToken",
    "InvalidCredentials",
    "MissingAccessKeyId",
    "MissingSecurityToken",
    "SecurityTokenExpired",
    "Forbidden.AccessKeyDisabled",
    "AuthenticationFail",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidSignature",
    "InvalidTimeStamp",
    "SignatureNonceUsed",
)
_EXPIRED = ("InvalidSecurityToken.Expired", "SecurityTokenExpired")
_FORBIDDEN = ("Forbidden", "NoPermission", "Unauthorized", "AccessDenied", "NotAuthorized", "StatusForbidden")
_THROTTLED = ("Throttling", "Degrade.Api", "FlowControl", "EipPurchaseFlowControl", "TooManyRequests")
_NOT_FOUND = ("NotFound", "NotExist", "NotExists", "NotFoundException")


class AlibabaError(VnodectlError):
    """The service said no. `status` is the HTTP code, `code` the service's own, e.g. `NoStock`.

    `retry_after` in seconds where the answer had it. The message is the service's, with secrets removed.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if code and message else code or message, hint=hint)
        self.status = status
        self.code = code
        self.detail = message
        self.request_id = request_id
        self.retry_after = retry_after


class AlibabaUnauthorized(AlibabaError):
    """There are no credentials, or Alibaba Cloud does not accept them (any more)."""

    exit_code = EXIT_UNREACHABLE

    @property
    def expired(self) -> bool:
        """Whether a temporary token has ended its life."""
        return self.code.startswith(_EXPIRED)


class AlibabaForbidden(AlibabaError):
    """The identity is known but may not do this."""


class AlibabaNotFound(AlibabaError):
    """There is no such region, cluster, vSwitch, security group, container group …"""


class AlibabaThrottled(AlibabaError):
    """Too many calls; `retry_after` says when to come back, where the service did."""


class NotConnected(CloudUnreachable):
    """Nobody took the connection: refused, no such host, a certificate that is not trusted."""


class NoAnswer(CloudUnreachable):
    """The wait for a connection or an answer ran out."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given values and named keys."""
    for secret in sorted((one for one in secrets if len(one) >= 4), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _NAMED.sub(lambda match: f"{match[1]}***", text)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `x-acs-retry-after` (milliseconds, as the vendor's SDK reads it) or `Retry-After`."""
    lower = {key.lower(): value for key, value in headers.items()}
    for name, unit in (("x-acs-retry-after", 0.001), ("retry-after", 1.0)):
        try:
            found = float(lower[name]) * unit
        except (KeyError, ValueError):
            continue
        if found > 0:
            return found
    return None


def from_response(
    status: int, headers: Mapping[str, str], text: str, secrets: Iterable[str] = ()
) -> AlibabaError:
    """The error for an answer of 400 or more: `{"Code", "Message", "RequestId", "HostId", "Recommend"}`."""
    code, message, request_id = _body(text)
    message = redact(message, secrets)[:_MAX_MESSAGE]
    if "Signature" in code:
        # The service repeats what it signed, which is every parameter: environment, files, passwords.
        message = "the signature is wrong"
    kind = _kind(status, code)
    return kind(
        status,
        code,
        message or f"Alibaba Cloud answered HTTP {status}",
        hint=_hint(kind, code),
        request_id=request_id,
        retry_after=parse_retry_after(headers),
    )


def _body(text: str) -> tuple[str, str, str]:
    try:
        body: Any = json.loads(text) if text else {}
    except ValueError:
        # Gateways answer in HTML; its head says nothing to a user.
        return "", "" if text.lstrip().startswith("<") else text, ""
    if not isinstance(body, dict):
        return "", "", ""
    lower = {str(key).lower(): value for key, value in body.items()}

    def named(key: str) -> str:
        return str(lower.get(key) or "")

    return named("code"), named("message"), named("requestid")


def _kind(status: int, code: str) -> type[AlibabaError]:
    if code.startswith(_THROTTLED) or status == 429:
        return AlibabaThrottled
    if code.startswith(_UNAUTHORIZED) or status == 401:
        return AlibabaUnauthorized
    if code.startswith(_FORBIDDEN) or (status == 403 and not code):
        return AlibabaForbidden
    if code.endswith(_NOT_FOUND) or status == 404:
        return AlibabaNotFound
    return AlibabaError


def _hint(kind: type[AlibabaError], code: str) -> str:
    if kind is AlibabaUnauthorized:
        if code.startswith("InvalidTimeStamp"):
            return "check this machine's clock"
        return "check ALIBABA_CLOUD_ACCESS_KEY_ID and its secret, or renew the temporary token"
    if kind is AlibabaForbidden:
        return "give the RAM user or role the right it needs, e.g. the policy AliyunECIFullAccess"
    if code.startswith("Account.Arrearage"):
        return "settle the account's outstanding payment"
    return ""


def unreachable(error: BaseException, secrets: Iterable[str] = ()) -> CloudUnreachable:
    """For what aiohttp raises where no whole answer came."""
    from aiohttp import ClientConnectorError

    unsaid = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = redact(str(error), secrets) or unsaid
    hint = "check the network, a proxy (HTTPS_PROXY) and VNODECTL_ALIBABA_ENDPOINT"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "trust the endpoint's CA: VNODECTL_CA_BUNDLE=/path/to/ca.pem"
    kind = CloudUnreachable
    if isinstance(error, TimeoutError):
        kind = NoAnswer
    elif isinstance(error, ClientConnectorError):
        kind = NotConnected
    return kind(f"Alibaba Cloud did not answer: {text[:300]}", hint=hint)
