"""Which engine to use here, and how to open one by its name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vnodectl.engines.api import Engine, EngineError
from vnodectl.engines.clock import Clock, SystemClock
from vnodectl.engines.composite import CompositeEngine
from vnodectl.engines.group import Settings
from vnodectl.engines.hub import Hub
from vnodectl.engines.process.driver import ProcessDriver
from vnodectl.engines.process.invocation import Programs
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.engines.supervised import Seen, SupervisedEngine

if TYPE_CHECKING:
    from vnodectl.engines.docker_api.driver import DockerDriver
    from vnodectl.engines.docker_api.service import DockerSocket, PodmanService

KINDS = ("podman", "docker", "process", "simulated")
SCOPE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PROBE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Detection:
    """`kind` is podman, docker or process. `reason` says why none of the first two, "" where one is.

    `bridge`: containers can have a bridge network whose gateway is an address of this machine.
    """

    kind: str
    reason: str = ""
    bridge: bool = False


def our_programs() -> Programs:
    """The connector's image, by the chart's name and the sandbox's, is this very program."""
    return dict.fromkeys(("vnodectl", "vnodectl/connector"), (sys.executable, "-m", "vnodectl"))


def open_engine(
    kind: str,
    *,
    scope: str,
    state_dir: Path,
    network: str | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
    programs: Programs | None = None,
    start_delay: float = 0.0,
) -> Engine:
    """An engine that is not started yet.

    kind: one of KINDS; "process" simulates the groups whose images it does not know. `scope` is a DNS label;
    everything of it is kept in `state_dir/scope`. `network` is a bridge's name, made when it is missing, or
    "host" (the default: it leaves no bridge behind). `programs` and `start_delay` (seconds) are for the
    process and the simulated engine. Raises EngineError for a name that cannot be used.
    """
    if not SCOPE.fullmatch(scope):
        raise EngineError(f"scope {scope!r} is not a DNS label")
    clock, settings, home = clock or SystemClock(), settings or Settings(), state_dir / scope
    if kind == "simulated":
        return SimulatedEngine(home=home, clock=clock, start_delay=start_delay, restart=settings.restart)
    if kind == "process":
        return _process_engine(home, clock, settings, programs or our_programs(), start_delay)
    driver = container_driver(kind, scope=scope, state_dir=state_dir, network=network)
    return SupervisedEngine(driver, home=home, clock=clock, settings=settings)


def container_driver(kind: str, *, scope: str, state_dir: Path, network: str | None = None) -> DockerDriver:
    """The driver of podman or docker, for those who need its networks and images rather than groups."""
    # Only where there are containers: an agent that has none is the smaller for it.
    from vnodectl.engines.docker_api.driver import DockerDriver
    from vnodectl.engines.docker_api.service import (
        DockerSocket,
        PodmanService,
        here_podman_command,
        here_ulimits,
    )

    home = state_dir / scope
    if kind == "podman":
        service: PodmanService | DockerSocket = PodmanService(home, here_podman_command())
        return DockerDriver(kind, service, scope=scope, network=network or "host", ulimits=here_ulimits())
    if kind == "docker":
        return DockerDriver(kind, DockerSocket(os.environ), scope=scope, network=network or "host")
    raise EngineError(f"there is no engine {kind!r}; there are {', '.join(KINDS)}")


@contextlib.asynccontextmanager
async def opened_driver(
    kind: str, *, scope: str, state_dir: Path, remove: bool = False
) -> AsyncIterator[DockerDriver]:
    """A connected driver, for making networks and looking at images.

    With `remove`, everything of the scope is taken away at the end.
    """
    (state_dir / scope).mkdir(parents=True, exist_ok=True, mode=0o700)
    driver = container_driver(kind, scope=scope, state_dir=state_dir)
    try:
        await driver.open()
        yield driver
    finally:
        await driver.aclose(remove=remove)


async def detect(candidates: Sequence[str] = ("podman", "docker")) -> Detection:
    """The first container engine that really starts a container here, else the process engine.

    Takes a second or two: a sleeping container is started and removed, since an engine that is installed
    often cannot run anything (control groups, limits, user namespaces).
    """
    reasons = []
    for kind in candidates:
        detection = await _try(kind)
        if detection.kind == kind:
            return detection
        reasons.append(f"{kind}: {detection.reason}")
    return Detection("process", "; ".join(reasons))


async def _try(kind: str) -> Detection:
    if kind == "podman" and shutil.which("podman") is None:
        return Detection("process", "it is not installed")
    with tempfile.TemporaryDirectory(prefix="vnodectl-") as directory:
        scope = f"detect-{os.getpid()}"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                async with opened_driver(kind, scope=scope, state_dir=Path(directory), remove=True) as driver:
                    await driver.self_test()
                    return Detection(kind, bridge=not driver.rootless)
        except TimeoutError:
            return Detection("process", f"no container could be started within {PROBE_TIMEOUT:g} s")
        except (EngineError, OSError) as error:
            return Detection("process", str(error))


def _process_engine(
    home: Path, clock: Clock, settings: Settings, programs: Programs, start_delay: float
) -> CompositeEngine:
    hub: Hub[Seen] = Hub()
    driver = ProcessDriver(home / "process", programs, clock)
    primary = SupervisedEngine(driver, home=home / "process", clock=clock, settings=settings, hub=hub)
    fallback = SimulatedEngine(
        home=home / "simulated", clock=clock, start_delay=start_delay, restart=settings.restart, hub=hub
    )
    return CompositeEngine(primary, fallback, driver.knows, hub, home)
