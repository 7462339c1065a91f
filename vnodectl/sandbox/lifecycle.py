"""A sandbox's life as its user sees it: up, status, down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vnodectl import __version__, errors
from vnodectl.errors import ComponentDied, ToolMissing, UsageError, VnodectlError
from vnodectl.sandbox import existing, ground, kubeconfig, processes, sweep, tools
from vnodectl.sandbox.cache import file_lock
from vnodectl.sandbox.children import describe_exit, last_lines, tail
from vnodectl.sandbox.environment import for_components
from vnodectl.sandbox.image import builder
from vnodectl.sandbox.image.builder import Images
from vnodectl.sandbox.layout import Component, Layout, Record
from vnodectl.sandbox.plan import BOTH_CLOUDS, CLOUDS, NO_CLOUD, AccessKey, Identity, Plan
from vnodectl.sandbox.report import Reporter, Step
from vnodectl.sandbox.versions import DEFAULT, KUBERNETES, control_plane

_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `up` is asked for. `kubeconfig` names a cluster to use instead of a control plane of our own;
    with no `nodes` and no cloud only the control plane runs, on loopback. `network` is a network of the
    engine to use instead of one of our own. `kubernetes` is the version of the control plane of our own,
    a minor (1.31) or exact (1.31.14)."""

    nodes: int = 1
    cloud: str = BOTH_CLOUDS
    engine: str = "auto"
    kubeconfig: Path | None = None
    context: str | None = None
    network: str = ""
    base_image: str | None = None
    kubernetes: str = KUBERNETES
    metrics_server: bool = False

    def __post_init__(self) -> None:
        if self.cloud not in CLOUDS:
            raise UsageError(f"no such cloud: {self.cloud}", hint=f"one of {', '.join(CLOUDS)}")
        if not 0 <= self.nodes <= 50:
            raise UsageError("a sandbox has 0 to 50 nodes")
        own = control_plane(self.kubernetes) == DEFAULT and not self.metrics_server
        if self.kubeconfig is not None and not own:
            raise UsageError("the cluster of a kubeconfig has its own version and its own metrics-server")


async def up(layout: Layout, wishes: Wishes, reporter: Reporter) -> Record:
    """Start the sandbox; returns when it is ready, leaving it running. Undoes everything if it fails.

    One that is ready already is left as it is.
    """
    layout.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = f"another vnodectl is busy with the sandbox {layout.name}; waiting for it"
    async with file_lock(layout.lock, on_wait=lambda: reporter.say(waiting)):
        record = Record.load(layout.record)
        if record is not None and record.phase == "ready" and is_alive(record):
            if dead := [part.name for part in record.components if part.exit_code is not None]:
                raise VnodectlError(
                    f"the sandbox {layout.name} runs without {', '.join(dead)}",
                    hint=f"vnodectl sandbox down --name {layout.name}, then up again",
                )
            reporter.say(f"the sandbox {layout.name} is running already")
            return record
        await _end(layout, record)
        try:
            plan = await _plan(layout, wishes, reporter)
            with reporter.step(f"sandbox {layout.name}") as step:
                await _supervise(layout, plan, reporter, step)
        except BaseException:
            if layout.root.exists():
                with reporter.step("undoing what was started"):
                    await _end(layout, Record.load(layout.record))
            layout.lock.unlink(missing_ok=True)
            raise
        record = Record.load(layout.record)
        if record is None:
            raise VnodectlError(f"the sandbox {layout.name} was taken down while it started")
        return record


async def _plan(layout: Layout, wishes: Wishes, reporter: Reporter) -> Plan:
    """Decide everything, make what takes long, and leave it all in the sandbox's directory."""
    workers = wishes.nodes > 0 or wishes.cloud != NO_CLOUD
    choice = await ground.choose(wishes.engine, reporter) if workers else ground.Choice("")
    programs = await tools.prepare(
        layout.home,
        reporter,
        own_cluster=wishes.kubeconfig is None,
        version=control_plane(wishes.kubernetes),
        metrics=wishes.metrics_server,
    )
    pictures = await _images(layout, choice.engine, reporter, base=wishes.base_image)
    plan = Plan(
        run=uuid.uuid4().hex,
        identity=Identity.fresh(),
        access_key=AccessKey.fresh(),
        control_plane=None if wishes.kubeconfig else str(programs.control_plane),
        engine=choice.engine,
        bridge=choice.bridge,
        network=wishes.network,
        nodes=wishes.nodes,
        cloud=wishes.cloud,
        metrics_server=str(programs.metrics_server or ""),
        connector_image=pictures.connector,
        smoke_image=pictures.workload,
    )
    layout.make()
    for name, path, on_path in (
        ("helm", programs.helm, programs.helm_on_path),
        ("kubectl", programs.kubectl, programs.kubectl_on_path),
    ):
        if not on_path:
            (layout.bin / name).symlink_to(path)
    if wishes.kubeconfig is not None:
        kubeconfig.copy_context(wishes.kubeconfig, wishes.context, layout.kubeconfig)
        server = await existing.api_server_for_pods(layout.kubeconfig, plan.node_names)
        network = plan.network
        if plan.bridge and not network:
            network = await existing.network_around(plan.engine, server)
        plan = dataclasses.replace(plan, api_server=server, network=network)
    # Only now: from here on, `down` removes the plan's nodes from the cluster.
    plan.save(layout.plan)
    return plan


