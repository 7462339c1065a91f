"""Moving bytes between child processes, logs and sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vnodectl.engines import child
from vnodectl.engines.api import Session
from vnodectl.engines.crilog import LogWriter
from vnodectl.engines.process.invocation import Invocation
from vnodectl.engines.tasks import background

CHUNK = 16384  # bytes; a longer line is logged in parts, as containers' logs are


@dataclass(frozen=True, slots=True)
class Pipe:
    """A pipe whose `write_end` is for a child.

    asyncio's own would make `Process.wait` wait for whoever else has inherited the pipe.
    """

    write_end: int
    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport

    @classmethod
    async def open(cls) -> Pipe:
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        return cls(write_end, reader, transport)


async def copy_lines(source: asyncio.StreamReader, log: LogWriter, stream: str) -> None:
    """Until the end of the stream."""
    pending = b""
    while data := await source.read(CHUNK):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            log.write(stream, line + b"\n")
        if len(pending) >= CHUNK:
            log.write(stream, pending)
            pending = b""
    if pending:
        log.write(stream, pending)


async def run_command(what: Invocation, session: Session | None) -> int:
    """Run a command to its end; its exit code, 127 where there is no such program.

    It is killed with whatever it has started when this is cancelled.
    """
    parent, end = str(os.getpid()), str(int(signal.SIGKILL))
    wanted = session is not None and session.wants_stdin
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", child.__file__, parent, end, *what.argv),
        stdin=pipe if wanted else null,
        stdout=null if session is None else pipe,
        stderr=null if session is None else pipe,
        env=dict(what.env),
        cwd=what.directory,
        start_new_session=True,
    )
    try:
        if session is None:
            code = await process.wait()
        else:
            async with background(_feed(process.stdin, session), name="exec-stdin"):
                await asyncio.gather(
                    _drain(process.stdout, session.write_stdout),
                    _drain(process.stderr, session.write_stderr),
                )
                code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return code if code >= 0 else 128 - code


async def _feed(sink: asyncio.StreamWriter | None, session: Session) -> None:
    if sink is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while data := await session.read_stdin():
            sink.write(data)
            await sink.drain()
        sink.close()


async def _drain(source: asyncio.StreamReader | None, write: Callable[[bytes], Awaitable[None]]) -> None:
    while source is not None and (data := await source.read(CHUNK)):
        await write(data)
