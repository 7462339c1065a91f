"""kubectl exec and attach over ACI's WebSockets.

ACI starts one program, without arguments, on a terminal, and tells neither its exit code nor stderr apart.
So the program is `/bin/sh`, and it runs the wanted command as `exec_script` describes: with arguments, exit
code, stdout and stderr apart, and bytes as they are. A terminal that changes its size is told so through a
second, short exec. An image without a shell can run one word only, and its exit code stays unknown (0).

On Windows the program is `cmd.exe`, which is typed the command line and `exit`; what it says around the
command is shown, stdout and stderr arrive together, and the exit code is unknown (0).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.azure.errors import unreachable
from vnodectl.errors import VnodectlError
from vnodectl.providers.aci.exec_script import SHELL, STDIN_END, Splitter, Typing, script
from vnodectl.providers.aci.failures import of_request
from vnodectl.providers.aci.groups import Channel, Groups
from vnodectl.runtime.provider import ProviderError, Streams, TerminalSize, Unsupported

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

WINDOWS_SHELL = "cmd.exe"
_DEFAULT_SIZE = TerminalSize(80, 24)
_SIZE_WAIT = 0.5
_SIZE_REST = 0.3
_SHELL_WAIT = 30.0
_BULK_REST = 0.05
"""Seconds without input after which none is held back."""
_REST_WAIT = 3.0
"""Seconds of silence after which a program that has ended has nothing more to say."""
_NO_SHELL_OUTPUT = 2000


async def run(
    groups: Groups, name: str, container: str, command: Sequence[str], streams: Streams, *, windows: bool
) -> int:
    """The exit code; 0 where ACI cannot tell it. Raises ProviderError."""
    if not command:
        raise Unsupported("there is no command to run")
    async with _sizes(streams) as sizes:
        if not windows:
            code, said = await _in_shell(groups, name, container, command, streams, sizes)
            if code is not None:
                return code
            if len(command) > 1:
                raise Unsupported(
                    f"the image has no {SHELL}, and Azure Container Instances passes no arguments: {said}"
                )
        program = command[0] if len(command) == 1 else WINDOWS_SHELL
        async with _open(groups, await _exec(groups, name, container, program, sizes.first)) as socket:
            if len(command) > 1:
                await _send(socket, f"{subprocess.list2cmdline(command)}\r\nexit\r\n".encode())
            await _plain(socket, streams)
    return 0


async def attach(groups: Groups, name: str, container: str, streams: Streams) -> None:
    """The container's output from now on, until the caller leaves or the container ends."""
    try:
        channel = await groups.attach(name, container)
    except VnodectlError as error:
        raise of_request(error) from error
    async with _open(groups, channel) as socket:
        await _plain(socket, streams)


async def _in_shell(
    groups: Groups,
    name: str,
    container: str,
    command: Sequence[str],
    streams: Streams,
    sizes: _Sizes,
) -> tuple[int | None, str]:
    """(exit code, ""), or (None, what was said instead) where no shell answered."""
    splitter = Splitter(secrets.token_hex(8), streams.tty)
    async with _open(groups, await _exec(groups, name, container, SHELL, sizes.first)) as socket:
        lines = script(command, splitter.nonce, tty=streams.tty, stdin=streams.wants_stdin)
        try:
            # While it is typed, the shell's echo is read: neither side may wait for the other.
            async with asyncio.timeout(_SHELL_WAIT), _during(_type_lines(socket, lines)):
                said = await _await_begin(socket, splitter, streams)
        except TimeoutError:
            return None, "the shell did not answer"
        if not splitter.begun:
            return None, said.decode(errors="replace").strip()

        async def resized(size: TerminalSize) -> None:
            await _resize(groups, name, container, splitter.pid, size)

        async with (
            _during(_input(socket, streams, splitter.features)) as stdin,
            sizes.told(resized),
        ):
            while not splitter.ended:
                try:
                    async with asyncio.timeout(None if splitter.code is None else _REST_WAIT):
                        data = await _receive(socket)
                except TimeoutError:
                    break  # it has ended and left somebody behind who still has its output open
                if data is None:
                    raise ProviderError("ExecBroken", "the connection to the container was lost")
                await _tell(splitter.feed(data), streams)
                if splitter.code is not None and stdin is not None and not stdin.done():
                    # The program has ended without reading all its input: let go of who feeds it.
                    stdin.cancel()
                    if "i" in splitter.features:
                        await _send(socket, STDIN_END)
    return splitter.code, ""


async def _type_lines(socket: aiohttp.ClientWebSocketResponse, lines: Iterator[str]) -> None:
    for line in lines:
        await _send(socket, f"{line}\n".encode())


async def _await_begin(
    socket: aiohttp.ClientWebSocketResponse, splitter: Splitter, streams: Streams
) -> bytes:
    said = b""
    while not splitter.begun:
        data = await _receive(socket)
        if data is None:
            return said[-_NO_SHELL_OUTPUT:]
        said += data
        await _tell(splitter.feed(data), streams)
    return b""


async def _tell(output: tuple[bytes, bytes], streams: Streams) -> None:
    out, err = output
    if out:
        await streams.write_stdout(out)
    if err:
        await streams.write_stderr(err)


class _Silent:
    """The far end of an exec whose output nobody wants."""

    tty = False
    wants_stdin = wants_stdout = wants_stderr = False

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None: ...

    async def write_stderr(self, data: bytes) -> None: ...

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        return
        yield


