"""The small decisions: references, back-off, probes, limits, what is sent and how answers are read."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path

import pytest
from support import virtual_time

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    EngineError,
    GroupPhase,
    GroupSpec,
    Mount,
    Probe,
    RegistryAuth,
    RestartPolicy,
    Running,
    Terminated,
    VolumeSpec,
    Waiting,
)
from vnodectl.engines.backoff import BackoffPolicy, RestartBackoff
from vnodectl.engines.docker_api import bodies
from vnodectl.engines.docker_api.oom import killed_for_memory
from vnodectl.engines.docker_api.pause import _AMD64, _ARM64, _executable, pause_archive
from vnodectl.engines.docker_api.podman_config import config_environment, end_lingering, with_exit_delay
from vnodectl.engines.docker_api.reading import attempt_state, image_of, moment, usage_of
from vnodectl.engines.docker_api.service import docker_url, podman_command, podman_ulimits
from vnodectl.engines.docker_api.streams import RESIZES_APART, SilentSession, _follow_sizes
from vnodectl.engines.hub import Hub
from vnodectl.engines.probes import Tally, check
from vnodectl.engines.status import credentials_for, full_reference, group_phase
from vnodectl.references import reference_error

PODMAN = bodies.Flavor(podman=True, ulimits=({"Name": "nofile", "Soft": 1, "Hard": 2},))
DOCKER = bodies.Flavor(podman=False)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("team/app:1", "docker.io/team/app:1"),
        ("localhost/app", "localhost/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("mcr.example.com/a/b@sha256:0", "mcr.example.com/a/b@sha256:0"),
    ],
)
def test_full_references(image, full):
    assert full_reference(image) == full


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("nginx", "https://index.docker.io/v1/"),
        ("reg.example/a/b:1", "reg.example"),
        ("reg.example/team/b:1", "reg.example/team"),
        ("reg.example:5000/b", "reg.example:5000"),
        ("reg.example.evil/b", None),
        ("other.example/b", None),
    ],
)
def test_the_closest_credentials_are_used(image, server):
    servers = ["https://index.docker.io/v1/", "reg.example", "reg.example/team", "reg.example:5000"]
    found = credentials_for(image, [RegistryAuth(one, "u", "p") for one in servers])
    assert (found.server if found else None) == server


def test_restart_backoff_is_the_kubelets():
    backoff = RestartBackoff(BackoffPolicy())
    finished, delays = 1000.0, []
    for _ in range(8):
        delays.append(backoff.after_exit(finished))
        finished += delays[-1] + 1
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.after_exit(finished + 1000) == 0


def status(state, previous=None) -> ContainerStatus:
    return ContainerStatus("c", "i", state, previous)


def ended(code: int) -> Terminated:
    return Terminated(code, "Error", 0, 0)


@pytest.mark.parametrize(
    ("policy", "containers", "phase"),
    [
        ("Always", [status(Running(0)), status(Waiting("ImagePullBackOff"))], GroupPhase.PENDING),
        ("Always", [status(Waiting("CrashLoopBackOff"), ended(1))], GroupPhase.RUNNING),
        ("Never", [status(ended(0)), status(ended(1))], GroupPhase.FAILED),
        ("Never", [status(ended(0)), status(ended(0))], GroupPhase.SUCCEEDED),
        ("Never", [status(ended(0)), status(Running(0))], GroupPhase.RUNNING),
        ("OnFailure", [status(ended(1))], GroupPhase.RUNNING),
    ],
)
def test_phases(policy, containers, phase):
    assert group_phase(RestartPolicy(policy), containers, []) is phase


def test_a_tally_counts_in_a_row():
    tally = Tally(Probe(failure_threshold=2, success_threshold=1))
    assert [tally.add(ok) for ok in (False, True, False, False, False, True)] == [
        None, True, None, False, False, True,
    ]  # fmt: skip


class Reach:
    """Answers HTTP with `code`, or raises it."""

    def __init__(self, code: int | Exception) -> None:
        self.code = code
        self.asked: list[str] = []

    async def http(self, url: str, headers: object, timeout: float) -> int:
        self.asked.append(url)
        if isinstance(self.code, Exception):
            raise self.code
        return self.code

    async def tcp(self, host: str, port: int, timeout: float) -> None:
        self.asked.append(f"{host}:{port}")
        if isinstance(self.code, Exception):
            raise self.code


async def no_command(command: tuple[str, ...], timeout: float) -> int:
    raise AssertionError("not asked for")


@pytest.mark.parametrize(
    ("answer", "ok"), [(200, True), (302, True), (404, False), (TimeoutError(), False), (OSError(), False)]
)
async def test_http_probes(answer, ok):
    reach = Reach(answer)
    result = await check(Probe(http_path="/healthz", port=80), "10.0.0.1", no_command, reach)
    assert result.ok is ok
    assert reach.asked == ["http://10.0.0.1:80/healthz"]


async def test_tcp_probes_and_their_host():
    reach = Reach(0)
    assert (await check(Probe(port=5, host="::1"), "10.0.0.1", no_command, reach)).ok
    assert reach.asked == ["::1:5"]
    assert not (await check(Probe(port=5), "10.0.0.1", no_command, Reach(OSError()))).ok


async def test_a_subscription_misses_nothing_after_it_was_made():
    hub: Hub[int] = Hub()
    hub.publish(0)
    one, two = hub.subscribe(), hub.subscribe()
    for number in (1, 2, 3):
        hub.publish(number)
    hub.close()
    assert [item async for item in one] == [1, 2, 3]
    assert [item async for item in two] == [1, 2, 3]
    assert [item async for item in hub.subscribe()] == []


async def test_closing_a_hub_ends_those_who_wait():
    hub: Hub[int] = Hub()
    waiting = asyncio.create_task(anext(hub.subscribe(), None))
    await asyncio.sleep(0)
    hub.close()
    assert await asyncio.wait_for(waiting, 20) is None


@pytest.mark.parametrize(
    ("cgroup2", "root", "has_runc", "command"),
    [
        (False, True, True, ["podman", "--runtime", "runc"]),
        (True, True, True, ["podman"]),
        (False, False, True, ["podman"]),
        (False, True, False, ["podman"]),
    ],
)
def test_runc_only_where_crun_refuses(cgroup2, root, has_runc, command):
    assert podman_command(cgroup2=cgroup2, root=root, has_runc=has_runc) == command


def test_limits_are_set_only_where_they_cannot_be_raised():
    assert podman_ulimits(True, 1024, 100, 32768) == []
    assert podman_ulimits(False, 1024, 100_000, 32768) == [
        {"Name": "nofile", "Soft": 1024, "Hard": 1024},
        {"Name": "nproc", "Soft": 32768, "Hard": 32768},
    ]
    assert podman_ulimits(False, 1024, -1, 32768)[1]["Hard"] == 32768, "-1 means no limit"


def test_docker_on_another_machine_is_refused():
    assert docker_url({"DOCKER_HOST": "unix:///x.sock"}) == "unix:///x.sock"
    with pytest.raises(EngineError, match="this machine"):
        docker_url({"DOCKER_HOST": "tcp://10.0.0.1:2375"})


def test_a_containers_body():
    spec = GroupSpec(
        "g",
        (),
        volumes={"v": VolumeSpec(), "m": VolumeSpec(memory=True, size_limit=10_000)},
        hosts=(("1.2.3.4", "alias"),),
    )
    mounts = (Mount("v", "/v", True), Mount("m", "/m"))
    container = ContainerSpec(
        "web",
        "app:1",
        command=("a",),
        args=("b",),
        env={"K": "v", "IP": ""},
        address_env=("IP",),
        user="5:6",
        groups=(7,),
        mounts=mounts,
        cpu=0.25,
        memory=1 << 20,
        read_only_root=True,
        drop_all_capabilities=True,
        add_capabilities=("NET_BIND_SERVICE",),
        no_new_privileges=True,
    )
    place = bodies.Place("abc", "10.0.0.9", {mounts[0]: "/state/v"}, "/state/hosts")
    body = bodies.container_body("s", spec, container, 2, place, PODMAN)
    assert body["Entrypoint"] == ["a"]
    assert body["Cmd"] == ["b"]
    assert body["Env"] == ["K=v", "IP=10.0.0.9"]
    assert body["User"] == "5:6"
    assert body["Labels"] == {
        "io.vnodectl.scope": "s",
        "io.vnodectl.group": "g",
        "io.vnodectl.role": "app",
        "io.vnodectl.container": "web",
        "io.vnodectl.attempt": "2",
        "io.vnodectl.stdin-once": "false",
    }
    config = body["HostConfig"]
    assert config["NetworkMode"] == config["IpcMode"] == config["UTSMode"] == "container:abc"
    assert (config["NanoCpus"], config["Memory"], config["MemorySwap"]) == (250_000_000, 1 << 20, 1 << 20)
    assert (config["CapDrop"], config["CapAdd"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["GroupAdd"] == ["7"]
    assert config["Ulimits"] == [{"Name": "nofile", "Soft": 1, "Hard": 2}]
    assert config["Mounts"] == [
        {"Type": "bind", "Source": "/state/v", "Target": "/v", "ReadOnly": True},
        {"Type": "volume", "Source": "s_g_m", "Target": "/m", "ReadOnly": False},
        {"Type": "bind", "Source": "/state/hosts", "Target": "/etc/hosts", "ReadOnly": False},
    ]
    docker = bodies.container_body("s", spec, container, 2, place, DOCKER)["HostConfig"]
    assert "UTSMode" not in docker
    assert "Ulimits" not in docker
    assert docker["LogConfig"] == {"Type": "json-file"}


def test_an_image_keeps_its_own_command_where_none_is_given():
    place = bodies.Place("abc", "10.0.0.9", {})
    body = bodies.container_body("s", GroupSpec("g", ()), ContainerSpec("c", "i"), 0, place, DOCKER)
    assert not {"Entrypoint", "Cmd", "User", "WorkingDir"} & set(body)


def test_a_volume_in_memory_is_measured_in_blocks():
    body = bodies.memory_volume_body("s", "g", "m", VolumeSpec(memory=True, size_limit=10_000))
    assert body["DriverOpts"] == {
        "type": "tmpfs", "device": "tmpfs", "o": "nosuid,nodev,mode=1777,nr_blocks=3",
    }  # fmt: skip


def test_the_hosts_file_names_the_group_and_its_aliases():
    spec = GroupSpec("g", (), hostname="me", hosts=(("1.2.3.4", "alias"),))
    assert bodies.hosts_file(spec, "10.0.0.9").splitlines()[2:] == ["10.0.0.9\tme", "1.2.3.4\talias"]


def shown(**state) -> dict:
    return {
        "Id": "abc",
        "Image": "sha256:1",
        "Config": {"Labels": {"io.vnodectl.container": "web", "io.vnodectl.attempt": "3"}},
        "HostConfig": {"Memory": 1},
        "State": {
            "Status": "exited",
            "Running": False,
            "StartedAt": "2026-01-01T00:00:00.123456789Z",
            "FinishedAt": "2026-01-01T00:00:10Z",
            "ExitCode": 0,
        }
        | state,
    }


@pytest.mark.parametrize(
    ("state", "in_log", "code", "reason"),
    [
        ({}, False, 0, "Completed"),
        ({"ExitCode": 3}, True, 3, "Error"),
        ({"ExitCode": 137}, False, 137, "Error"),
        ({"ExitCode": 137}, True, 137, "OOMKilled"),
        ({"ExitCode": 137, "OOMKilled": True}, False, 137, "OOMKilled"),
    ],
)
def test_how_a_container_ended(state, in_log, code, reason):
    attempt = attempt_state("podman", shown(**state), lambda: in_log)
    assert (attempt.container, attempt.number, attempt.id) == ("web", 3, "podman://abc")
    assert isinstance(attempt.state, Terminated)
    assert (attempt.state.exit_code, attempt.state.reason) == (code, reason)
    assert attempt.state.finished_at - attempt.state.started_at == pytest.approx(9.876544)


def test_containers_that_run_or_never_did():
    running = attempt_state("podman", shown(Running=True, Status="running"), lambda: False)
    assert running.state == Running(moment("2026-01-01T00:00:00.123456Z"))
    created = shown(Status="created", StartedAt="0001-01-01T00:00:00Z", FinishedAt="0001-01-01T00:00:00Z")
    assert attempt_state("podman", created, lambda: False).state is None


def test_an_image_is_known_by_its_digest_where_it_has_one():
    assert image_of({"Id": "1", "RepoDigests": ["r@sha256:2"], "Config": {"User": "5"}}).id == "r@sha256:2"
    assert image_of({"Id": "1"}).id == "sha256:1"


def test_usage_leaves_cached_files_out():
    stats = {
        "read": "2026-01-01T00:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
        "memory_stats": {"usage": 100, "stats": {"inactive_file": 30}},
    }
    usage = usage_of("web", [stats])
    assert (usage.cpu_seconds, usage.memory_usage, usage.memory_working_set) == (2.5, 100, 70)


def test_sizes_of_a_terminal_are_told_one_after_the_other():
    told: list[tuple[int, int, float]] = []

    class Dragged(SilentSession):
        tty = True

        async def sizes(self):
            yield 121, 31
            yield 120, 30

    async def resize(columns: int, rows: int) -> None:
        told.append((columns, rows, asyncio.get_running_loop().time()))

    virtual_time.run(_follow_sizes(Dragged(), resize))
    assert [one[:2] for one in told] == [(121, 31), (120, 30)]
    assert told[1][2] - told[0][2] >= RESIZES_APART


def test_a_container_that_has_just_ended_has_no_usage():
    """podman answers with no sample at all."""
    with pytest.raises(EngineError, match="web does not run"):
        usage_of("web", [])


def test_the_kernels_log_tells_who_was_killed_for_memory(tmp_path):
    log = tmp_path / "kmsg"
    log.write_text("3,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/x/libpod-abc,task=sh\n")
    assert killed_for_memory("abc", log)
    assert not killed_for_memory("abd", log)
    assert not killed_for_memory("abc", tmp_path / "none")


def test_the_pause_image_is_one_small_program(tmp_path):
    with tarfile.open(fileobj=BytesIO(pause_archive("amd64"))) as archive:
        layer = archive.extractfile("layer.tar")
        assert layer is not None
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getnames() == ["pause"]
            assert inner.getmember("pause").mode == 0o755
    assert len(_executable(_ARM64)) < 200
    with pytest.raises(EngineError, match="s390x"):
        pause_archive("s390x")


@pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or subprocess.run(["uname", "-m"], capture_output=True).stdout != b"x86_64\n",
    reason="runs the amd64 program itself",
)
def test_the_pause_program_sleeps_until_it_is_killed(tmp_path: Path):
    program = tmp_path / "pause"
    program.write_bytes(_executable(_AMD64))
    program.chmod(stat.S_IRWXU)
    process = subprocess.Popen([program])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        state = Path(f"/proc/{process.pid}/stat").read_text().split()[2]
        assert state == "S", "it sleeps instead of spinning"
    finally:
        process.kill()
        assert process.wait(5) == -9


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[engine]\nexit_command_delay = 5\n"),
        ("[engine]\nx = 1\n", "[engine]\nexit_command_delay = 5\nx = 1\n"),
        ("[network]\n", "[network]\n[engine]\nexit_command_delay = 5\n"),
        ("[engine]\nexit_command_delay = 9\n", "[engine]\nexit_command_delay = 9\n"),
    ],
)
def test_the_exit_delay_is_set_where_nobody_has(before, after):
    assert with_exit_delay(before) == after
    tomllib.loads(after)


def test_a_machine_with_several_files_keeps_them(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("[engine]\n")
    two.write_text("[network]\n")
    assert set(config_environment(tmp_path, [one])) == {"CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE"}
    assert set(config_environment(tmp_path, [one, two])) == {"CONTAINERS_CONF_OVERRIDE"}


def test_only_the_scopes_own_monitors_are_ended(tmp_path):
    sleeper = subprocess.Popen(["sleep", "100"])
    other = subprocess.Popen(["sleep", "100"])
    try:
        for process, container in ((sleeper, "abc"), (other, "xyz")):
            words = ["/usr/bin/conmon", "--api-version", "1", "-c", container, "-u", "1"]
            (tmp_path / str(process.pid)).mkdir()
            (tmp_path / str(process.pid) / "cmdline").write_text("\0".join(words))
        end_lingering({"abc"}, proc=tmp_path)
        assert sleeper.wait(5) == -15
        assert other.poll() is None
    finally:
        for process in (sleeper, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "nginx:1.27",
        "team/app__x/a--b.c:v1@sha256:" + "0" * 64,
        "localhost/vnodectl/connector:0.1.0-1b1d735986ab",
        "Registry.Example:5000/a/b",
        "[2001:db8::1]:5000/app",
        "app@sha256:" + "ab" * 32,
    ],
)
def test_names_of_images(image):
    assert reference_error(image) == ""


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("app:", "invalid reference format"),
        ("app:::x", "invalid reference format"),
        ("app@sha256:short", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("app\n", "invalid reference format"),
        ("App", "invalid reference format: repository name (App) must be lowercase"),
        ("team/App:1", "invalid reference format: repository name (team/App) must be lowercase"),
        ("Foo//BAR:::x", "invalid reference format: repository name (/BAR) must be lowercase"),
        ("0" * 64, f"invalid repository name ({'0' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_what_is_no_name_of_an_image(image, why):
    assert reference_error(image) == why
