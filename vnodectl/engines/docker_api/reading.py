"""From the API's answers to the engine's own terms. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from vnodectl.engines.api import ContainerUsage, EngineError, Running, Terminated
from vnodectl.engines.docker_api.bodies import ATTEMPT, CONTAINER
from vnodectl.engines.driver import Attempt, Image

JSON = Mapping[str, Any]

KILLED = 137
NEVER = "0001-01-01"
NOT_STARTED = ("created", "configured", "initialized")


def attempt_state(engine: str, shown: JSON, killed_for_memory: Callable[[], bool]) -> Attempt:
    """An attempt from an inspected container; a second opinion on memory is asked for only if it matters."""
    labels, identity = shown["Config"]["Labels"], f"{engine}://{shown['Id']}"
    attempt = Attempt(labels[CONTAINER], int(labels[ATTEMPT]), identity, _image_id(str(shown["Image"])))
    state = shown["State"]
    started = moment(state["StartedAt"])
    if state["Running"]:
        return _with(attempt, Running(started))
    if state["Status"] in NOT_STARTED or state["StartedAt"].startswith(NEVER):
        return attempt
    code = int(state["ExitCode"])
    limited = bool(shown["HostConfig"].get("Memory"))
    out_of_memory = bool(state.get("OOMKilled")) or (code == KILLED and limited and killed_for_memory())
    reason = "OOMKilled" if out_of_memory else "Completed" if code == 0 else "Error"
    return _with(
        attempt,
        Terminated(
            exit_code=code,
            reason=reason,
            started_at=started,
            # podman takes the two times from different clocks, a millisecond apart.
            finished_at=max(started, moment(state["FinishedAt"])),
            message=str(state.get("Error") or ""),
            container_id=identity,
        ),
    )


def moment(text: str) -> float:
    """Seconds since the epoch for RFC 3339 with any number of decimals; 0 for the zero time."""
    return 0.0 if text.startswith(NEVER) else datetime.fromisoformat(text).timestamp()


def address(shown: JSON, network: str) -> str:
    """The container's IPv4 address in the network; "" where it has none of its own."""
    joined = shown["NetworkSettings"].get("Networks") or {}
    return str((joined.get(network) or {}).get("IPAddress") or "")


def image_of(shown: JSON) -> Image:
    digests = shown.get("RepoDigests") or ()
    identity = str(digests[0]) if digests else _image_id(str(shown["Id"]))
    return Image(identity, str((shown.get("Config") or {}).get("User") or ""))


def usage_of(name: str, samples: Sequence[JSON]) -> ContainerUsage:
    """Memory as the kubelet counts it: the working set is what is used but for inactive file pages.

    Raises EngineError where there is no sample, as of a container that has just ended.
    """
    if not samples:
        raise EngineError(f"container {name} does not run")
    stats = samples[0]
    memory = stats.get("memory_stats") or {}
    used = int(memory.get("usage") or 0)
    detail = memory.get("stats") or {}
    inactive = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)
    read = moment(stats["read"]) if stats.get("read") else time.time()
    cpu = int(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9
    return ContainerUsage(name, cpu, used, max(0, used - inactive), read)


def _image_id(identity: str) -> str:
    return identity if identity.startswith("sha256:") or not identity else f"sha256:{identity}"


def _with(attempt: Attempt, state: Running | Terminated) -> Attempt:
    return Attempt(attempt.container, attempt.number, attempt.id, attempt.image_id, state)
