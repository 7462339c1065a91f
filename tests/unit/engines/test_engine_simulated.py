"""Groups without processes: scripts, restarts, survival, scale."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from vnodectl.engines.api import (
    ContainerSpec,
    EngineError,
    GroupGone,
    GroupPhase,
    GroupSpec,
    LogQuery,
    NoSuchGroup,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.engines.simulated.script import FOREVER, SUCCEED, Script, script_of


@pytest.fixture
async def engine(clock, tmp_path):
    engine = SimulatedEngine(home=tmp_path / "sim", clock=clock)
    await engine.start()
    yield engine
    await engine.aclose()


def container(name: str = "web", script: str | None = None, **more) -> ContainerSpec:
    env = {} if script is None else {"VNODECTL_SIMULATE": script}
    return ContainerSpec(name, "windows/app:1", env=env, **more)


def group(*containers: ContainerSpec, **more) -> GroupSpec:
    return GroupSpec(more.pop("name", "g"), containers or (container(),), **more)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("exit=3 after=2s", Script(3, 2.0)),
        ("after=250ms exit=0", Script(0, 0.25)),
        ("start=2m", Script(None, 0.0, 120.0)),
        ("", FOREVER),
    ],
)
def test_scripts_from_the_environment(text, script):
    assert script_of(container(script=text), init=False) == script


@pytest.mark.parametrize("text", ["exit=x", "boom", "after=2parsecs", "exit"])
def test_bad_scripts_are_refused(text):
    with pytest.raises(EngineError, match="VNODECTL_SIMULATE"):
        script_of(container(script=text), init=False)


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("sh", "-c", "sleep 2; exit 3"), Script(3, 2.0)),
        (("sh", "-c", "exit 1"), Script(1)),
        (("sh", "-c", "echo hello; exit 1"), FOREVER),
        (("nginx",), FOREVER),
    ],
)
def test_scripts_from_the_command(words, script):
    assert script_of(container(command=words[:1], args=words[1:]), init=False) == script


def test_init_containers_succeed_by_themselves():
    assert script_of(container(), init=True) == SUCCEED


async def test_a_group_runs_at_once(engine):
    watch = engine.watch()
    await engine.create(group(labels={"a": "b"}))
    status = await anext(watch)
    assert (status.phase, status.labels) == (GroupPhase.RUNNING, {"a": "b"})
    assert status.ip.startswith("198.18.")
    assert status.containers[0].ready
    await engine.delete("g")
    assert await anext(watch) == GroupGone("g", {"a": "b"})
    with pytest.raises(NoSuchGroup):
        await engine.get("g")


async def test_groups_have_addresses_of_their_own(engine):
    for index in range(300):
        await engine.create(group(name=f"g{index}"))
    assert len({status.ip for status in await engine.groups()}) == 300


async def test_start_delay(clock, tmp_path):
    engine = SimulatedEngine(home=None, clock=clock, start_delay=2)
    await engine.start()
    await engine.create(group())
    await clock.advance(1.9)
    assert (await engine.get("g")).phase is GroupPhase.PENDING
    await clock.advance(0.1)
    assert (await engine.get("g")).phase is GroupPhase.RUNNING
    await engine.aclose()


async def test_scripted_exits_follow_the_restart_policy(engine, clock):
    await engine.create(group(container(script="exit=3 after=5s")))
    await engine.create(
        group(container(script="exit=3 after=5s"), name="job", restart_policy=RestartPolicy.NEVER)
    )
    await clock.advance(5)
    assert (await engine.get("job")).phase is GroupPhase.FAILED
    assert (await engine.get("job")).containers[0].state.exit_code == 3
    web = (await engine.get("g")).containers[0]
    assert isinstance(web.state, Running)
    assert (web.restarts, web.previous.exit_code) == (1, 3)
    await clock.advance(5)
    web = (await engine.get("g")).containers[0]
    assert isinstance(web.state, Waiting)
    assert web.state.reason == "CrashLoopBackOff"
    await clock.advance(10)
    assert (await engine.get("g")).containers[0].restarts == 2


async def test_init_containers_come_first(engine, clock):
    await engine.create(group(init_containers=(container("a", "exit=0 after=1s"), container("b"))))
    status = await engine.get("g")
    assert isinstance(status.init_containers[0].state, Running)
    assert status.containers[0].state.reason == "PodInitializing"
    await clock.advance(1)
    status = await engine.get("g")
    assert status.phase is GroupPhase.RUNNING
    assert [one.state.exit_code for one in status.init_containers] == [0, 0]


async def test_stop_and_restart(engine, clock):
    await engine.create(group(container(script="exit=0 after=100s")))
    await engine.stop("g")
    status = await engine.get("g")
    assert status.phase is GroupPhase.STOPPED
    assert isinstance(status.containers[0].state, Terminated)
    await clock.advance(200)
    assert (await engine.get("g")).phase is GroupPhase.STOPPED, "the script of the stopped run is void"
    await engine.restart("g")
    assert (await engine.get("g")).phase is GroupPhase.RUNNING


async def test_a_deleted_groups_script_is_void(engine, clock):
    watch = engine.watch()
    await engine.create(group(container(script="exit=3 after=5s")))
    await engine.delete("g")
    await engine.create(group())
    await clock.advance(10)
    await engine.delete("g")
    seen = [await anext(watch) for _ in range(4)]
    assert [isinstance(one, GroupGone) for one in seen] == [False, True, False, True]
    assert (seen[2].containers[0].restarts, seen[2].phase) == (0, GroupPhase.RUNNING)


async def test_logs_and_exec_say_that_nothing_runs(engine, clock):
    class Session:
        tty = False
        wants_stdin = False
        output = b""

        async def write_stdout(self, data: bytes) -> None:
            self.output += data

    await engine.create(group())
    log = b"".join([line async for line in engine.logs("g", "web", LogQuery())])
    assert b"simulated" in log
    assert len(log.splitlines()) == 2
    tail = b"".join([line async for line in engine.logs("g", "web", LogQuery(tail=1, timestamps=True))])
    assert tail.startswith(b"2023-11-14T22:13:20.000000000Z simulated")
    session = Session()
    assert await engine.exec("g", "web", ["ls", "a b"], session) == 0
    assert session.output == b"simulated: container web would run: ls 'a b'\n"
    with pytest.raises(NoSuchGroup):
        await engine.exec("g", "other", ["ls"], session)


async def test_following_a_log_ends_with_the_container(engine, clock):
    await engine.create(group(container(script="exit=0 after=5s"), restart_policy=RestartPolicy.NEVER))
    lines = engine.logs("g", "web", LogQuery(follow=True))
    assert b"simulated" in await anext(lines)
    await clock.advance(5)
    assert len([line async for line in lines]) == 1


async def test_groups_survive_the_process(clock, tmp_path):
    first = SimulatedEngine(home=tmp_path / "sim", clock=clock)
    await first.start()
    await first.create(group(labels={"a": "b"}))
    await first.create(group(name="gone"))
    await first.create(group(container(script="exit=1 after=1s"), name="crash"))
    await first.create(group(name="stopped"))
    await first.stop("stopped")
    job = container(script="exit=3 after=1s")
    await first.create(group(job, name="job", restart_policy=RestartPolicy.NEVER))
    await clock.advance(5)
    await first.stop("job")
    await first.delete("gone")
    before = await first.get("g")
    await first.aclose()
    await clock.advance(15)

    second = SimulatedEngine(home=tmp_path / "sim", clock=clock)
    await second.start()
    assert await second.get("g") == before
    # Starts at 0, 1 and 12 seconds: the second restart waited for ten.
    assert (await second.get("crash")).containers[0].restarts == 2
    assert (await second.get("stopped")).phase is GroupPhase.STOPPED
    assert (await second.get("job")).containers[0].state.exit_code == 3
    assert {status.name for status in await second.groups()} == {"g", "crash", "stopped", "job"}
    await second.create(group(name="new"))
    assert len({status.ip for status in await second.groups()}) == 5
    await second.aclose(remove=True)
    assert list(tmp_path.iterdir()) == []


async def test_nothing_secret_is_written_down(clock, tmp_path):
    engine = SimulatedEngine(home=tmp_path, clock=clock)
    await engine.start()
    await engine.create(group(ContainerSpec("web", "i", env={"PASSWORD": "marker"})))
    [journal] = tmp_path.iterdir()
    assert "marker" not in journal.read_text()
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    await engine.aclose()


async def test_a_scope_has_one_engine(engine, clock, tmp_path):
    with pytest.raises(EngineError, match="in use"):
        await SimulatedEngine(home=tmp_path / "sim", clock=clock).start()


async def test_the_journal_does_not_grow_for_ever(engine, tmp_path: Path):
    for _ in range(15_000):
        await engine.create(group())
        await engine.delete("g")
    lines = (tmp_path / "sim/simulated.jsonl").read_text().count("\n")
    assert lines < 12_000


async def test_thousands_share_one_task(engine):
    tasks = len(asyncio.all_tasks())
    for index in range(5000):
        await engine.create(group(container(script="exit=0 after=1h"), name=f"g{index}"))
    assert len(asyncio.all_tasks()) == tasks
    for index in range(5000):
        await engine.delete(f"g{index}")
    assert await engine.groups() == []
