"""The programs a sandbox needs: from PATH, downloaded and verified, or built; then kept by version."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vnodectl.errors import Unreachable
from vnodectl.sandbox import golang, gomodule
from vnodectl.sandbox.cache import file_lock, free_lock, making, remove_tree
from vnodectl.sandbox.download import CONTROL_PLANE_PROGRAMS, Release, Sources, fetch_all, machine
from vnodectl.sandbox.programs import run
from vnodectl.sandbox.report import Reporter, Step
from vnodectl.sandbox.versions import DEFAULT, HELM, METRICS_SERVER, ControlPlane

_MODULE = Path(__file__).with_name("controlplane")
_MODULE_FILES = ("go.mod", "go.sum", "main.go")
# What clients parse as the server's version; without it they see v0.0.0-master.
_KUBERNETES_VERSION = "k8s.io/component-base/version."
_METRICS_SERVER_MODULE = "sigs.k8s.io/metrics-server"
_HELM_MODULE = "helm.sh/helm/v4"
# pyhelm3 needs SemVer; a plain `go install` leaves "v4.3".
_HELM_VERSION = f"{_HELM_MODULE}/internal/version.version"
_SEMVER = re.compile(r"^v(\d+)\.(\d+)\.(\d+)(?:[-+][0-9A-Za-z.+-]+)?$")


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs are. `control_plane` is a directory with etcd, kube-apiserver and the others; it
    and `metrics_server` are None where nobody needs them.

    `helm` and `kubectl` are full paths; `helm_on_path` and `kubectl_on_path` say whether a plain
    `helm` or `kubectl` means just these.
    """

    control_plane: Path | None
    helm: Path
    kubectl: Path
    helm_on_path: bool
    kubectl_on_path: bool
    metrics_server: Path | None = None


def suitable_helm(version: str) -> bool:
    """Whether what `helm version` says is SemVer and Helm 3.16 (as VN-TOOL-002 asks) or newer, up to 4."""
    found = _SEMVER.match(version.strip())
    return found is not None and (3, 16) <= (int(found[1]), int(found[2])) < (5, 0)


async def prepare(
    home: Path,
    reporter: Reporter,
    *,
    own_cluster: bool = True,
    version: ControlPlane = DEFAULT,
    metrics: bool = False,
    sources: Sources | None = None,
) -> Tools:
    """Everything a sandbox runs, made where it is missing. `home` keeps it for all sandboxes of this user.

    `metrics`: metrics-server as well. Without `own_cluster`, the control plane is only made where it is
    needed as the kubectl.
    Raises ToolMissing where neither a download nor a build is possible, ProgramFailed with the
    compiler's last lines where a build fails.
    """
    sources = sources or Sources()
    tools = home / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    arch = machine()
    found = shutil.which("kubectl")
    control_plane = None
    if own_cluster or found is None:
        control_plane = tools / f"controlplane-{version.kubernetes}-{_module_digest(version)}"
        await _provide(
            f"Kubernetes {version.kubernetes} (control plane)",
            control_plane,
            sources.control_plane(version, arch),
            partial(_build_control_plane, tools, version),
            reporter,
        )
    metrics_server = None
    if metrics:
        folder = tools / f"metrics-server-{METRICS_SERVER}"
        title = f"metrics-server {METRICS_SERVER}"
        await _provide(title, folder, (), partial(_build_metrics_server, tools), reporter)
        metrics_server = folder / "metrics-server"
    helm = await _helm_on_path()
    helm_on_path = helm is not None
    if helm is None:
        folder = tools / f"helm-{HELM}"
        await _provide(
            f"Helm {HELM}", folder, sources.helm_release(arch), partial(_build_helm, tools), reporter
        )
        helm = folder / "helm"
    _drop_work(tools)
    kubectl = control_plane / "kubectl" if found is None and control_plane is not None else Path(found or "")
    return Tools(
        control_plane=control_plane,
        helm=helm,
        kubectl=kubectl,
        helm_on_path=helm_on_path,
        kubectl_on_path=found is not None,
        metrics_server=metrics_server,
    )


async def _helm_on_path() -> Path | None:
    found = shutil.which("helm")
    if found is None:
        return None
    answer = await run([found, "version", "--template", "{{.Version}}"], check=False)
    return Path(found) if answer.code == 0 and suitable_helm(answer.output) else None


