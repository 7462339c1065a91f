"""Where a sandbox stands: the engine that runs its containers, and the address that all parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vnodectl.engines.api import EngineError
from vnodectl.engines.docker_api.service import LOG, remove_socket
from vnodectl.engines.select import KINDS, detect, opened_driver
from vnodectl.errors import ToolMissing, UsageError, VnodectlError
from vnodectl.sandbox.components import LOOPBACK
from vnodectl.sandbox.layout import Layout
from vnodectl.sandbox.plan import Plan
from vnodectl.sandbox.report import Reporter

AUTO = "auto"
CONTAINERS = ("podman", "docker")


@dataclass(frozen=True, slots=True)
class Choice:
    """`bridge`: containers get a network of their own, whose gateway is an address of this machine."""

    engine: str
    bridge: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """`address` is where the API server and the emulated clouds listen; containers on `network` reach it.

    Without a network (""), containers share this machine's own.
    """

    address: str = LOOPBACK
    network: str = ""


async def choose(wanted: str, reporter: Reporter) -> Choice:
    """The engine to use: the one that is wanted, or with "auto" the best that works here.

    Raises ToolMissing where the wanted one does not work, UsageError where there is none of that name.
    """
    if wanted not in (AUTO, *KINDS):
        raise UsageError(f"no such engine: {wanted}", hint=f"one of {', '.join((AUTO, *KINDS))}")
    if wanted not in (AUTO, *CONTAINERS):
        return Choice(wanted)
    found = await detect(CONTAINERS if wanted == AUTO else (wanted,))
    hint = "apt-get install podman (as root on Debian), or see https://podman.io/docs/installation"
    if found.kind not in CONTAINERS:
        if wanted != AUTO:
            raise ToolMissing(f"{wanted} cannot run containers here: {found.reason}", hint=hint)
        reporter.say(f"no container engine works here ({found.reason})")
    elif found.bridge:
        return Choice(found.kind, bridge=True)
    elif wanted != AUTO:
        reporter.say(f"{wanted} gives containers no network of their own here: one connector fits at a time")
        return Choice(found.kind)
    else:
        # They would all share this machine's ports, and two connectors want the same ones.
        reporter.say(
            f"{found.kind} gives containers no network of their own here, as it does not run as root"
        )
    reporter.say("  so connectors run as child processes of this very program, and workloads are simulated")
    reporter.say(f"  for real containers: {hint}")
    return Choice("process")


async def stand(layout: Layout, plan: Plan) -> Ground:
    """Make the sandbox's network, if it has one; it stays until `leave`, even without containers."""
    if not plan.bridge:
        return Ground()
    name = plan.network or f"vnodectl-{layout.scope}"
    try:
        async with opened_driver(plan.engine, scope=layout.scope, state_dir=_state(layout)) as driver:
            bridge = await driver.hold_network(name)
    except EngineError as error:
        raise VnodectlError(f"{plan.engine} cannot use the network {name}: {error}") from error
    return Ground(bridge.gateway, bridge.name)


async def leave(layout: Layout, plan: Plan) -> None:
    """Remove the containers of all scopes, then the network. Idempotent; raises VnodectlError."""
    if plan.engine not in CONTAINERS:
        return  # what else there is are processes and files
    try:
        # The network can only go when nobody is in it any more.
        for scope in (*plan.scopes(layout.scope), layout.scope):
            async with opened_driver(plan.engine, scope=scope, state_dir=_state(layout), remove=True):
                pass
    except (EngineError, OSError) as error:
        raise VnodectlError(
            f"{plan.engine} cannot remove the sandbox's containers: {error}",
            hint=f"mend {plan.engine} and run `vnodectl sandbox down --name {layout.name}` again",
        ) from error


def remove_sockets(layout: Layout) -> None:
    """Of podman services that were killed: where paths are long, their sockets are outside of the sandbox."""
    for pattern in (f"*/*/{LOG}", f"*/*/*/{LOG}"):
        for log in layout.root.glob(pattern):
            remove_socket(log.parent)


def _state(layout: Layout) -> Path:
    return layout.root / "engine"
