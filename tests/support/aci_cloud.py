"""The ACI provider in front of an emulated Azure, over sockets, and what it says."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from support.azure_clients import CLIENT, GROUP, LOCATION, SECRET, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.azure import AzureSession, AzureSettings
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.engines.api import GroupPhase, Session, Terminated
from vnodectl.providers.aci import AciProvider, AciSettings, ReadBudget, create_provider
from vnodectl.runtime.provider import Gone, Health, Listed, PodKey, Seen, Sighting, TerminalSize

NODE = "virtual-kubelet-aci-connector-linux-eastus"
CONNECTOR = "aci-connector-linux-eastus"
BRISK = ReadBudget(
    urgent_rate=200.0,
    steady_rate=100.0,
    list_interval=0.2,
    settling_interval=0.03,
    finishing_interval=0.1,
    steady_interval=0.3,
)
DEADLINE = 20.0


@dataclass
class Said:
    """Every sighting, in order; `until` waits for one that fits (said before counts too)."""

    all: list[Sighting] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def collect(self, provider: AciProvider) -> None:
        async with aclosing(provider.observe()) as sightings:  # type: ignore[type-var]
            async for sighting in sightings:
                async with self.changed:
                    self.all.append(sighting)
                    self.changed.notify_all()

    async def until(self, fits: Callable[[Sighting], Any], *, after: int = 0) -> Sighting:
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: any(fits(one) for one in self.all[after:]))
        return next(one for one in self.all[after:] if fits(one))

    async def state(self, key: PodKey, kind: str) -> dict[str, Any]:
        """The first status whose first container is `kind`: waiting, running or terminated."""

        def fits(one: Sighting) -> bool:
            if not isinstance(one, Seen) or one.key != key:
                return False
            statuses = one.status.get("containerStatuses") or ()
            return bool(statuses) and kind in statuses[0]["state"]

        found = await self.until(fits)
        assert isinstance(found, Seen)
        return found.status

    async def gone(self, key: PodKey) -> None:
        await self.until(lambda one: one == Gone(key))

    async def listed(self) -> Listed:
        """A complete list that began after this call."""
        after = len(self.all)
        now = asyncio.get_running_loop().time()
        found = await self.until(lambda one: isinstance(one, Listed) and one.began >= now, after=after)
        assert isinstance(found, Listed)
        return found

    async def health(self, ok: bool, *, after: int = 0) -> Health:
        found = await self.until(lambda one: isinstance(one, Health) and one.ok is ok, after=after)
        assert isinstance(found, Health)
        return found


@dataclass
class AciCloud:
    emulator: AzureEmulator
    engine: ScriptedEngine
    session: AzureSession
    provider: AciProvider
    said: Said

    def end(self, code: int, reason: str = "Error") -> None:
        """Every container of the only group ends with `code`."""
        (name,) = self.engine.seen
        phase = GroupPhase.SUCCEEDED if code == 0 else GroupPhase.FAILED
        self.engine.become(name, phase, Terminated(code, reason, 1_800_000_000.0, 1_800_000_005.0))

    def fault(self, **rule: Any) -> None:
        self.emulator.gateway.faults.add(rule)

    def calls(self, method: str, part: str = "containerGroups") -> int:
        return sum(1 for _ in self.emulator.gateway.recorder.calls(method=method, template=part))


def azure_settings(emulator: AzureEmulator, **changes: Any) -> AzureSettings:
    given: dict[str, Any] = {
        "subscription_id": emulator.world.subscription,
        "tenant_id": emulator.world.tenant,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "authority_host": emulator.authority_host,
        "arm_endpoint": emulator.arm_endpoint,
        "ca_bundle": str(emulator.ca_file),
    }
    return AzureSettings(**{**given, **changes})


@asynccontextmanager
async def aci_cloud(
    engine: ScriptedEngine | None = None,
    *,
    os_type: str = "Linux",
    config: dict[str, Any] | None = None,
    budget: ReadBudget = BRISK,
    settings: AciSettings | None = None,
    metrics: bool = False,
) -> AsyncIterator[AciCloud]:
    """An observed provider of one node, and the cloud behind it."""
    engine = engine or ScriptedEngine()
    async with (
        AzureEmulator(AzureConfig.from_json(seed(**(config or {}))), engine=engine) as emulator,
        AzureSession(
            azure_settings(emulator, metrics_host=emulator.metrics_endpoint if metrics else "")
        ) as session,
    ):
        provider = create_provider(
            session,
            settings or AciSettings(GROUP, LOCATION),
            node_name=NODE,
            connector=CONNECTOR,
            os_type=os_type,
            capacity={"cpu": "800", "memory": "4Ti", "pods": "200"},
            budget=budget,
        )
        said = Said()
        task = asyncio.create_task(said.collect(provider), name="test-collect")
        try:
            yield AciCloud(emulator, engine, session, provider, said)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await provider.aclose()


class TerminalEngine(ScriptedEngine):
    """Runs exec commands for real, on a terminal, as ACI does. `programs` maps names to what is run."""

    def __init__(self, programs: dict[str, list[str]] | None = None) -> None:
        super().__init__()
        self.programs = {"/bin/sh": ["/bin/sh"]} if programs is None else programs

    async def exec(self, name: str, container: str, command: Sequence[str], session: Session) -> int:
        if command[0] not in self.programs:
            await session.write_stdout(f"exec failed: {command[0]}: no such file or directory\r\n".encode())
            return 127
        outside, inside = pty.openpty()
        async for columns, rows in session.sizes():
            fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            break
        process = subprocess.Popen(  # noqa: ASYNC220 — returns at once
            self.programs[command[0]],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        def readable() -> None:
            try:
                data = os.read(outside, 4096)
            except OSError:
                data = b""
            arrived.put_nowait(data)
            if not data:
                loop.remove_reader(outside)

        loop.add_reader(outside, readable)

        async def typing() -> None:
            while True:
                os.write(outside, await session.read_stdin())

        typed = asyncio.create_task(typing(), name="terminal-typing")
        try:
            while data := await arrived.get():
                await session.write_stdout(data)
        finally:
            # Nothing is awaited before the process is gone: a second cancellation may come at any await.
            loop.remove_reader(outside)
            typed.cancel()
            process.kill()
            code = process.wait()
            os.close(outside)
            await asyncio.gather(typed, return_exceptions=True)
        return code


class Kubectl:
    """The far end of an exec: types `stdin` piece by piece, keeps what it is shown.

    Has each of `sizes` in turn: the next one once `resized` is set, which clears it.
    """

    def __init__(self, *stdin: bytes, tty: bool = False, sizes: Sequence[TerminalSize] = ()) -> None:
        self.tty = tty
        self.wants_stdin = bool(stdin)
        self.wants_stdout: Literal[True] = True
        self.wants_stderr = not tty
        self.output = b""
        self.errors = b""
        self.changed = asyncio.Event()
        self.resized = asyncio.Event()
        self._stdin = list(stdin)
        self._sizes = sizes

    async def read_stdin(self) -> bytes:
        return self._stdin.pop(0) if self._stdin else b""

    async def write_stdout(self, data: bytes) -> None:
        self.output += data
        self.changed.set()

    async def write_stderr(self, data: bytes) -> None:
        self.errors += data

    async def shows(self, part: bytes) -> None:
        """Until `part` has been shown."""
        while part not in self.output:
            self.changed.clear()
            await self.changed.wait()

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        for index, size in enumerate(self._sizes):
            if index:
                await self.resized.wait()
                self.resized.clear()
            yield size
