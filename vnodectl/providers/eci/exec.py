"""kubectl exec over ECI's WebSocket.

ExecContainerCommand takes the argument list as it is (20 words of 256 characters, by its documents) and gives
the address of a WebSocket, which carries what a kubelet's does: one byte that names the channel, then its
bytes (`v5.channel.k8s.io`, or v4 which cannot end stdin: see `stdin`). A server that agrees to none of them
speaks the oldest form, with channels but no word about a command that ended well, or sends bytes without
channels; its first message tells.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.alibaba import AlibabaError, AlibabaThrottled
from vnodectl.clouds.alibaba.errors import unreachable
from vnodectl.errors import VnodectlError
from vnodectl.providers.eci.failures import of_request, reason
from vnodectl.providers.eci.groups import Groups
from vnodectl.providers.eci.stdin import END, Marked, encoded, wrapped
from vnodectl.runtime.provider import NotFound, ProviderError, Streams, Unsupported

if TYPE_CHECKING:
    import aiohttp

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
PROTOCOLS = (V5, V4, "channel.k8s.io")
STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_FAILED = re.compile(rb"exit (?:code|status):? *(\d+)")
"""How the oldest form says that a command failed."""

_CANNOT_START = "ExecFailed"
_FIRST_MESSAGE = 2.0
"""Seconds to wait for a message that shows whether there are channels, before stdin is sent."""


async def run(groups: Groups, group_id: str, container: str, command: Sequence[str], streams: Streams) -> int:
    """The exit code; 0 where the far end does not tell it. Raises ProviderError."""
    if not command:
        raise Unsupported("there is no command to run")
    if streams.wants_stdin and not streams.tty:
        marked = Marked(secrets.token_hex(8))
        if (words := wrapped(command, marked.nonce)) is not None:
            with suppress(_NotStarted):
                return await _run(groups, group_id, container, words, streams, marked)
    return await _run(groups, group_id, container, command, streams, None)


class _NotStarted(Exception):
    """The image has not what it takes to end a command's stdin; nothing was run."""


async def _run(
    groups: Groups,
    group_id: str,
    container: str,
    command: Sequence[str],
    streams: Streams,
    marked: Marked | None,
) -> int:
    uri = await _address(groups, group_id, container, command, streams)
    async with _open(groups, uri) as socket:
        try:
            code = await _Session(socket, streams, marked).run()
        except ProviderError as error:
            if marked is not None and not marked.begun and error.reason == _CANNOT_START:
                raise _NotStarted from error
            raise
    if marked is not None and not marked.begun:
        raise _NotStarted
    return code


async def _address(
    groups: Groups, group_id: str, container: str, command: Sequence[str], streams: Streams
) -> str:
    try:
        return await groups.exec(group_id, container, command, tty=streams.tty, stdin=streams.wants_stdin)
    except AlibabaThrottled as error:
        raise of_request(error) from error
    except AlibabaError as error:
        if error.code.endswith("NotFound"):
            raise NotFound(f"container {container}: {error.detail}") from error
        raise ProviderError(reason(error), error.detail) from error
    except VnodectlError as error:
        raise of_request(error) from error


