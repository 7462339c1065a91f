"""The emulator's own TLS certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from vnodectl.emulator.certificates import make_certificate


async def test_the_server_is_trusted_by_its_names_and_no_other(tmp_path: Path) -> None:
    made = make_certificate(tmp_path / "tls", ["127.0.0.1", "localhost"])
    assert made.ca is not None
    assert made.key.stat().st_mode & 0o077 == 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=made.server_context())
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=str(made.ca))
    async with server:
        for name in ("127.0.0.1", "localhost"):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="other.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
