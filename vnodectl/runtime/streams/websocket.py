"""Channels inside WebSocket messages: the subprotocols `channel.k8s.io` and those made from it.

Each message begins with the number of its channel: a byte, or in the base64 variants an ASCII digit
before base64 text. From v5 on the message (255, n) says that nothing more comes on channel n; before
that a client cannot close its stdin without hanging up.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vnodectl.runtime.streams.session import Gate, Inbox, SessionLimits
from vnodectl.runtime.streams.transport import MessageTransport

_log = logging.getLogger(__name__)

_CLOSE: Final = 255
MAX_PAYLOAD: Final = 64 * 1024
"""Bytes of output per message."""


@dataclass(frozen=True, slots=True)
class ChannelProtocol:
    """How one subprotocol writes its messages. `name` is "" for a client that asked for none.

    `closes`: has the CLOSE signal (v5). `status_json`: the error channel carries a Status (v4 on),
    else plain text.
    """

    name: str
    base64: bool = False
    closes: bool = False
    status_json: bool = False


REMOTE_COMMAND_PROTOCOLS: Final = (
    ChannelProtocol("v5.channel.k8s.io", closes=True, status_json=True),
    ChannelProtocol("v4.channel.k8s.io", status_json=True),
    ChannelProtocol("v4.base64.channel.k8s.io", base64=True, status_json=True),
    ChannelProtocol("channel.k8s.io"),
    ChannelProtocol("base64.channel.k8s.io", base64=True),
    ChannelProtocol(""),
)
PORT_FORWARD_PROTOCOLS: Final = (
    ChannelProtocol("v4.channel.k8s.io"),
    ChannelProtocol("v4.base64.channel.k8s.io", base64=True),
    ChannelProtocol(""),
)


@dataclass(frozen=True, slots=True)
class ChannelData:
    channel: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    channel: int


class ChannelError(Exception):
    """A message that the subprotocol does not allow."""


def choose(requested: Sequence[str], offered: Sequence[ChannelProtocol]) -> ChannelProtocol | None:
    """The client's first choice that is offered; the nameless one only where it asked for none."""
    by_name = {protocol.name: protocol for protocol in offered}
    return next((by_name[name] for name in requested or [""] if name in by_name), None)


def decode(protocol: ChannelProtocol, message: bytes) -> ChannelData | ChannelClosed | None:
    """What a message says; None for an empty one. Raises ChannelError."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if protocol.closes and channel == _CLOSE:
        if len(data) != 1:
            raise ChannelError("one channel number must follow the close signal")
        return ChannelClosed(data[0])
    if not protocol.base64:
        return ChannelData(channel, data)
    try:
        return ChannelData(channel - ord("0"), base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise ChannelError("a message is not base64") from error


def encode(protocol: ChannelProtocol, channel: int, data: bytes) -> bytes:
    """One message; a text message where the protocol is a base64 one."""
    if protocol.base64:
        return b"%d" % channel + base64.b64encode(data)
    return bytes((channel,)) + data


class WebSocketChannel:
    """One channel, for reading where `inbox` is given."""

    def __init__(self, session: WebSocketSession, number: int, inbox: Inbox | None) -> None:
        self.inbox = inbox
        self._session = session
        self._number = number
        self._closed = False

    async def read(self) -> bytes:
        return await self.inbox.get() if self.inbox is not None else b""

    async def write(self, data: bytes) -> None:
        if not self._closed:
            await self._session.write(self._number, data)

    async def write_eof(self) -> None:
        # The protocols have no such signal from server to client: the end is the end of the connection.
        self._closed = True


class WebSocketSession:
    """Channels 0 … n-1 of one WebSocket; a `session.Connection`.

    `readable` names the channels on which the client may send; what comes on others is dropped.
    """

    def __init__(
        self,
        transport: MessageTransport,
        protocol: ChannelProtocol,
        limits: SessionLimits,
        *,
        count: int,
        readable: frozenset[int],
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._gate = Gate(limits.inbound)
        self._activity = 0
        self.channels = tuple(
            WebSocketChannel(self, number, Inbox(self._gate) if number in readable else None)
            for number in range(count)
        )

    @property
    def activity(self) -> int:
        return self._activity

    async def receive(self) -> None:
        try:
            while (message := await self._transport.receive()) is not None:
                self._dispatch(decode(self._protocol, message))
                await self._gate.room()
        except ChannelError as error:
            _log.info("a WebSocket is ended: %s", error)
        except ConnectionError as error:
            _log.debug("a WebSocket was lost: %s", error)
        finally:
            for channel in self.channels:
                if channel.inbox is not None:
                    channel.inbox.end()

    def _dispatch(self, event: ChannelData | ChannelClosed | None) -> None:
        if event is None or not 0 <= event.channel < len(self.channels):
            return
        self._activity += 1
        inbox = self.channels[event.channel].inbox
        if inbox is None:
            return
        if isinstance(event, ChannelData):
            inbox.put(event.data)
        else:
            inbox.end()

    async def announce(self, channel: int) -> None:
        """An empty message: clients take the first one as the sign that the session stands."""
        await self._transport.send(encode(self._protocol, channel, b""), text=self._protocol.base64)

    async def write(self, channel: int, data: bytes) -> None:
        for start in range(0, len(data), MAX_PAYLOAD):
            self._activity += 1
            message = encode(self._protocol, channel, data[start : start + MAX_PAYLOAD])
            await self._transport.send(message, text=self._protocol.base64)

    async def beat(self) -> None:
        await self._transport.ping()

    async def farewell(self) -> None:
        for channel in self.channels:
            if channel.inbox is not None:
                channel.inbox.discard()
        await self._transport.flush()

    async def close(self, *, graceful: bool) -> None:
        await self._transport.close(graceful=graceful)