@asynccontextmanager
async def _open(groups: Groups, uri: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    import aiohttp

    if not uri.startswith("wss://"):
        raise ProviderError("ExecInsecure", "ECI gave a WebSocket address without TLS; it is not used")
    try:
        async with groups.session.http.ws_connect(uri, protocols=PROTOCOLS, max_msg_size=0) as socket:
            yield socket
    except (aiohttp.ClientError, OSError) as error:
        # The address is a secret, and some errors repeat it.
        raise of_request(unreachable(error, (uri, uri.partition("?")[2]))) from None


@dataclass(slots=True)
class _Session:
    socket: aiohttp.ClientWebSocketResponse
    streams: Streams
    marked: Marked | None = None
    framed: bool | None = None
    code: int | None = None
    _decided: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        if self.socket.protocol in PROTOCOLS:
            self._decide(framed=True)
        senders = [asyncio.create_task(self._type(), name="eci-exec-stdin")]
        if self.streams.tty:
            senders.append(asyncio.create_task(self._resize(), name="eci-exec-resize"))
        try:
            while (data := await _receive(self.socket)) is not None:
                if self.framed is None and data:
                    self._decide(framed=data[0] in {STDOUT, STDERR, STATUS})
                await self._show(data)
                if self.marked is not None and self.marked.code is not None and self.code is None:
                    self.code = self.marked.code
                    # It has ended, maybe without reading all its input: let go of who feeds it.
                    senders[0].cancel()
                    await self._send(STDIN, END)
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
        if self.marked is not None and self.marked.code is not None:
            return self.marked.code
        if self.code is None and not self._ended_well():
            raise ProviderError("ExecBroken", "the connection to the container was lost")
        return self.code or 0

    def _ended_well(self) -> bool:
        """Whether silence about the command's end means that it is over."""
        import aiohttp

        if self.socket.protocol in {V5, V4}:
            return False
        return self.socket.close_code in {aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY}

    def _decide(self, *, framed: bool) -> None:
        self.framed = framed
        self._decided.set()

    async def _show(self, data: bytes) -> None:
        if not self.framed:
            await self._show_output(data)
            return
        channel, payload = data[0] if data else STDOUT, data[1:]
        if channel == STDOUT and payload:
            await self._show_output(payload)
        elif channel == STDERR and payload and (self.marked is None or self.marked.begun):
            await self.streams.write_stderr(payload)
        elif channel == STATUS and payload:
            self.code = exit_code(payload)

    async def _show_output(self, data: bytes) -> None:
        if self.marked is not None:
            data = self.marked.feed(data)
            if self.marked.begun:
                self._begun.set()
        if data:
            await self.streams.write_stdout(data)

    async def _type(self) -> None:
        if self.marked is not None:
            await self._begun.wait()
            while data := await self.streams.read_stdin():
                for line in encoded(data):
                    await self._send(STDIN, line)
            await self._send(STDIN, END)
            return
        await self._channels_known()
        if not self.streams.wants_stdin:
            return
        while data := await self.streams.read_stdin():
            await self._send(STDIN, data)
        if self.socket.protocol == V5:
            await self._send(CLOSE, bytes([STDIN]))

    async def _resize(self) -> None:
        await self._channels_known()
        async for size in self.streams.resizes():
            if self.framed:
                await self._send(RESIZE, json.dumps({"Width": size.width, "Height": size.height}).encode())

    async def _channels_known(self) -> None:
        try:
            async with asyncio.timeout(_FIRST_MESSAGE):
                await self._decided.wait()
        except TimeoutError:
            self._decide(framed=True)

    async def _send(self, channel: int, data: bytes) -> None:
        with suppress(ConnectionError):  # the reading side notices and says so
            await self.socket.send_bytes(bytes([channel]) + data if self.framed else data)


def exit_code(status: bytes) -> int:
    """From a Kubernetes Status (0 for Success, the code of a NonZeroExitCode), or from the sentence that the
    oldest form has instead.

    Raises ProviderError where the command could not be started at all.
    """
    try:
        body: Any = json.loads(status)
        if body.get("status") == "Success":
            return 0
        causes = (body.get("details") or {}).get("causes") or ()
        for cause in causes:
            if cause.get("reason") == "ExitCode":
                return int(cause.get("message") or 1)
        message = str(body.get("message") or "the command failed")
    except (ValueError, AttributeError, TypeError):
        if found := _FAILED.search(status):
            return int(found[1])
        message = status.decode(errors="replace")
    raise ProviderError(_CANNOT_START, message)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> bytes | None:
    """The next message; None once the far end has closed."""
    import aiohttp

    message: Any = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        return str(message.data).encode()
    if message.type is aiohttp.WSMsgType.BINARY:
        return bytes(message.data)
    return None
