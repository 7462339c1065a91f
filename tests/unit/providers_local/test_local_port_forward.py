"""One forwarded connection, both ways, to a real port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

import pytest

from vnodectl.engines.api import GroupPhase, GroupStatus
from vnodectl.providers.local.provider import LocalProvider
from vnodectl.runtime.provider import PodKey, Retryable

KEY = PodKey("default", "web", "u1")


class OneGroupEngine:
    """Has one group at `ip`."""

    name = "one"
    version = "1"

    def __init__(self, ip: str) -> None:
        self.ip = ip

    def simulates(self, images: Iterable[str]) -> bool:
        return False

    async def get(self, name: str) -> GroupStatus:
        return GroupStatus(name, {}, GroupPhase.RUNNING, 0, self.ip)


class Connection:
    def __init__(self, *sent: bytes) -> None:
        self.sent = [*sent, b""]
        self.received = b""
        self.ended = False

    async def read(self) -> bytes:
        return self.sent.pop(0)

    async def write(self, data: bytes) -> None:
        self.received += data

    async def write_eof(self) -> None:
        self.ended = True


async def test_bytes_go_both_ways_and_each_end_is_passed_on():
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(shout, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = Connection(b"hello ", b"pod")
        provider = LocalProvider(OneGroupEngine("127.0.0.1"), node="n", capacity={})
        await asyncio.wait_for(provider.port_forward(KEY, port, connection), 20)
    assert (connection.received, connection.ended) == (b"HELLO POD", True)


async def test_a_port_that_nobody_listens_on():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    provider = LocalProvider(OneGroupEngine("127.0.0.1"), node="n", capacity={})
    with pytest.raises(Retryable, match=f"port {port}"):
        await provider.port_forward(KEY, port, Connection())


async def test_a_pod_without_an_address():
    provider = LocalProvider(OneGroupEngine(""), node="n", capacity={})
    with pytest.raises(Retryable, match="no address"):
        await provider.port_forward(KEY, 80, Connection())
