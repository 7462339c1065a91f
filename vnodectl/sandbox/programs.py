"""Running a program to its end so that neither Ctrl-C nor our own death leaves anything of it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnodectl.errors import ToolMissing, VnodectlError
from vnodectl.sandbox import processes

_PR_SET_PDEATHSIG = 1
_GRACE = 5.0
_FAIL_GRACE = 15.0
_FAIL_PAUSE = 0.1
_TAIL_LINES = 20


Ending = Callable[[asyncio.subprocess.Process], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. `output` is its whole standard output, `tail` the last lines of both streams."""

    code: int
    output: str
    tail: tuple[str, ...]


class ProgramFailed(VnodectlError):
    """A program ended with a code other than 0; the message has its last lines."""

    def __init__(self, argv: Sequence[str], finished: Finished, *, hint: str = "") -> None:
        shown = " ".join([Path(argv[0]).name, *argv[1:3]])
        said = "\n".join(f"  | {line}" for line in finished.tail) or "  (it said nothing)"
        super().__init__(f"`{shown} …` ended with code {finished.code}:\n{said}", hint=hint)
        self.code = finished.code


def tied_to_parent() -> Callable[[], None]:
    """A `preexec_fn` after which the child is killed when its parent dies, however that comes about.

    prctl(2): the signal comes when the *thread* that forked ends, so use it from the main thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return tie


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    hint: str = "",
    ending: Ending | None = None,
) -> Finished:
    """Run `argv` and return when it has ended. `on_line` is called with each line of both streams.

    If the caller is cancelled, the program and its children are ended first, by `stop` or `ending`. Raises
    ToolMissing where there is no such program and, with `check`, ProgramFailed where it ended with a code
    other than 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=tied_to_parent(),
            limit=1 << 24,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ToolMissing(f"cannot run {argv[0]}: {error.strerror}", hint=hint) from error
    output: list[str] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    async def read(stream: asyncio.StreamReader | None, keep: bool) -> None:
        assert stream is not None  # noqa: S101 (both are pipes)
        while raw := await stream.readline():
            line = raw.decode(errors="replace")
            if keep:
                output.append(line)
            if text := line.rstrip():
                tail.append(text)
                if on_line is not None:
                    on_line(text)

    async def write(stream: asyncio.StreamWriter, text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.write(text.encode())
            await stream.drain()
        stream.close()

    try:
        async with asyncio.TaskGroup() as pipes:
            pipes.create_task(read(process.stdout, True), name=f"stdout of {argv[0]}")
            pipes.create_task(read(process.stderr, False), name=f"stderr of {argv[0]}")
            if process.stdin is not None and stdin is not None:
                pipes.create_task(write(process.stdin, stdin), name=f"stdin of {argv[0]}")
        await process.wait()
    finally:
        await (ending or stop)(process)
    finished = Finished(process.returncode or 0, "".join(output), tuple(tail))
    if check and finished.code != 0:
        raise ProgramFailed(argv, finished, hint=hint)
    return finished


async def stop(process: asyncio.subprocess.Process, *, grace: float = _GRACE) -> None:
    """End a process that leads its own group, with its group: TERM, then KILL after `grace` seconds.

    One that has ended already is left alone: its number may belong to somebody else by now.
    """
    if process.returncode is not None:
        return
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


async def fail(process: asyncio.subprocess.Process, *, grace: float = _FAIL_GRACE) -> None:
    """End a process that leads its own group by killing what it has started, so that it fails and tidies up
    as after any failure. After `grace` seconds it is stopped."""
    loop = asyncio.get_running_loop()
    end = loop.time() + grace
    while process.returncode is None and loop.time() < end:
        for pid, started in processes.of_group(process.pid):
            if pid != process.pid:
                processes.send(pid, started, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAIL_PAUSE):
                await process.wait()
    await stop(process)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
