"""Which engine a sandbox uses, and what is said when it is not the best one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from rich.console import Console

from vnodectl.engines.docker_api.service import socket_directory
from vnodectl.engines.select import Detection
from vnodectl.errors import ToolMissing, UsageError
from vnodectl.sandbox import ground
from vnodectl.sandbox.ground import Choice
from vnodectl.sandbox.layout import Layout
from vnodectl.sandbox.report import Reporter


@pytest.mark.parametrize(
    ("wanted", "found", "choice", "said"),
    [
        ("auto", Detection("podman", bridge=True), Choice("podman", bridge=True), ""),
        ("docker", Detection("docker", bridge=True), Choice("docker", bridge=True), ""),
        ("auto", Detection("process", "podman: not there"), Choice("process"), "podman: not there"),
        ("auto", Detection("podman"), Choice("process"), "not run as root"),
        ("podman", Detection("podman"), Choice("podman"), "one connector fits at a time"),
    ],
)
async def test_the_choice(
    mocker: MockerFixture, wanted: str, found: Detection, choice: Choice, said: str
) -> None:
    mocker.patch.object(ground, "detect", return_value=found)
    text = io.StringIO()
    assert await ground.choose(wanted, Reporter(Console(file=text, width=300))) == choice
    assert said in text.getvalue()
    assert bool(text.getvalue()) is bool(said)


@pytest.mark.parametrize("wanted", ["process", "simulated"])
async def test_what_needs_no_engine_is_not_looked_for(mocker: MockerFixture, wanted: str) -> None:
    detect = mocker.patch.object(ground, "detect")
    assert await ground.choose(wanted, Reporter(Console(file=io.StringIO()))) == Choice(wanted)
    detect.assert_not_called()


async def test_a_wanted_engine_that_does_not_work(mocker: MockerFixture) -> None:
    mocker.patch.object(ground, "detect", return_value=Detection("process", "docker: no socket"))
    with pytest.raises(ToolMissing, match="no socket"):
        await ground.choose("docker", Reporter(Console(file=io.StringIO())))


async def test_an_engine_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="runc"):
        await ground.choose("runc", Reporter(Console(file=io.StringIO())))


def test_sockets_of_killed_services_are_removed_wherever_they_are(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("d" * 100))
    homes = [layout.root / place / "scope" for place in ("engine", "azure", "nodes/sandbox")]
    for home in homes:
        home.mkdir(parents=True)
        (home / "podman.log").touch()
        socket_directory(home).mkdir()
        assert tmp_path not in socket_directory(home).parents
    ground.remove_sockets(layout)
    assert [home for home in homes if socket_directory(home).exists()] == []
