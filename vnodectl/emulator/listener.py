"""One listening socket and the application behind it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from vnodectl.errors import VnodectlError

if TYPE_CHECKING:
    from aiohttp import web


LONGEST_LINE = 8190
"""Bytes: aiohttp's own default."""


class Listener:
    """Serves `app` on `host`; port 0 takes a free one. Started once, closed once.

    `longest_line` in bytes: of the request line with its query, and of a header.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        longest_line: int = LONGEST_LINE,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._tls = tls
        self._longest_line = longest_line
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    @property
    def address(self) -> tuple[str, int]:
        return self._host, self._port

    async def start(self) -> None:
        """Raises VnodectlError where the address cannot be had."""
        from aiohttp import web

        # Open streams are closed by whoever opened them; nothing else here takes long.
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            shutdown_timeout=0.5,
            max_line_size=self._longest_line,
            max_field_size=self._longest_line,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls).start()
        except OSError as error:
            await self.aclose()
            raise VnodectlError(
                f"the emulator cannot listen on {self._host}:{self._port}: {error.strerror or error}",
                hint="choose another --bind or --port (0 takes a free port)",
            ) from error
        self._port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
