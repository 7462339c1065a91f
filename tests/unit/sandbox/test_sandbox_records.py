"""Names, records, processes, ports, environments and what people see of them."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vnodectl.cli.sandbox import app
from vnodectl.errors import UsageError, VnodectlError
from vnodectl.sandbox import environment, processes
from vnodectl.sandbox.children import describe_exit, tail
from vnodectl.sandbox.layout import Component, Layout, Record
from vnodectl.sandbox.lifecycle import Wishes, status
from vnodectl.sandbox.plan import AccessKey, Identity, Plan
from vnodectl.sandbox.ports import Ports
from vnodectl.sandbox.report import Reporter


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "x" * 21])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Layout(tmp_path, name)


def test_scopes_differ_between_homes_and_names(tmp_path: Path) -> None:
    scopes = {Layout(tmp_path / home, name).scope for home in ("a", "b") for name in ("x", "y")}
    assert len(scopes) == 4


def test_wishes_are_checked() -> None:
    with pytest.raises(UsageError):
        Wishes(cloud="gcp")
    with pytest.raises(UsageError):
        Wishes(nodes=-1)


def _record(supervisor: Component, **more: object) -> Record:
    return Record("s", "run", "ready", supervisor, "podman", **more)  # type: ignore[arg-type]


def test_a_record_comes_back_and_is_private(tmp_path: Path) -> None:
    part = Component("etcd", 7, 8, "/log", "https://h", 1)
    record = _record(part, components=(part,), environment={"A": "b"})
    record.save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json") == record
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1, "supervisor": {}, "components": []}'])
def test_half_a_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert Record.load(tmp_path / "r.json") is None
    assert Record.load(tmp_path / "none.json") is None


def test_a_plan_comes_back_and_hides_its_secret(tmp_path: Path) -> None:
    plan = Plan(
        run="r", identity=Identity.fresh(), access_key=AccessKey.fresh(), control_plane="/cp", nodes=2
    )
    plan.save(tmp_path / "p.json")
    assert Plan.load(tmp_path / "p.json") == plan
    assert plan.identity.secret not in repr(plan)
    assert plan.node_names == ("sandbox", "sandbox-2")
    assert plan.access_key.secret not in repr(plan)
    assert plan.scopes("s") == ("s-sandbox", "s-sandbox-2", "s-azure", "s-alibaba")
    assert replace(plan, cloud="alibaba").clouds == ("alibaba",)
    assert replace(plan, cloud="none").clouds == ()


def test_a_stopped_sandbox_has_a_status(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert status(layout)["state"] == "stopped"
    layout.make()
    _record(Component("supervisor", os.getpid(), 1, "/log")).save(layout.record)
    assert status(layout)["state"] == "stopped", "another process with that number is not ours"


@pytest.mark.parametrize(("code", "state"), [(None, "running"), (3, "degraded")])
def test_status_tells_who_has_ended(tmp_path: Path, code: int | None, state: str) -> None:
    layout = Layout(tmp_path)
    layout.make()
    own = Component("supervisor", os.getpid(), processes.start_time(os.getpid()) or 0, "/log")
    part = Component("etcd", os.getpid(), own.started, "/log", exit_code=code)
    _record(own, components=(part,)).save(layout.record)
    found = status(layout)
    assert found["state"] == state
    assert found["components"][1]["exitCode"] == code
    assert found["components"][0]["residentBytes"] > 1 << 20


def test_who_has_ended_is_named_with_how_and_with_the_last_words(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    log = layout.logs / "etcd.log"
    log.write_text("well\n[bold] the disk is on fire\n")
    own = Component("supervisor", os.getpid(), processes.start_time(os.getpid()) or 0, "/log")
    _record(own, components=(Component("etcd", 1, 1, str(log), exit_code=-9),)).save(layout.record)
    parts = {part["name"]: part for part in status(layout)["components"]}
    assert parts["etcd"]["ended"] == "was killed by SIGKILL (exit code 137)"
    assert parts["etcd"]["lastLines"] == ["well", "[bold] the disk is on fire"]
    assert "ended" not in parts["supervisor"]

    shown = CliRunner().invoke(app, ["status"], env={"VNODECTL_SANDBOX_HOME": str(tmp_path)})
    assert shown.exit_code == 1
    assert re.search(r"etcd +was killed by SIGKILL \(exit code 137\) ", shown.stdout)
    assert "etcd was killed by SIGKILL (exit code 137); its last lines:" in shown.stderr
    assert "  | [bold] the disk is on fire" in shown.stderr
    assert f"everything it said: {log}" in shown.stderr
    assert "vnodectl sandbox down" in shown.stderr


@pytest.mark.parametrize("command", ["up", "tools"])
def test_a_home_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path, command: str) -> None:
    home = tmp_path / "file"
    home.write_text("")
    done = CliRunner().invoke(app, [command], env={"VNODECTL_SANDBOX_HOME": str(home)})
    assert isinstance(done.exception, VnodectlError)
    assert str(home) in str(done.exception)
    assert "VNODECTL_SANDBOX_HOME" in done.exception.hint


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, processes.RUN_VARIABLE: "this-run"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process  # type: ignore[misc]
    process.kill()
    process.communicate()


def test_only_the_very_process_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    started = processes.start_time(sleeper.pid)
    assert started is not None
    assert not processes.send(sleeper.pid, started - 1, signal.SIGKILL)
    assert sleeper.poll() is None
    assert processes.send(sleeper.pid, started, signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not processes.send(sleeper.pid, started, signal.SIGKILL)


def test_a_run_is_found_and_killed_by_its_mark(sleeper: subprocess.Popen[bytes]) -> None:
    assert list(processes.of_run("this-run")) == [sleeper.pid]
    assert processes.kill_run("another-run") == []
    assert sleeper.poll() is None
    assert processes.kill_run("this-run") == []
    assert sleeper.wait(10) == -signal.SIGKILL


async def test_waiting_for_a_process_that_is_not_there_returns() -> None:
    await processes.ended(os.getpid(), 1)
    await processes.ended(2**22 + 1, 1)


def test_ports_stay_ours_and_may_be_shared_by_those_who_ask() -> None:
    with Ports() as ports:
        first, second = ports.shared("127.0.0.1"), ports.shared("127.0.0.1")
        assert first != second
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", first))
        with socket.socket() as component:
            component.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            component.bind(("127.0.0.1", first))
            component.listen()
            socket.create_connection(("127.0.0.1", first), 5).close()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL (exit code 137)"),
        (-63, "was killed by signal 63 (exit code 191)"),
    ],
)
def test_exits_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n\n" for number in range(5000)))
    assert tail(log, 2) == "  | line 4998\n  | line 4999"
    assert "nothing" in tail(tmp_path / "none")


def test_components_see_nothing_of_the_users_clusters_and_clouds() -> None:
    env = environment.for_components(
        {"PATH": "/bin", "KUBECONFIG": "k", "AZURE_CLIENT_SECRET": "s", "VNODECTL_X": "x", "HELM_X": "y"}, "r"
    )
    assert env == {"PATH": "/bin", processes.RUN_VARIABLE: "r", "PYTHONUNBUFFERED": "1"}


def test_a_proxy_is_not_asked_for_the_sandbox() -> None:
    env = environment.without_proxy({"HTTPS_PROXY": "p", "no_proxy": "corp"}, "10.1.2.3")
    assert env["NO_PROXY"] == env["no_proxy"] == "corp,localhost,127.0.0.1,10.1.2.3"


def test_the_environment_survives_a_shell() -> None:
    value = 'it\'s "$HOME" `x` \\ é'
    text = environment.render({"VALUE": value}, "/my bin", "sh")
    script = f'{text}\nprintf "%s\\n%s" "$VALUE" "$PATH"'
    said = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"}
    )
    assert said.stdout == f"{value}\n/my bin:/usr/bin"


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_the_environment_survives_fish() -> None:
    text = environment.render({"VALUE": "it's $HOME \\"}, "", "fish")
    said = subprocess.run(["fish", "-c", f"{text}\necho $VALUE"], capture_output=True, text=True, check=True)
    assert said.stdout == "it's $HOME \\\n"


def test_other_shells() -> None:
    assert environment.render({"A": "it's"}, "/bin", "powershell").splitlines() == [
        "$Env:A = 'it''s'",
        "$Env:PATH = '/bin' + \":\" + $Env:PATH",
    ]
    assert environment.render({"A": "it's"}, "", "fish") == "set -gx A 'it\\'s';"
    with pytest.raises(UsageError):
        environment.render({}, "", "csh")


def _told(terminal: bool) -> str:
    text = io.StringIO()
    now = iter(range(1000))
    reporter = Reporter(
        Console(file=text, force_terminal=terminal, width=120), clock=lambda: float(next(now))
    )
    with reporter.step("building") as step:
        for done in range(101):
            step.progress(done, 100, "compiling")
    return text.getvalue()


def test_progress_without_a_terminal_is_a_few_plain_lines() -> None:
    lines = _told(terminal=False).splitlines()
    assert lines[0] == "… building"
    assert lines[-1].startswith("✓ building (")
    assert 5 < len(lines) <= 23
    assert any(line.startswith("  building: 50 %, compiling, ") for line in lines)


def test_progress_on_a_terminal_ends_with_its_line() -> None:
    assert "✓ building" in _told(terminal=True)


def test_a_failed_step_is_marked() -> None:
    text = io.StringIO()
    reporter = Reporter(Console(file=text, force_terminal=False))
    with pytest.raises(RuntimeError), reporter.step("building"):
        raise RuntimeError
    assert "✗ building" in text.getvalue()
