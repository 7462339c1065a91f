"""A container image of this machine's own shell and a few tools: needs no registry and no network."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

TOOLS = ("sh", "sleep", "cat", "stty", "base64", "dd", "tr", "touch", "rm", "mkdir")
# Named for what is in it: checkouts that put other tools in it may be tested at the same time.
NAME = f"localhost/vnodectl-test/shell:{hashlib.sha256(' '.join(TOOLS).encode()).hexdigest()[:8]}"


def import_shell_image() -> str:
    """Imports it into podman's storage (again, where it was there before) and returns its name."""
    files: dict[str, Path] = {}
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is needed for the test image"
        files[f"bin/{tool}"] = Path(found).resolve()
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for word in listed.split():
            if word.startswith("/"):
                files[word.lstrip("/")] = Path(word).resolve()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in files.items():
            tar.add(path, arcname=name)
    subprocess.run(
        ["podman", "import", "--quiet", "-", NAME], input=archive.getvalue(), capture_output=True, check=True
    )
    return NAME
