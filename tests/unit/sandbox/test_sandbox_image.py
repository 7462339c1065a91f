"""Our wheel and the images around it; podman is a script that notes what it is asked for."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from rich.console import Console

from vnodectl import __version__
from vnodectl.errors import ToolMissing, VnodectlError
from vnodectl.sandbox.image import builder
from vnodectl.sandbox.image.wheel import digest, write_wheel
from vnodectl.sandbox.report import Reporter

# Images are files of a directory; a build or an import makes one, a pull works if PULLS is set.
_PODMAN = """#!/bin/sh
echo "$@" >> "$PODMAN_CALLS"
file() { echo "$PODMAN_IMAGES/$(echo "$1" | tr '/:' '__')"; }
case "$1" in
  "image") [ "$2" = inspect ] || exit 0; for last; do :; done; [ -e "$(file "$last")" ] ;;
  pull) for last; do :; done; [ -n "$PULLS" ] && touch "$(file "$last")" ;;
  import) for last; do :; done; touch "$(file "$last")" ;;
  rmi) ;;
  build)
    for word; do
      case "$word" in
        --tag=*) touch "$(file "${word#--tag=}")" ;;
        --file=*) cp "${word#--file=}" "$PODMAN_IMAGES/last" ;;
      esac
    done
    echo "PYTHON=$BASE_PYTHON" ;;
esac
"""


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> builder.ContainerTool:
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "images").mkdir()
    (folder / "podman").write_text(_PODMAN)
    (folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("PODMAN_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("PODMAN_IMAGES", str(tmp_path / "images"))
    monkeypatch.setenv("BASE_PYTHON", "3.13")
    return builder.ContainerTool("podman")


@pytest.fixture
def wheelhouse(tmp_path: Path, mocker: MockerFixture) -> Path:
    """Instead of downloading."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    (folder / "requirements.txt").write_text("")
    mocker.patch.object(builder, "_wheelhouse", return_value=folder)
    return folder


def _reporter() -> Reporter:
    return Reporter(Console(file=io.StringIO()))


def _calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_the_wheel_is_the_same_each_time_and_installs(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = write_wheel(tmp_path / "a"), write_wheel(tmp_path / "b")
    assert first.name == f"vnodectl-{__version__}-py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert "vnodectl/agent.py" in names
    assert "vnodectl/sandbox/controlplane/go.sum" in names
    assert not [name for name in names if "__pycache__" in name]
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*install, "--quiet", "--target", str(target), str(first)], check=True)
    assert (target / "bin" / "vnodectl").is_file()


def test_the_digest_follows_the_content(mocker: MockerFixture, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("1")
    files = [("vnodectl/module.py", tmp_path / "module.py")]
    mocker.patch("vnodectl.sandbox.image.wheel.package_files", return_value=files)
    before = digest(b"base")
    assert digest(b"base") == before
    assert digest(b"other base") != before
    (tmp_path / "module.py").write_text("2")
    assert digest(b"base") != before


async def test_images_are_built_once_on_a_base_that_can_be_pulled(
    podman: builder.ContainerTool, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLS", "yes")
    images = await builder.ensure_images(podman, tmp_path / "cache", _reporter())
    assert images.connector.startswith(f"localhost/vnodectl/connector:{__version__}-")
    builds = [call for call in _calls(tmp_path) if call.startswith("build")]
    assert all(f"--build-arg=BASE_IMAGE={builder.DEFAULT_BASE}" in call for call in builds)
    assert len(builds) == 3  # which Python, the connector, the workload
    assert await builder.ensure_images(podman, tmp_path / "cache", _reporter()) == images
    assert len([call for call in _calls(tmp_path) if call.startswith("build")]) == 3
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".build.lock"]


async def test_without_a_registry_the_base_comes_from_debian_packages(
    podman: builder.ContainerTool, wheelhouse: Path, tmp_path: Path
) -> None:
    script = tmp_path / "bin" / "mmdebstrap"
    script.write_text('#!/bin/sh\nfor last; do :; done\ntouch "$last"\n')
    script.chmod(0o755)
    await builder.ensure_images(podman, tmp_path / "cache", _reporter())
    assert [call for call in _calls(tmp_path) if call.startswith("import")]


async def test_without_any_base_it_says_what_to_do(
    podman: builder.ContainerTool, wheelhouse: Path, tmp_path: Path, mocker: MockerFixture
) -> None:
    mocker.patch("shutil.which", return_value=None)
    with pytest.raises(ToolMissing, match="mmdebstrap") as caught:
        await builder.ensure_images(podman, tmp_path / "cache", _reporter())
    assert "--base-image" in caught.value.hint


async def test_a_base_with_an_old_python_is_refused(
    podman: builder.ContainerTool, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLS", "yes")
    monkeypatch.setenv("BASE_PYTHON", "3.9")
    with pytest.raises(VnodectlError, match=r"Python 3\.9"):
        await builder.ensure_images(podman, tmp_path / "cache", _reporter(), base="example/old")


async def test_a_tag_of_ones_own(
    podman: builder.ContainerTool, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLS", "yes")
    images = await builder.ensure_images(podman, tmp_path / "cache", _reporter(), tag="example/connector:1")
    assert images.connector == "example/connector:1"
    assert any("--tag=example/connector:1" in call for call in _calls(tmp_path))
