"""Attempts as child processes that end with this one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vnodectl import __version__
from vnodectl.engines import child, lastwords
from vnodectl.engines.api import (
    ContainerSpec,
    ContainerUsage,
    EngineError,
    LogQuery,
    NoSuchGroup,
    NotSupported,
    RegistryAuth,
    Running,
    Session,
    Terminated,
)
from vnodectl.engines.clock import Clock
from vnodectl.engines.codec import decode, encode
from vnodectl.engines.crilog import LogWriter, read_log
from vnodectl.engines.driver import Attempt, BadConfig, CannotRun, Image, Network
from vnodectl.engines.process.invocation import Invocation, Programs, invocation, program_of
from vnodectl.engines.process.pipes import Pipe, copy_lines, run_command
from vnodectl.engines.tasks import background
from vnodectl.engines.workspace import Workspace

KILLED = 137
LAST_WORDS_TIME = 1.0  # seconds to read what is left in the pipes, should anybody still hold them
LEAVE_TIME = 5.0  # seconds that programs get to end when the engine is closed


@dataclass(slots=True)
class _Child:
    attempt: Attempt
    invocation: Invocation
    process: asyncio.subprocess.Process
    task: asyncio.Task[None]
    ended: asyncio.Future[Terminated]


class ProcessDriver:
    """A `Driver` without containers. Each group has a loopback address of its own, so ports do not clash."""

    name = "process"
    version = __version__

    def __init__(self, home: Path, programs: Programs, clock: Clock) -> None:
        self._groups = home / "groups"
        self._programs = programs
        self._clock = clock
        self._children: dict[str, _Child] = {}
        self._invocations: dict[str, Invocation] = {}
        self._addresses: dict[str, str] = {}

    def knows(self, image: str) -> bool:
        return program_of(image, self._programs) is not None

    # --- its own life -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Nothing to connect to. Programs of an engine that was killed have ended with it."""

    async def aclose(self, *, remove: bool) -> None:  # noqa: ARG002 - nothing outlives it anyway
        children = list(self._children.values())
        for one in children:
            _signal_group(one.process, signal.SIGTERM)
        await asyncio.wait({one.task for one in children}, timeout=LEAVE_TIME) if children else None
        for one in children:
            _signal_group(one.process, signal.SIGKILL)
        await asyncio.gather(*(one.task for one in children), return_exceptions=True)
        self._children.clear()

    async def ping(self) -> None:
        """Processes can always be run."""

    # --- groups -----------------------------------------------------------------------------------

    async def known_groups(self) -> set[str]:
        return set()

    async def open_group(self, group: Workspace) -> Network:
        name = group.spec.name
        if name not in self._addresses:
            self._addresses[name] = _free_address(name, set(self._addresses.values()))
        return Network(self._addresses[name], fresh=False)

    async def group_lost(self, name: str) -> None:  # noqa: ARG002 - the loopback stays
        await asyncio.get_running_loop().create_future()

    async def park_group(self, name: str) -> None:
        """There is no network to release."""

    async def close_group(self, name: str) -> None:
        for one in [one for key, one in self._children.items() if key.startswith(f"{name}/")]:
            _signal_group(one.process, signal.SIGKILL)
            await asyncio.shield(one.ended)
        self._addresses.pop(name, None)
        for key in [key for key in self._invocations if key.startswith(f"{name}/")]:
            del self._invocations[key]

    async def image(self, reference: str) -> Image | None:
        name = program_of(reference, self._programs)
        return Image(f"program:{name}") if name is not None else None

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image:  # noqa: ARG002 - no registry
        if (image := await self.image(reference)) is None:
            raise EngineError(f"the process engine cannot run {reference}: it is no program of this machine")
        return image

    # --- attempts ---------------------------------------------------------------------------------

    async def attempts(self, group: str) -> list[Attempt]:
        found = []
        for path in self._attempts_dir(group).glob("*.json"):
            attempt = decode(_Record, json.loads(path.read_text())).attempt
            key = _key(attempt.id)
            if isinstance(attempt.state, Running) and key not in self._children:
                message = "the program ended with the engine that ran it"
                now = self._clock.now()
                began = attempt.state.started_at
                attempt = replace(
                    attempt,
                    state=Terminated(KILLED, "Error", began, now, message, container_id=attempt.id),
                )
                self._save(attempt)
            found.append(attempt)
        return sorted(found, key=lambda attempt: (attempt.container, attempt.number))

    async def create(self, group: Workspace, container: ContainerSpec, number: int, ip: str) -> Attempt:
        try:
            sources = {}
            for mount in container.mounts:
                volume = group.spec.volumes.get(mount.volume)
                if volume is not None and volume.memory:
                    (group.path / "volumes" / mount.volume).mkdir(parents=True, exist_ok=True)
                sources[mount.path] = str(group.source(mount))
        except EngineError as error:
            raise BadConfig(str(error)) from error
        home = group.path / "home"
        home.mkdir(exist_ok=True)
        key = f"{group.spec.name}/{container.name}/{number}"
        self._invocations[key] = invocation(
            container, self._programs, sources, ip=ip, home=str(home), ambient=os.environ
        )
        image = f"program:{program_of(container.image, self._programs)}"
        attempt = Attempt(container.name, number, f"{self.name}://{key}", image)
        self._save(attempt)
        return attempt

    async def start(self, attempt: Attempt) -> Attempt:
        key = _key(attempt.id)
        if (what := self._invocations.get(key)) is None:
            raise CannotRun("it was prepared by an engine that has ended")
        if shutil.which(what.argv[0], path=what.env.get("PATH")) is None:
            raise CannotRun(f"{what.argv[0]}: no such program")
        parent, end = str(os.getpid()), str(int(signal.SIGKILL))
        pipes = {"stdout": await Pipe.open(), "stderr": await Pipe.open()}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", child.__file__, parent, end, *what.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes["stdout"].write_end,
                stderr=pipes["stderr"].write_end,
                env=dict(what.env),
                cwd=what.directory,
                start_new_session=True,
            )
        except BaseException:
            for pipe in pipes.values():
                pipe.transport.close()
            raise
        finally:
            for pipe in pipes.values():
                os.close(pipe.write_end)
        attempt = replace(attempt, state=Running(self._clock.now()))
        ended: asyncio.Future[Terminated] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            self._attend(key, attempt, process, pipes, ended, log_speaks=what.log_speaks),
            name=f"process-{key}",
        )
        self._children[key] = _Child(attempt, what, process, task, ended)
        self._save(attempt)
        return attempt

    async def ended(self, attempt: Attempt) -> Terminated:
        if (one := self._children.get(_key(attempt.id))) is not None:
            return await asyncio.shield(one.ended)
        for known in await self.attempts(_key(attempt.id).split("/")[0]):
            if known.id == attempt.id and isinstance(known.state, Terminated):
                return known.state
        raise EngineError(f"attempt {attempt.id} is not known")

    async def signal(self, attempt: Attempt, *, kill: bool) -> None:
        if (one := self._children.get(_key(attempt.id))) is not None:
            _signal_group(one.process, signal.SIGKILL if kill else signal.SIGTERM)

    async def discard(self, attempt: Attempt) -> None:
        key = _key(attempt.id)
        self._invocations.pop(key, None)
        self._record_path(key).unlink(missing_ok=True)
        self._log_path(key).unlink(missing_ok=True)

    async def run(self, attempt: Attempt, command: Sequence[str], timeout: float) -> int:
        what = self._child(attempt.id).invocation
        async with asyncio.timeout(timeout):
            return await run_command(replace(what, argv=tuple(command)), None)

    async def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[bytes, None]:
        key = _key(container_id)
        if not self._log_path(key).is_file():
            raise NoSuchGroup("the log is no longer there")
        async with contextlib.aclosing(
            read_log(self._log_path(key), query, lambda: key not in self._children)
        ) as lines:
            async for line in lines:
                yield line

    async def exec(self, container_id: str, command: Sequence[str], session: Session) -> int:
        if session.tty:
            raise NotSupported("the process engine has no terminals: leave the terminal (-t) out")
        what = self._child(container_id).invocation
        return await run_command(replace(what, argv=tuple(command)), session)

    async def attach(self, container_id: str, session: Session) -> None:
        """Output from now on; the program has no stdin."""
        async for line in self.logs(container_id, LogQuery(follow=True, tail=0)):
            await session.write_stdout(line)

    async def usage(self, container_id: str, name: str) -> ContainerUsage:
        pid = self._child(container_id).process.pid
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError as error:
            raise NoSuchGroup(f"container {name} has ended") from error
        ticks = int(fields[11]) + int(fields[12])  # utime and stime, see proc(5)
        return ContainerUsage(name, ticks / os.sysconf("SC_CLK_TCK"), resident, resident, self._clock.now())

    # --- inside -----------------------------------------------------------------------------------

    async def _attend(
        self,
        key: str,
        attempt: Attempt,
        process: asyncio.subprocess.Process,
        pipes: Mapping[str, Pipe],
        ended: asyncio.Future[Terminated],
        *,
        log_speaks: bool,
    ) -> None:
        """Copy its output to the log and note how it ends."""
        began = attempt.state.started_at if isinstance(attempt.state, Running) else self._clock.now()
        log = LogWriter(self._log_path(key), self._clock.now)
        try:
            out, err = (copy_lines(pipe.reader, log, name) for name, pipe in pipes.items())
            async with (
                background(out, name=f"stdout-{key}") as out_task,
                background(err, name=f"stderr-{key}") as err_task,
            ):
                code = await process.wait()
                # What it has left behind in its session goes with it.
                _signal_group(process, signal.SIGKILL)
                await asyncio.wait({out_task, err_task}, timeout=LAST_WORDS_TIME)
        finally:
            for pipe in pipes.values():
                pipe.transport.close()
            log.close()
        code = code if code >= 0 else 128 - code
        reason = "Completed" if code == 0 else "Error"
        message = ""
        if code != 0 and log_speaks:
            with contextlib.suppress(OSError):
                end = read_log(self._log_path(key), lastwords.LOG_QUERY, lambda: True)
                message = await lastwords.from_log(end)
        state = Terminated(code, reason, began, self._clock.now(), message, container_id=attempt.id)
        if self._record_path(key).exists():
            self._save(replace(attempt, state=state))
        del self._children[key]
        ended.set_result(state)

    def _child(self, container_id: str) -> _Child:
        if (one := self._children.get(_key(container_id))) is None:
            raise NoSuchGroup("the container is not running")
        return one

    def _attempts_dir(self, group: str) -> Path:
        return self._groups / group / "attempts"

    def _record_path(self, key: str) -> Path:
        group, container, number = key.split("/")
        return self._attempts_dir(group) / f"{container}.{number}.json"

    def _log_path(self, key: str) -> Path:
        group, container, number = key.split("/")
        directory = self._groups / group / "logs"
        directory.mkdir(exist_ok=True, parents=True)
        return directory / f"{container}.{number}.log"

    def _save(self, attempt: Attempt) -> None:
        path = self._record_path(_key(attempt.id))
        path.parent.mkdir(exist_ok=True, parents=True)
        staged = path.with_suffix(".new")
        running = attempt.state if isinstance(attempt.state, Running) else None
        ended = attempt.state if isinstance(attempt.state, Terminated) else None
        record = _Record(attempt.container, attempt.number, attempt.id, attempt.image_id, running, ended)
        staged.write_text(json.dumps(encode(record)))
        staged.rename(path)


@dataclass(frozen=True, slots=True)
class _Record:
    """An `Attempt` as it is written down."""

    container: str
    number: int
    id: str
    image_id: str
    running: Running | None = None
    ended: Terminated | None = None

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.container, self.number, self.id, self.image_id, self.ended or self.running)


def _key(container_id: str) -> str:
    return container_id.partition("://")[2]


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _free_address(name: str, taken: set[str]) -> str:
    """An address in 127.64.0.0/10, the same for the same name as far as possible."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    size = 1 << 22
    for offset in range(size):
        number = (start + offset) % size
        low = number & 0xFF
        if low in (0, 255):
            continue
        address = f"127.{64 + (number >> 16)}.{(number >> 8) & 0xFF}.{low}"
        if address not in taken:
            return address
    raise EngineError("no loopback address is free")
