"""Exec and attach: a WebSocket that takes a password, then bytes in both directions.

As Azure's descriptions have it, the password of an exec is the first message, that of an attach the
Authorization header.

A ticket is good for one connection. There is always a terminal, no separate stderr and no exit code:
the server closes the connection when the command has ended, and ends the command when the client goes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.clock import Clock
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.tasks import cancel
from vnodectl.engines.api import EngineError

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

PATH = "/exec/{ticket}"
_CLOSE_TIMEOUT = 1.0
SIMULATED = "This Windows container is simulated by the emulator: its image {image} is not run.\n"


@dataclass(frozen=True, slots=True)
class Ticket:
    """`command` None: attach to what runs. Size in character cells."""

    group: Group
    container: str
    command: str | None
    columns: int
    rows: int
    expires: float
    password: str = field(repr=False)


class Streams:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[str, Ticket] = {}
        self._open: set[web.WebSocketResponse] = set()

    def issue(
        self,
        group: Group,
        container: str,
        command: str | None,
        size: tuple[int, int],
        *,
        base_url: str,
        life: float,
    ) -> JSON:
        """`{"webSocketUri", "password"}`; `size` is (columns, rows)."""
        now = self._clock.now()
        self._tickets = {key: one for key, one in self._tickets.items() if one.expires > now}
        key, password = secrets.token_urlsafe(16), secrets.token_urlsafe(24)
        self._tickets[key] = Ticket(group, container, command, *size, now + life, password)
        host = base_url.partition("://")[2]
        return {
            "webSocketUri": f"wss://{host}{PATH.format(ticket=key)}?rows={size[1]}&cols={size[0]}",
            "password": password,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import WSCloseCode, web

        ticket = self._tickets.pop(request.match_info["ticket"], None)
        if ticket is None or ticket.expires <= self._clock.now():
            return web.Response(status=404, text="The exec session does not exist.")
        socket = web.WebSocketResponse(timeout=_CLOSE_TIMEOUT)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            if ticket.command is None:
                given = request.headers.get("Authorization", "")
            else:
                message = await socket.receive()
                given = message.data if isinstance(message.data, str) else ""
            if not hmac.compare_digest(given.encode(), ticket.password.encode()):
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"wrong password")
                return socket
            await self._run(ticket, socket)
            await socket.close()
        finally:
            self._open.discard(socket)
        return socket

    async def aclose(self) -> None:
        """End every session."""
        closing = (socket.close(message=b"the emulator stops") for socket in tuple(self._open))
        await asyncio.gather(*closing, return_exceptions=True)

    async def _run(self, ticket: Ticket, socket: web.WebSocketResponse) -> None:
        session = SocketSession(socket, ticket.columns, ticket.rows)
        reading = asyncio.create_task(session.pump(), name="aci-stream-reader")
        working = asyncio.create_task(self._work(ticket, session), name="aci-stream")
        try:
            await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(working)
            await cancel(reading)

    async def _work(self, ticket: Ticket, session: SocketSession) -> None:
        group = ticket.group
        try:
            if group.pretended:
                await session.write_stdout(notice(group, ticket.container).replace("\n", "\r\n").encode())
            if ticket.command is None:
                await group.engine.attach(group.engine_name, ticket.container, session)
            else:
                # One program and no arguments: ACI passes the whole string on as the program's name.
                await group.engine.exec(group.engine_name, ticket.container, [ticket.command], session)
        except EngineError as error:
            await session.write_stdout(f"{error}\r\n".encode())
        except ConnectionError:
            log.debug("the client of %s/%s went away", group.name, ticket.container)


def notice(group: Group, container: str) -> str:
    """The line with which a simulated Windows container says what it is."""
    image = next(
        (
            entry["properties"]["image"]
            for entry in group.properties["containers"]
            if entry["name"] == container
        ),
        "",
    )
    return SIMULATED.format(image=image)


class SocketSession:
    """A WebSocket as an engine's session. `pump` must run; it returns when the client has gone."""

    tty = True
    wants_stdin = True

    def __init__(self, socket: web.WebSocketResponse, columns: int, rows: int) -> None:
        self._socket = socket
        self._size = columns, rows
        self._typed: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)

    async def pump(self) -> None:
        async for message in self._socket:
            data = message.data.encode() if isinstance(message.data, str) else bytes(message.data)
            if data:
                await self._typed.put(data)

    async def read_stdin(self) -> bytes:
        return await self._typed.get()

    async def write_stdout(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def write_stderr(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        yield self._size
