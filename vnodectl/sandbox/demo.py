"""The whole story with real commands: a cluster, connectors, workloads, and nothing left.

Every command is run as its own program and shown with its output and time, as a user would type it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vnodectl.errors import UsageError, VnodectlError
from vnodectl.sandbox.ground import AUTO, CONTAINERS
from vnodectl.sandbox.layout import Layout, Record
from vnodectl.sandbox.plan import ALIBABA, AZURE, BOTH_CLOUDS, NODE
from vnodectl.sandbox.programs import Finished, run
from vnodectl.sandbox.scenes import SCENES, Scene

CLOUDS = (AZURE, ALIBABA, BOTH_CLOUDS)

_NAMESPACE = "eci-demo"
# On a busy machine half a minute was once too short for a container's first word.
_LOG_SECONDS = 90.0
_LOG_POLL = 0.3


class StepFailed(VnodectlError):
    """A command of the demo failed, or did not show what it should."""


@dataclass(slots=True)
class _Stage:
    """Where the story is told: shows commands, runs them, keeps times. Times are in seconds."""

    env: dict[str, str]
    show: Callable[[str], None]
    times: list[tuple[str, float]] = field(default_factory=list)
    _began: float = 0.0

    def title(self, text: str) -> None:
        self.close()
        self.show(f"\n━━ {len(self.times) + 1}. {text}")
        self.times.append((text, 0.0))
        self._began = time.monotonic()

    def close(self) -> None:
        """End the step that is being told."""
        if self._began:
            self.times[-1] = (self.times[-1][0], time.monotonic() - self._began)
            self._began = 0.0

    async def do(self, *pipeline: Sequence[str], quiet: bool = False) -> str:
        """Run commands, each reading what the one before has written; gives the last one's output.

        `quiet` shows the command but not its output. Raises StepFailed.
        """
        self.show(f"$ {' | '.join(self._shown(argv) for argv in pipeline)}")
        began = time.monotonic()
        text: str | None = None
        for number, argv in enumerate(pipeline):
            last = number == len(pipeline) - 1
            finished = await self._run(argv, text, self.show if last and not quiet else None)
            if finished.code != 0:
                raise StepFailed(
                    f"`{self._shown(argv)}` ended with exit code {finished.code}",
                    hint="" if last and not quiet else "\n".join(finished.tail[-3:]),
                )
            text = finished.output
        self.show(f"  ({time.monotonic() - began:.1f} s)")
        return text or ""

    async def until_said(self, argv: Sequence[str]) -> None:
        """Run a command, again while it says nothing: a container may be up before it has written a line.

        Raises StepFailed where it fails, or is still silent after a minute and a half.
        """
        self.show(f"$ {self._shown(argv)}")
        began = time.monotonic()
        while time.monotonic() - began < _LOG_SECONDS:
            finished = await self._run(argv, None, None)
            if finished.code != 0:
                self.show("\n".join(finished.tail))
                raise StepFailed(f"`{self._shown(argv)}` ended with exit code {finished.code}")
            if finished.output.strip():
                self.show(finished.output.rstrip())
                self.show(f"  ({time.monotonic() - began:.1f} s)")
                return
            await asyncio.sleep(_LOG_POLL)
        raise StepFailed(f"`{self._shown(argv)}` said nothing")

    async def attached(self, argv: Sequence[str]) -> None:
        """Run a command on this very terminal, so that it can draw progress bars."""
        self.show(f"$ {self._shown(argv)}")
        process = await asyncio.create_subprocess_exec(*_resolved(argv), env=self.env)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            # A Ctrl-C has reached it as well; it cleans up before it ends.
            if process.returncode is None:
                process.terminate()
            await process.wait()
            raise
        if code != 0:
            raise StepFailed(f"`{self._shown(argv)}` ended with exit code {code}")

    async def _run(
        self, argv: Sequence[str], stdin: str | None, on_line: Callable[[str], None] | None
    ) -> Finished:
        return await run(_resolved(argv), env=self.env, stdin=stdin, on_line=on_line, check=False)

    def _shown(self, argv: Sequence[str]) -> str:
        """As one would type it: what a variable of the environment says is shown as that variable."""
        variables = {self.env[name]: f'"${name}"' for name in ("VNODECTL_SMOKE_IMAGE",) if self.env.get(name)}
        return " ".join(variables.get(word) or shlex.quote(word) for word in argv)


async def tell(
    layout: Layout, *, engine: str, base_image: str | None, keep: bool, cloud: str = BOTH_CLOUDS
) -> None:
    """Tell it, in the sandbox of `layout`, and take that down again (unless `keep`), however it ends.

    Raises StepFailed with the command that failed, UsageError for an engine that runs no connector.
    """
    if cloud not in CLOUDS:
        raise UsageError(f"the demo knows no cloud {cloud!r}", hint=f"one of {', '.join(CLOUDS)}")
    scenes = [SCENES[name] for name in (AZURE, ALIBABA) if cloud in (name, BOTH_CLOUDS)]
    if engine == "simulated":
        raise UsageError(
            "the simulated engine runs nothing, and the demo's connectors must run",
            hint="--engine process runs them as plain processes, and simulates workloads",
        )
    began = time.monotonic()
    stage = _Stage(dict(os.environ), _print)
    record: Record | None = None
    try:
        titles = " and ".join(scene.title for scene in scenes)
        stage.title(f"A cluster of our own, and an emulated {titles}")
        up = ["vnodectl", "sandbox", "up", "--name", layout.name]
        up += ["--cloud", cloud] if cloud != BOTH_CLOUDS else []
        up += ["--engine", engine] if engine != AUTO else []
        up += ["--base-image", base_image] if base_image else []
        await stage.attached(up)
        record = _enter(stage, layout)
        await _acts(stage, layout, record, scenes)
    finally:
        if not keep:
            # Also after Ctrl-C: the cancellation has been delivered already, so this may take its time.
            await _down(stage, layout, record)
        stage.close()
    _print("\n━━ Times")
    for text, seconds in stage.times:
        _print(f"{seconds:7.1f} s  {text}")
    _print(f"{time.monotonic() - began:7.1f} s  in all")


def _enter(stage: _Stage, layout: Layout) -> Record:
    record = Record.load(layout.record)
    if record is None:
        raise StepFailed("the sandbox went away")
    stage.show(f'$ eval "$(vnodectl sandbox env --name {layout.name})"')
    stage.env.update(record.environment)
    stage.env["PATH"] = f"{layout.bin}{os.pathsep}{stage.env.get('PATH', '')}"
    if record.engine not in CONTAINERS:
        stage.show("  Nothing runs containers here, so the connectors are plain processes and workloads are")
        stage.show("  simulated. Install podman to see real containers.")
    return record


async def _down(stage: _Stage, layout: Layout, record: Record | None) -> None:
    stage.title("Take the cluster down")
    await stage.attached(["vnodectl", "sandbox", "down", "--name", layout.name])
    if record is not None and record.engine in CONTAINERS:
        left = await stage.do(_containers(record.engine, layout, "{{.Names}}"))
        _expect(not left, "containers are left")


def _containers(engine: str, layout: Layout, form: str) -> list[str]:
    """Lists this sandbox's containers: all their names begin with its scope."""
    return [engine, "ps", "--all", "--filter", f"name={layout.scope}", "--format", form]


