"""HTTP hooks over real sockets: a real program, a real server, the engine's own client in between."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from vnodectl.engines.api import (
    ContainerSpec,
    Engine,
    GroupGone,
    GroupPhase,
    GroupSpec,
    GroupStatus,
    Hook,
    RestartPolicy,
    Running,
    Terminated,
)
from vnodectl.engines.select import open_engine
from vnodectl.sandbox.pki import Authority

ASKED_TO_END = 143  # by TERM, as a shell says it; 137 would be KILL
ASKED = "/hook?when=now"


class Listener:
    """A server on every local address, so on the group's as well. It answers `status`, once `open` is set.

    `asked` are the requests, with what became known of the group until they came.
    """

    def __init__(self) -> None:
        self.status = 200
        self.open = asyncio.Event()
        self.open.set()
        self.came = asyncio.Event()
        self.asked: list[web.Request] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.came.set()
        await self.open.wait()
        return web.Response(status=self.status)

    async def serve(self, context: ssl.SSLContext | None = None) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", 0, ssl_context=context).start()  # noqa: S104 - see above
        self.port = runner.addresses[0][1]
        return runner


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    runner = await listener.serve()
    yield listener
    listener.open.set()
    await runner.cleanup()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = open_engine("process", scope="s", state_dir=tmp_path / "s", programs={"shell": ("/bin/sh",)})
    await engine.start()
    yield engine
    await engine.aclose(remove=True)


def group(**hooks: Hook) -> GroupSpec:
    one = ContainerSpec("web", "shell", args=("-c", "exec sleep 1000"), **hooks)
    return GroupSpec("g", (one,), restart_policy=RestartPolicy.NEVER, termination_grace=20)


class Story:
    """All that an engine says of the group, from the moment this is made."""

    def __init__(self, engine: Engine) -> None:
        self._watch = engine.watch()
        self.last: GroupStatus | None = None

    async def until(self, wanted: Callable[[GroupStatus], bool]) -> GroupStatus:
        async with asyncio.timeout(30):
            while self.last is None or not wanted(self.last):
                change = await anext(self._watch)
                assert isinstance(change, GroupStatus)
                self.last = change
        return self.last

    async def to_the_end(self) -> GroupStatus:
        """What was seen last before the group was gone."""
        async with asyncio.timeout(30):
            async for change in self._watch:
                if isinstance(change, GroupGone):
                    break
                self.last = change
        assert self.last is not None
        return self.last


def reasons(seen: GroupStatus) -> list[str]:
    return [event.reason for event in seen.events]


def message(seen: GroupStatus, reason: str) -> str:
    return next(event.message for event in seen.events if event.reason == reason)


def runs(seen: GroupStatus) -> bool:
    return isinstance(seen.containers[0].state, Running)


async def test_a_container_counts_as_running_once_its_post_start_was_answered(engine, listener):
    listener.open.clear()
    hook = Hook(http_path=ASKED, port=listener.port, http_headers=(("X-Hook", "1"),))
    story = Story(engine)
    await engine.create(group(post_start=hook))
    async with asyncio.timeout(30):
        await listener.came.wait()
    held = await story.until(lambda seen: "Started" in reasons(seen))
    assert not runs(held)
    assert not runs(await engine.get("g"))
    listener.open.set()
    running = await story.until(runs)
    (asked,) = listener.asked
    assert asked.path_qs == ASKED
    assert asked.headers["X-Hook"] == "1"
    assert asked.host == f"{running.ip}:{listener.port}"


async def test_a_post_start_that_is_answered_with_an_error_ends_the_container(engine, listener):
    listener.status = 500
    story = Story(engine)
    await engine.create(group(post_start=Hook(http_path="/", port=listener.port)))
    ended = await story.until(lambda seen: seen.phase is GroupPhase.FAILED)
    assert ended.containers[0].state.exit_code == ASKED_TO_END
    assert "statuscode: 500" in message(ended, "FailedPostStartHook")


async def test_the_container_still_runs_while_its_pre_stop_is_not_answered(engine, listener):
    listener.open.clear()
    story = Story(engine)
    await engine.create(group(pre_stop=Hook(http_path="/bye", port=listener.port)))
    await story.until(runs)
    assert not listener.asked
    await engine.delete("g", grace=20)
    async with asyncio.timeout(30):
        await listener.came.wait()
    assert runs(await engine.get("g"))
    listener.open.set()
    ended = await story.to_the_end()
    state = ended.containers[0].state
    assert isinstance(state, Terminated)
    assert state.exit_code == ASKED_TO_END
    assert "FailedPreStopHook" not in reasons(ended)


async def test_a_pre_stop_that_is_never_answered_takes_the_grace_period_and_no_more(engine, listener):
    listener.open.clear()
    story = Story(engine)
    await engine.create(group(pre_stop=Hook(http_path="/bye", port=listener.port)))
    await story.until(runs)
    await engine.delete("g", grace=1)
    ended = await story.to_the_end()
    assert ended.containers[0].state.exit_code == ASKED_TO_END
    # What is left of the second when the hook begins: a tenth less on a busy machine.
    assert re.search(r"it did not end within (0\.\d|1) s", message(ended, "FailedPreStopHook"))


async def test_a_pre_stop_that_nobody_listens_for_is_said_and_stops_nothing(engine, unused_tcp_port):
    story = Story(engine)
    await engine.create(group(pre_stop=Hook(http_path="/", port=unused_tcp_port)))
    await story.until(runs)
    await engine.delete("g", grace=20)
    ended = await story.to_the_end()
    assert ended.containers[0].state.exit_code == ASKED_TO_END
    assert "Cannot connect" in message(ended, "FailedPreStopHook")


async def test_a_hook_may_ask_another_host_and_trusts_any_certificate(engine, tmp_path):
    pair = Authority(tmp_path, "nobody-knows-it").server("hook", ("elsewhere.example",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    listener = Listener()
    runner = await listener.serve(context)
    try:
        story = Story(engine)
        hook = Hook(http_path="/", http_scheme="https", host="127.0.0.1", port=listener.port)
        await engine.create(group(post_start=hook))
        await story.until(runs)
        assert [asked.host for asked in listener.asked] == [f"127.0.0.1:{listener.port}"]
    finally:
        await runner.cleanup()
