"""Reaching containers over the network, for probes."""

from __future__ import annotations

import asyncio
from typing import Protocol


class ProbeNetwork(Protocol):
    """How probes reach a container over the network. Both raise TimeoutError."""

    async def http(self, url: str, headers: tuple[tuple[str, str], ...], timeout: float) -> int:
        """The status code of a GET. Raises OSError."""

    async def tcp(self, host: str, port: int, timeout: float) -> None:
        """Connect and hang up. Raises OSError."""


class SocketNetwork:
    """Probes over real sockets; certificates are not verified, as with the kubelet's."""

    async def http(self, url: str, headers: tuple[tuple[str, str], ...], timeout: float) -> int:
        import aiohttp

        limits = aiohttp.ClientTimeout(total=timeout)
        try:
            # A connection of its own each time: a pooled one would hide that the server stopped listening.
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.get(url, headers=dict(headers), ssl=False, allow_redirects=False) as response,
            ):
                return response.status
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    async def tcp(self, host: str, port: int, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()
