"""Building images with the real podman."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from support.shell_image import import_shell_image

from vnodectl.sandbox.image.builder import ContainerTool
from vnodectl.sandbox.report import Reporter, Step

pytestmark = [pytest.mark.e2e, pytest.mark.containers]


def podman(*argv: str) -> str:
    return subprocess.run(["podman", *argv], capture_output=True, text=True, check=True).stdout


async def test_an_interrupted_build_leaves_no_container(tmp_path: Path) -> None:
    if shutil.which("podman") is None:
        pytest.skip("there is no podman here")
    base = f"localhost/vnodectl-test/interrupted:{os.getpid()}"
    podman("tag", import_shell_image(), base)
    building = asyncio.Event()

    class Watched(Step):
        def note(self, text: str) -> None:
            if "STEP 2" in text:
                building.set()

    recipe = tmp_path / "Containerfile"
    recipe.write_text('ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN ["sleep", "1000"]\n')
    step = Watched(Reporter(Console(file=io.StringIO())), "image")
    tag = f"{base}-built"
    task = asyncio.create_task(ContainerTool("podman").build(tmp_path, recipe, tag, base, step))
    try:
        async with asyncio.timeout(60):
            await building.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        images = podman("ps", "--all", "--external", "--format", "{{.Image}}").split()
        assert base not in images
        assert tag not in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    finally:
        podman("rmi", base)
