"""The WebSocket of ExecContainerCommand. A ticket, the `s` of its address, is good for one connection.

ECI does not document what goes over it. Here it is Kubernetes' streaming protocol, which is what a container
runtime speaks: a client gets the first subprotocol it names that the seed's `streamProtocols` has. One that
gets none has the same framing all the same, unless the seed's `streamFraming` is "raw".

In "channel" framing each message begins with a byte: 0 stdin, 1 stdout, 2 stderr, 3 the result, 4 the size of
the terminal as {"Width", "Height"}, and in v5 255 the end of a channel. From v4 on the result is a Status
with the exit code; else it is a sentence, and there only is one where the command failed. "raw" is just what
is typed and printed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.tasks import cancel
from vnodectl.engines.api import EngineError

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

PATH = "/exec/"
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, RESULT, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_CLOSE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Ticket:
    group: Group
    container: str
    command: tuple[str, ...]
    tty: bool
    stdin: bool
    expires: float


class Streams:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tickets: dict[str, Ticket] = {}
        self._open: set[web.WebSocketResponse] = set()

    def issue(self, group: Group, container: str, command: Sequence[str], *, tty: bool, stdin: bool) -> str:
        """The ticket's name."""
        now = self._world.clock.now()
        self._tickets = {key: one for key, one in self._tickets.items() if one.expires > now}
        key = secrets.token_urlsafe(24)
        self._tickets[key] = Ticket(
            group, container, tuple(command), tty, stdin, now + self._world.timings.exec_ticket
        )
        return key

    async def handle(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        ticket = self._tickets.pop(request.query.get("s", ""), None)
        if ticket is None or ticket.expires <= self._world.clock.now():
            return web.Response(status=403, text="The session does not exist or has expired.")
        socket = web.WebSocketResponse(protocols=self._world.stream_protocols, timeout=_CLOSE_TIMEOUT)
        await socket.prepare(request)
        self._open.add(socket)
        try:
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
        raw = not socket.ws_protocol and self._world.stream_framing == "raw"
        session = SocketSession(socket, ticket, raw=raw)
        reading = asyncio.create_task(session.pump(), name="eci-stream-reader")
        working = asyncio.create_task(self._work(ticket, session), name="eci-stream")
        try:
            await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(working)
            await cancel(reading)

    async def _work(self, ticket: Ticket, session: SocketSession) -> None:
        group = ticket.group
        try:
            code = await group.engine.exec(group.id, ticket.container, ticket.command, session)
            await session.result(code, "")
        except EngineError as error:
            await session.result(None, str(error))
        except ConnectionError:
            log.debug("the client of %s/%s went away", group.id, ticket.container)


class SocketSession:
    """A WebSocket as an engine's session. `pump` must run; it returns when the client has gone."""

    def __init__(self, socket: web.WebSocketResponse, ticket: Ticket, *, raw: bool) -> None:
        self.tty = ticket.tty
        self.wants_stdin = ticket.stdin
        self._socket = socket
        self._raw = raw
        self._typed: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        self._sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self._sizes.put_nowait((80, 24))

    async def pump(self) -> None:
        async for message in self._socket:
            data = message.data.encode() if isinstance(message.data, str) else bytes(message.data)
            if not data:
                continue
            if self._raw:
                await self._typed.put(data)
            elif data[0] == STDIN and len(data) > 1:
                await self._typed.put(data[1:])
            elif data[0] == RESIZE:
                self._resize(data[1:])
            elif data == bytes((CLOSE, STDIN)) and self._socket.ws_protocol == V5:
                await self._typed.put(b"")

    async def read_stdin(self) -> bytes:
        return await self._typed.get()

    async def write_stdout(self, data: bytes) -> None:
        await self._send(STDOUT, data)

    async def write_stderr(self, data: bytes) -> None:
        await self._send(STDERR, data)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        while True:
            yield await self._sizes.get()

    async def result(self, code: int | None, why: str) -> None:
        """How the command ended; no code where it was never run."""
        if self._raw:
            if why:
                await self._send(STDERR, f"{why}\n".encode())
            return
        if self._socket.ws_protocol in (V5, V4):
            await self._send(RESULT, json.dumps(_status(code, why)).encode())
        elif why or code:
            text = why or f"command terminated with non-zero exit code: {code}"
            await self._send(RESULT, text.encode())

    async def _send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(data if self._raw else bytes((channel,)) + data)

    def _resize(self, data: bytes) -> None:
        try:
            size = json.loads(data)
            self._sizes.put_nowait((int(size["Width"]), int(size["Height"])))
        except (ValueError, KeyError, TypeError):
            log.debug("a terminal size that cannot be read was ignored")


def _status(code: int | None, why: str) -> JSON:
    """A meta/v1 Status, as a kubelet ends an exec."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    if code is None:
        return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": why, "code": 500}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
