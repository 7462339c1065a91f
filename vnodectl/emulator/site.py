"""Where an emulated cloud is: its directory, its certificate and its sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vnodectl.emulator.certificates import ServerCertificate, make_certificate
from vnodectl.emulator.listener import LONGEST_LINE, Listener

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

LOOPBACK = "127.0.0.1"
CONTROL = "control"
"""The listener that is on loopback alone, whatever the site's address."""


class Site:
    """`ports` by the listeners' names; 0 takes a free one.

    `directory` is `state_dir`; without one it is a temporary directory, until the site is removed.
    `certificate` replaces the one that the site makes itself.
    """

    def __init__(
        self,
        bind: str,
        ports: Mapping[str, int],
        *,
        state_dir: Path | None,
        certificate: ServerCertificate | None,
    ) -> None:
        self._temporary = (
            tempfile.TemporaryDirectory(prefix="vnodectl-emulator-") if state_dir is None else None
        )
        self.directory = state_dir or Path(self._temporary.name if self._temporary else "")
        self.bind = bind
        self._ports = ports
        self._certificate = certificate
        self._listeners: dict[str, Listener] = {}

    @property
    def ca_file(self) -> Path | None:
        """What clients must trust; None where the caller brought a certificate."""
        return self._certificate.ca if self._certificate else None

    def url(self, name: str) -> str:
        return self._listeners[name].url

    def address(self, name: str) -> tuple[str, int]:
        return self._listeners[name].address

    def certified(self, *names: str) -> ssl.SSLContext:
        """For TLS listeners that are also called `names`."""
        if self._certificate is None:
            own = dict.fromkeys((self.bind, LOOPBACK, "localhost", *names))
            self._certificate = make_certificate(self.directory / "tls", own)
        return self._certificate.server_context()

    async def listen(
        self,
        name: str,
        app: web.Application,
        *,
        tls: ssl.SSLContext | None = None,
        longest_line: int = LONGEST_LINE,
    ) -> None:
        """Raises VnodectlError where the address is taken."""
        host = LOOPBACK if name == CONTROL else self.bind
        listener = Listener(app, host=host, port=self._ports[name], tls=tls, longest_line=longest_line)
        await listener.start()
        self._listeners[name] = listener

    async def hang_up(self) -> None:
        """Listen no more."""
        await asyncio.gather(*(listener.aclose() for listener in self._listeners.values()))

    def remove(self) -> None:
        """Take away what is temporary."""
        if self._temporary is not None:
            self._temporary.cleanup()