async def images(
    layout: Layout, engine: str, reporter: Reporter, *, base: str | None, tag: str | None
) -> Images:
    """Build the images for the engine that `engine` names ("auto": the one that works here).

    Raises ToolMissing where there is none that runs images.
    """
    choice = await ground.choose(engine, reporter)
    if choice.engine not in ground.CONTAINERS:
        raise ToolMissing(f"the {choice.engine} engine has no images", hint="install podman or docker")
    return await _images(layout, choice.engine, reporter, base=base, tag=tag)


async def _images(
    layout: Layout, engine: str, reporter: Reporter, *, base: str | None, tag: str | None = None
) -> Images:
    if engine in ground.CONTAINERS:
        tool = builder.ContainerTool(engine)
        return await builder.ensure_images(tool, layout.home / "images", reporter, base=base, tag=tag)
    if engine:
        # Only names: the process engine knows ours by name, and anything else is simulated.
        return builder.Images(f"{builder.CONNECTOR}:{__version__}", f"{builder.WORKLOAD}:{__version__}")
    return builder.Images("", "")


async def _supervise(layout: Layout, plan: Plan, reporter: Reporter, step: Step) -> None:
    """Start the supervisor and follow it until the sandbox is ready; on any other end, end it as well."""
    log = layout.logs / "supervisor.log"
    with log.open("ab") as errors_to:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vnodectl.sandbox.supervisor", str(layout.home), layout.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors_to,
            cwd=layout.root,
            env=for_components(os.environ, plan.run),
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    try:
        async for line in process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "step":
                    reporter.say(f"  {event['text']} ({step.seconds:.1f} s)")
                case "ready":
                    return
                case "failed":
                    raise _error(event)
        code = await process.wait()
        raise ComponentDied(f"the sandbox's supervisor ended with exit code {code}:\n{tail(log)}")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await _gone(process.pid, processes.start_time(process.pid))
        raise


def _error(event: dict[str, Any]) -> VnodectlError:
    kind = getattr(errors, str(event["kind"]), VnodectlError)
    error: VnodectlError = kind(str(event["message"]), hint=str(event["hint"]))
    return error


async def down(layout: Layout, reporter: Reporter) -> bool:
    """Take the sandbox away, whatever state it is in; False if there was nothing."""
    if not layout.root.exists():
        return False
    with reporter.step(f"taking down the sandbox {layout.name}") as step:
        record = Record.load(layout.record)
        if record is not None:
            # Also ends an `up` that is just starting it; that one then gives the lock free.
            processes.send(record.supervisor.pid, record.supervisor.started, signal.SIGTERM)
        async with file_lock(layout.lock, on_wait=lambda: step.note("waiting for another vnodectl")):
            await _end(layout, Record.load(layout.record))
            layout.lock.unlink(missing_ok=True)
    return True


def all_layouts(home: Path) -> list[Layout]:
    """Every sandbox that has left anything in `home`, by name."""
    return [Layout(home, path.name) for path in sorted((home / "run").glob("[a-z0-9]*"))]


async def _end(layout: Layout, record: Record | None) -> None:
    if record is not None:
        supervisor = record.supervisor
        processes.send(supervisor.pid, supervisor.started, signal.SIGTERM)
        await _gone(supervisor.pid, supervisor.started)
    await sweep.everything(layout)


async def _gone(pid: int, started: int | None) -> None:
    """Wait until that process has ended; after a minute it is killed."""
    if started is None:
        return
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await processes.ended(pid, started)
    except TimeoutError:
        processes.send(pid, started, signal.SIGKILL)
        await processes.ended(pid, started)


def is_alive(record: Record) -> bool:
    """Whether the sandbox's supervisor runs (and with it everything that has no exit code)."""
    return processes.start_time(record.supervisor.pid) == record.supervisor.started


def _ending(part: Component) -> dict[str, Any]:
    if part.exit_code is None:
        return {}
    return {"ended": describe_exit(part.exit_code), "lastLines": last_lines(Path(part.log))}


def status(layout: Layout) -> dict[str, Any]:
    """What runs, as one JSON object.

    `state` is stopped, starting, running, degraded (a component has ended) or stopping; memory is in bytes.
    A component that has ended also has `ended`, how in words, and `lastLines`, of its log.
    """
    record = Record.load(layout.record)
    if record is None or not is_alive(record):
        return {"name": layout.name, "state": "stopped", "components": []}
    parts = [
        {
            "name": part.name,
            "pid": part.pid,
            "exitCode": part.exit_code,
            "residentBytes": processes.resident_bytes(part.pid) if part.exit_code is None else 0,
            "endpoint": part.endpoint,
            "log": part.log,
            **_ending(part),
        }
        for part in (record.supervisor, *record.components)
    ]
    dead = any(part["exitCode"] is not None for part in parts)
    state = {"ready": "degraded" if dead else "running"}.get(record.phase, record.phase)
    return {
        "name": layout.name,
        "state": state,
        "engine": record.engine,
        "network": record.network,
        "address": record.address,
        "kubeconfig": str(layout.kubeconfig),
        "components": parts,
    }
