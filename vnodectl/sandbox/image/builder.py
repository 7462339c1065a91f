"""Building the image with podman or docker, and its base from Debian packages where no registry answers."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import vnodectl
from vnodectl.errors import ToolMissing, VnodectlError
from vnodectl.sandbox.cache import file_lock, making
from vnodectl.sandbox.image.wheel import digest, write_wheel
from vnodectl.sandbox.programs import ProgramFailed, fail, run
from vnodectl.sandbox.report import Reporter, Step

DEFAULT_BASE = "docker.io/library/python:3.13-slim"
CONNECTOR = "localhost/vnodectl/connector"
WORKLOAD = "localhost/vnodectl/workload"
_WORKLOAD_FILE = """ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /srv
EXPOSE 80
STOPSIGNAL SIGINT
CMD ["python3", "-u", "-c", "import http.server as h, signal, socketserver as s, sys; \\
signal.signal(signal.SIGINT, lambda *_: sys.exit()); \\
print('Serving HTTP on 0.0.0.0 port 80 (http://0.0.0.0:80/) ...'); \\
s.ThreadingTCPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"]
"""
"""Not `python3 -m http.server`: that asks the DNS for the pod's own name before it says a word, and where no
resolver answers it stays silent for as long as the resolver's patience lasts."""
_OWN_BASE = "localhost/vnodectl/base"
_DEBIAN = "bookworm"
_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# Raised when the way the base is made changes.
_RECIPE = 1
_HERE = Path(__file__).parent
_CHECKOUT = Path(vnodectl.__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Images:
    """References in the engine's own storage. `workload` has a shell and Python, and by itself serves
    HTTP on port 80: something small to run on a virtual node."""

    connector: str
    workload: str


@dataclass(frozen=True, slots=True)
class ContainerTool:
    """`podman` or `docker`, as a program."""

    name: str

    async def has(self, image: str) -> bool:
        argv = [self.name, "image", "inspect", "--format", "{{.Id}}", image]
        return (await run(argv, check=False)).code == 0

    async def pull(self, image: str) -> bool:
        return (await run([self.name, "pull", "--quiet", image], check=False)).code == 0

    async def prune(self) -> None:
        """Remove older images of ours that nothing runs; a day's grace for whoever works side by side."""
        filters = ["--filter=label=io.vnodectl.image", "--filter=until=24h"]
        await run([self.name, "image", "prune", "--all", "--force", *filters], check=False)

    async def build(self, context: Path, containerfile: Path, tag: str, base: str, step: Step) -> str:
        """Build and give back everything that was said. Nothing in the build needs the network."""
        isolation = {
            # Needs neither namespaces nor cgroups, which a machine that is a container itself may refuse.
            "podman": ["--isolation=chroot", "--format=docker", "--pull=never"],
            "docker": ["--network=none", "--progress=plain"],
        }[self.name]
        said: list[str] = []

        def line(text: str) -> None:
            said.append(text)
            step.note(text)

        options = [f"--build-arg=BASE_IMAGE={base}", f"--tag={tag}", f"--file={containerfile}"]
        # Told to end, podman leaves the containers behind that it builds in; when a step fails, it does not.
        ending = fail if self.name == "podman" else None
        await run([self.name, "build", *isolation, *options, str(context)], on_line=line, ending=ending)
        return "\n".join(said)


async def ensure_images(
    tool: ContainerTool, cache: Path, reporter: Reporter, *, base: str | None = None, tag: str | None = None
) -> Images:
    """Build what is not there. `base` replaces the default base image, `tag` the name that tells the content.

    `cache` keeps downloaded wheels. Raises ToolMissing where no base image can be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    async with file_lock(cache / ".build.lock"):
        chosen = await _base(tool, reporter, base)
        containerfile, requirements = _shipped("Containerfile"), _shipped("requirements.txt")
        content = digest(containerfile.read_bytes(), requirements.read_bytes(), chosen.encode())
        connector = tag or f"{CONNECTOR}:{vnodectl.__version__}-{content}"
        if tag is not None or not await tool.has(connector):
            with reporter.step(f"image {connector}") as step:
                await _build(tool, cache, chosen, connector, containerfile, requirements, step)
                await tool.prune()
        workload = f"{WORKLOAD}:{hashlib.sha256((chosen + _WORKLOAD_FILE).encode()).hexdigest()[:12]}"
        if not await tool.has(workload):
            with reporter.step(f"image {workload}") as step, _context(cache) as context:
                (context / "Containerfile").write_text(_WORKLOAD_FILE)
                await tool.build(context, context / "Containerfile", workload, chosen, step)
        return Images(connector, workload)


@contextmanager
def _context(cache: Path) -> Iterator[Path]:
    """A directory for a build, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".context-", dir=cache) as folder:
        yield Path(folder)


def _shipped(name: str) -> Path:
    """A file that lies beside this module in a wheel, and at the root of a checkout."""
    for folder in (_HERE, _CHECKOUT):
        if (folder / name).is_file():
            return folder / name
    raise VnodectlError(f"{name} is missing from this installation", hint="install vnodectl again")


async def _build(
    tool: ContainerTool, cache: Path, base: str, tag: str, containerfile: Path, requirements: Path, step: Step
) -> None:
    with _context(cache) as context:
        python = await _python_of(tool, base, context, step)
        wheels = await _wheelhouse(cache, requirements, python, step)
        shutil.copytree(wheels, context / "wheelhouse")
        (context / "wheel").mkdir()
        write_wheel(context / "wheel")
        shutil.copyfile(containerfile, context / "Containerfile")
        await tool.build(context, context / "Containerfile", tag, base, step)


async def _python_of(tool: ContainerTool, base: str, context: Path, step: Step) -> str:
    """The base's Python, e.g. "3.11". Asked in a build, which works where running containers may not."""
    probe = context / "Probe"
    # The random name keeps this step out of the build cache, where it would print nothing.
    program = f"import sys; print('PYTHON=%d.%d' % sys.version_info[:2])  # {context.name}"
    probe.write_text(f'ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN ["python3", "-c", "{program}"]\n')
    tag = "localhost/vnodectl/probe:latest"
    said = await tool.build(context, probe, tag, base, step)
    await run([tool.name, "rmi", "--force", tag], check=False)
    probe.unlink()
    found = re.search(r"PYTHON=(\d+\.\d+)", said)
    if found is None:
        raise VnodectlError(f"cannot tell which Python the base image {base} has")
    if tuple(map(int, found[1].split("."))) < (3, 11):
        raise VnodectlError(
            f"the base image {base} has Python {found[1]}; 3.11 or newer is needed",
            hint=f"name another one, e.g. --base-image {DEFAULT_BASE}",
        )
    return found[1]


async def _wheelhouse(cache: Path, requirements: Path, python: str, step: Step) -> Path:
    """The wheels of `requirements` for that Python, and a list of them with hashes; pip's own settings apply.

    What is published as source alone is built here: it must be pure Python, as the image has no compiler.
    """
    content = requirements.read_bytes()
    target = cache / f"wheels-{python}-{hashlib.sha256(content).hexdigest()[:12]}"
    async with making(target) as unfinished:
        if unfinished is not None:
            step.note("fetching wheels")
            # Hashes are checked against `requirements` here; what is kept is kept in our own cache.
            where = ["--dest", str(unfinished), "--require-hashes", "--requirement", str(requirements)]
            await _pip(
                "download", "--no-deps", "--prefer-binary", "--python-version", python, *where, step=step
            )
            sources = [file for file in unfinished.iterdir() if file.suffix != ".whl"]
            if sources:
                step.note("building wheels")
                here = ["--wheel-dir", str(unfinished), *map(str, sources)]
                await _pip("wheel", "--no-deps", *here, step=step)
            for source in sources:
                source.unlink()
            (unfinished / "requirements.txt").write_text(_listed(unfinished))
    return target


def _listed(wheelhouse: Path) -> str:
    """The wheels as requirements with the hashes of what is there."""
    lines = []
    for wheel in sorted(wheelhouse.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(lines)


async def _pip(command: str, *options: str, step: Step) -> None:
    quiet = ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    await run(
        [sys.executable, "-m", "pip", command, *quiet, *options],
        on_line=step.note,
        hint="pip must reach a package index (its settings apply: PIP_INDEX_URL, PIP_PROXY, …)",
    )


async def _base(tool: ContainerTool, reporter: Reporter, wanted: str | None) -> str:
    if wanted is not None:
        if not await tool.has(wanted) and not await tool.pull(wanted):
            raise VnodectlError(
                f"the base image {wanted} cannot be pulled", hint=f"{tool.name} pull {wanted}"
            )
        return wanted
    own = f"{_OWN_BASE}:{_DEBIAN}-{_RECIPE}"
    for present in (DEFAULT_BASE, own):
        if await tool.has(present):
            return present
    with reporter.step("base image") as step:
        step.note(f"pulling {DEFAULT_BASE}")
        if await tool.pull(DEFAULT_BASE):
            return DEFAULT_BASE
        reporter.say(f"  {DEFAULT_BASE} cannot be pulled; making {own} from Debian packages")
        await _from_debian(tool, own, step)
        return own


async def _from_debian(tool: ContainerTool, tag: str, step: Step) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ToolMissing(
            f"the base image {DEFAULT_BASE} cannot be pulled, and there is no mmdebstrap to make one",
            hint="apt-get install mmdebstrap (as root on Debian), or name an image with --base-image",
        )
    with tempfile.TemporaryDirectory(prefix="vnodectl-base-") as folder:
        archive = Path(folder) / "base.tar"
        step.note("mmdebstrap")
        await run(
            ["mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _DEBIAN, str(archive)],
            on_line=step.note,
            hint="it needs a Debian mirror and, unless user namespaces are allowed, root",
        )
        step.note("importing")
        try:
            await run([tool.name, "import", "--change=ENV LANG=C.UTF-8", str(archive), tag])
        except ProgramFailed:
            await run([tool.name, "rmi", "--force", tag], check=False)
            raise
