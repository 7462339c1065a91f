"""What Azure answers when it says no, by what a caller does about it.

AzureError                1  ARM refused or failed the request
├── AzureUnauthorized     5  no credentials, or they no longer work (401, or the token endpoint's no)
├── AzureForbidden        1  known, but without the right (403)
├── AzureNotFound         1  404
├── AzureConflict         1  409: something is in the way now (an operation under way, a missing registration)
└── AzureThrottled        1  429
No answer at all is `vnodectl.errors.CloudUnreachable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from vnodectl.errors import EXIT_UNREACHABLE, CloudUnreachable, VnodectlError

Redact = Callable[[str], str]

_MAX_MESSAGE = 1500
_TOKEN = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){1,2}")
_NAMED = re.compile(
    r"(?i)\b(bearer\s+|(?:client_secret|client_assertion|access_token|refresh_token|password|"
    r"AccountKey|SharedAccessKey|sig)\"?\s*[=:]\s*\"?)([^\s\"'&;,]+)"
)


class AzureError(VnodectlError):
    """ARM said no. `status` is the HTTP code (0: an operation that failed later), `code` ARM's own.

    `retry_after` in seconds where the answer had it. The message is ARM's, with secrets removed.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if code and message else code or message, hint=hint)
        self.status = status
        self.code = code
        self.detail = message
        self.retry_after = retry_after


class AzureUnauthorized(AzureError):
    """There are no credentials, or Azure does not accept them (any more)."""

    exit_code = EXIT_UNREACHABLE


class AzureForbidden(AzureError):
    """The identity is known but may not do this."""


class AzureNotFound(AzureError):
    """There is no such subscription, resource group or resource."""


class AzureConflict(AzureError):
    """Something is in the way at the moment."""


class AzureThrottled(AzureError):
    """Too many requests; `retry_after` says when to come back."""


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` without the given values, bearer tokens, JWTs and named keys."""
    for secret in sorted((one for one in secrets if len(one) >= 4), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _TOKEN.sub("***", text)
    return _NAMED.sub(lambda match: f"{match[1]}***", text)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms`, `x-ms-retry-after-ms` or `Retry-After` (seconds or an HTTP date)."""
    lower = {key.lower(): value for key, value in headers.items()}
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if name in lower:
            try:
                return max(0.0, float(lower[name]) / 1000)
            except ValueError:
                continue
    value = lower.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(tz=UTC)).total_seconds())


def error_body(body: Any) -> tuple[str, str]:
    """(code, message) of ARM's `{"error": {"code", "message", "details"}}` or Entra's `{"error": "…"}`."""
    if not isinstance(body, dict):
        return "", ""
    inner = body.get("error", body)
    if isinstance(inner, str):
        return inner, str(body.get("error_description") or "")
    if not isinstance(inner, dict):
        return "", ""
    code, message = str(inner.get("code") or ""), str(inner.get("message") or "")
    for detail in inner.get("details") or ():
        if isinstance(detail, dict) and detail.get("message") and str(detail["message"]) not in message:
            message = f"{message} {detail.get('code') or ''}: {detail['message']}".strip()
    return code, message


def from_response(status: int, headers: Mapping[str, str], text: str, hide: Redact = redact) -> AzureError:
    """The error for an ARM answer of 400 or more."""
    try:
        code, message = error_body(json.loads(text)) if text else ("", "")
    except ValueError:
        # Gateways answer in HTML; its head says nothing to a user.
        code, message = "", "" if text.lstrip().startswith("<") else text
    message = hide(message)[:_MAX_MESSAGE] or f"Azure answered HTTP {status}"
    retry_after = parse_retry_after(headers)
    kinds: dict[int, type[AzureError]] = {
        401: AzureUnauthorized,
        403: AzureForbidden,
        404: AzureNotFound,
        409: AzureConflict,
        429: AzureThrottled,
    }
    return kinds.get(status, AzureError)(
        status, code, message, hint=_hint(status, code), retry_after=retry_after
    )


def _hint(status: int, code: str) -> str:
    if code == "MissingSubscriptionRegistration":
        return "register the provider: az provider register --namespace Microsoft.ContainerInstance --wait"
    if code == "SubscriptionNotFound":
        return "check AZURE_SUBSCRIPTION_ID and the tenant: az account list"
    if status == 401:
        return "log in again: az login, or renew the service principal's secret"
    if status == 403:
        return "give the identity the role it needs: az role assignment create …"
    return ""


@contextmanager
def azure_errors(hide: Redact = redact) -> Iterator[None]:
    """Around any call of an Azure SDK: raises `AzureError` or `CloudUnreachable` instead of the SDK's own."""
    from azure.core import exceptions as sdk

    try:
        yield
    except sdk.ClientAuthenticationError as error:
        raise _authentication(error, hide) from None
    except sdk.HttpResponseError as error:
        response: Any = error.response
        if response is None:
            raise AzureError(0, "", hide(str(error.message))[:_MAX_MESSAGE]) from None
        text = response.text()
        raise from_response(response.status_code or 0, response.headers, text, hide) from None
    except sdk.AzureError as error:
        raise unreachable(error, hide) from None


def unreachable(error: BaseException, hide: Redact = redact) -> CloudUnreachable:
    unsaid = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = hide(str(error)) or unsaid
    hint = "check the network, a proxy (HTTPS_PROXY) and VNODECTL_ARM_ENDPOINT"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "trust the endpoint's CA: VNODECTL_CA_BUNDLE=/path/to/ca.pem"
    return CloudUnreachable(f"Azure did not answer: {text[:300]}", hint=hint)


def _authentication(error: Any, hide: Redact) -> VnodectlError:
    """The token endpoint said no, ARM said 401, or no credential could be found at all."""
    status = getattr(error.response, "status_code", None) or 401
    text = hide(str(error.message or error)).strip()
    if status >= 500:
        return CloudUnreachable(
            f"Azure's token endpoint failed with HTTP {status}", hint="try again in a moment"
        )
    code = next(iter(re.findall(r"AADSTS\d+", text)), "") or str(
        getattr(getattr(error, "error", None), "code", "") or ""
    )
    # azure-identity lists every credential it tried, one per line; the first line names the cause.
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no credential was accepted")
    if code:
        first = first.replace(f"{code}: ", "", 1)
    # Trace ids and times differ at each try; without them the same cause is one event, not many.
    first = re.sub(r"\s*Trace ID:.*", "", first)
    return AzureUnauthorized(
        status,
        code or "AuthenticationFailed",
        first[:500],
        hint="log in with az login, or check AZURE_TENANT_ID, AZURE_CLIENT_ID and the client secret",
    )
