"""The HTTP side that every cloud has: one TLS context, one connection pool."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.request import getproxies

from vnodectl.errors import UsageError

if TYPE_CHECKING:
    import aiohttp


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """The system roots, and the bundle's certificates besides. Raises `UsageError` for an unusable file."""
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"VNODECTL_CA_BUNDLE {ca_bundle}: {error}") from error
    return context


def http_session(
    context: ssl.SSLContext, *, auto_decompress: bool = True, limit: int = 64
) -> aiohttp.ClientSession:
    """The pool shared by a cloud's SDK and our own WebSockets: `limit` connections. Honours proxies."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=limit),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=auto_decompress,
        # aiohttp looks for each request's proxy in a thread, half of what a call costs: not for nothing.
        trust_env=bool(getproxies()),
    )
