"""`vnodectl sandbox`: a local cluster with the emulated clouds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vnodectl.cli.output import Format, note, write_json, write_table
from vnodectl.cli.run import run
from vnodectl.errors import EXIT_FAILED, VnodectlError
from vnodectl.sandbox import versions
from vnodectl.sandbox.versions import KUBERNETES
from vnodectl.settings import sandbox_home

if TYPE_CHECKING:
    from vnodectl.sandbox.layout import Layout

T = TypeVar("T")

app = typer.Typer(
    name="sandbox",
    help="A local cluster: a real control plane, a node of our own and the emulated clouds.",
    no_args_is_help=True,
)

_DEFAULT = "default"
_DEMO = "demo"
_MIB = 1 << 20
OLDEST, NEWEST = (f"1.{one.minor}" for one in (versions.SUPPORTED[0], versions.SUPPORTED[-1]))
DEFAULT = KUBERNETES.removeprefix("v")

Name = Annotated[str, typer.Option("--name", help="Which sandbox; any number may run side by side.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
Engine = Annotated[
    str, typer.Option("--engine", help="What runs containers: auto, podman, docker, process or simulated.")
]
BaseImage = Annotated[
    str | None,
    typer.Option("--base-image", help="What our images are built on; must have Python 3.11 or newer."),
]


KubernetesVersion = Annotated[
    str,
    typer.Option(
        "--kubernetes-version",
        metavar="VERSION",
        help=f"Of the control plane: a minor, {OLDEST} to {NEWEST}, or exact. Default: {DEFAULT}.",
    ),
]


class Shell(StrEnum):
    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"


@app.command()
def up(
    name: Name = _DEFAULT,
    nodes: Annotated[int, typer.Option(help="How many nodes run pods here: sandbox, sandbox-2, …")] = 1,
    cloud: Annotated[
        str, typer.Option(help="Which emulated clouds to start: azure, alibaba, both or none.")
    ] = "both",
    engine: Engine = "auto",
    kubeconfig: Annotated[
        str | None, typer.Option(help="Use the cluster of this file instead of a control plane of our own.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Which context of it (without --kubeconfig: of the usual file).")
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            help="Use this network of the engine (default: the given cluster's, else one of our own)."
        ),
    ] = "",
    base_image: BaseImage = None,
    kubernetes_version: KubernetesVersion = "",
    metrics_server: Annotated[
        bool, typer.Option("--metrics-server", help="For kubectl top and autoscaling; built once.")
    ] = False,
) -> None:
    """Start it and leave it running. What it is made of is downloaded or built once and kept.

    \b
    Examples:
      vnodectl sandbox up && eval "$(vnodectl sandbox env)"
      vnodectl sandbox up --context kind-kind
    """
    from vnodectl.sandbox import lifecycle
    from vnodectl.sandbox.report import Reporter

    wishes = lifecycle.Wishes(
        nodes=nodes,
        cloud=cloud,
        engine=engine,
        kubeconfig=Path(kubeconfig) if kubeconfig else _usual_kubeconfig() if context else None,
        context=context,
        network=network,
        base_image=base_image,
        kubernetes=kubernetes_version or KUBERNETES,
        metrics_server=metrics_server,
    )
    _run(lifecycle.up(_layout(name), wishes, Reporter()))
    note(f'use it: eval "$(vnodectl sandbox env{"" if name == _DEFAULT else f" --name {name}"})"')


@app.command()
def down(
    name: Name = _DEFAULT,
    everything: Annotated[bool, typer.Option("--all", help="All sandboxes of this user.")] = False,
) -> None:
    """Take it away with everything that runs in it. Downloads, builds and images are kept."""
    from vnodectl.sandbox import lifecycle
    from vnodectl.sandbox.report import Reporter

    layout = _layout(name)
    for each in lifecycle.all_layouts(layout.home) if everything else (layout,):
        if not _run(lifecycle.down(each, Reporter())):
            note(f"there is no sandbox {each.name}")


@app.command()
def status(name: Name = _DEFAULT, output: Output = Format.TABLE) -> None:
    """What runs, where it answers and what it weighs. Exit code 1 unless all of it runs."""
    from vnodectl.sandbox import lifecycle

    found = lifecycle.status(_layout(name))
    if output is Format.JSON:
        write_json("SandboxStatus", found)
    else:
        note(f"sandbox {name}: {found['state']}")
        if found["components"]:
            headers = ("COMPONENT", "STATE", "PID", "MEMORY", "ENDPOINT")
            write_table(headers, [_row(part) for part in found["components"]])
        if found["state"] == "degraded":
            _explain(name, found["components"])
    if found["state"] != "running":
        raise typer.Exit(EXIT_FAILED)


@app.command()
def env(
    name: Name = _DEFAULT,
    shell: Annotated[Shell, typer.Option(help="For which shell (sh: bash and zsh as well).")] = Shell.SH,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="table: lines for the shell; json: one document.")
    ] = Format.TABLE,
) -> None:
    """Print what points kubectl, vnodectl and the clouds' SDKs at it.

    \b
    Examples:
      eval "$(vnodectl sandbox env)"
      vnodectl sandbox env --shell fish | source
    """
    from vnodectl.sandbox.environment import render

    layout = _layout(name)
    variables = _environment(layout)
    path = str(layout.bin) if any(layout.bin.iterdir()) else ""
    if output is Format.JSON:
        write_json("SandboxEnvironment", {"variables": variables, "pathFirst": path})
    else:
        sys.stdout.write(render(variables, path, shell.value) + "\n")


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)
def kubectl(context: typer.Context, name: Name = _DEFAULT) -> None:
    """Run kubectl for its cluster: vnodectl sandbox kubectl get nodes."""
    layout = _layout(name)
    variables = {**os.environ, **_environment(layout)}
    variables["PATH"] = os.pathsep.join(filter(None, (str(layout.bin), os.environ.get("PATH"))))
    raise typer.Exit(subprocess.call(["kubectl", *context.args], env=variables))


@app.command()
def demo(
    name: Name = _DEMO,
    engine: Engine = "auto",
    base_image: BaseImage = None,
    cloud: Annotated[str, typer.Option(help="Whose story: azure, alibaba or both.")] = "both",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the sandbox running at the end.")] = False,
) -> None:
    """The whole story with real commands: install, validate, a workload, remove. Ends with nothing left.

    \b
    Examples:
      vnodectl sandbox demo
      vnodectl sandbox demo --cloud alibaba
    """
    from vnodectl.sandbox import demo as story

    _run(story.tell(_layout(name), cloud=cloud, engine=engine, base_image=base_image, keep=keep))


@app.command()
def image(
    engine: Engine = "auto",
    base_image: BaseImage = None,
    tag: Annotated[str | None, typer.Option(help="Another name than localhost/vnodectl/connector:….")] = None,
) -> None:
    """Build the connector's container image and print its name."""
    from vnodectl.sandbox import lifecycle
    from vnodectl.sandbox.report import Reporter

    images = _run(lifecycle.images(_layout(_DEFAULT), engine, Reporter(), base=base_image, tag=tag))
    sys.stdout.write(f"{images.connector}\n")


