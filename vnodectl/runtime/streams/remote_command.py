"""exec and attach: the provider's `Streams` on channels, and how a command's end is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vnodectl.runtime.provider import ProviderError, Streams, TerminalSize
from vnodectl.runtime.streams.session import Channel, end_tasks
from vnodectl.runtime.streams.spdy_frames import ResetStatus
from vnodectl.runtime.streams.spdy_session import SpdySession, SpdyStream
from vnodectl.runtime.streams.websocket import WebSocketSession

_log = logging.getLogger(__name__)

JSON = dict[str, Any]

SPDY_PROTOCOLS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""What a kubelet offers over SPDY, best first. v3 brought resizes, v4 the Status; v5 is for WebSocket."""
RESIZE_SINCE: Final = frozenset(SPDY_PROTOCOLS[:2])
STATUS_JSON: Final = "v4.channel.k8s.io"

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE = range(5)
WEBSOCKET_CHANNELS: Final = 5

_MAX_RESIZE_TEXT: Final = 4096
"""Bytes of one resize message; a real one is about 30 long."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Which streams the caller asked for. With a terminal there is no separate stderr."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> StreamOptions | None:
        """From a kubelet's parameters (input, output, error, tty: "1"); None where no stream is asked for."""
        asked = {name: query.get(name) == "1" for name in ("input", "output", "error", "tty")}
        options = cls(
            stdin=asked["input"],
            stdout=asked["output"],
            stderr=asked["error"] and not asked["tty"],
            tty=asked["tty"],
        )
        return options if options.stdin or options.stdout or options.stderr else None


@dataclass(frozen=True, slots=True)
class CommandChannels:
    """The channels of one session; None where the caller did not ask for it."""

    error: Channel
    stdin: Channel | None = None
    stdout: Channel | None = None
    stderr: Channel | None = None
    resize: Channel | None = None


Command = Callable[[Streams], Awaitable[int]]
"""Runs to its end with the given streams and returns the exit code."""


class RemoteStreams:
    """kubectl's end, as a provider sees it."""

    def __init__(self, channels: CommandChannels, *, tty: bool) -> None:
        self.tty = tty
        self.wants_stdin = channels.stdin is not None
        self.wants_stdout = channels.stdout is not None
        self.wants_stderr = channels.stderr is not None
        self._channels = channels

    async def read_stdin(self) -> bytes:
        return await self._channels.stdin.read() if self._channels.stdin is not None else b""

    async def write_stdout(self, data: bytes) -> None:
        if self._channels.stdout is not None:
            await self._channels.stdout.write(data)

    async def write_stderr(self, data: bytes) -> None:
        # A provider that keeps the two apart although the caller has a terminal loses nothing.
        target = self._channels.stdout if self.tty else self._channels.stderr
        if target is not None:
            await target.write(data)

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        resize = self._channels.resize
        if resize is None:
            return
        text = b""
        while data := await resize.read():
            sizes, text = decode_sizes(text + data)
            for size in sizes:
                yield size


def decode_sizes(text: bytes) -> tuple[list[TerminalSize], bytes]:
    """The sizes in a run of JSON documents `{"Width":80,"Height":24}`, and the piece that is left.

    What cannot be a size is skipped: a terminal of the wrong size is better than a dead session.
    """
    sizes: list[TerminalSize] = []
    while (end := text.find(b"}")) >= 0:
        document, text = text[: end + 1], text[end + 1 :]
        try:
            body = json.loads(document)
            size = TerminalSize(width=int(body["Width"]), height=int(body["Height"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if 0 < size.width < 2**16 and 0 < size.height < 2**16:
            sizes.append(size)
    return sizes, text if len(text) <= _MAX_RESIZE_TEXT else b""


# --- how it ended ---------------------------------------------------------------------------------


def success() -> JSON:
    return {"metadata": {}, "status": "Success"}


def exited(code: int) -> JSON:
    """The Status of a command that ended with `code`, as kubectl reads it."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failed(message: str) -> JSON:
    """The Status of a command that could not be run."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def encode_status(status: JSON, *, as_json: bool) -> bytes:
    """For the error stream: JSON since v4; before that the message of a failure, and nothing of a success."""
    if as_json:
        return json.dumps(status, separators=(",", ":")).encode()
    return str(status.get("message", "")).encode()


async def run_command(
    channels: CommandChannels, command: Command, *, tty: bool, as_json: bool, name: str
) -> None:
    """Run the command and tell how it ended. `name` is for the log."""
    try:
        status = exited(await command(RemoteStreams(channels, tty=tty)))
    except ProviderError as error:
        status = failed(error.message)
    except ConnectionError:
        raise
    except Exception:
        _log.exception("%s failed", name)
        status = failed("the provider failed; see the log of the virtual node")
    if text := encode_status(status, as_json=as_json):
        await channels.error.write(text)
    for channel in (channels.stdout, channels.stderr, channels.error, channels.stdin, channels.resize):
        if channel is not None:
            await channel.write_eof()


# --- on either transport --------------------------------------------------------------------------


async def serve_spdy(
    session: SpdySession, protocol: str, options: StreamOptions, command: Command, *, wait: float, name: str
) -> None:
    """Wait up to `wait` seconds for the streams, then run the command."""
    wanted = {
        "error": True,
        "stdin": options.stdin,
        "stdout": options.stdout,
        "stderr": options.stderr,
        "resize": options.tty and protocol in RESIZE_SINCE,
    }
    expected = {kind for kind, is_wanted in wanted.items() if is_wanted}
    try:
        async with asyncio.timeout(wait):
            streams = await _collect(session, expected)
    except TimeoutError:
        _log.info("%s: the streams were not opened within %g s", name, wait)
        return
    refuse = asyncio.create_task(_refuse_more(session), name=f"{name}: surplus streams")
    try:
        await run_command(
            CommandChannels(**streams), command, tty=options.tty, as_json=protocol == STATUS_JSON, name=name
        )
    finally:
        await end_tasks(refuse)


async def _collect(session: SpdySession, expected: set[str]) -> dict[str, SpdyStream]:
    streams: dict[str, SpdyStream] = {}
    while streams.keys() != expected:
        stream = await session.accept()
        kind = stream.headers.get("streamtype", "")
        if kind not in expected or kind in streams:
            await stream.reset(ResetStatus.REFUSED_STREAM)
            continue
        streams[kind] = stream
        await session.reply(stream)
    return streams


async def _refuse_more(session: SpdySession) -> None:
    while True:
        await (await session.accept()).reset(ResetStatus.REFUSED_STREAM)


def websocket_readable(options: StreamOptions) -> frozenset[int]:
    """The channels on which a client may send."""
    return frozenset({_STDIN} if options.stdin else set()) | frozenset({_RESIZE} if options.tty else set())


async def serve_websocket(
    session: WebSocketSession, options: StreamOptions, command: Command, *, as_json: bool, name: str
) -> None:
    """Run the command on the five channels of a WebSocket."""
    stdin, stdout, stderr, error, resize = session.channels
    channels = CommandChannels(
        error=error,
        stdin=stdin if options.stdin else None,
        stdout=stdout if options.stdout else None,
        stderr=stderr if options.stderr else None,
        resize=resize if options.tty else None,
    )
    await session.announce(_STDOUT if options.stdout else _STDERR if options.stderr else _ERROR)
    await run_command(channels, command, tty=options.tty, as_json=as_json, name=name)
