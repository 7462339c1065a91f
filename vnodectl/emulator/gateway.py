"""What every call to an emulated cloud passes through: latency, faults, and the recorder."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vnodectl.emulator.clock import Clock
from vnodectl.emulator.faults import FaultBook, FaultRule
from vnodectl.emulator.recorder import Call, Recorder

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Latency:
    """Seconds of real time added to each call, plus up to `jitter` more."""

    seconds: float = 0.0
    jitter: float = 0.0


@dataclass(slots=True)
class Trace:
    """What is found out about a call while it is handled; ends up in the recorder.

    `subject` is what faults and the recorder take for the path, where the path itself says nothing.
    """

    template: str
    subject: str = ""
    principal: str = ""
    code: str = ""


@dataclass(slots=True)
class Gateway:
    clock: Clock
    chance: random.Random = field(default_factory=random.Random)
    latency: Latency = field(default_factory=Latency)
    recorder: Recorder = field(default_factory=Recorder)
    faults: FaultBook = field(init=False)

    def __post_init__(self) -> None:
        self.faults = FaultBook(self.chance)

    async def run(
        self,
        request: web.Request,
        trace: Trace,
        work: Callable[[Trace], Awaitable[web.StreamResponse]],
        fault_answer: Callable[[FaultRule], web.Response],
    ) -> web.StreamResponse:
        """`work` answers the call; `fault_answer` writes a fault in the service's own error shape."""
        began, moment, path = time.monotonic(), self.clock.now(), trace.subject or request.path
        status = 0
        try:
            if self.latency.seconds or self.latency.jitter:
                await asyncio.sleep(self.latency.seconds + self.chance.random() * self.latency.jitter)
            fault = self.faults.pick(request.method, trace.template, path)
            if fault is not None and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault is None or _harmless(fault):
                response = await work(trace)
                status = response.status
            else:
                if fault.after:
                    await work(trace)
                response = fault_answer(fault)
                _lose(request, trace, fault)
                status = 0 if fault.drop else response.status
            return response
        finally:
            self.recorder.add(
                Call(
                    time=moment,
                    method=request.method,
                    template=trace.template,
                    path=path,
                    status=status,
                    principal=trace.principal,
                    seconds=time.monotonic() - began,
                    code=trace.code,
                    client_request_id=request.headers.get("x-ms-client-request-id", ""),
                )
            )


def _lose(request: web.Request, trace: Trace, fault: FaultRule) -> None:
    log.info("%s hits %s %s", fault.id, request.method, request.path)
    trace.code = fault.code
    if fault.drop and request.transport is not None:
        # An answer is still given to aiohttp, which finds the connection closed and discards it.
        request.transport.abort()


def _harmless(fault: FaultRule) -> bool:
    return not fault.drop and fault.status is None
