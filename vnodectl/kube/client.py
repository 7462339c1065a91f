"""A client of the Kubernetes API that speaks plain JSON.

Configuration, authentication and TLS come from `kubernetes.aio`; its models do not: building them for
1,000 pods takes 0.76 s where `json.loads` takes 0.027 s.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import ApiError, Expired, Throttled, Unauthorized, from_status

if TYPE_CHECKING:
    import aiohttp

JSON = dict[str, Any]
Items = list[JSON]
Params = Mapping[str, str | int | bool]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_THROTTLE_RETRIES = 4
_MAX_RETRY_AFTER = 30.0


class KubeClient:
    """One cluster, one identity. Use as an async context manager, or call `aclose`.

    `configuration` is a `kubernetes.aio.client.Configuration`; `reauthenticate` loads fresh
    credentials into it (exec plug-ins, rotated files) and is tried once when the server says 401.
    Raises `ClusterUnreachable` where no answer came, else an `ApiError`.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        context: str = "",
        namespace: str = "default",
        reauthenticate: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.configuration = configuration
        self.context = context
        self.namespace = namespace
        self.server: str = configuration.host.rstrip("/")
        self._reauthenticate = reauthenticate
        self._session: aiohttp.ClientSession | None = None
        self._ssl: ssl.SSLContext | None = None

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- verbs ------------------------------------------------------------------------------------

    async def get(self, path: str, params: Params | None = None, *, timeout: float = 30) -> JSON:
        return await self.request("GET", path, params=params, timeout=timeout)

    async def list(
        self, path: str, params: Params | None = None, *, page: int = 500, timeout: float = 60
    ) -> tuple[Items, str]:
        """Every item, page by page, and the resourceVersion to watch from.

        Raises `Expired` where the list changed too much between two pages; nothing partial is returned.
        """
        items: list[JSON] = []
        token = ""
        while True:
            query: dict[str, str | int | bool] = {**(params or {}), "limit": page}
            if token:
                query["continue"] = token
            body = await self.request("GET", path, params=query, timeout=timeout)
            items.extend(body.get("items") or ())
            meta = body.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return items, str(meta.get("resourceVersion") or "")

    async def create(
        self, path: str, body: JSON, params: Params | None = None, *, timeout: float = 30
    ) -> JSON:
        return await self.request("POST", path, params=params, body=body, timeout=timeout)

    async def replace(
        self, path: str, body: JSON, params: Params | None = None, *, timeout: float = 30
    ) -> JSON:
        return await self.request("PUT", path, params=params, body=body, timeout=timeout)

    async def patch(
        self,
        path: str,
        body: Any,
        params: Params | None = None,
        *,
        content_type: str = STRATEGIC_PATCH,
        timeout: float = 30,
    ) -> JSON:
        return await self.request(
            "PATCH", path, params=params, body=body, content_type=content_type, timeout=timeout
        )

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
        timeout: float = 30,
    ) -> JSON:
        """Delete; with `uid`, only if it is still that object (else `Conflict`)."""
        options: JSON = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self.request("DELETE", path, body=options, timeout=timeout)

    async def watch(self, path: str, params: Params | None = None) -> AsyncIterator[JSON]:
        """Events `{"type", "object"}` until the server ends the watch. ERROR events are raised."""
        query: dict[str, str | int | bool] = {**(params or {}), "watch": "1", "allowWatchBookmarks": "1"}
        async with self.stream("GET", path, params=query) as response:
            tail = b""
            # aiohttp's readline has an upper limit; objects may be larger than it.
            async for chunk in response.content.iter_any():
                lines = (tail + chunk).split(b"\n")
                tail = lines.pop()
                for line in lines:
                    event: JSON = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event.get("object") or {}
                        raise from_status(int(status.get("code") or 500), status, 1.0)
                    yield event

    # --- transport --------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = 30,
    ) -> JSON:
        """One call, answered with JSON. 429 is retried as the server asks; 401 once after new credentials."""
        throttled = 0
        reauthenticated = False
        while True:
            try:
                async with self.stream(
                    method, path, params=params, body=body, content_type=content_type, timeout=timeout
                ) as response:
                    answer: JSON = json.loads(await response.read())
                    return answer
            except Throttled as error:
                throttled += 1
                if throttled > _THROTTLE_RETRIES:
                    raise
                await asyncio.sleep(min(error.retry_after, _MAX_RETRY_AFTER))
            except Unauthorized:
                if reauthenticated or self._reauthenticate is None:
                    raise
                reauthenticated = True
                await self._reauthenticate()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An open, successful response; `timeout` in seconds for all of it, None for a stream."""
        import aiohttp

        headers = self.headers()
        headers["Accept"] = "application/json, */*"
        data: bytes | None = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()
        try:
            async with self._open_session().request(
                method,
                self.server + path,
                params={key: _query(value) for key, value in (params or {}).items()},
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=10),
                **self._transport(),
            ) as response:
                if response.status >= 400:
                    raise await _error(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.server, error) from error

    @asynccontextmanager
    async def websocket(
        self, path: str, params: Sequence[tuple[str, str]], *, protocols: tuple[str, ...]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket of a subresource (exec, attach, portforward)."""
        import aiohttp

        try:
            async with self._open_session().ws_connect(
                self.server.replace("http", "ws", 1) + path,
                params=params,
                headers=self.headers(),
                protocols=protocols,
                max_msg_size=0,
                **self._transport(),
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            raise from_status(error.status, {"message": error.message}, 1.0) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.server, error) from error

    def headers(self) -> dict[str, str]:
        """Authentication headers, with rotated tokens read again when their time has come."""
        token = self.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            return {"Authorization": token}
        if self.configuration.username:
            basic = self.configuration.get_basic_auth_token()
            if basic:
                return {"Authorization": basic}
        return {}

    def ssl_context(self) -> ssl.SSLContext:
        """Trust and client certificate as the kubeconfig says."""
        if self._ssl is None:
            config = self.configuration
            context = ssl.create_default_context(cafile=config.ssl_ca_cert, cadata=config.ca_cert_data)
            if config.cert_file:
                context.load_cert_chain(config.cert_file, keyfile=config.key_file)
            if not config.verify_ssl:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if config.disable_strict_ssl_verification:
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._ssl = context
        return self._ssl

    def _transport(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.configuration.proxy:
            options["proxy"] = self.configuration.proxy
        if self.configuration.tls_server_name:
            options["server_hostname"] = self.configuration.tls_server_name
        return options

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(
                ssl=self.ssl_context() if self.server.startswith("https") else False,
                limit=self.configuration.connection_pool_maxsize,
                keepalive_timeout=60,
            )
            self._session = aiohttp.ClientSession(connector=connector, trust_env=True, read_bufsize=2**18)
        return self._session


def unreachable(server: str, error: BaseException) -> ClusterUnreachable:
    """The error for a call that got no answer."""
    cause = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ClusterUnreachable(
        f"cannot reach the Kubernetes API at {server}: {cause}",
        hint="check the kubeconfig's context and that the API server is running: kubectl cluster-info",
    )


def _query(value: str | int | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


async def _error(response: aiohttp.ClientResponse) -> ApiError:
    text = await response.text(errors="replace")
    try:
        body: Any = json.loads(text)
    except ValueError:
        body = text
    try:
        retry_after = float(response.headers.get("Retry-After", "1"))
    except ValueError:
        retry_after = 1.0
    return from_status(response.status, body, retry_after)


__all__ = [
    "APPLY_PATCH",
    "JSON",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_PATCH",
    "Expired",
    "KubeClient",
    "unreachable",
]
