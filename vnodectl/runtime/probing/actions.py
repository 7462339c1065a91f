"""Carrying a probe out once, against a pod's address."""

from __future__ import annotations

import asyncio
from typing import Protocol

from vnodectl.runtime.probing.http import HttpProber
from vnodectl.runtime.probing.outcome import SUCCESS, Outcome, Verdict, failure
from vnodectl.runtime.probing.spec import Action, Grpc, HttpGet, Impossible, TcpSocket


class Runner(Protocol):
    """What carries probes out."""

    async def run(self, action: Action, ip: str, timeout: float) -> Outcome:
        """Once, within `timeout` seconds. Never raises for what the network does."""

    async def aclose(self) -> None: ...


class SocketRunner:
    """Over real sockets."""

    def __init__(self) -> None:
        self._http = HttpProber()

    async def run(self, action: Action, ip: str, timeout: float) -> Outcome:
        match action:
            case HttpGet():
                return await self._http.get(action, action.host or ip, timeout)
            case TcpSocket():
                return await _connect(action.host or ip, action.port, timeout)
            case Grpc():
                from vnodectl.runtime.probing import grpc

                return await grpc.check(action, ip, timeout)
            case Impossible():
                return Outcome(Verdict.UNKNOWN, action.message)

    async def aclose(self) -> None:
        await self._http.aclose()


async def _connect(host: str, port: int, timeout: float) -> Outcome:
    """A port that accepts is a success; nothing is sent."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return failure(f"dial tcp {host}:{port}: no answer within {timeout:g} s")
    except OSError as error:
        return failure(f"dial tcp {host}:{port}: {error.strerror or error}")
    writer.transport.abort()
    return SUCCESS
