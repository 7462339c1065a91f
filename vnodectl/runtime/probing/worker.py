"""The probes of one running container, from its start to its end: when to ask, and what the answers mean.

As in a kubelet: the startup probe holds the others back; a verdict changes after a threshold of equal answers
in a row; a container counts as alive until the opposite is shown, and as not ready until it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from vnodectl.runtime.probing.actions import Runner
from vnodectl.runtime.probing.outcome import Outcome, Verdict
from vnodectl.runtime.probing.spec import ProbeSpec
from vnodectl.runtime.provider import ProbeKind

log = logging.getLogger(__name__)

_KILLED_PATIENCE = 60.0  # seconds beyond the grace period before a kill that had no effect is repeated


class Reports(Protocol):
    """Who is told what the probes of a container find."""

    def outcome(self, spec: ProbeSpec, outcome: Outcome) -> None:
        """Each single answer."""

    def changed(self) -> None:
        """`started` or `ready` is another."""

    async def kill(self, spec: ProbeSpec) -> bool:
        """The container is given up. False: it could not even be asked for."""


class ContainerProbes:
    """`started` and `ready` are always current. `run` is its only task, until cancelled.

    `age` is how long the container runs already, in seconds; `late` makes the first probe wait, so that after
    a restart of this process not everything is probed at once.
    """

    def __init__(
        self,
        specs: Mapping[ProbeKind, ProbeSpec],
        runner: Runner,
        reports: Reports,
        *,
        ip: str,
        age: float,
        started: bool,
        ready: bool,
        late: Callable[[float], float] = lambda _: 0.0,
    ) -> None:
        self.ip = ip
        self.started = started
        self.ready = ready
        self.terminating = False
        """Set when the pod is being deleted: it may become unready then, but is not killed."""
        self.specs = specs
        self._runner = runner
        self._reports = reports
        self._age = age
        self._late = late
        self._began = asyncio.get_running_loop().time()
        self._released = asyncio.Event()
        if started:
            self._released.set()

    def release(self) -> None:
        """Whoever runs the startup probe says that the container has started."""
        if not self.started:
            self.started = True
            self._released.set()

    async def run(self) -> None:
        startup = self.specs.get(ProbeKind.STARTUP)
        if startup is not None and not self.started:
            await self._repeat(startup)
        await self._released.wait()
        others = [spec for kind, spec in self.specs.items() if kind is not ProbeKind.STARTUP]
        if len(others) == 1:
            await self._repeat(others[0])
            return
        async with asyncio.TaskGroup() as group:
            for spec in others:
                group.create_task(self._repeat(spec), name=f"{spec.kind} of {self.ip}")

    async def _repeat(self, spec: ProbeSpec) -> None:
        """Probe at every period until the matter is settled. Ticks that a slow answer overran are dropped."""
        loop = asyncio.get_running_loop()
        tally = Tally(spec)
        waited = self._age + loop.time() - self._began
        await asyncio.sleep(max(0.0, spec.initial_delay - waited, self._late(spec.period)))
        tick = loop.time()
        while not (self.terminating and spec.kind is not ProbeKind.READINESS):
            outcome = await self._once(spec)
            self._reports.outcome(spec, outcome)
            verdict = None if outcome.verdict is Verdict.UNKNOWN else tally.add(outcome.ok)
            if verdict is not None and await self._settled(spec, verdict, tally):
                return
            behind = loop.time() - tick
            tick += spec.period * (1 + behind // spec.period)
            await asyncio.sleep(tick - loop.time())

    async def _once(self, spec: ProbeSpec) -> Outcome:
        try:
            return await self._runner.run(spec.action, self.ip, spec.timeout)
        except Exception:  # a defect here must neither kill a container nor stop its probes
            log.exception("%s of %s", spec.kind, self.ip)
            return Outcome(Verdict.UNKNOWN, "internal error")

    async def _settled(self, spec: ProbeSpec, verdict: bool, tally: Tally) -> bool:
        """Act on a verdict; True where there is nothing more to ask."""
        if spec.kind is ProbeKind.READINESS:
            if self.ready != verdict:
                self.ready = verdict
                self._reports.changed()
        elif not verdict:
            if not self.terminating and await self._reports.kill(spec):
                # A new container has new probes. This one goes on only where nothing came of it.
                await asyncio.sleep((spec.grace or 0.0) + _KILLED_PATIENCE)
            tally.reset()
        elif spec.kind is ProbeKind.STARTUP:
            self.release()
            self._reports.changed()
            return True
        return False


class Tally:
    """Turns single answers into a verdict: it takes so many equal ones in a row."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        self._last: bool | None = None
        self._row = 0

    def add(self, ok: bool) -> bool | None:
        """The verdict where its threshold is reached, else None: no change."""
        self._row = self._row + 1 if ok == self._last else 1
        self._last = ok
        needed = self._spec.success_threshold if ok else self._spec.failure_threshold
        return ok if self._row >= needed else None

    def reset(self) -> None:
        self._last, self._row = None, 0