@app.command()
def tools(
    output: Output = Format.TABLE,
    kubernetes_version: KubernetesVersion = "",
    metrics_server: Annotated[bool, typer.Option("--metrics-server", help="metrics-server as well.")] = False,
) -> None:
    """Prepare the programs that sandboxes use (control plane, Helm, kubectl) and print where they are."""
    from vnodectl.sandbox import tools as programs
    from vnodectl.sandbox.report import Reporter

    version = versions.control_plane(kubernetes_version or KUBERNETES)
    home = _layout(_DEFAULT).home
    found = _run(programs.prepare(home, Reporter(), version=version, metrics=metrics_server))
    places = {
        "control-plane": str(found.control_plane),
        "helm": str(found.helm),
        "kubectl": str(found.kubectl),
        **({"metrics-server": str(found.metrics_server)} if found.metrics_server else {}),
    }
    if output is Format.JSON:
        write_json("SandboxTools", {"tools": places})
    else:
        write_table(("TOOL", "PATH"), places.items())


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Like `run`, but only the first Ctrl-C counts: a second one must not cut the clean-up short."""

    async def patiently() -> T:
        task = asyncio.ensure_future(work)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                note("stopping …")
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        return await task

    try:
        return run(patiently())
    except OSError as error:
        home, place = sandbox_home().absolute(), Path(str(error.filename or ""))
        if not (home.is_relative_to(place) or place.is_relative_to(home)):
            raise
        raise VnodectlError(
            f"the sandbox's files cannot be kept in {home}: {place}: {error.strerror}",
            hint="name a directory that can be written to in VNODECTL_SANDBOX_HOME",
        ) from error


def _environment(layout: Layout) -> dict[str, str]:
    from vnodectl.sandbox.layout import Record
    from vnodectl.sandbox.lifecycle import is_alive

    record = Record.load(layout.record)
    if record is None or record.phase != "ready" or not is_alive(record):
        raise VnodectlError(
            f"the sandbox {layout.name} does not run", hint=f"vnodectl sandbox up --name {layout.name}"
        )
    return record.environment


def _layout(name: str) -> Layout:
    from vnodectl.sandbox.layout import Layout

    return Layout(sandbox_home().absolute(), name)


def _usual_kubeconfig() -> Path:
    named = (os.environ.get("KUBECONFIG") or "").split(os.pathsep)[0]
    return Path(named) if named else Path("~/.kube/config").expanduser()


def _explain(name: str, parts: list[dict[str, Any]]) -> None:
    from vnodectl.sandbox.children import quoted

    for part in parts:
        if "ended" in part:
            note(f"{part['name']} {part['ended']}; its last lines:\n{quoted(part['lastLines'])}")
            note(f"  everything it said: {part['log']}")
    again = "" if name == _DEFAULT else f" --name {name}"
    note(f"to start over: vnodectl sandbox down{again} && vnodectl sandbox up{again}")


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    code = part["exitCode"]
    return (
        part["name"],
        part.get("ended", "running"),
        str(part["pid"]),
        f"{part['residentBytes'] / _MIB:.0f} MiB" if code is None else "",
        part["endpoint"],
    )
