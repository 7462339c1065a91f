"""A CONNECT proxy that reaches nothing but the emulator: foreign clients find the cloud under its own names.

A client with HTTPS_PROXY set asks for `CONNECT management.azure.com:443` and is connected with the emulator's
TLS socket, whose certificate has that name. Any other host is refused: no call ever leaves this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from vnodectl.emulator.tasks import TaskOwner
from vnodectl.errors import VnodectlError

log = logging.getLogger(__name__)

Target = tuple[str, int]
_HEAD_LIMIT = 16 * 1024
_HEAD_TIMEOUT = 10.0
_CHUNK = 64 * 1024


class ConnectProxy:
    """`hosts` are the names that are served, in lower case, with the address that answers for each.

    `*.domain` stands for all hosts of the domain with one label more.
    """

    def __init__(self, hosts: Mapping[str, Target], *, host: str, port: int) -> None:
        self._hosts = dict(hosts)
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks = TaskOwner()

    @property
    def url(self) -> str:
        """What HTTPS_PROXY is set to."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Raises VnodectlError where the address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=_HEAD_LIMIT)
        except OSError as error:
            raise VnodectlError(
                f"the emulator's proxy cannot listen on {self._host}:{self._port}: {error.strerror or error}",
                hint="choose another --bind or --proxy-port (0 takes a free port)",
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._tasks.aclose()
            await self._server.wait_closed()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._serve(reader, writer), name="connect-proxy")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(_close, writer)
            try:
                async with asyncio.timeout(_HEAD_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
            except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                return
            answer, target = self._decide(head)
            if target is not None:
                try:
                    upstream_reader, upstream = await asyncio.open_connection(*target)
                except OSError as error:
                    answer, target = _refusal(502, "Bad Gateway", f"the emulator is not there: {error}"), None
                else:
                    stack.push_async_callback(_close, upstream)
            with contextlib.suppress(ConnectionError):
                writer.write(answer)
                await writer.drain()
                if target is not None:
                    async with asyncio.TaskGroup() as both:
                        both.create_task(_pump(reader, upstream), name="connect-proxy-up")
                        both.create_task(_pump(upstream_reader, writer), name="connect-proxy-down")

    def _decide(self, head: bytes) -> tuple[bytes, Target | None]:
        """The proxy's own answer, and where to connect to."""
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        authority = rest.partition(" ")[0]
        host, _, port = authority.rpartition(":")
        if method != "CONNECT":
            return _refusal(405, "Method Not Allowed", "this proxy is for HTTPS only (CONNECT)"), None
        name = host.casefold()
        target = self._hosts.get(name) or self._hosts.get(f"*.{name.partition('.')[2]}")
        if target is None or port != "443":
            log.error("a client asked the emulator's proxy for %s, which is not emulated", authority)
            served = ", ".join(sorted(self._hosts))
            return _refusal(403, "Forbidden", f"{authority} is not emulated; there are {served}"), None
        return b"HTTP/1.1 200 Connection established\r\n\r\n", target


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of one direction, which is passed on."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        if writer.can_write_eof():
            writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, OSError):
        await writer.wait_closed()


def _refusal(status: int, reason: str, text: str) -> bytes:
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
