"""Liveness, readiness and startup probes, with the kubelet's counting."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from vnodectl.engines.api import ContainerSpec, EngineError, Probe
from vnodectl.engines.driver import Attempt
from vnodectl.engines.group import Group
from vnodectl.engines.sockets import ProbeNetwork
from vnodectl.engines.tasks import background


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`message` says why it failed, in the words of the kubelet's Unhealthy event."""

    ok: bool
    message: str = ""


RunCommand = Callable[[tuple[str, ...], float], Awaitable[int]]


class Tally:
    """Turns single results into a verdict: it changes after so many of the same in a row."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._last: bool | None = None
        self._row = 0

    def add(self, ok: bool) -> bool | None:
        """The verdict once the threshold is reached, else None: no change."""
        self._row = self._row + 1 if ok == self._last else 1
        self._last = ok
        needed = self._probe.success_threshold if ok else self._probe.failure_threshold
        return ok if self._row >= needed else None


async def check(probe: Probe, ip: str, run: RunCommand, network: ProbeNetwork) -> ProbeResult:
    """Carry a probe out once."""
    try:
        if probe.command:
            code = await run(probe.command, probe.timeout)
            return ProbeResult(code == 0, f"command exited with code {code}")
        port, host = probe.port or 0, probe.host or ip
        if probe.http_path is None:
            await network.tcp(host, port, probe.timeout)
            return ProbeResult(True)
        url = f"{probe.http_scheme.lower()}://{_bracketed(host)}:{port}/{probe.http_path.lstrip('/')}"
        status = await network.http(url, probe.http_headers, probe.timeout)
        return ProbeResult(200 <= status < 400, f"HTTP probe failed with statuscode: {status}")
    except TimeoutError:
        return ProbeResult(False, f"no answer within {probe.timeout:g} s")
    except OSError as error:
        return ProbeResult(False, f"{type(error).__name__}: {error}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Prober:
    """Probes one running attempt until it is cancelled or has the container killed.

    `on_started` is called once a startup probe has succeeded, `on_ready` with each verdict of the readiness
    probe, `kill` with the name and the grace period of the probe that gave the container up.
    """

    def __init__(
        self,
        spec: ContainerSpec,
        attempt: Attempt,
        group: Group,
        *,
        on_started: Callable[[], None],
        on_ready: Callable[[bool], None],
        kill: Callable[[str, float | None], Awaitable[None]],
    ) -> None:
        self._spec = spec
        self._group = group
        self._run = partial(group.driver.run, attempt)
        self._on_started = on_started
        self._on_ready = on_ready
        self._kill = kill
        self._began = group.clock.now()

    async def run(self) -> None:
        spec = self._spec
        if spec.startup is not None:
            if not await self._verdict(spec.startup, "Startup", Tally(spec.startup)):
                await self._kill("startup", spec.startup.grace)
                return
            self._on_started()
        async with background(self._readiness(), name=f"readiness-{spec.name}") as readiness:
            if spec.liveness is not None:
                await self._liveness(spec.liveness)
            else:
                await readiness

    async def _liveness(self, probe: Probe) -> None:
        tally = Tally(probe)
        while await self._verdict(probe, "Liveness", tally):
            await self._group.clock.sleep(probe.period)
        await self._kill("liveness", probe.grace)

    async def _readiness(self) -> None:
        if (probe := self._spec.readiness) is None:
            return
        tally = Tally(probe)
        while True:
            self._on_ready(await self._verdict(probe, "Readiness", tally))
            await self._group.clock.sleep(probe.period)

    async def _verdict(self, probe: Probe, kind: str, tally: Tally) -> bool:
        """Probe, one period apart, until the tally has an answer."""
        group = self._group
        await group.clock.sleep(self._began + probe.initial_delay - group.clock.now())
        while True:
            # Where the engine itself did not answer, that says nothing about the container.
            with contextlib.suppress(EngineError):
                result = await check(probe, group.ip, self._run, group.settings.probes)
                if not result.ok:
                    message = f"{kind} probe failed: {result.message}"
                    group.note("Unhealthy", message, self._spec.name, warning=True)
                if (verdict := tally.add(result.ok)) is not None:
                    return verdict
            await group.clock.sleep(probe.period)
