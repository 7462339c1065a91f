"""Logs, exec and attach over the API's raw streams."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from vnodectl.engines.api import EngineError, LogQuery, Session
from vnodectl.engines.docker_api.bodies import STDIN_ONCE
from vnodectl.engines.docker_api.client import ApiError, get, translated
from vnodectl.engines.tasks import background

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiodocker.stream import Stream
    from aiohttp import StreamReader

HEADER = struct.Struct(">BxxxL")  # stream number and length, see the API's ContainerAttach
STDERR = 2
EXIT_POLL, EXIT_PATIENCE = 0.05, 5.0  # seconds, for an exit code that is not written down yet
NOT_STARTED_CODES = (126, 127)
RESIZES_APART = 0.1
"""Seconds. conmon 2.1 lost the second of two at once in one of seven tries: kubectl attach sends two."""


async def read_logs(
    docker: Docker, identity: str, query: LogQuery, *, tty: bool
) -> AsyncGenerator[bytes, None]:
    """The container's output as it was written, stdout and stderr in one."""
    parameters = {
        "stdout": "true",
        "stderr": "true",
        "follow": str(query.follow).lower(),
        "timestamps": str(query.timestamps).lower(),
    }
    if query.tail is not None:
        parameters["tail"] = str(query.tail)
    if query.since is not None:
        parameters["since"] = f"{query.since:.9f}"
    async with get(docker, f"containers/{identity}/logs", **parameters) as response:
        if tty:
            async for chunk in response.content.iter_any():
                yield chunk
        else:
            async for chunk in _demultiplexed(response.content):
                yield chunk


async def _demultiplexed(content: StreamReader) -> AsyncGenerator[bytes, None]:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            _, length = HEADER.unpack(await content.readexactly(HEADER.size))
            yield await content.readexactly(length)


async def run_exec(docker: Docker, identity: str, command: Sequence[str], session: Session) -> int:
    """Run a command with the session's streams; its exit code."""
    with translated():
        container = docker.containers.container(identity)
        execution = await container.exec(
            list(command), stdin=session.wants_stdin, stdout=True, stderr=not session.tty, tty=session.tty
        )

    async def resize(columns: int, rows: int) -> None:
        await execution.resize(h=rows, w=columns)

    try:
        await _pump(execution.start(detach=False), session, resize, ends_stdin=not session.tty)
    except ApiError as error:
        # podman answers so where the program is not there; a shell's code says it best.
        if "not found" in str(error) or "no such file" in str(error):
            await session.write_stderr(f"{error}\n".encode())
            return NOT_STARTED_CODES[1]
        raise
    return await exit_code(docker, execution.id)


async def run_attach(docker: Docker, identity: str, session: Session) -> None:
    """Until the container ends. Its stdin stays open after the session's, unless it is to be used once."""
    with translated():
        container = docker.containers.container(identity)
        labels = (await container.show())["Config"]["Labels"]
        stream = container.attach(stdin=session.wants_stdin, stdout=True, stderr=True)

    async def resize(columns: int, rows: int) -> None:
        await container.resize(h=rows, w=columns)

    await _pump(stream, session, resize, ends_stdin=labels.get(STDIN_ONCE) == "true")


class SilentSession:
    """The session of a probe's command: nobody types, nobody reads."""

    tty = False
    wants_stdin = False

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None:
        """Nobody reads it."""

    async def write_stderr(self, data: bytes) -> None:
        """Nobody reads it."""

    async def sizes(self) -> AsyncGenerator[tuple[int, int], None]:
        return
        yield


async def exit_code(docker: Docker, execution: str) -> int:
    """The exit code of an exec whose output has ended. Raises EngineError if it does not come."""
    try:
        async with asyncio.timeout(EXIT_PATIENCE):
            while True:
                with translated():
                    shown = await docker.containers.exec(execution).inspect()
                if not shown["Running"] and shown.get("ExitCode") is not None:
                    return int(shown["ExitCode"])
                await asyncio.sleep(EXIT_POLL)
    except TimeoutError as error:
        raise EngineError("the command's output ended, but it has no exit code") from error


async def _pump(
    stream: Stream,
    session: Session,
    resize: Callable[[int, int], Awaitable[None]],
    *,
    ends_stdin: bool,
) -> None:
    with translated():
        async with (
            stream,
            background(_send(stream, session, ends_stdin), name="exec-stdin"),
            background(_follow_sizes(session, resize), name="exec-size"),
        ):
            while (message := await stream.read_out()) is not None:
                if message.stream == STDERR:
                    await session.write_stderr(message.data)
                else:
                    await session.write_stdout(message.data)


async def _send(stream: Stream, session: Session, ends_stdin: bool) -> None:
    if not session.wants_stdin:
        return
    while data := await session.read_stdin():
        await stream.write_in(data)
    if ends_stdin:
        _half_close(stream)


def _half_close(stream: Stream) -> None:
    """End the command's stdin but keep reading: aiodocker can only close both directions."""
    response = stream._resp
    if response is not None and response.connection is not None:
        transport = response.connection.transport
        if transport is not None and transport.can_write_eof():
            transport.write_eof()


async def _follow_sizes(session: Session, resize: Callable[[int, int], Awaitable[None]]) -> None:
    if not session.tty:
        return
    async for columns, rows in session.sizes():
        # The command may have ended meanwhile, or not have begun: a size is not worth an error.
        with contextlib.suppress(EngineError), translated():
            await resize(columns, rows)
        await asyncio.sleep(RESIZES_APART)
