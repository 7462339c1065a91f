"""A whole sandbox: pods on its node, an emulated Azure beside it, and nothing left of either."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sandboxes import Sandbox, clean_environment, run, start, stop

from vnodectl.sandbox.layout import Layout, Record

pytestmark = [pytest.mark.e2e, pytest.mark.containers]


def _pod(sandbox: Sandbox, name: str) -> None:
    sandbox.run("kubectl", "run", name, f"--image={sandbox.environment['VNODECTL_SMOKE_IMAGE']}")
    sandbox.run("kubectl", "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")


def _engine(sandbox: Sandbox) -> str:
    record = Record.load(Layout(sandbox.home, sandbox.name).record)
    assert record is not None
    if record.engine not in ("podman", "docker"):
        pytest.skip("no container engine works here")
    return record.engine


def _left(engine: str, scope: str) -> str:
    """Containers and networks whose name has the scope."""
    listing = ["--filter", f"name={scope}", "--quiet"]
    return "".join(
        subprocess.run([engine, *kind, *listing], capture_output=True, text=True, check=True).stdout
        for kind in (("ps", "--all"), ("network", "ls"))
    )


@pytest.fixture
def name(cache: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """For a sandbox of the test's own, which is gone afterwards."""
    name = f"own-{os.getpid()}"
    yield name
    stop(cache, name)


def test_a_pod_runs_on_the_node(sandbox: Sandbox) -> None:
    _engine(sandbox)
    assert " Ready " in sandbox.run("kubectl", "get", "node", "sandbox").stdout
    _pod(sandbox, "web")
    # Ready comes with the start; the first line of the log may come a little later.
    assert "Serving HTTP" in sandbox.run("kubectl", "logs", "web", "--follow", "--limit-bytes=20").stdout
    assert sandbox.run("kubectl", "exec", "web", "--", "hostname").stdout == "web\n"
    sandbox.run("kubectl", "delete", "pod", "web", "--timeout=60s")


def test_the_environment_points_azures_own_sdk_at_the_emulator(sandbox: Sandbox) -> None:
    listing = (sys.executable, "-m", "vnodectl.sandbox.groups")
    assert sandbox.run(*listing, "demo-aci").stdout == ""
    missing = sandbox.run(*listing, "no-such-group", check=False)
    assert missing.returncode != 0
    assert "ResourceGroupNotFound" in missing.stderr
    wrong = {**sandbox.environment, "AZURE_CLIENT_SECRET": "wrong"}
    assert run(*listing, "demo-aci", env=wrong).returncode != 0


def test_no_secret_is_on_a_command_line(sandbox: Sandbox) -> None:
    record = Record.load(Layout(sandbox.home, sandbox.name).record)
    assert record is not None
    secret = sandbox.environment["AZURE_CLIENT_SECRET"].encode()
    for part in (record.supervisor, *record.components):
        assert secret not in Path(f"/proc/{part.pid}/cmdline").read_bytes()
        assert secret not in Path(part.log).read_bytes()


def test_after_killing_every_part_down_leaves_nothing(cache: Path, name: str) -> None:
    own = start(cache, name)
    engine = _engine(own)
    _pod(own, "web")
    layout = Layout(cache, name)
    assert _left(engine, layout.scope)
    record = Record.load(layout.record)
    assert record is not None
    for part in (record.supervisor, *record.components):
        try:
            os.kill(part.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for _ in range(2):
        stop(cache, name)
        assert _left(engine, layout.scope) == ""
        assert not layout.root.exists()
    assert str(layout.root) not in Path("/proc/self/mountinfo").read_text()


def test_two_nodes_on_somebody_elses_cluster(cache: Path, sandbox: Sandbox, name: str) -> None:
    """The other cluster is one of ours, but all that is known of it is a kubeconfig."""
    _engine(sandbox)
    refused = run(
        *("vnodectl", "sandbox", "up", "--name", name, "--kubeconfig", sandbox.kubeconfig),
        env=clean_environment(cache),
    )
    assert refused.returncode == 2
    assert "has a node sandbox already" in refused.stderr
    other = start(cache, f"{name}-b", "--nodes", "0", "--cloud", "none")
    try:
        own = start(cache, name, "--kubeconfig", other.kubeconfig, "--nodes", "2", "--cloud", "none")
        nodes = own.run("kubectl", "get", "nodes", "-o", "name").stdout.split()
        assert nodes == ["node/sandbox", "node/sandbox-2"]
        _pod(own, "web")
        stop(cache, name)
        assert other.run("kubectl", "get", "nodes,pods", "-o", "name").stdout == ""
    finally:
        stop(cache, f"{name}-b")


def test_without_an_engine_connectors_are_processes(cache: Path, name: str) -> None:
    own = start(cache, name, "--engine", "process")
    installed = own.run("vnodectl", "install-connector", "-g", "demo-aks", "-n", "demo", "-o", "json")
    assert json.loads(installed.stdout)
    own.run("vnodectl", "validate", "-g", "demo-aks", "-n", "demo")
    layout = Layout(cache, name)
    record = Record.load(layout.record)
    assert record is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    stop(cache, name)
    agents = subprocess.run(["pgrep", "-f", str(layout.root)], capture_output=True, text=True, check=False)
    assert agents.stdout == ""


def test_the_demo(cache: Path, name: str) -> None:
    told = run("vnodectl", "sandbox", "demo", "--name", name, env=clean_environment(cache))
    assert told.returncode == 0, told.stdout + told.stderr
    for line in ("virtual-kubelet-aci-connector-linux-eastus", "Serving HTTP", "hello from", "in all"):
        assert line in told.stdout
    assert not Layout(cache, name).root.exists()


def test_ctrl_c_in_the_middle_of_the_demo_leaves_nothing(cache: Path, name: str) -> None:
    """As a terminal does it: to the whole process group, and by somebody impatient."""
    said = []
    with subprocess.Popen(
        [sys.executable, "-m", "vnodectl", "sandbox", "demo", "--name", name],
        env=clean_environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            said.append(line)
            if line.startswith("$ vnodectl install-connector"):
                os.killpg(demo.pid, signal.SIGINT)
                os.killpg(demo.pid, signal.SIGINT)
    assert demo.returncode == 130, "".join(said)
    assert "taking down" in "".join(said)
    assert not Layout(cache, name).root.exists()
    left = subprocess.run(["pgrep", "-f", f"[-]-name {name}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
