"""Why a connector's pods do not run, in lines for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import ApiError
from vnodectl.kube.resources import PODS

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

_LOG_LINES = 5
_LOG_BYTES = 16384
_LINE_MAX = 240


def by_release(release: str) -> str:
    """The label selector of everything that a release's chart made."""
    return f"app.kubernetes.io/name=vnode-connector,app.kubernetes.io/instance={release}"


async def evidence(kube: KubeClient, release: str, namespace: str) -> list[str]:
    """The states of the connector's pods and the last lines of their logs. Raises nothing.

    The lines are as their writers wrote them: take secrets out before showing them.
    """
    try:
        pods, _ = await kube.list(PODS.path(namespace), {"labelSelector": by_release(release)})
    except (ApiError, ClusterUnreachable) as error:
        return [f"its pods cannot be listed: {error.message}"]
    if not pods:
        return ["it has no pod: see the events of its ReplicaSet"]
    lines: list[str] = []
    for pod in pods:
        lines += states(pod)
        lines += await _log_tail(kube, pod)
    return lines


def states(pod: JSON) -> list[str]:
    """A pod's phase, and for each container that does not run, why."""
    status = pod.get("status") or {}
    lines = [f"pod {pod['metadata']['name']} is {status.get('phase', 'Unknown')}"]
    lines += [
        f"  not scheduled: {condition.get('message', '')}"
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    for container in status.get("containerStatuses") or ():
        name, state = container["name"], container.get("state") or {}
        waiting = state.get("waiting")
        if waiting:
            lines.append(f"  {name} waits: {_words(waiting)}")
        over = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        if over:
            lines.append(f"  {name} ended with code {over.get('exitCode')}: {_words(over)}")
    return lines


def _words(state: JSON) -> str:
    return (
        ": ".join(part for part in (state.get("reason"), state.get("message")) if part) or "no reason given"
    )


async def _log_tail(kube: KubeClient, pod: JSON) -> list[str]:
    meta = pod["metadata"]
    path = PODS.path(meta["namespace"], meta["name"], "log")
    for previous in (False, True):
        params = {"tailLines": _LOG_LINES, "limitBytes": _LOG_BYTES, "previous": previous}
        try:
            async with kube.stream("GET", path, params=params, timeout=10) as answer:
                text = (await answer.read()).decode(errors="replace")
        except (ApiError, ClusterUnreachable):
            continue  # there is no log to show; the states above say why
        if text.strip():
            return ["  its last log lines:", *(f"    {_readable(line)}" for line in text.splitlines())]
    return []


def _readable(line: str) -> str:
    """A line of a log for people: of the agent's JSON only level and message, and not too much of those."""
    try:
        entry = json.loads(line)
        line = f"{entry['level']}: {entry['message']}"
    except (ValueError, KeyError, TypeError):
        pass  # plain text, or cut off
    line = line.splitlines()[0] if line else ""
    return line if len(line) <= _LINE_MAX else f"{line[:_LINE_MAX]}…"
