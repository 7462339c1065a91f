"""TCP connections into a pod, for providers whose pods can be reached from where they run."""

from __future__ import annotations

import asyncio
import contextlib

from vnodectl.runtime.provider import PortConnection

CHUNK = 65536  # bytes
_CONNECT = 10.0
"""Seconds: a firewall may drop what it does not let through without a word."""


async def carry(host: str, port: int, connection: PortConnection) -> None:
    """Copy both ways until both ends are done. Raises OSError if the port does not answer."""
    async with asyncio.timeout(_CONNECT):  # TimeoutError is an OSError
        reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_upstream(connection, writer), name="port-forward-up")
            tasks.create_task(_downstream(reader, connection), name="port-forward-down")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _upstream(connection: PortConnection, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await connection.read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _downstream(reader: asyncio.StreamReader, connection: PortConnection) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            await connection.write(data)
    await connection.write_eof()
