"""The process that owns a sandbox: it starts the components, watches them and takes them away.

`vnodectl sandbox up` starts it (`python -m vnodectl.sandbox.supervisor HOME NAME`) in a session of its
own and reads its events, one JSON object per line, until `ready` or `failed`. Standard input is a pipe
that `up` holds open: if it closes before the sandbox is ready, `up` is gone and everything is undone.
Every component dies with the supervisor (PR_SET_PDEATHSIG), however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from vnodectl.errors import VnodectlError
from vnodectl.sandbox import ground
from vnodectl.sandbox.assembly import Assembly
from vnodectl.sandbox.children import Children
from vnodectl.sandbox.layout import Component, Layout, Record
from vnodectl.sandbox.plan import Plan
from vnodectl.sandbox.processes import start_time

_WORKLOAD_GRACE = 8.0


class Stopped(Exception):
    """Somebody asked for the end: SIGTERM, or `up` went away."""


class Supervisor:
    """One run of one sandbox."""

    def __init__(self, layout: Layout, plan: Plan) -> None:
        self._layout = layout
        self._plan = plan
        self._phase = "starting"
        self._children = Children(layout.logs, self._save)
        self._assembly = Assembly(layout, plan, self._children, self._say)
        self._stop = asyncio.Event()
        self._up_listens = True

    async def run(self) -> None:
        """Start everything, tell `up`, and stay until asked to end. Raises what made the start fail."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        stdin = sys.stdin.fileno()
        loop.add_reader(stdin, self._heard, stdin)
        self._save()
        try:
            async with AsyncExitStack() as stack:
                try:
                    await self._start(stack)
                    loop.remove_reader(stdin)
                    self._phase = "ready"
                    self._save()
                    self._emit({"event": "ready"})
                    self._up_listens = False
                    await self._stop.wait()
                finally:
                    await self._end()
        finally:
            await self._children.aclose()

    def _heard(self, stdin: int) -> None:
        if not os.read(stdin, 4096):
            asyncio.get_running_loop().remove_reader(stdin)
            self._stop.set()

    async def _start(self, stack: AsyncExitStack) -> None:
        start = asyncio.create_task(self._assembly.start(stack), name="start")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        death = asyncio.create_task(self._children.death(), name="death")
        try:
            await asyncio.wait({start, stop, death}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise Stopped
            if death.done():
                raise death.result()
            await start
        finally:
            for task in (start, stop, death):
                task.cancel()
            await asyncio.gather(start, stop, death, return_exceptions=True)

    async def _end(self) -> None:
        """Nodes and clouds get a moment to finish; the control plane has nothing worth saving."""
        self._phase = "stopping"
        self._save()
        await self._children.stop(self._assembly.workers, grace=_WORKLOAD_GRACE)
        await self._children.aclose()
        await ground.leave(self._layout, self._plan)

    # --- telling -----------------------------------------------------------------------------------

    def _save(self) -> None:
        pid = os.getpid()
        Record(
            name=self._layout.name,
            run=self._plan.run,
            phase=self._phase,
            supervisor=Component(
                "supervisor", pid, start_time(pid) or 0, str(self._layout.logs / "supervisor.log")
            ),
            engine=self._plan.engine,
            network=self._assembly.network,
            address=self._assembly.address,
            components=self._children.components,
            environment=self._assembly.environment,
        ).save(self._layout.record)

    def _say(self, text: str) -> None:
        self._emit({"event": "step", "text": text})

    def _emit(self, event: dict[str, Any]) -> None:
        if self._up_listens:
            with contextlib.suppress(BrokenPipeError):
                sys.stdout.write(json.dumps(event) + "\n")
                sys.stdout.flush()

    def failed(self, error: VnodectlError) -> None:
        self._emit(
            {
                "event": "failed",
                "kind": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "exit_code": error.exit_code,
            }
        )


def main() -> int:
    """Entry point. The exit code matters to nobody: `up` reads events, `down` waits for the end."""
    home, name = sys.argv[1:3]
    layout = Layout(Path(home), name)

    async def supervise() -> int:
        supervisor = Supervisor(layout, Plan.load(layout.plan))
        try:
            await supervisor.run()
        except Stopped:
            return 1
        except VnodectlError as error:
            supervisor.failed(error)
            return 1
        return 0

    return asyncio.run(supervise())


if __name__ == "__main__":
    sys.exit(main())
