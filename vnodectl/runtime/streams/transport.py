"""What the streams need from whoever upgraded the request."""

from __future__ import annotations

from typing import Protocol


class ByteTransport(Protocol):
    """A connection that carries bytes both ways, e.g. what is left of HTTP/1.1 after a 101."""

    async def read(self) -> bytes:
        """The next bytes; b"" once the peer is gone. The socket is not read between two calls for long."""

    async def write(self, data: bytes) -> None:
        """Hand over data, then wait while too much is waiting to go out. Raises ConnectionError."""

    async def flush(self) -> None:
        """Wait until everything written was given to the operating system. Raises ConnectionError."""

    async def close(self, *, graceful: bool) -> None:
        """End the connection: after sending what is left, or at once."""


class MessageTransport(Protocol):
    """A connection that carries messages both ways: a WebSocket."""

    async def receive(self) -> bytes | None:
        """The next data message (text as UTF-8); None once the peer is gone."""

    async def send(self, message: bytes, *, text: bool = False) -> None:
        """Hand over one message, then wait while too much is waiting to go out. Raises ConnectionError."""

    async def ping(self) -> None: ...

    async def flush(self) -> None: ...

    async def close(self, *, graceful: bool) -> None: ...


class TunnelTransport:
    """Bytes inside binary WebSocket messages, cut anywhere (`SPDY/3.1+portforward.k8s.io`)."""

    def __init__(self, messages: MessageTransport) -> None:
        self._messages = messages

    async def read(self) -> bytes:
        while (message := await self._messages.receive()) is not None:
            if message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        await self._messages.send(data)

    async def flush(self) -> None:
        await self._messages.flush()

    async def close(self, *, graceful: bool) -> None:
        await self._messages.close(graceful=graceful)
