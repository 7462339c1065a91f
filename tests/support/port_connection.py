"""The client's side of a port-forward."""

from __future__ import annotations


class Connection:
    """Sends what it is given, and keeps what comes; the end of that shows as `<eof>`."""

    def __init__(self, *sent: bytes) -> None:
        self._sent = list(sent)
        self.got = b""

    async def read(self) -> bytes:
        return self._sent.pop(0) if self._sent else b""

    async def write(self, data: bytes) -> None:
        self.got += data

    async def write_eof(self) -> None:
        self.got += b"<eof>"
