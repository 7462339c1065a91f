"""preStop hooks that the runtime carries out, for providers whose cloud has none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import containers
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.probing.actions import Runner, SocketRunner
from vnodectl.runtime.probing.spec import http_action
from vnodectl.runtime.provider import (
    JSON,
    PodKey,
    Provider,
    ProviderError,
    SupportsDirectPreStop,
    TerminalSize,
)

log = logging.getLogger(__name__)

LEAST_GRACE = 2.0  # seconds that a kubelet always leaves to the container after its hook


class PreStopHooks:
    """Each pod's hooks run once, in a task of its own; `done` is called with the pod when they are over."""

    def __init__(
        self,
        provider: Provider,
        events: EventRecorder,
        *,
        done: Callable[[PodKey], None],
        metrics: NodeMetrics,
        runner: Runner | None = None,
    ) -> None:
        self._provider = provider
        self._direct = provider if isinstance(provider, SupportsDirectPreStop) else None
        self._events = events
        self._done = done
        self._metrics = metrics
        self._runner = runner or SocketRunner()
        self._tasks: dict[PodKey, asyncio.Task[float]] = {}
        self._ending: set[asyncio.Task[float]] = set()

    def finished(self, key: PodKey, pod: JSON, seen: JSON | None, grace: float) -> bool:
        """Whether the pod may be stopped now. Begins its hooks where it has any and they were not begun."""
        if self._direct is None or grace <= 0:
            return True
        task = self._tasks.get(key)
        if task is None:
            wanted = self._direct.direct_pre_stop(pod)
            running = {
                one["name"]
                for kind in ("initContainerStatuses", "containerStatuses")
                for one in (seen or {}).get(kind) or ()
                if "running" in (one.get("state") or {})
            }
            hooks = {
                one["name"]: hook
                for one in containers(pod)
                if one["name"] in wanted & running and (hook := (one.get("lifecycle") or {}).get("preStop"))
            }
            if not hooks:
                return True
            ip = str((seen or {}).get("podIP") or "")
            task = asyncio.create_task(self._run(key, pod, hooks, ip, grace), name=f"preStop of {key}")
            self._tasks[key] = task
        return task.done()

    def took(self, key: PodKey) -> float:
        """Seconds that the pod's hooks ran; 0 where there were none."""
        task = self._tasks.get(key)
        return task.result() if task is not None and task.done() and not task.cancelled() else 0.0

    def forget(self, key: PodKey) -> None:
        """Nothing of the pod runs any more: what a hook still does is in vain."""
        task = self._tasks.pop(key, None)
        if task is not None and not task.done():
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        for key in list(self._tasks):
            self.forget(key)
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._runner.aclose()

    async def _run(self, key: PodKey, pod: JSON, hooks: dict[str, JSON], ip: str, grace: float) -> float:
        began = asyncio.get_running_loop().time()
        by_name = {one["name"]: one for one in containers(pod)}
        try:
            async with asyncio.timeout(grace), asyncio.TaskGroup() as group:
                for name, hook in hooks.items():
                    work = self._one(key, pod, by_name[name], hook, ip, grace)
                    group.create_task(work, name=f"preStop of {key} {name}")
        except TimeoutError:
            self._events.record(
                pod, "Warning", "FailedPreStopHook", f"PreStopHook did not end within {grace:g} s"
            )
        asyncio.get_running_loop().call_soon(self._done, key)  # by then this task is done
        return asyncio.get_running_loop().time() - began

    async def _one(self, key: PodKey, pod: JSON, container: JSON, hook: JSON, ip: str, grace: float) -> None:
        try:
            failure = await self._carried_out(key, container, hook, ip, grace)
        except ProviderError as error:
            failure = error.message
        except Exception:  # a defect must not keep the pod from being stopped
            log.exception("preStop of %s %s", key, container["name"])
            failure = "internal error"
        if failure:
            message = f"PreStopHook failed: {failure}"
            self._events.record(pod, "Warning", "FailedPreStopHook", message, container=container["name"])

    async def _carried_out(self, key: PodKey, container: JSON, hook: JSON, ip: str, grace: float) -> str:
        """Why it failed, "" where it did not."""
        if "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"].get("seconds") or 0))
            return ""
        if command := (hook.get("exec") or {}).get("command"):
            with self._metrics.call(Operation.PRE_STOP):
                code = await self._provider.exec(key, container["name"], command, _NoStreams())
            return f"command exited with code {code}" if code else ""
        if http := hook.get("httpGet"):
            outcome = await self._runner.run(http_action(container, http), ip, grace)
            return "" if outcome.ok else outcome.message
        return "the hook has no action that is known here"


class _NoStreams:
    """Nobody types, and nobody reads."""

    tty = False
    wants_stdin = False
    wants_stdout = True
    wants_stderr = True

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None: ...

    async def write_stderr(self, data: bytes) -> None: ...

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        return
        yield
