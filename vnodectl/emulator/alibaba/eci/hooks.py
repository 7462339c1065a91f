"""Lifecycle hooks of containers: postStart once a container runs, preStop before a group is deleted.

A command runs in the container; an HTTP or TCP check goes to the group's address. A simulated container has
no address that answers, so there such a check is taken for done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.clock import Clock
from vnodectl.engines.api import EngineError, Running

POST_START, PRE_STOP = "LifecyclePostStartHandler", "LifecyclePreStopHandler"


class HookFailed(Exception):
    """The message is for people."""


class Quiet:
    """A session without input, whose output nobody reads."""

    tty = False
    wants_stdin = False

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None:
        """Not kept."""

    async def write_stderr(self, data: bytes) -> None:
        """Not kept."""

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        yield 80, 24


def has_hook(container: Params, kind: str) -> bool:
    return any(name.startswith(kind) for name in container.tree)


async def run_pre_stop(group: Group, clock: Clock, seconds: float) -> None:
    """All at once, for at most `seconds` of real time; a failure is noted and does not hold anything up."""
    hooked = [one for one in group.containers() if has_hook(one, PRE_STOP) and _running(group, one)]
    await asyncio.gather(*(_noted(group, one, PRE_STOP, clock, seconds) for one in hooked))


async def run_post_starts(group: Group, clock: Clock, seconds: float) -> None:
    """For ever: each time that a container with such a hook was started."""
    hooked = [one for one in group.containers() if has_hook(one, POST_START)]
    done: set[str] = set()
    while hooked:
        fresh = [one for one in hooked if _running(group, one) and _running(group, one) not in done]
        if not fresh:
            await group.until(lambda group: any(_running(group, one) not in ("", *done) for one in hooked))
            continue
        done.update(_running(group, one) for one in fresh)
        await asyncio.gather(*(_noted(group, one, POST_START, clock, seconds) for one in fresh))


def _running(group: Group, container: Params) -> str:
    """What tells this start of the container from others; "" where it does not run."""
    for one in group.seen.containers if group.seen else ():
        if one.name == container.text("Name") and isinstance(one.state, Running):
            return f"{one.name}/{one.restarts}/{one.state.started_at}"
    return ""


async def _noted(group: Group, container: Params, kind: str, clock: Clock, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await _run(group, container, kind)
    except (HookFailed, EngineError, OSError) as error:
        why = str(error) or f"no answer within {seconds:g} seconds"
        name = "FailedPostStartHook" if kind == POST_START else "FailedPreStopHook"
        group.note(clock.now(), "Warning", name, f"Hook of container {container.text('Name')} failed: {why}")


async def _run(group: Group, container: Params, kind: str) -> None:
    """Raises HookFailed, EngineError, OSError or TimeoutError (which is an OSError)."""
    command = container.texts(f"{kind}Exec")
    if command:
        code = await group.engine.exec(group.id, container.text("Name"), command, Quiet())
        if code:
            raise HookFailed(f"the command ended with code {code}")
    if group.engine.simulates(group.images()):
        return
    if port := container.integer(f"{kind}TcpSocketPort"):
        _, writer = await asyncio.open_connection(container.text(f"{kind}TcpSocketHost") or group.ip, port)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if container.has(f"{kind}HttpGetPort"):
        await _get(group, container, kind)


async def _get(group: Group, container: Params, kind: str) -> None:
    import aiohttp

    host = container.text(f"{kind}HttpGetHost") or group.ip
    scheme = (container.text(f"{kind}HttpGetScheme") or "HTTP").casefold()
    path = container.text(f"{kind}HttpGetPath").lstrip("/")
    headers = {one.text("Name"): one.text("Value") for one in container.items(f"{kind}HttpGetHttpHeader")}
    url = f"{scheme}://{host}:{container.integer(f'{kind}HttpGetPort')}/{path}"
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, ssl=False) as answer,
        ):
            if answer.status >= 400:
                raise HookFailed(f"{url} answered {answer.status}")
    except aiohttp.ClientError as error:
        raise HookFailed(f"{url} did not answer: {error}") from error
