"""A provider whose containers are this machine: exec runs local processes, ports are local ports."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from vnodectl.runtime.provider import (
    LogOptions,
    NodeInfo,
    NotFound,
    PodKey,
    PortConnection,
    ResolvedPod,
    Retryable,
    Sighting,
    Streams,
)

_CHUNK = 32 * 1024


class ProcessProvider:
    """`log` is what containers have said so far; `say` lets them say more, followers see it.

    `ports` maps a pod's port to a local one. `running` counts what was asked for and is not over yet,
    however it ends; `changed` is set whenever it changes.
    """

    name = "local"

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.ports: dict[int, int] = {}
        self.asked: list[LogOptions] = []
        self.running = 0
        self.changed = asyncio.Event()
        self._said = asyncio.Event()

    def say(self, line: bytes) -> None:
        self.log.append(line)
        self._said.set()

    # --- the contract -----------------------------------------------------------------------------

    async def node(self) -> NodeInfo:
        return NodeInfo("linux", "amd64", {"pods": "10"})

    async def create(self, pod: ResolvedPod) -> None: ...

    async def delete(self, key: PodKey, *, grace: float) -> None: ...

    async def observe(self) -> AsyncIterator[Sighting]:
        await asyncio.Event().wait()
        yield  # pragma: no cover

    async def aclose(self) -> None: ...

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if container == "silent":
            raise NotFound("the cloud has no log of this container")
        self._begin()
        try:
            at = max(0, len(self.log) - options.tail) if options.tail is not None else 0
            while True:
                while at < len(self.log):
                    yield self.log[at]
                    at += 1
                if not options.follow:
                    return
                self._said.clear()
                await self._said.wait()
        finally:
            self._finish()

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        self._begin()
        try:
            if streams.tty:
                return await _in_terminal(command, streams)
            return await _on_pipes(command, streams)
        except FileNotFoundError as error:
            raise NotFound(f"no such command: {command[0]}") from error
        finally:
            self._finish()

    async def attach(self, key: PodKey, container: str, streams: Streams) -> None:
        self._begin()
        try:
            await streams.write_stdout(b"attached\n")
            while data := await streams.read_stdin():
                await streams.write_stdout(data.upper())
        finally:
            self._finish()

    async def port_forward(self, key: PodKey, port: int, connection: PortConnection) -> None:
        self._begin()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.get(port, port))
        except OSError as error:
            self._finish()
            raise Retryable("ConnectFailed", f"cannot connect to port {port}") from error

        async def up() -> None:
            while data := await connection.read():
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        async def down() -> None:
            while data := await reader.read(_CHUNK):
                await connection.write(data)
            await connection.write_eof()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(up())
                group.create_task(down())
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._finish()

    def _begin(self) -> None:
        self.running += 1
        self.changed.set()

    def _finish(self) -> None:
        self.running -= 1
        self.changed.set()


async def _start(command: Sequence[str]) -> asyncio.subprocess.Process:
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_CHUNK,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it with its children, as a container ends: asyncio waits for the pipes, which they hold too."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]


async def _on_pipes(command: Sequence[str], streams: Streams) -> int:
    process = await _start(command)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    stdin = process.stdin

    async def feed() -> None:
        with suppress(ConnectionError):
            while data := await streams.read_stdin():
                stdin.write(data)
                await stdin.drain()
        stdin.close()

    async def copy(reader: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
        while data := await reader.read(_CHUNK):
            await write(data)

    feeding = asyncio.create_task(feed(), name="feed")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(process.stdout, streams.write_stdout))
            group.create_task(copy(process.stderr, streams.write_stderr))
        return await process.wait()
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await _end(process)


async def _in_terminal(command: Sequence[str], streams: Streams) -> int:
    master, slave = pty.openpty()
    # setsid makes it the controlling terminal, without which Ctrl-C is only a character.
    process = await asyncio.create_subprocess_exec(
        "setsid", "--ctty", "--wait", *command, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.set_blocking(master, False)
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(master, readable.set)

    async def feed() -> None:
        while data := await streams.read_stdin():
            os.write(master, data)

    async def resize() -> None:
        async for size in streams.resizes():
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size.height, size.width, 0, 0))

    helpers = [asyncio.create_task(feed(), name="feed"), asyncio.create_task(resize(), name="resize")]
    try:
        while True:
            await readable.wait()
            try:
                data = os.read(master, _CHUNK)
            except BlockingIOError:
                readable.clear()
                continue
            except OSError:  # how a terminal says that its last process is gone
                break
            await streams.write_stdout(data)
        return await process.wait()
    finally:
        loop.remove_reader(master)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        if process.returncode is None:
            os.close(master)  # hangs up on all that runs in it
            await process.wait()
        else:
            os.close(master)
