"""kubectl exec and attach over ACI's WebSockets.

ACI starts one program, without arguments, on a terminal, and tells neither its exit code nor stderr apart.
So the program is `/bin/sh`: it is typed a few lines that build the wanted argument list, run it between two
markers, and put its exit code into the second. What comes before the first marker is the shell talking to
itself and is dropped. An image without a shell can run one word only, and its exit code stays unknown (0).

On Windows the program is `cmd.exe`, which is typed the command line and `exit`; what it says around the
command is shown, and the exit code is unknown (0).

Known limits, all of them the terminal's: stdout and stderr arrive together on stdout, piped input is line
buffered text, and a window that changes its size is not told to the program.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.azure.errors import unreachable
from vnodectl.errors import VnodectlError
from vnodectl.providers.aci.failures import of_request
from vnodectl.providers.aci.groups import Channel, Groups
from vnodectl.runtime.provider import ProviderError, Streams, TerminalSize, Unsupported

if TYPE_CHECKING:
    import aiohttp

SHELL = "/bin/sh"
WINDOWS_SHELL = "cmd.exe"
_DEFAULT_SIZE = TerminalSize(80, 24)
_SIZE_WAIT = 0.5
_SHELL_WAIT = 30.0
_MARK = b"\x1e"
_LINE = 600
"""Characters typed per line; a terminal takes 4,095 at most."""
_NO_SHELL_OUTPUT = 2000
_QUIET_TERMINAL = "-echo -onlcr -isig -ixon -icrnl -iexten erase undef kill undef"


def script(command: Sequence[str], nonce: str, *, tty: bool) -> Iterator[str]:
    """The lines to type. No character of `command` is typed as it is, so the terminal cannot act on it."""
    yield "set --"
    for word in command:
        yield "w="
        for part in _parts(word):
            yield f"p=$(printf '{part}x');w=$w${{p%x}}"
        yield 'set -- "$@" "$w"'
    terminal = "true" if tty else f"stty {_QUIET_TERMINAL} 2>/dev/null"
    inner = (
        f'trap : INT QUIT; {terminal}; printf "\\036begin-%s:%d\\036" {nonce} $?; "$@"; '
        f'printf "\\036end-%s:%d\\036" {nonce} $?'
    )
    yield f"exec {SHELL} -c '{inner}' sh \"$@\""


def _parts(word: str) -> Iterator[str]:
    """`word` as printf formats of bounded length. `-` is escaped too: it could begin an option."""
    line = ""
    for byte in word.encode():
        char = chr(byte)
        line += char if char.isascii() and (char.isalnum() or char in "_./:=,+@ ") else f"\\{byte:03o}"
        if len(line) > _LINE:
            yield line
            line = ""
    if line:
        yield line


@dataclass(slots=True)
class Splitter:
    """Separates a program's output from what the shell around it says."""

    nonce: str
    tty: bool
    begun: bool = False
    cooked: bool = False
    """The terminal could not be silenced: it turns every newline into CR LF."""
    code: int | None = None
    held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """The program's output in `data`; a piece that may be a marker's beginning is held back."""
        self.held += data
        output = b""
        if not self.begun:
            self.begun = self._marker(b"begin-")
            if not self.begun:
                return b""
        if self.code is None:
            output = self._until_end()
        return output.replace(b"\r\n", b"\n") if self.cooked else output

    def _marker(self, kind: bytes) -> bool:
        start = _MARK + kind + self.nonce.encode() + b":"
        _before, found, rest = self.held.partition(start)
        number, end, after = rest.partition(_MARK)
        if not found or not end:
            return False
        self.cooked = number != b"0" and not self.tty
        self.held = after
        return True

    def _until_end(self) -> bytes:
        start = _MARK + b"end-" + self.nonce.encode() + b":"
        before, found, rest = self.held.partition(start)
        if found:
            number, end, _after = rest.partition(_MARK)
            if end:
                self.code, self.held = int(number), b""
            else:
                self.held = start + rest
            return before
        keep = 0
        for size in range(min(len(start), len(self.held)), 0, -1):
            if self.held.endswith(start[:size]):
                keep = size
                break
        # A CR at the end may be the first half of a CR LF that is to become one newline.
        if self.cooked and not keep and self.held.endswith(b"\r"):
            keep = 1
        cut = len(self.held) - keep
        output, self.held = self.held[:cut], self.held[cut:]
        return output


