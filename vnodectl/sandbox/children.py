"""The supervisor's child processes: started with a log file, watched, stopped, never outliving it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vnodectl.errors import ComponentDied
from vnodectl.sandbox.layout import Component
from vnodectl.sandbox.processes import start_time
from vnodectl.sandbox.programs import tied_to_parent

_TAIL_BYTES = 16384
_TAIL_LINES = 15
_LINE_LENGTH = 400


class Children:
    """All components of one sandbox. `on_change` is called when one starts or ends."""

    def __init__(self, logs: Path, on_change: Callable[[], None]) -> None:
        self._logs = logs
        self._on_change = on_change
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._components: dict[str, Component] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._first_death: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def components(self) -> tuple[Component, ...]:
        return tuple(self._components.values())

    async def start(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, endpoint: str = ""
    ) -> None:
        """Start a component; its output goes to `<logs>/<name>.log`."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    cwd=cwd,
                    env=env,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    preexec_fn=tied_to_parent(),
                )
            except OSError as error:
                raise ComponentDied(f"{name} cannot be started: {argv[0]}: {error.strerror}") from error
        self._processes[name] = process
        started = start_time(process.pid) or 0
        self._components[name] = Component(name, process.pid, started, str(log), endpoint)
        self._watchers.append(asyncio.create_task(self._watch(name, process), name=f"watch {name}"))
        self._on_change()

    def reached(self, name: str, endpoint: str) -> None:
        """Note where a component answers, when that is only known after its start."""
        self._replace(name, endpoint=endpoint)

    async def death(self) -> ComponentDied:
        """Wait until a component has ended, and describe it: exit code and last lines of its log."""
        name = await asyncio.shield(self._first_death)
        component = self._components[name]
        return ComponentDied(
            f"{name} {describe_exit(component.exit_code or 0)}; its last lines:\n{tail(Path(component.log))}"
        )

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._replace(name, exit_code=code)
        if not self._first_death.done():
            self._first_death.set_result(name)

    def _replace(self, name: str, *, endpoint: str | None = None, exit_code: int | None = None) -> None:
        import dataclasses

        component = self._components[name]
        self._components[name] = dataclasses.replace(
            component, endpoint=component.endpoint if endpoint is None else endpoint, exit_code=exit_code
        )
        self._on_change()

    async def stop(self, names: Sequence[str], *, grace: float) -> None:
        """End these components, TERM first where `grace` (seconds) is more than 0, and wait for them."""
        running = [
            process
            for name in names
            if (process := self._processes.get(name)) is not None and process.returncode is None
        ]
        if grace > 0:
            for process in running:
                _send(process, signal.SIGTERM)
            if running:
                waits = [asyncio.create_task(process.wait(), name="wait for exit") for process in running]
                _, late = await asyncio.wait(waits, timeout=grace)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        for process in running:
            _send(process, signal.SIGKILL)
            await process.wait()

    async def aclose(self) -> None:
        """Kill what still runs and end the watchers."""
        await self.stop(list(self._processes), grace=0)
        await asyncio.gather(*self._watchers)
        self._first_death.cancel()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def describe_exit(code: int) -> str:
    """In words; a negative code is the number of the signal that killed it (as `subprocess` has it)."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name} (exit code {128 - code})"


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, indented."""
    return quoted(last_lines(log, lines))


def quoted(lines: Sequence[str]) -> str:
    return "\n".join(f"  | {line}" for line in lines) or "  (it said nothing)"


def last_lines(log: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of a log that say anything; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    return [line[:_LINE_LENGTH] for line in text.splitlines() if line.strip()][-lines:]