async def _acts(stage: _Stage, layout: Layout, record: Record, scenes: Sequence[Scene]) -> None:
    """Everything between up and down."""
    await stage.do(["kubectl", "get", "nodes"])
    for scene in scenes:
        await _install(stage, scene)
    for scene in scenes:
        await _workload(stage, layout, record, scene)
    for scene in scenes:
        stage.title(
            f"{scene.title}: remove the workload and the connector{'s' if len(scene.nodes) > 1 else ''}"
        )
        await stage.do(["kubectl", "delete", scene.workload, "--cascade=foreground", "--timeout=60s"])
        removal = [*scene.cluster, *scene.place, *scene.systems]
        await stage.do(["vnodectl", "remove-connector", *removal])

    stage.title("Nothing is left")
    nodes = await stage.do(["kubectl", "get", "nodes", "-o", "name"])
    foreign = [line for line in nodes.split() if not line.startswith(f"node/{NODE}")]
    _expect(not foreign, f"nodes are left: {foreign}")
    _expect(not await stage.do(["kubectl", "get", "pods", "-A", "-o", "name"]), "pods are left")
    _expect(not await stage.do(["helm", "list", "-A", "--short"]), "Helm releases are left")
    for scene in scenes:
        groups = await stage.do(scene.groups)
        _expect(not groups.strip(), "container groups are left")
    stage.show("  no virtual node, no pod, no release, no container group")


