"""The demo tells what it runs, stops at the first failure and always takes the sandbox down."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from vnodectl.errors import UsageError
from vnodectl.sandbox import demo
from vnodectl.sandbox.layout import Component, Layout, Record
from vnodectl.sandbox.scenes import SCENES

_LINUX, _WINDOWS = SCENES["azure"].nodes
(_ECI,) = SCENES["alibaba"].nodes

# One script is every program: what it says and whether it fails depends on its name and first words.
_PROGRAM = f"""#!/bin/sh
all="$(basename "$0") $*"
echo "$all" >> "$CALLS"
case "$all" in
  "$FAILS"*) [ -n "$FAILS" ] && {{ echo "it broke" >&2; exit 3; }} ;;
esac
case "$all" in
  "vnodectl sandbox up"*) [ -z "$HANGS" ] || {{ echo $$ > "$HANGS"; exec sleep 600; }} ;;
  "kubectl get nodes -o name") echo node/sandbox; [ -z "$LEAVES" ] || echo "node/$LEAVES" ;;
  "kubectl get nodes") printf '%s  Ready x\\n' sandbox {_LINUX} {_WINDOWS} {_ECI} ;;
  "kubectl get pods -o wide") printf 'aci 1/1 Running {_LINUX} x\\neci 1/1 Running {_ECI} x\\n' ;;
  "kubectl get pods"*) ;;
  "kubectl --namespace eci-demo get pods"*) echo "web 1/1 Running {_ECI} x" ;;
  "kubectl logs"*) echo "Serving HTTP" ;;
  "kubectl exec"*) echo "hello from pod" ;;
  "podman ps"*Names*) [ -z "$CONTAINER" ] || echo "$CONTAINER" ;;
  "vnodectl sample"*) echo "kind: Deployment" ;;
  "kubectl apply"*) sed 's/^/read: /' ;;
esac
"""


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture) -> Layout:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("vnodectl", "kubectl", "helm", "python", "podman"):
        (folder / name).write_text(_PROGRAM)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    for name in ("FAILS", "LEAVES", "HANGS", "CONTAINER"):
        monkeypatch.setenv(name, "")
    mocker.patch.object(demo, "_resolved", side_effect=list)
    made = Layout(tmp_path / "home", "demo")
    made.make()
    supervisor = Component("supervisor", os.getpid(), 0, "")
    environment = {"VNODECTL_SMOKE_IMAGE": "localhost/workload:1"}
    Record("demo", "run", "ready", supervisor, "podman", environment=environment).save(made.record)
    return made


async def _tell(layout: Layout, *, keep: bool = False, cloud: str = "both") -> None:
    await demo.tell(layout, engine="auto", base_image=None, keep=keep, cloud=cloud)


def _calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


async def test_the_whole_story(layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await _tell(layout)
    calls = _calls(tmp_path)
    assert calls[0] == "vnodectl sandbox up --name demo"
    assert calls[-2] == "vnodectl sandbox down --name demo"
    assert calls[-1].startswith(f"podman ps --all --filter name={layout.scope}")
    order = [call.split(" -g ")[0] for call in calls if call.startswith("vnodectl") and " -g " in call]
    verbs = ["vnodectl install-connector", "vnodectl validate", "vnodectl remove-connector"]
    assert order == verbs
    order = [call.split(" --cloud ")[0] for call in calls if " --cluster-id " in call]
    assert order == verbs
    said = capsys.readouterr().out
    assert f'$ vnodectl sample linux --image "$VNODECTL_SMOKE_IMAGE" --node {_LINUX} | kubectl apply' in said
    assert "read: kind: Deployment" in said
    assert "Serving HTTP" in said
    assert "in all" in said


async def test_the_story_of_one_cloud(layout: Layout, tmp_path: Path) -> None:
    await _tell(layout, cloud="alibaba")
    calls = _calls(tmp_path)
    assert calls[0] == "vnodectl sandbox up --name demo --cloud alibaba"
    assert not [call for call in calls if "aci" in call]
    assert "kubectl label namespace eci-demo virtual-node-affinity-injection=enabled" in calls
    with pytest.raises(UsageError, match="no cloud 'moon'"):
        await _tell(layout, cloud="moon")


async def test_keeping_the_sandbox(layout: Layout, tmp_path: Path) -> None:
    await _tell(layout, keep=True)
    assert not [call for call in _calls(tmp_path) if "sandbox down" in call]


@pytest.mark.parametrize(
    "fails",
    [
        "vnodectl sandbox up",
        "vnodectl install-connector",
        "vnodectl validate",
        "vnodectl sample",
        "kubectl apply",
        "kubectl logs",
        "kubectl exec",
        "kubectl label",
        "vnodectl remove-connector",
        "python -m vnodectl.sandbox.groups",
    ],
)
async def test_a_failing_command_is_named_and_the_sandbox_taken_down(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    monkeypatch.setenv("FAILS", fails)
    with pytest.raises(demo.StepFailed, match=f"`{fails}.*exit code 3"):
        await _tell(layout)
    calls = [call for call in _calls(tmp_path) if not call.startswith("podman")]
    assert calls[-1] == "vnodectl sandbox down --name demo"
    assert calls[-2].startswith(fails)


async def test_what_is_left_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEAVES", _LINUX)
    with pytest.raises(demo.StepFailed, match=_LINUX):
        await _tell(layout)
    assert "vnodectl sandbox down --name demo" in _calls(tmp_path)


async def test_a_container_that_is_left_is_a_failure(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER", "left-over")
    with pytest.raises(demo.StepFailed, match="containers are left"):
        await _tell(layout)


async def test_nothing_can_be_told_with_an_engine_that_runs_nothing(layout: Layout) -> None:
    with pytest.raises(UsageError, match="simulated"):
        await demo.tell(layout, engine="simulated", base_image=None, keep=False)


async def test_without_containers_it_says_so(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record.load(layout.record)
    assert record is not None
    dataclasses.replace(record, engine="process").save(layout.record)
    await _tell(layout)
    assert "simulated. Install podman" in capsys.readouterr().out
    assert not [call for call in _calls(tmp_path) if call.startswith(("kubectl exec", "podman"))]


async def test_cancelling_ends_the_command_and_takes_the_sandbox_down(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("HANGS", str(tmp_path / "hanging"))
    started = asyncio.Event()
    real = asyncio.create_subprocess_exec

    async def spawn(*argv: str, **options: object) -> asyncio.subprocess.Process:
        process = await real(*argv, **options)  # type: ignore[arg-type]
        started.set()
        return process

    mocker.patch("asyncio.create_subprocess_exec", side_effect=spawn)
    task = asyncio.create_task(_tell(layout))
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert _calls(tmp_path)[-1] == "vnodectl sandbox down --name demo"


def test_our_own_programs_are_those_of_this_installation() -> None:
    assert demo._resolved(["vnodectl", "validate"])[:3] == [sys.executable, "-m", "vnodectl"]
    assert demo._resolved(["kubectl", "get"]) == ["kubectl", "get"]
