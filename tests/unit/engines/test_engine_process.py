"""Programs as child processes: real ones, since that is all this engine does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    EngineError,
    FileContent,
    GroupPhase,
    GroupSpec,
    LogQuery,
    Mount,
    NotSupported,
    Probe,
    RestartPolicy,
    Running,
    Terminated,
    VolumeSpec,
)
from vnodectl.engines.process.invocation import invocation, program_of, rewritten
from vnodectl.engines.select import open_engine, our_programs

SHELL = {"shell": ("/bin/sh",)}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Session:
    def __init__(self, stdin: bytes = b"", *, tty: bool = False) -> None:
        self.tty = tty
        self.wants_stdin = bool(stdin)
        self.stdin = [stdin, b""]
        self.stdout = self.stderr = b""

    async def read_stdin(self) -> bytes:
        return self.stdin.pop(0)

    async def write_stdout(self, data: bytes) -> None:
        self.stdout += data

    async def write_stderr(self, data: bytes) -> None:
        self.stderr += data


@pytest.fixture
async def engine(tmp_path):
    engine = open_engine("process", scope="s", state_dir=tmp_path / "state", programs=SHELL)
    await engine.start()
    yield engine
    await engine.aclose()


def shell(script: str, name: str = "web", **more) -> ContainerSpec:
    return ContainerSpec(name, "localhost/shell:1", args=("-c", script), **more)


def group(*containers: ContainerSpec, **more) -> GroupSpec:
    return GroupSpec(more.pop("name", "g"), containers, **more)


async def until(engine, wanted: Callable[[ContainerStatus], bool], name: str = "g") -> ContainerStatus:
    watch = engine.watch()
    async with asyncio.timeout(30):
        status = (await engine.get(name)).containers[0]
        while not wanted(status):
            change = await anext(watch)
            status = change.containers[0] if change.name == name else status
    return status


def runs(status: ContainerStatus) -> bool:
    return isinstance(status.state, Running)


def has_ended(status: ContainerStatus) -> bool:
    return isinstance(status.state, Terminated)


async def log_of(engine, name: str = "g", **query) -> bytes:
    return b"".join([line async for line in engine.logs(name, "web", LogQuery(**query))])


@pytest.mark.parametrize(
    ("word", "here"),
    [
        ("/etc/app", "/state/v"),
        ("/etc/app/file", "/state/v/file"),
        ("/etc/application", "/etc/application"),
        ("--config=/etc/app/file", "--config=/state/v/file"),
        ("NAME=/etc/app/file", "NAME=/etc/app/file"),
        ("/etc/app/nested/file", "/state/w/file"),
        ("plain", "plain"),
    ],
)
def test_paths_below_mounts_are_rewritten(word, here):
    assert rewritten(word, {"/etc/app": "/state/v", "/etc/app/nested": "/state/w"}) == here


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("vnodectl", "vnodectl"),
        ("localhost/vnodectl:1", "vnodectl"),
        ("reg:5000/a/vnodectl:1@sha256:0", "vnodectl"),
        ("localhost/vnodectl/connector:1", "vnodectl/connector"),
        ("localhost/other/connector:1", None),
        ("notvnodectl", None),
    ],
)
def test_programs_by_their_image(image, program):
    assert program_of(image, our_programs()) == program


def test_invocations(tmp_path):
    container = ContainerSpec(
        "c",
        "localhost/vnodectl:1",
        command=("/usr/bin/vnodectl", "agent"),
        args=("--token", f"{ACCOUNT}/token"),
        env={"FILE": "/etc/app/x", "IP": ""},
        address_env=("IP",),
    )
    what = invocation(
        container,
        {"vnodectl": ("python", "-m", "vnodectl")},
        {ACCOUNT: "/state/sa", "/etc/app": "/state/app"},
        ip="127.64.0.1",
        home=str(tmp_path),
        ambient={"PATH": "/bin", "AZURE_CLIENT_SECRET": "marker", "HOME": "/root"},
    )
    assert what.argv == ("python", "-m", "vnodectl", "agent", "--token", "/state/sa/token")
    assert what.env == {
        "PATH": "/bin",
        "HOME": str(tmp_path),
        "FILE": "/state/app/x",
        "IP": "127.64.0.1",
        "VNODECTL_SERVICE_ACCOUNT_DIR": "/state/sa",
    }


async def test_a_program_runs_with_its_environment_and_volumes(engine):
    container = shell(
        'echo "$GREETING $IP"; cat "$FILE"; echo problem >&2; exit 4',
        env={"GREETING": "hello", "FILE": "/etc/app/file"},
        address_env=("IP",),
        mounts=(Mount("v", "/etc/app"),),
    )
    volumes = {"v": VolumeSpec(files=(FileContent("file", b"content\n"),))}
    await engine.create(group(container, volumes=volumes, restart_policy=RestartPolicy.NEVER))
    status = await until(engine, has_ended)
    assert (status.state.exit_code, status.state.reason) == (4, "Error")
    ip = (await engine.get("g")).ip
    assert ip.startswith("127.")
    assert ip != "127.0.0.1"
    assert sorted((await log_of(engine)).splitlines()) == sorted(
        [f"hello {ip}".encode(), b"content", b"problem"]
    )


@pytest.mark.parametrize(
    ("script", "speaks", "message"),
    [
        ("echo one; printf why; exit 1", True, "one\nwhy"),
        ("echo why >&2; exit 1", False, ""),
        ("echo fine >&2", True, ""),
    ],
)
async def test_the_log_speaks_for_a_program_that_fails(engine, script, speaks, message):
    await engine.create(group(shell(script, log_speaks=speaks), restart_policy=RestartPolicy.NEVER))
    status = await until(engine, has_ended)
    assert status.state.message == message


async def test_exec_separates_streams_and_gives_the_exit_code(engine):
    await engine.create(group(shell("exec sleep 1000", env={"WHO": "me"})))
    await until(engine, runs)
    session = Session(b"typed")
    code = await engine.exec("g", "web", ["sh", "-c", "cat; echo $WHO >&2; exit 9"], session)
    assert (code, session.stdout, session.stderr) == (9, b"typed", b"me\n")
    assert await engine.exec("g", "web", ["no-such-program"], Session()) == 127
    with pytest.raises(NotSupported, match="terminal"):
        await engine.exec("g", "web", ["sh"], Session(tty=True))


async def test_what_a_program_leaves_behind_goes_with_it(engine, tmp_path):
    pid_file = tmp_path / "pid"
    await engine.create(
        group(shell(f"sleep 1000 & echo $! > {pid_file}; exit 0"), restart_policy=RestartPolicy.NEVER)
    )
    await until(engine, has_ended)
    assert gone(int(pid_file.read_text()))


async def test_delete_asks_before_it_kills(engine):
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    await engine.create(group(shell(script)))
    await until(engine, runs)
    async with contextlib.aclosing(engine.logs("g", "web", LogQuery(follow=True))) as lines:
        assert await anext(lines) == b"ready\n"
    watch = engine.watch()
    await engine.delete("g", grace=20)
    async with asyncio.timeout(20):
        seen = [change async for change in until_gone(watch)]
    assert seen[-1].containers[0].state.exit_code == 0


async def until_gone(watch):
    async for change in watch:
        if not hasattr(change, "phase"):
            return
        yield change


async def test_liveness_by_command(engine, tmp_path):
    flag = tmp_path / "alive"
    flag.touch()
    probe = Probe(command=("test", "-e", str(flag)), period=0.05, failure_threshold=1)
    await engine.create(group(shell("exec sleep 1000", liveness=probe), termination_grace=5))
    await until(engine, runs)
    flag.unlink()
    status = await until(engine, lambda one: one.restarts >= 1)
    assert status.previous.exit_code == 143


async def test_a_closed_engine_leaves_no_process(tmp_path):
    engine = open_engine("process", scope="s", state_dir=tmp_path, programs=SHELL)
    await engine.start()
    pid_file = tmp_path / "pid"
    await engine.create(group(shell(f"echo $$ > {pid_file}; exec sleep 1000")))
    await until(engine, runs)
    pid = await number_in(pid_file)
    await engine.aclose()
    assert gone(pid)

    again = open_engine("process", scope="s", state_dir=tmp_path, programs=SHELL)
    await again.start()
    status = await until(again, runs)
    assert status.restarts == 1
    await again.aclose(remove=True)
    assert not (tmp_path / "s").exists()


CHILD = """
import asyncio, sys
from pathlib import Path
from vnodectl.engines.api import ContainerSpec, GroupSpec
from vnodectl.engines.select import open_engine, our_programs