async def _resize(groups: Groups, name: str, container: str, pid: int, size: TerminalSize) -> None:
    """Tell the terminal of process `pid` its new size; the kernel then signals who runs on it."""
    command = ("sh", "-c", 'stty rows "$1" cols "$2" <"/proc/$3/fd/0"', "sh")
    numbers = (str(size.height), str(size.width), str(pid))
    nobody: Streams = _Silent()
    try:
        await _in_shell(groups, name, container, (*command, *numbers), nobody, _Sizes(_DEFAULT_SIZE, None))
    except ProviderError as error:
        log.info("the new terminal size did not reach %s/%s: %s", name, container, error)


async def _plain(socket: aiohttp.ClientWebSocketResponse, streams: Streams) -> None:
    async with _during(_input(socket, streams, "")):
        while (data := await _receive(socket)) is not None:
            await streams.write_stdout(data)


@asynccontextmanager
async def _during(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[asyncio.Task[None] | None]:
    """`work` as a task for as long as the block runs; its own failure is the block's."""
    if work is None:
        yield None
        return
    task = asyncio.create_task(work, name="aci-exec-side")
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _input(
    socket: aiohttp.ClientWebSocketResponse, streams: Streams, features: str
) -> Coroutine[Any, Any, None] | None:
    """The sending of what the caller types, where it types anything, as the far end's `features` allow."""
    if not streams.wants_stdin:
        return None
    if "i" in features:
        return _type_encoded(socket, streams, Typing("b" in features))
    return _type(socket, streams)


async def _type(socket: aiohttp.ClientWebSocketResponse, streams: Streams) -> None:
    """Send what the caller types, until it ends."""
    last = b"\n"
    while data := await streams.read_stdin():
        await _send(socket, data)
        last = data[-1:]
    if not streams.tty:
        # End of file, as a terminal knows it: ^D on an empty line; the first one ends an unfinished line.
        await _send(socket, b"\x04" if last == b"\n" else b"\x04\x04")


async def _type_encoded(socket: aiohttp.ClientWebSocketResponse, streams: Streams, typing: Typing) -> None:
    """The same for a shell that decodes it. What is held back in bulk is let go when the caller pauses."""
    while True:
        async with _during_read(streams) as read:
            if typing.in_bulk:
                await asyncio.wait({read}, timeout=_BULK_REST)
                if not read.done():
                    for piece in typing.rest():
                        await _send(socket, piece)
            data = await read
        for piece in typing.feed(data) if data else typing.rest():
            await _send(socket, piece)
        if not data:
            await _send(socket, STDIN_END)
            return


@asynccontextmanager
async def _during_read(streams: Streams) -> AsyncIterator[asyncio.Task[bytes]]:
    read: asyncio.Task[bytes] = asyncio.create_task(streams.read_stdin(), name="aci-exec-stdin")
    try:
        yield read
    finally:
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)


async def _exec(groups: Groups, name: str, container: str, program: str, size: TerminalSize) -> Channel:
    try:
        return await groups.exec(name, container, program, size.width, size.height)
    except VnodectlError as error:
        raise of_request(error) from error


@asynccontextmanager
async def _open(groups: Groups, channel: Channel) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    import aiohttp

    if not channel.uri.startswith("wss://"):
        raise ProviderError(
            "ExecInsecure", "Azure gave a WebSocket address without TLS; no password is sent to it"
        )
    headers = {"Authorization": channel.password} if channel.in_header else {}
    try:
        async with groups.session.http.ws_connect(channel.uri, headers=headers, max_msg_size=0) as socket:
            if not channel.in_header:
                await socket.send_str(channel.password)
            yield socket
    except (aiohttp.ClientError, OSError) as error:
        raise of_request(unreachable(error)) from error


async def _send(socket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
    with suppress(ConnectionError):  # the reading side notices and says so
        await socket.send_bytes(data)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> bytes | None:
    """The next output; None once the far end has closed."""
    import aiohttp

    message: Any = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        return str(message.data).encode()
    if message.type is aiohttp.WSMsgType.BINARY:
        return bytes(message.data)
    return None


class _Sizes:
    """The caller's terminal: its size at first, and its changes, of which only the newest matters."""

    def __init__(self, first: TerminalSize, rest: AsyncIterator[TerminalSize] | None) -> None:
        self.first = first
        self._rest = rest

    @asynccontextmanager
    async def told(self, tell: Callable[[TerminalSize], Awaitable[None]]) -> AsyncIterator[None]:
        """`tell` each change that lasts, one at a time, for as long as the block runs."""
        if self._rest is None:
            yield
            return
        newest = self.first
        changed = asyncio.Event()

        async def watch(sizes: AsyncIterator[TerminalSize]) -> None:
            nonlocal newest
            async for size in sizes:
                newest = size
                changed.set()

        async def follow() -> None:
            known = self.first
            while True:
                await changed.wait()
                # A window that is being dragged changes many times a second; each change costs a request.
                await asyncio.sleep(_SIZE_REST)
                changed.clear()
                if newest != known:
                    known = newest
                    await tell(known)

        async with _during(watch(self._rest)), _during(follow()):
            yield


@asynccontextmanager
async def _sizes(streams: Streams) -> AsyncIterator[_Sizes]:
    if not streams.tty:
        yield _Sizes(_DEFAULT_SIZE, None)
        return
    sizes = aiter(streams.resizes())
    first = asyncio.ensure_future(anext(sizes, None))
    try:
        await asyncio.wait({first}, timeout=_SIZE_WAIT)
        if not first.done():
            yield _Sizes(_DEFAULT_SIZE, _after(first, sizes))
        elif (size := first.result()) is None:
            yield _Sizes(_DEFAULT_SIZE, None)
        else:
            yield _Sizes(size, sizes)
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def _after(
    first: asyncio.Future[TerminalSize | None], rest: AsyncIterator[TerminalSize]
) -> AsyncIterator[TerminalSize]:
    size = await first
    if size is not None:
        yield size
        async for size in rest:
            yield size
