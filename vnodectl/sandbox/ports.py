"""Free ports, so that any number of sandboxes fit on one machine."""

from __future__ import annotations

import socket
from types import TracebackType


class Ports:
    """Ports that stay ours until the end: each is held by a bound socket that never listens.

    The programs that get one bind it as well, with SO_REUSEPORT (socket(7): all sockets of a shared port
    must belong to one user and have set it). The kernel never gives a held port to anybody who asks for
    a free one.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in self._held:
            held.close()

    def shared(self, address: str) -> int:
        """A port for a program that sets SO_REUSEPORT."""
        held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address, 0))
        return int(held.getsockname()[1])