async def run(
    groups: Groups, name: str, container: str, command: Sequence[str], streams: Streams, *, windows: bool
) -> int:
    """The exit code; 0 where ACI cannot tell it. Raises ProviderError."""
    if not command:
        raise Unsupported("there is no command to run")
    size = await _size(streams)
    if not windows:
        code, said = await _in_shell(groups, name, container, command, streams, size)
        if code is not None:
            return code
        if len(command) > 1:
            raise Unsupported(
                f"the image has no {SHELL}, and Azure Container Instances passes no arguments: {said}"
            )
    program = command[0] if len(command) == 1 else WINDOWS_SHELL
    async with _open(groups, await _exec(groups, name, container, program, size)) as socket:
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
    size: TerminalSize,
) -> tuple[int | None, str]:
    """(exit code, ""), or (None, what was said instead) where no shell answered."""
    splitter = Splitter(secrets.token_hex(8), streams.tty)
    async with _open(groups, await _exec(groups, name, container, SHELL, size)) as socket:
        for line in script(command, splitter.nonce, tty=streams.tty):
            await _send(socket, f"{line}\n".encode())
        try:
            async with asyncio.timeout(_SHELL_WAIT):
                said = await _await_begin(socket, splitter, streams)
        except TimeoutError:
            return None, "the shell did not answer"
        if not splitter.begun:
            return None, said.decode(errors="replace").strip()
        async with _typing(socket, streams):
            while splitter.code is None:
                data = await _receive(socket)
                if data is None:
                    raise ProviderError("ExecBroken", "the connection to the container was lost")
                output = splitter.feed(data)
                if output:
                    await streams.write_stdout(output)
    return splitter.code, ""


async def _await_begin(
    socket: aiohttp.ClientWebSocketResponse, splitter: Splitter, streams: Streams
) -> bytes:
    said = b""
    while not splitter.begun:
        data = await _receive(socket)
        if data is None:
            return said[-_NO_SHELL_OUTPUT:]
        said += data
        output = splitter.feed(data)
        if output:
            await streams.write_stdout(output)
    return b""


async def _plain(socket: aiohttp.ClientWebSocketResponse, streams: Streams) -> None:
    async with _typing(socket, streams):
        while (data := await _receive(socket)) is not None:
            await streams.write_stdout(data)


@asynccontextmanager
async def _typing(socket: aiohttp.ClientWebSocketResponse, streams: Streams) -> AsyncIterator[None]:
    """Send what the caller types for as long as the block runs."""
    if not streams.wants_stdin:
        yield
        return
    task = asyncio.create_task(_type(socket, streams), name="aci-exec-stdin")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _type(socket: aiohttp.ClientWebSocketResponse, streams: Streams) -> None:
    last = b"\n"
    while data := await streams.read_stdin():
        await _send(socket, data)
        last = data[-1:]
    if not streams.tty:
        # End of file, as a terminal knows it: ^D on an empty line; the first one ends an unfinished line.
        await _send(socket, b"\x04" if last == b"\n" else b"\x04\x04")


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
    try:
        async with groups.session.http.ws_connect(channel.uri, max_msg_size=0) as socket:
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


async def _size(streams: Streams) -> TerminalSize:
    if not streams.tty:
        return _DEFAULT_SIZE
    sizes = streams.resizes()
    try:
        async with asyncio.timeout(_SIZE_WAIT):
            return await anext(aiter(sizes))
    except (TimeoutError, StopAsyncIteration):
        return _DEFAULT_SIZE
