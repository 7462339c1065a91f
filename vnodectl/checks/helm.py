"""The helm program as checks read it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vnodectl.checks.readers import JSON, Signature
from vnodectl.errors import ToolMissing

if TYPE_CHECKING:
    from vnodectl.connector.plan import Plan

_SIGNER = re.compile(r"^Signed by: *(.+)$", re.MULTILINE)

INSTALL_HELM = "install Helm: https://helm.sh/docs/intro/install/"


class HelmProgram:
    """A HelmReader. `path` is the program or its name, looked up on PATH; `plan` what is to be installed, or
    `rendered` the manifests themselves."""

    def __init__(
        self, path: str = "helm", plan: Plan | None = None, *, rendered: Sequence[JSON] = ()
    ) -> None:
        self._path = path
        self._plan = plan
        self._rendered = rendered

    async def found(self) -> str:
        return shutil.which(self._path) or ""

    async def version(self) -> str:
        return await _output(self._path, "version", "--template", "{{.Version}}")

    async def manifests(self) -> list[JSON]:
        if self._plan is None:
            return list(self._rendered)
        from vnodectl.connector import release
        from vnodectl.connector.helm import Helm
        from vnodectl.connector.redact import redactor

        helm = await Helm.open(
            kubeconfig=None, context=None, redact=redactor(self._plan.secrets), executable=self._path
        )
        return await release.render(self._plan, helm)

    async def signature(self, chart: str) -> Signature | None:
        from vnodectl.connector.chart import reference

        path = Path(reference(chart))
        if path.is_dir() or not Path(f"{path}.prov").exists():
            return None
        code, output, said = await _run(self._path, "verify", str(path))
        if code:
            return Signature(problem=said.removeprefix("Error: ") or f"helm verify ended with code {code}")
        signer = _SIGNER.search(output)
        return Signature(signer=signer[1] if signer else "somebody without a name")


async def _output(*command: str) -> str:
    """Standard output of a short-lived program, stripped. Raises ToolMissing where it fails."""
    code, output, _ = await _run(*command)
    if code:
        raise ToolMissing(f"{' '.join(command[:2])} ended with code {code}", hint=INSTALL_HELM)
    return output


async def _run(*command: str) -> tuple[int, str, str]:
    """Exit code and both outputs, stripped, of a short-lived program. Raises ToolMissing without it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ToolMissing(f"{command[0]} cannot be run: {error.strerror}", hint=INSTALL_HELM) from error
    try:
        output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return (
        process.returncode or 0,
        output.decode(errors="replace").strip(),
        said.decode(errors="replace").strip(),
    )