async def main():
    engine = open_engine("process", scope="s", state_dir=Path(sys.argv[1]), programs={"shell": ("/bin/sh",)})
    await engine.start()
    await engine.create(GroupSpec("g", (ContainerSpec(
        "web", "shell", args=("-c", "echo $$ > $OUT; exec sleep 1000"), env={"OUT": sys.argv[2]}),)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_outlives_a_killed_engine(tmp_path):
    pid_file = tmp_path / "pid"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path / "state"), str(pid_file)
    )
    try:
        pid = await number_in(pid_file)
    finally:
        process.kill()
        await process.wait()
    async with asyncio.timeout(10):
        while not gone(pid):  # noqa: ASYNC110 - another program's end is not an event of this loop
            await asyncio.sleep(0.05)

    again = open_engine("process", scope="s", state_dir=tmp_path / "state", programs=SHELL)
    await again.start()
    status = await until(again, runs)
    assert status.restarts == 1
    assert status.previous.exit_code == 137
    await again.aclose(remove=True)


async def test_unknown_images_are_simulated(engine):
    await engine.create(group(ContainerSpec("web", "nginx:1"), name="workload"))
    assert (await engine.get("workload")).phase is GroupPhase.RUNNING
    assert b"simulated" in await log_of(engine, "workload")
    await engine.create(group(shell("exec sleep 1000")))
    assert {one.name for one in await engine.groups()} == {"g", "workload"}
    await engine.delete("workload")
    assert {one.name for one in await engine.groups()} == {"g"}


async def test_usage_is_the_programs_own(engine):
    await engine.create(group(shell("exec sleep 1000")))
    await until(engine, runs)
    [usage] = await engine.usage("g")
    assert usage.name == "web"
    assert usage.memory_usage > 0


@pytest.mark.parametrize("scope", ["", "UP", "a/b", "-a", "a" * 64])
def test_scopes_are_labels(scope, tmp_path):
    with pytest.raises(EngineError, match="scope"):
        open_engine("simulated", scope=scope, state_dir=tmp_path)


def test_unknown_engines_are_refused(tmp_path):
    with pytest.raises(EngineError, match="podman, docker, process, simulated"):
        open_engine("lxc", scope="s", state_dir=tmp_path)


async def number_in(path: Path) -> int:
    """What a program writes into a file, once it has."""
    async with asyncio.timeout(30):
        while not path.exists() or not path.read_text().strip():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)
    return int(path.read_text())


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that its parent has not collected yet has."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
