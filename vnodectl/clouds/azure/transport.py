"""The HTTP side of every Azure call: its transport, its policies, its meter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl import __version__
from vnodectl.clouds.azure.errors import parse_retry_after

if TYPE_CHECKING:
    import aiohttp
    from azure.core.credentials_async import AsyncTokenCredential

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
_RETRIES = 3
CONNECT_AGAIN = {"retry_connect": 1}
"""Where nobody listens, one more try is enough: whoever asks has a patience of their own, and the SDK's would
be multiplied by it."""
CONNECT_ONCE = {"retry_connect": 0}
"""For tokens: the call that needs one is tried again itself."""
_MAX_BACKOFF = 30.0


@dataclass(slots=True)
class CallMeter:
    """What was spent. `remaining_*` are ARM's `x-ms-ratelimit-remaining-subscription-*` headers, last seen.

    They are -1 until an answer carried them. Every attempt on the wire counts, retries included.
    """

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    throttled: int = 0
    remaining_reads: int = -1
    remaining_writes: int = -1

    def record(self, method: str, status: int, headers: Any) -> None:
        if method in {"GET", "HEAD"}:
            self.reads += 1
        elif method == "DELETE":
            self.deletes += 1
        else:
            self.writes += 1
        if status == 429:
            self.throttled += 1
        reads = headers.get("x-ms-ratelimit-remaining-subscription-reads", "")
        writes = headers.get("x-ms-ratelimit-remaining-subscription-writes", "")
        if reads.isdigit():
            self.remaining_reads = int(reads)
        if writes.isdigit():
            self.remaining_writes = int(writes)


def transport(session: aiohttp.ClientSession) -> Any:
    """A transport of azure-core that leaves the pool open when a client closes."""
    from azure.core.pipeline.transport import AioHttpTransport

    return AioHttpTransport(
        session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
    )


def policies(credential: AsyncTokenCredential, scope: str, meter: CallMeter) -> list[Any]:
    """A fresh list of pipeline policies for one client.

    The SDK's default list also registers resource providers unasked when ARM says one is missing; a
    subscription is only changed here when the user said so, so that policy is left out, and so is the
    one that can log request bodies. A `Retry-After` longer than half a minute is left to the caller.
    """
    from azure.core.exceptions import ServiceRequestTimeoutError, ServiceResponseTimeoutError
    from azure.core.pipeline import policies as core
    from azure.mgmt.core.policies import ARMHttpLoggingPolicy, AsyncARMChallengeAuthenticationPolicy

    class Retrying(core.AsyncRetryPolicy[Any, Any]):
        def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
            wait = parse_retry_after(response.http_response.headers) or 0.0
            return wait <= _MAX_BACKOFF and bool(super().is_retry(settings, response))

        def increment(
            self, settings: dict[str, Any], response: Any = None, error: Exception | None = None
        ) -> bool:
            # A whole wait for a connection or an answer ran out: that was patience enough.
            ran_out = isinstance(error, (ServiceRequestTimeoutError, ServiceResponseTimeoutError))
            return not ran_out and bool(super().increment(settings, response, error))

    class Metering(core.SansIOHTTPPolicy[Any, Any]):
        def on_response(self, request: Any, response: Any) -> None:
            meter.record(
                request.http_request.method,
                response.http_response.status_code,
                response.http_response.headers,
            )

    return [
        core.RequestIdPolicy(),
        core.HeadersPolicy(),
        core.UserAgentPolicy(base_user_agent=f"vnodectl/{__version__}"),
        core.ProxyPolicy(),
        core.ContentDecodePolicy(),
        Retrying(retry_total=_RETRIES, retry_backoff_max=_MAX_BACKOFF, **CONNECT_AGAIN),
        AsyncARMChallengeAuthenticationPolicy(credential, scope),
        core.CustomHookPolicy(),
        Metering(),
        ARMHttpLoggingPolicy(),
    ]
