"""Real containers, in podman or docker, whichever works here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from shell_image import import_shell_image

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    FileContent,
    GroupGone,
    GroupPhase,
    GroupSpec,
    GroupStatus,
    Hook,
    LogQuery,
    Mount,
    NoSuchGroup,
    Probe,
    RestartPolicy,
    Running,
    Terminated,
    VolumeSpec,
    Waiting,
)
from vnodectl.engines.backoff import BackoffPolicy
from vnodectl.engines.group import Settings
from vnodectl.engines.select import detect, open_engine, opened_driver
from vnodectl.engines.supervised import SupervisedEngine

pytestmark = [pytest.mark.containers, pytest.mark.timeout(120)]

QUICK = Settings(restart=BackoffPolicy(initial=0.5, cap=2), pull=BackoffPolicy(initial=0.5, cap=2))
LOOP = "while :; do sleep 0.05; done"


@pytest.fixture(scope="session")
def kind() -> str:
    """VNODECTL_TEST_ENGINE asks for one of them; docker then needs VNODECTL_TEST_IMAGE."""
    asked = os.environ.get("VNODECTL_TEST_ENGINE")
    found = asyncio.run(detect([asked] if asked else ["podman", "docker"]))
    if found.kind == "process":
        pytest.skip(found.reason)
    return found.kind


@pytest.fixture(scope="session")
def image(kind: str) -> str:
    """A shell and a few tools; VNODECTL_TEST_IMAGE names another image that has them."""
    return os.environ.get("VNODECTL_TEST_IMAGE") or import_shell_image()


@pytest.fixture
def scope(kind: str) -> AsyncIterator[str]:
    scope = f"test-{uuid.uuid4().hex[:12]}"
    yield scope
    assert leftovers(kind, scope) == []


def leftovers(kind: str, scope: str) -> list[str]:
    """Containers, volumes and networks of a scope, and services that still answer for it."""
    label = f"label=io.vnodectl.scope={scope}"
    found = []
    for what in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        command = [kind, *what, "--quiet", "--filter", label]
        found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if scope.encode() in process.read_bytes():
                found.append(process.read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture
async def make(kind, scope, tmp_path) -> AsyncIterator[Callable[..., Awaitable[SupervisedEngine]]]:
    """Starts engines of one scope, one after the other; the last one cleans up."""
    made: list[SupervisedEngine] = []

    async def make(network: str | None = None) -> SupervisedEngine:
        engine = open_engine(kind, scope=scope, state_dir=tmp_path, network=network, settings=QUICK)
        assert isinstance(engine, SupervisedEngine)
        await engine.start()
        made.append(engine)
        return engine

    yield make
    await made[-1].aclose(remove=True)
    assert not (tmp_path / scope).exists()


@pytest.fixture
async def engine(make) -> SupervisedEngine:
    return await make()


@pytest.fixture
def shell(image) -> Callable[..., ContainerSpec]:
    def shell(script: str, name: str = "web", **more) -> ContainerSpec:
        return ContainerSpec(name, image, command=("sh", "-c"), args=(script,), **more)

    return shell


def group(*containers: ContainerSpec, **more) -> GroupSpec:
    return GroupSpec(more.pop("name", "g"), containers, **more)


async def until(
    engine: SupervisedEngine, wanted: Callable[[GroupStatus], bool], name: str = "g"
) -> GroupStatus:
    watch = engine.watch()
    async with asyncio.timeout(60):
        status = await engine.get(name)
        while not wanted(status):
            change = await anext(watch)
            if change.name == name:
                assert isinstance(change, GroupStatus)
                status = change
    return status


async def until_web(engine: SupervisedEngine, wanted: Callable[[ContainerStatus], bool]) -> ContainerStatus:
    return (await until(engine, lambda status: wanted(status.containers[0]))).containers[0]


def runs(status: ContainerStatus) -> bool:
    return isinstance(status.state, Running)


def has_ended(status: ContainerStatus) -> bool:
    return isinstance(status.state, Terminated)


async def log_of(engine: SupervisedEngine, container: str = "web", **query) -> bytes:
    return b"".join([chunk async for chunk in engine.logs("g", container, LogQuery(**query))])


async def command(*words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output


class Session:
    def __init__(self, *stdin: bytes, tty: bool = False) -> None:
        self.tty = tty
        self.wants_stdin = bool(stdin)
        self.stdin = [*stdin, b""]
        self.stdout = self.stderr = b""

    async def read_stdin(self) -> bytes:
        return self.stdin.pop(0)

    async def write_stdout(self, data: bytes) -> None:
        self.stdout += data

    async def write_stderr(self, data: bytes) -> None:
        self.stderr += data

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        yield 91, 17


async def test_a_group_runs_to_its_end(engine, shell):
    volumes = {
        "conf": VolumeSpec(files=(FileContent("sub/file", b"content\n", 0o400),)),
        "data": VolumeSpec(),
        "ram": VolumeSpec(memory=True, size_limit=1 << 20),
    }
    mounts = (Mount("conf", "/conf", read_only=True), Mount("data", "/data"), Mount("ram", "/ram"))
    init = shell("echo one > /data/seen; echo two > /ram/seen", "init", mounts=mounts)
    main = shell(
        "cat /conf/sub/file /data/seen /ram/seen; echo $WHO $IP; pwd; echo problem >&2; exit 3",
        env={"WHO": "me", "IP": ""},
        address_env=("IP",),
        mounts=mounts,
        working_dir="/data",
    )
    await engine.create(
        group(main, init_containers=(init,), volumes=volumes, restart_policy=RestartPolicy.NEVER)
    )
    status = await until(engine, lambda status: status.phase is GroupPhase.FAILED)
    [web] = status.containers
    assert (web.state.exit_code, web.state.reason, web.restarts) == (3, "Error", 0)
    assert web.state.finished_at >= web.state.started_at > 1_600_000_000
    assert web.container_id.startswith(f"{engine.name}://")
    assert web.image_id
    assert re.match(r"\d+\.\d+\.\d+", engine.version)
    assert status.init_containers[0].state.reason == "Completed"
    log = await log_of(engine)
    assert log.replace(b"problem\n", b"") == f"content\none\ntwo\nme {status.ip}\n/data\n".encode()
    assert b"problem\n" in log
    assert await log_of(engine, tail=0) == b""
    stamp = (await log_of(engine, timestamps=True)).split()[0].decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp)
    assert not stamp.endswith(".000000000Z")
    assert await log_of(engine, since=4_000_000_000) == b""


async def test_exec(engine, shell):
    await engine.create(group(shell(LOOP, env={"WHO": "me"})))
    await until_web(engine, runs)
    session = Session(b"typed ", b"twice")
    code = await engine.exec("g", "web", ["sh", "-c", "cat; echo $WHO >&2; exit 42"], session)
    assert (code, session.stdout, session.stderr) == (42, b"typed twice", b"me\n")
    big = Session()
    script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done"
    assert await engine.exec("g", "web", ["sh", "-c", script], big) == 0
    assert len(big.stdout) == 220_000
    assert await engine.exec("g", "web", ["no-such-program"], Session()) in (126, 127)


async def test_exec_with_a_terminal(engine, shell):
    await engine.create(group(shell(LOOP)))
    await until_web(engine, runs)
    session = Session(b"sleep 0.5; stty size; echo oops >&2; exit 5\n", tty=True)
    code = await engine.exec("g", "web", ["sh"], session)
    assert code == 5
    assert b"17 91" in session.stdout
    assert b"oops" in session.stdout
    assert session.stderr == b""


async def test_exec_wants_a_running_container(engine, shell):
    await engine.create(group(shell("exit 0"), restart_policy=RestartPolicy.NEVER))
    await until_web(engine, has_ended)
    with pytest.raises(NoSuchGroup, match="not running"):
        await engine.exec("g", "web", ["true"], Session())


async def test_attach_follows_the_output(engine, shell):
    main = shell("read line; echo got $line; echo problem >&2", stdin=True)
    await engine.create(group(main, restart_policy=RestartPolicy.NEVER))
    await until_web(engine, runs)
    session = Session(b"hello\n")
    async with asyncio.timeout(20):
        await engine.attach("g", "web", session)
    assert (session.stdout, session.stderr) == (b"got hello\n", b"problem\n")


async def test_stdin_that_is_used_once_ends_with_its_session(engine, shell):
    main = shell("cat; echo end", stdin=True, stdin_once=True)
    await engine.create(group(main, restart_policy=RestartPolicy.NEVER))
    await until_web(engine, runs)
    session = Session(b"all of it\n")
    async with asyncio.timeout(20):
        await engine.attach("g", "web", session)
    assert session.stdout == b"all of it\nend\n"


async def test_the_last_lines_of_output_without_an_end_of_line(engine, shell):
    await engine.create(group(shell("echo one; echo two; printf b"), restart_policy=RestartPolicy.NEVER))
    await until(engine, lambda status: status.phase is GroupPhase.SUCCEEDED)
    assert await log_of(engine, tail=1) == b"b"
    assert await log_of(engine, tail=2) == b"two\nb"
    assert await log_of(engine, tail=9) == b"one\ntwo\nb"


WORDS = "/dev/termination-log"


async def test_last_words(engine, shell):
    secret = shell(f"echo first; echo why >{WORDS}; exit 1", "secret", last_words=WORDS, log_speaks=True)
    await engine.create(
        group(
            replace(secret, user="65534", read_only_root=True),
            shell("echo first; printf last; exit 2", "log", last_words=WORDS, log_speaks=True),
            shell("echo first; exit 3", "silent", last_words=WORDS),
            shell("echo fine", "fine", last_words=WORDS, log_speaks=True),
            shell("echo else >/tmp/end", "elsewhere", last_words="/tmp/end"),
            shell(
                "i=0; while [ $i -lt 500 ]; do echo 0123456789; i=$((i+1)); done >/end",
                "long",
                last_words="/end",
            ),
            restart_policy=RestartPolicy.NEVER,
        )
    )
    status = await until(engine, lambda status: status.phase is GroupPhase.FAILED)
    said = {one.name: one.state.message for one in status.containers}
    assert said == {
        "secret": "why\n",
        "log": "first\nlast",
        "silent": "",
        "fine": "",
        "elsewhere": "else\n",
        "long": ("0123456789\n" * 500)[-4096:],
    }


async def test_last_words_are_remembered(make, shell):
    engine = await make()
    script = f"echo $$ >{WORDS}; exit 1"
    await engine.create(group(shell(script, last_words=WORDS), restart_policy=RestartPolicy.NEVER))
    status = await until(engine, lambda status: status.phase is GroupPhase.FAILED)
    await engine.aclose()
    again = await make()
    assert (await until_web(again, lambda web: web.state.message)).state == status.containers[0].state


async def test_last_words_of_attempts_that_nobody_asks_for_go(engine, shell, tmp_path, scope):
    await engine.create(group(shell(f"echo x >{WORDS}; exit 1", last_words=WORDS)))
    await until_web(engine, lambda web: web.restarts >= 3)
    assert len(list((tmp_path / scope / "groups/g/last-words").iterdir())) <= 3


async def test_following_a_log_ends_with_the_container(engine, shell):
    await engine.create(group(shell("echo first; sleep 0.5; echo last"), restart_policy=RestartPolicy.NEVER))
    await until_web(engine, runs)
    async with asyncio.timeout(30):
        assert await log_of(engine, follow=True) == b"first\nlast\n"


async def test_a_crash_loop(engine, shell):
    await engine.create(
        group(shell("n=$(cat /d/n 2>/dev/null || echo 0); echo run $n; echo $((n+1)) > /d/n; exit 7",
                    mounts=(Mount("d", "/d"),)), volumes={"d": VolumeSpec()})
    )  # fmt: skip
    status = await until_web(engine, lambda one: one.restarts == 2 and isinstance(one.state, Waiting))
    assert status.state.reason == "CrashLoopBackOff"
    assert status.previous.exit_code == 7
    assert await log_of(engine) == b"run 2\n"
    await until_web(engine, lambda one: one.restarts == 3 and has_ended_or_waits(one))
    assert await log_of(engine, previous=True) in (b"run 2\n", b"run 3\n")
    assert (await engine.get("g")).phase is GroupPhase.RUNNING


def has_ended_or_waits(status: ContainerStatus) -> bool:
    return not runs(status)


async def test_the_previous_log(engine, shell, tmp_path):
    script = f"if [ -e /d/x ]; then echo second; {LOOP}; fi; echo > /d/x; echo first; exit 1"
    await engine.create(group(shell(script, mounts=(Mount("d", "/d"),)), volumes={"d": VolumeSpec()}))
    await until_web(engine, lambda one: one.restarts == 1 and runs(one))
    assert await log_of(engine, previous=True) == b"first\n"
    async with contextlib.aclosing(engine.logs("g", "web", LogQuery(follow=True))) as lines:
        assert await anext(lines) == b"second\n"


async def test_too_much_memory(engine, shell):
    await engine.create(
        group(
            shell("x=0123456789; while :; do x=$x$x; done", memory=32 << 20),
            restart_policy=RestartPolicy.NEVER,
        )
    )
    status = await until_web(engine, has_ended)
    assert (status.state.exit_code, status.state.reason) == (137, "OOMKilled")


async def test_a_kill_is_not_taken_for_too_much_memory(engine, shell):
    await engine.create(
        group(
            shell("kill -9 $$; " + LOOP, memory=32 << 20),
            restart_policy=RestartPolicy.NEVER,
            termination_grace=0,
        )
    )
    await until_web(engine, runs)
    await engine.stop("g")
    status = await until_web(engine, has_ended)
    assert (status.state.exit_code, status.state.reason) == (137, "Error")


async def test_probes(engine, shell):
    web = shell(
        f"echo > /d/alive; {LOOP}",
        mounts=(Mount("d", "/d"),),
        startup=Probe(command=("sh", "-c", "test -e /d/alive"), period=0.2, failure_threshold=50),
        readiness=Probe(command=("sh", "-c", "test -e /d/ready"), period=0.2, failure_threshold=1),
        liveness=Probe(command=("sh", "-c", "test -e /d/alive"), period=0.2, failure_threshold=1),
    )
    await engine.create(group(web, volumes={"d": VolumeSpec()}, termination_grace=0))
    await until_web(engine, lambda one: one.started and not one.ready)
    await engine.exec("g", "web", ["sh", "-c", "echo > /d/ready"], Session())
    await until_web(engine, lambda one: one.ready)
    (engine._home / "groups/g/volumes/d/alive").unlink()
    status = await until_web(engine, lambda one: one.restarts == 1)
    assert status.previous.exit_code == 137


async def test_graceful_delete(engine, shell):
    await engine.create(group(shell(f"trap 'exit 0' TERM; echo ready; {LOOP}"), termination_grace=30))
    await engine.create(group(shell(f"trap '' TERM; echo ready; {LOOP}"), name="stubborn"))
    for name in ("g", "stubborn"):
        await until(engine, lambda status: runs(status.containers[0]), name)
        async with contextlib.aclosing(engine.logs(name, "web", LogQuery(follow=True))) as lines:
            assert await anext(lines) == b"ready\n"
    watch = engine.watch()
    await engine.delete("g")
    await engine.delete("stubborn", grace=1)
    last: dict[str, GroupStatus] = {}
    gone = set()
    async with asyncio.timeout(60):
        while gone != {"g", "stubborn"}:
            change = await anext(watch)
            if isinstance(change, GroupGone):
                gone.add(change.name)
            else:
                last[change.name] = change
    assert last["g"].containers[0].state.exit_code == 0
    assert last["stubborn"].containers[0].state.exit_code == 137
    assert await engine.groups() == []


async def test_stop_and_start_again(engine, shell):
    await engine.create(group(shell(LOOP), termination_grace=0))
    await until_web(engine, runs)
    await engine.stop("g")
    await until(engine, lambda status: status.phase is GroupPhase.STOPPED and has_ended(status.containers[0]))
    await engine.restart("g")
    status = await until_web(engine, runs)
    assert status.restarts == 1


async def test_security(engine, shell):
    script = "cat /proc/self/status; echo x > /file; exit 0"
    main = shell(
        script,
        user="1234:2345",
        groups=(3456,),
        read_only_root=True,
        drop_all_capabilities=True,
        no_new_privileges=True,
        require_non_root=True,
    )
    await engine.create(
        group(main, shell(LOOP, "root", require_non_root=True), restart_policy=RestartPolicy.NEVER)
    )
    await until_web(engine, has_ended)
    log = (await log_of(engine)).decode()
    fields = dict(line.split(":\t", 1) for line in log.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] == "1234"
    assert fields["Gid"].split()[0] == "2345"
    assert fields["Groups"].split() in (["3456"], ["2345", "3456"])
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert "cannot create /file" in log or "Read-only file system" in log
    refused = await until(engine, lambda status: isinstance(status.containers[1].state, Waiting))
    assert refused.containers[1].state.reason == "CreateContainerConfigError"


async def test_refreshing_files_and_sub_paths(engine, shell):
    mounts = (Mount("conf", "/conf"), Mount("conf", "/one", sub_path="file"))
    volumes = {"conf": VolumeSpec(files=(FileContent("file", b"old"),))}
    await engine.create(group(shell(LOOP, mounts=mounts), volumes=volumes))
    await until_web(engine, runs)
    await engine.write_files("g", "conf", [FileContent("file", b"new"), FileContent("more", b"!")])
    session = Session()
    await engine.exec("g", "web", ["cat", "/conf/file", "/conf/more", "/one"], session)
    assert session.stdout == b"new!old", "a subPath keeps what it was mounted with, as in Kubernetes"


async def test_what_cannot_be_pulled_or_started(engine, shell, image):
    await engine.create(
        group(
            ContainerSpec("pull", "localhost:1/none:1"),
            ContainerSpec("start", image, command=("no-such-program",)),
            shell(LOOP, "mount", mounts=(Mount("v", "/v", sub_path="missing"),)),
            volumes={"v": VolumeSpec(files=(FileContent("a", b""),))},
            restart_policy=RestartPolicy.NEVER,
        )
    )
    status = await until(
        engine,
        lambda status: (
            has_ended(status.containers[1])
            and getattr(status.containers[0].state, "reason", "") == "ImagePullBackOff"
            and getattr(status.containers[2].state, "reason", "") == "CreateContainerConfigError"
        ),
    )
    assert "localhost:1" in status.containers[0].state.message
    ended = status.containers[1].state
    assert (ended.reason, ended.exit_code) == ("ContainerCannotRun", 128)
    assert "no-such-program" in ended.message


async def test_usage(engine, shell):
    await engine.create(group(shell("while :; do :; done", cpu=0.5)))
    await until_web(engine, runs)
    [usage] = await engine.usage("g")
    assert usage.name == "web"
    assert usage.memory_usage >= usage.memory_working_set > 0


CHILD = """
import asyncio, sys
from pathlib import Path
from vnodectl.engines.api import ContainerSpec, GroupSpec, Running
from vnodectl.engines.select import open_engine