async def _install(stage: _Stage, scene: Scene) -> None:
    stage.title(f"{scene.title}: install {scene.connectors}")
    await stage.do(["vnodectl", "install-connector", *scene.cluster, *scene.place, *scene.systems])
    nodes = await stage.do(["kubectl", "get", "nodes"])
    for node in scene.nodes:
        _expect(
            any(line.startswith(f"{node} ") and " Ready " in line for line in nodes.splitlines()),
            f"the node {node} is not Ready",
        )
    stage.title(f"{scene.title}: prove that {'both work' if len(scene.nodes) > 1 else 'it works'}")
    await stage.do(["vnodectl", "validate", *scene.cluster, *scene.systems, *_home(scene)])


def _home(scene: Scene) -> tuple[str, ...]:
    """Where the cloud's API is asked for the cluster's credentials."""
    return scene.place if "--region" in scene.place else ()


async def _workload(stage: _Stage, layout: Layout, record: Record, scene: Scene) -> None:
    real = record.engine in CONTAINERS
    node, workload = scene.nodes[0], scene.workload
    stage.title(f"{scene.title}: run a workload on the virtual node")
    image = stage.env.get("VNODECTL_SMOKE_IMAGE", "")
    sample = ["vnodectl", "sample", *scene.sample, *(("--image", image) if image else ()), "--node", node]
    await stage.do(sample, ["kubectl", "apply", "-f", "-"])
    await stage.do(["kubectl", "rollout", "status", workload, "--timeout=120s"])
    await stage.do(["kubectl", "get", "nodes"])
    pods = await stage.do(["kubectl", "get", "pods", "-o", "wide"])
    running = any(" Running " in line and f" {node} " in f"{line} " for line in pods.splitlines())
    _expect(running, f"no pod runs on {node}")
    if real:
        await stage.do(_containers(record.engine, layout, "table {{.Image}} {{.Status}}"))
    await stage.until_said(["kubectl", "logs", workload])
    if real:
        said = await stage.do(["kubectl", "exec", workload, "--", "sh", "-c", "echo hello from $(hostname)"])
        _expect("hello from" in said, "the exec gave no answer")
    else:
        stage.show("  (no kubectl exec: a simulated container has no shell)")
    if real and scene.label:
        await _by_label(stage, scene, image)


async def _by_label(stage: _Stage, scene: Scene, image: str) -> None:
    """The same for a whole namespace, whose pods say nothing of the node themselves."""
    here = ("kubectl", "--namespace", _NAMESPACE)
    stage.title(f"{scene.title}: send a namespace's pods there by a label")
    await stage.do(["kubectl", "create", "namespace", _NAMESPACE])
    await stage.do(["kubectl", "label", "namespace", _NAMESPACE, scene.label])
    await stage.do([*here, "create", "deployment", "web", "--image", image])
    await stage.do([*here, "rollout", "status", "deployment/web", "--timeout=120s"])
    pods = await stage.do([*here, "get", "pods", "-o", "wide"])
    _expect(f" {scene.nodes[0]} " in pods, f"no pod runs on {scene.nodes[0]}")
    await stage.do(["kubectl", "delete", "namespace", _NAMESPACE, "--timeout=120s"])


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StepFailed(otherwise)


def _resolved(argv: Sequence[str]) -> list[str]:
    """`vnodectl` and `python` are this installation's own, whatever PATH says."""
    own = {"vnodectl": [sys.executable, "-m", "vnodectl"], "python": [sys.executable]}
    return [*own.get(argv[0], [argv[0]]), *argv[1:]]


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
