"""The whole story with real commands: a cluster, two connectors, a workload, and nothing left.

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
from vnodectl.sandbox.plan import (
    DEMO_ACI_GROUP,
    DEMO_CLUSTER,
    DEMO_CLUSTER_GROUP,
    DEMO_REGION,
    NODE,
)
from vnodectl.sandbox.programs import Finished, run
from vnodectl.settings import DEFAULT_CONNECTOR_NAME, NODE_PREFIX

_WORKLOAD = "deployment/aci-helloworld"
_NODES = tuple(
    f"{NODE_PREFIX}{DEFAULT_CONNECTOR_NAME}-{system}-{DEMO_REGION}" for system in ("linux", "windows")
)

_LOG_SECONDS = 30.0
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

        Raises StepFailed where it fails, or is still silent after half a minute.
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


async def tell(layout: Layout, *, engine: str, base_image: str | None, keep: bool) -> None:
    """Tell it, in the sandbox of `layout`, and take that down again (unless `keep`), however it ends.

    Raises StepFailed with the command that failed, UsageError for an engine that runs no connector.
    """
    if engine == "simulated":
        raise UsageError(
            "the simulated engine runs nothing, and the demo's connectors must run",
            hint="--engine process runs them as plain processes, and simulates workloads",
        )
    began = time.monotonic()
    stage = _Stage(dict(os.environ), _print)
    record: Record | None = None
    try:
        stage.title("A cluster of our own, and an emulated Azure")
        up = ["vnodectl", "sandbox", "up", "--name", layout.name]
        up += ["--engine", engine] if engine != AUTO else []
        up += ["--base-image", base_image] if base_image else []
        await stage.attached(up)
        record = _enter(stage, layout)
        await _acts(stage, layout, record)
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


async def _acts(stage: _Stage, layout: Layout, record: Record) -> None:
    """Everything between up and down."""
    real = record.engine in CONTAINERS
    cluster = ("-g", DEMO_CLUSTER_GROUP, "-n", DEMO_CLUSTER)
    aci = ("--aci-resource-group", DEMO_ACI_GROUP)
    both = ("--os-type", "Both")
    await stage.do(["kubectl", "get", "nodes"])

    stage.title("Install a connector for Linux and one for Windows")
    await stage.do(["vnodectl", "install-connector", *cluster, *aci, *both])
    nodes = await stage.do(["kubectl", "get", "nodes"])
    for node in _NODES:
        _expect(
            any(line.startswith(f"{node} ") and " Ready " in line for line in nodes.splitlines()),
            f"the node {node} is not Ready",
        )

    stage.title("Prove that both work")
    await stage.do(["vnodectl", "validate", *cluster, *both])

    stage.title("Run a workload on the virtual node")
    image = stage.env.get("VNODECTL_SMOKE_IMAGE", "")
    sample = ["vnodectl", "sample", "linux", *(("--image", image) if image else ()), "--node", _NODES[0]]
    await stage.do(sample, ["kubectl", "apply", "-f", "-"])
    await stage.do(["kubectl", "rollout", "status", _WORKLOAD, "--timeout=120s"])
    await stage.do(["kubectl", "get", "nodes"])
    pods = await stage.do(["kubectl", "get", "pods", "-o", "wide"])
    _expect(" Running " in pods and _NODES[0] in pods, f"no pod runs on {_NODES[0]}")
    if real:
        await stage.do(_containers(record.engine, layout, "table {{.Image}} {{.Status}}"))
    await stage.until_said(["kubectl", "logs", _WORKLOAD])
    if real:
        said = await stage.do(["kubectl", "exec", _WORKLOAD, "--", "sh", "-c", "echo hello from $(hostname)"])
        _expect("hello from" in said, "the exec gave no answer")
    else:
        stage.show("  (no kubectl exec: a simulated container has no shell)")

    stage.title("Remove the workload and both connectors")
    await stage.do(["kubectl", "delete", _WORKLOAD, "--cascade=foreground", "--timeout=60s"])
    await stage.do(["vnodectl", "remove-connector", *cluster, *aci, *both])

    stage.title("Nothing is left")
    nodes = await stage.do(["kubectl", "get", "nodes", "-o", "name"])
    foreign = [line for line in nodes.split() if not line.startswith(f"node/{NODE}")]
    _expect(not foreign, f"nodes are left: {foreign}")
    _expect(not await stage.do(["kubectl", "get", "pods", "-A", "-o", "name"]), "pods are left")
    _expect(not await stage.do(["helm", "list", "-A", "--short"]), "Helm releases are left")
    groups = await stage.do(["python", "-m", "vnodectl.sandbox.groups", DEMO_ACI_GROUP])
    _expect(not groups.strip(), "container groups are left")
    stage.show("  no virtual node, no pod, no release, no container group")


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