async def main():
    kind, scope, state, image = sys.argv[1:]
    engine = open_engine(kind, scope=scope, state_dir=Path(state))
    await engine.start()
    watch = engine.watch()
    script = "echo started; while :; do sleep 0.05; done"
    await engine.create(GroupSpec("g", (ContainerSpec("web", image, command=("sh", "-c"), args=(script,)),),
                                  labels={"a": "b"}))
    async for status in watch:
        if isinstance(status.containers[0].state, Running):
            print(status.containers[0].container_id, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_engine_is_succeeded_by_the_next(make, kind, scope, tmp_path, image):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, kind, scope, str(tmp_path), image),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            identity = (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()
    assert identity.startswith(f"{kind}://")

    engine = await make()
    status = await until_web(engine, runs)
    assert (status.container_id, status.restarts) == (identity, 0)
    assert (await engine.get("g")).labels == {"a": "b"}
    async with contextlib.aclosing(engine.logs("g", "web", LogQuery(follow=True))) as lines:
        assert await anext(lines) == b"started\n"
    await command(kind, "kill", identity.partition("://")[2])
    status = await until_web(engine, lambda one: one.restarts == 1 and runs(one))
    assert status.previous.container_id == identity
    assert status.previous.exit_code == 137


async def test_what_was_made_without_a_record_is_removed(make, kind, scope, shell, tmp_path):
    first = await make()
    await first.create(group(shell(LOOP), volumes={"m": VolumeSpec(memory=True)}))
    await until_web(first, runs)
    await first.aclose()
    shutil.rmtree(tmp_path / scope / "groups/g")
    await make()
    assert [one for one in leftovers(kind, scope) if "system service" not in one] == []


async def test_a_service_that_dies_is_replaced(engine, kind, shell, scope):
    if kind != "podman":
        pytest.skip("docker's daemon is not ours")
    await engine.create(group(shell("while ! test -e /d/end; do sleep 0.05; done; exit 9",
                                    mounts=(Mount("d", "/d"),)),
                              volumes={"d": VolumeSpec()}, restart_policy=RestartPolicy.NEVER))  # fmt: skip
    await until_web(engine, runs)
    service = engine._driver._service
    service._process.kill()
    await service._process.wait()
    (engine._home / "groups/g/volumes/d/end").touch()
    status = await until_web(engine, has_ended)
    assert status.state.exit_code == 9
    await engine.ping()


async def test_a_network_of_ones_own(make, kind, shell, scope):
    if os.geteuid() != 0 and kind == "podman":
        pytest.skip("a rootless bridge is not reachable from the machine")
    name = f"vn{uuid.uuid4().hex[:8]}"
    engine = await make(name)
    script = "cat /etc/hosts; " + LOOP
    await engine.create(group(shell(script), hostname="me", hosts=(("1.2.3.4", "alias"),)))
    await engine.create(group(shell(LOOP), shell(LOOP, "second"), name="h"))
    first = await until(engine, lambda status: runs(status.containers[0]))
    second = await until(engine, lambda status: all(map(runs, status.containers)), "h")
    assert first.ip
    assert first.ip != second.ip
    async with contextlib.aclosing(engine.logs("g", "web", LogQuery(follow=True, tail=2))) as lines:
        hosts = b""
        while hosts.count(b"\n") < 2:
            hosts += await anext(lines)
    assert hosts == f"{first.ip}\tme\n1.2.3.4\talias\n".encode()
    await engine.aclose(remove=True)
    shown = await command("ip", "-json", "address")
    gateway = first.ip.rpartition(".")[0] + ".1"
    addresses = [entry["local"] for link in json.loads(shown) for entry in link["addr_info"]]
    assert gateway not in addresses, "the bridge is gone"


async def test_a_held_network_is_there_before_any_group(kind, scope, tmp_path):
    if os.geteuid() != 0 and kind == "podman":
        pytest.skip("a rootless bridge is not reachable from the machine")
    name = f"vn{uuid.uuid4().hex[:8]}"
    async with opened_driver(kind, scope=scope, state_dir=tmp_path) as driver:
        bridge = await driver.hold_network(name)
        assert await driver.hold_network(name) == bridge
    with socket.socket() as server:
        server.bind((bridge.gateway, 0))
    assert bridge.subnet.endswith("/24") or "/" in bridge.subnet
    async with opened_driver(kind, scope=scope, state_dir=tmp_path) as driver:
        await driver.release_network(name)
        await driver.release_network(name)
        await driver.remove_network(name)
        await driver.remove_network(name)


async def test_a_lost_network_is_made_again(engine, kind, scope, shell):
    await engine.create(group(shell(LOOP)))
    before = await until_web(engine, runs)
    await command(kind, "kill", f"{scope}_g_infra")
    status = await until_web(engine, lambda one: one.restarts == 1 and runs(one))
    assert status.previous.container_id == before.container_id


async def test_many_groups_at_once(engine, shell):
    for index in range(8):
        await engine.create(group(shell(LOOP), name=f"g{index}", termination_grace=0))
    for index in range(8):
        await until(engine, lambda status: runs(status.containers[0]), f"g{index}")


async def test_hooks_and_sidecars(engine, shell, tmp_path, kind, scope):
    (tmp_path / "notes").mkdir()

    def note(text: str) -> Hook:
        return Hook(command=("sh", "-c", f"echo {text} >> /notes/all"))

    mounts = (Mount("notes", "/notes"),)
    side = shell(
        f"echo side >> /notes/all; trap 'echo side-bye >> /notes/all; exit' TERM; {LOOP}", name="side"
    )
    web = shell(f"trap 'echo web-bye >> /notes/all; exit' TERM; {LOOP}")
    await engine.create(
        group(
            replace(web, mounts=mounts, post_start=note("started"), pre_stop=note("stopping")),
            init_containers=(replace(side, mounts=mounts, sidecar=True),),
            volumes={"notes": VolumeSpec(host_path=str(tmp_path / "notes"))},
            termination_grace=20,
        )
    )
    status = await until(engine, lambda status: runs(status.containers[0]))
    assert runs(status.init_containers[0])
    watch = engine.watch()
    await engine.delete("g")
    async with asyncio.timeout(60):
        while not isinstance(await anext(watch), GroupGone):
            pass
    said = (tmp_path / "notes" / "all").read_text().split()
    assert said == ["side", "started", "stopping", "web-bye", "side-bye"]
    # podman's monitor of a command that was run in a container outlives it by five seconds.
    async with asyncio.timeout(20):
        while any("--exit-delay" in one for one in leftovers(kind, scope)):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