async def _provide(
    title: str,
    target: Path,
    releases: Sequence[Release],
    build: Callable[[Path, Step], Awaitable[str]],
    reporter: Reporter,
) -> None:
    """Make the directory `target` by download or, where that is not possible or there are no `releases`,
    by `build`."""
    if target.is_dir():
        return
    with reporter.step(title) as step:
        async with making(target, on_wait=lambda: step.note("waiting for another vnodectl")) as unfinished:
            if unfinished is None:
                return
            try:
                if releases:
                    step.note("downloading the official release")
                    await fetch_all(releases, unfinished, progress=step.progress)
                    return
            except Unreachable as error:
                for partial_file in unfinished.iterdir():
                    partial_file.unlink()
                reporter.say(f"  {error.message}; building it instead")
            origin = await build(unfinished, step)
            reporter.say(f"  built with {origin}")


async def _build_control_plane(tools: Path, version: ControlPlane, target: Path, step: Step) -> str:
    source = target / "source"  # the package's own directory may be read-only
    source.mkdir()
    for name in _MODULE_FILES:
        shutil.copyfile(_MODULE / name, source / name)
    number = version.kubernetes
    major, minor = number.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": number, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    async with _go(tools, (source / "go.mod").read_text(), step) as go:
        if version != DEFAULT:
            go = await _rewrite_module(go, version, source, step)
        await golang.build(
            go,
            source,
            ".",
            target / "controlplane",
            variables={_KUBERNETES_VERSION + name: value for name, value in variables.items()},
            step=step,
        )
    remove_tree(source)
    for name in (*CONTROL_PLANE_PROGRAMS, "etcd"):
        (target / name).symlink_to("controlplane")  # it is the program it is called as
    return go.origin


async def _rewrite_module(go: golang.Go, version: ControlPlane, source: Path, step: Step) -> golang.Go:
    """Make the module in `source` one of another Kubernetes; gives the toolchain to build it with.

    A module proxy may lack the very patch of a staging module: then the newest that it has of the same
    minor is taken, whose API is the same.
    """
    step.note(f"fetching the sources of Kubernetes {version.kubernetes}")
    kubernetes = await golang.download(go, gomodule.KUBERNETES_MODULE, version.kubernetes)
    upstream = (kubernetes.directory / "go.mod").read_text()
    exact = gomodule.published_as(version.kubernetes)
    newest = exact.rpartition(".")[0]
    published = {}
    for name in gomodule.staging(upstream):
        step.note(f"fetching {name}")
        published[name] = (await golang.download(go, name, exact, newest)).version
    (source / "go.mod").write_text(gomodule.go_mod(version.kubernetes, upstream, published))
    shutil.copyfile(kubernetes.directory / "go.sum", source / "go.sum")
    for name in gomodule.examples(upstream):
        folder = source / gomodule.UNUSED / name
        folder.mkdir(parents=True)
        (folder / "go.mod").write_text(f"module unused/{name}\n")
    return golang.resolving(go)


async def _build_metrics_server(tools: Path, target: Path, step: Step) -> str:
    async with _go(tools, (_MODULE / "go.mod").read_text(), step) as go:
        step.note("fetching sources")
        source = await golang.download_source(go, _METRICS_SERVER_MODULE, METRICS_SERVER)
        output = target / "metrics-server"
        await golang.build(go, source, "./cmd/metrics-server", output, variables={}, step=step)
    return go.origin


async def _build_helm(tools: Path, target: Path, step: Step) -> str:
    async with _go(tools, (_MODULE / "go.mod").read_text(), step) as go:
        step.note("fetching sources")
        source = await golang.download_source(go, _HELM_MODULE, HELM)
        await golang.build(
            go, source, "./cmd/helm", target / "helm", variables={_HELM_VERSION: HELM}, step=step
        )
    return go.origin


@asynccontextmanager
async def _go(tools: Path, go_mod: str, step: Step) -> AsyncIterator[golang.Go]:
    """A toolchain, for one build at a time: two would share the work directory and the machine's cores."""
    async with file_lock(_work_lock(tools), on_wait=lambda: step.note("waiting for another build")):
        yield await golang.find_go(golang.required_version(go_mod), tools / ".go", step)


def _work_lock(tools: Path) -> Path:
    return tools / ".go.lock"


def _drop_work(tools: Path) -> None:
    """Remove Go's downloads and objects: gigabytes that nobody needs once the programs are there."""
    work = tools / ".go"
    if work.is_dir():
        with free_lock(_work_lock(tools)) as free:
            if free:  # else somebody builds with them, and removes them afterwards
                remove_tree(work)


def _module_digest(version: ControlPlane) -> str:
    """Of what the control plane is built from, so that a change of it builds anew."""
    digest = hashlib.sha256()
    files = [_MODULE / name for name in _MODULE_FILES]
    if version != DEFAULT:
        files = [_MODULE / "main.go", Path(gomodule.__file__)]
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
