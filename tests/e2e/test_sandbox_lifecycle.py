"""A sandbox comes up whole and goes away whole, whatever happens to it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sandboxes import Sandbox, clean_environment, run, start, stop

from vnodectl.sandbox import processes
from vnodectl.sandbox.layout import Component, Layout, Record
from vnodectl.sandbox.versions import KUBERNETES

pytestmark = pytest.mark.e2e

_BARE = ("--nodes", "0", "--cloud", "none")


def _status(home: Path, name: str) -> tuple[int, dict[str, Any]]:
    done = run("vnodectl", "sandbox", "status", "--name", name, "-o", "json", env=clean_environment(home))
    return done.returncode, json.loads(done.stdout)


def _processes(home: Path) -> list[int]:
    """Of any sandbox of that home: by the paths on their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(home).encode() in words and processes.start_time(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


@pytest.fixture
def home(cache: Path, control_plane: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """A home of its own that borrows the programs; nothing of it runs at the end."""
    (tmp_path / "tools").mkdir()
    for tool in (cache / "tools").iterdir():
        if not tool.name.startswith("."):
            (tmp_path / "tools" / tool.name).symlink_to(tool)
    yield tmp_path
    for layout in (tmp_path / "run").glob("*/"):
        stop(tmp_path, layout.name)
    assert _processes(tmp_path) == []


def _fake_etcd(home: Path, script: str) -> None:
    """Replace etcd in this home by a shell script."""
    (link,) = (home / "tools").glob(f"controlplane-{KUBERNETES}-*")
    real = link.resolve()
    link.unlink()
    link.mkdir()
    for program in real.iterdir():
        (link / program.name).symlink_to(program)
    (link / "etcd").unlink()
    (link / "etcd").write_text(f"#!/bin/sh\n{script}\n")
    (link / "etcd").chmod(0o755)


def _start_up(home: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vnodectl", "sandbox", "up", "--name", name, *_BARE],
        env=clean_environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_control_plane_answers_and_makes_service_accounts(control_plane: Sandbox) -> None:
    nodes = control_plane.run("kubectl", "get", "nodes")
    assert "No resources found" in nodes.stderr
    version = json.loads(control_plane.run("kubectl", "version", "-o", "json").stdout)
    assert version["serverVersion"]["gitVersion"].startswith("v1.")
    token = control_plane.run("kubectl", "create", "token", "default").stdout
    assert token.count(".") == 2
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}\n"
    control_plane.run("kubectl", "apply", "--dry-run=server", "-f", "-", stdin=pod)


def test_controllers_and_scheduler_work(control_plane: Sandbox) -> None:
    control_plane.run("kubectl", "create", "deployment", "web", "--image=i", "--replicas=2")
    try:
        control_plane.run(
            *("kubectl", "wait", "pod", "-l", "app=web", "--for=condition=PodScheduled=false"),
            *("--timeout=60s",),
        )
    finally:
        control_plane.run("kubectl", "delete", "deployment", "web")


def test_strangers_may_look_at_its_health_and_at_nothing_else(control_plane: Sandbox) -> None:
    layout = Layout(control_plane.home, control_plane.name)
    trusted = ssl.create_default_context(cafile=str(layout.pki / "cluster-ca.crt"))
    (server,) = (part.endpoint for part in _components(layout) if part.name == "kube-apiserver")
    connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=trusted, timeout=30)
    answers = {}
    for path in ("/readyz", "/api/v1/pods"):
        connection.request("GET", path)
        with connection.getresponse() as response:
            response.read()
            answers[path] = response.status
    connection.close()
    assert answers == {"/readyz": 200, "/api/v1/pods": 403}


def test_status_shows_every_component(control_plane: Sandbox) -> None:
    code, found = _status(control_plane.home, control_plane.name)
    assert (code, found["state"]) == (0, "running")
    parts = {part["name"]: part for part in found["components"]}
    assert set(parts) >= {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    assert all(part["residentBytes"] > 0 for part in parts.values())
    table = control_plane.run("vnodectl", "sandbox", "status", "--name", control_plane.name).stdout
    assert "kube-apiserver" in table
    assert "MiB" in table


def test_a_second_up_changes_nothing(control_plane: Sandbox) -> None:
    before = _status(control_plane.home, control_plane.name)[1]["components"][0]["pid"]
    again = control_plane.run("vnodectl", "sandbox", "up", "--name", control_plane.name, *_BARE)
    assert "running already" in again.stderr
    assert _status(control_plane.home, control_plane.name)[1]["components"][0]["pid"] == before


def test_two_side_by_side_then_down_twice(home: Path) -> None:
    first, second = start(home, "one", *_BARE), start(home, "two", *_BARE)
    first.run("kubectl", "create", "namespace", "only-here")
    assert "only-here" not in second.run("kubectl", "get", "namespaces").stdout
    stop(home, "one")
    second.run("kubectl", "get", "namespaces")
    stop(home, "two")
    stop(home, "two")
    assert list((home / "run").iterdir()) == []


def test_a_component_that_dies_early_is_reported_at_once(home: Path) -> None:
    _fake_etcd(home, "echo the disk is on fire >&2; exit 7")
    failed = run("vnodectl", "sandbox", "up", *_BARE, env=clean_environment(home))
    assert failed.returncode == 1
    assert "etcd ended with exit code 7" in failed.stderr
    assert "the disk is on fire" in failed.stderr
    assert list((home / "run").iterdir()) == []
    assert _processes(home) == []


def test_a_component_that_dies_later_shows_in_the_status(home: Path) -> None:
    start(home, "default", *_BARE)
    parts = {part["name"]: part for part in _status(home, "default")[1]["components"]}
    os.kill(parts["kube-scheduler"]["pid"], signal.SIGKILL)
    _until(lambda: any(part.exit_code is not None for part in _components(Layout(home))))
    code, found = _status(home, "default")
    assert (code, found["state"]) == (1, "degraded")
    (dead,) = (part for part in found["components"] if part["exitCode"] is not None)
    assert (dead["name"], dead["exitCode"]) == ("kube-scheduler", -9)
    told = run("vnodectl", "sandbox", "status", env=clean_environment(home)).stderr
    assert "kube-scheduler was killed by SIGKILL (exit code 137); its last lines:" in told
    assert f"  | {dead['lastLines'][-1]}" in told
    again = run("vnodectl", "sandbox", "up", *_BARE, env=clean_environment(home))
    assert again.returncode == 1
    assert "kube-scheduler" in again.stderr


def test_killing_the_supervisor_leaves_no_process_and_up_starts_afresh(home: Path) -> None:
    start(home, "default", *_BARE)
    parts = _status(home, "default")[1]["components"]
    handles = [os.pidfd_open(part["pid"]) for part in parts]
    os.kill(parts[0]["pid"], signal.SIGKILL)
    _all_gone(handles)
    assert _processes(home) == []
    code, found = _status(home, "default")
    assert (code, found["state"]) == (1, "stopped")
    start(home, "default", *_BARE).run("kubectl", "get", "namespaces")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupting_up_leaves_nothing_running(home: Path, number: signal.Signals) -> None:
    _fake_etcd(home, "echo never ready; exec sleep 600")
    up = _start_up(home, "default")
    layout = Layout(home)
    _until(lambda: len(_components(layout)) == 3)
    handles = [os.pidfd_open(part.pid) for part in _components(layout)]
    up.send_signal(number)
    _, said = up.communicate(timeout=60)
    _all_gone(handles)
    assert _processes(home) == []
    if number != signal.SIGKILL:
        assert up.returncode == 130, said
        assert list((home / "run").iterdir()) == []


def test_down_ends_an_up_that_is_under_way(home: Path) -> None:
    _fake_etcd(home, "exec sleep 600")
    up = _start_up(home, "default")
    layout = Layout(home)
    _until(lambda: len(_components(layout)) == 3)
    stop(home, "default")
    up.communicate(timeout=60)
    assert up.returncode == 1
    assert not layout.root.exists()


def _components(layout: Layout) -> tuple[Component, ...]:
    """As far as they have been started; the supervisor is the first."""
    record = Record.load(layout.record)
    return (record.supervisor, *record.components) if record is not None else ()


def _until(condition: Callable[[], bool]) -> None:
    """A record is a file that another process writes: there is no event to wait for, only a deadline."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _all_gone(handles: list[int]) -> None:
    """Wait until the processes of these pidfds have ended."""
    for handle in handles:
        readable, _, _ = select.select([handle], [], [], 60)
        os.close(handle)
        assert readable
