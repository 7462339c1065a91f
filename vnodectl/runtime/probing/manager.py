"""The direct probes of all pods of a node, and what they make of the provider's word."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from vnodectl.runtime import clock as clocks
from vnodectl.runtime.clock import Clock
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import containers
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.probing.actions import Runner, SocketRunner
from vnodectl.runtime.probing.outcome import Outcome, Verdict
from vnodectl.runtime.probing.spec import ProbeSpec, probe_spec
from vnodectl.runtime.probing.worker import ContainerProbes
from vnodectl.runtime.prometheus import Reading
from vnodectl.runtime.provider import (
    JSON,
    HearsProbeFailures,
    PodKey,
    ProbeKind,
    Provider,
    ProviderError,
    SupportsContainerRestart,
    SupportsDirectProbes,
)

log = logging.getLogger(__name__)

_GRACE = 30.0  # terminationGracePeriodSeconds' default
# A kubelet waits longer and longer before it starts a container that keeps failing, and forgets in time.
# When to start is the cloud's affair here, so the time between two kills grows instead.
_KILL_FIRST, _KILL_MOST, _KILL_FORGET = 10.0, 300.0, 600.0
_WORDS = {ProbeKind.STARTUP: "Startup", ProbeKind.LIVENESS: "Liveness", ProbeKind.READINESS: "Readiness"}
_RESULTS = {
    Verdict.SUCCESS: "successful",
    Verdict.WARNING: "successful",
    Verdict.FAILURE: "failed",
    Verdict.UNKNOWN: "unknown",
}
PROBE_LABELS = ("probe_type", "result", "container", "pod", "namespace", "pod_uid")
"""Those of a kubelet's `prober_probe_total`."""
_LISTS = ("initContainerStatuses", "containerStatuses")

Instance = tuple[str, str, int]


@dataclass(slots=True)
class _Watched:
    """One running container: which start of it, its probes, and their task."""

    instance: Instance
    probes: ContainerProbes
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Kills:
    """Of one container: when the last one was, in loop time, and what has to lie between it and the next."""

    at: float
    pause: float


@dataclass(slots=True)
class _Pod:
    """`specs` are the probes to run, by container name; what a provider leaves to us is decided once.
    `results` are counts of answers by type, result and container, over all starts of the container."""

    pod: JSON
    specs: Mapping[str, Mapping[ProbeKind, ProbeSpec]]
    containers: dict[str, _Watched] = field(default_factory=dict)
    kills: dict[str, _Kills] = field(default_factory=dict)
    results: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Probing:
    """`changed` is called with the pod whose readiness is another. Everything is done in tasks of its own,
    which `aclose` ends. Costs nothing for a provider that is not `SupportsDirectProbes`."""

    def __init__(
        self,
        provider: Provider,
        events: EventRecorder,
        *,
        clock: Clock,
        changed: Callable[[PodKey], None],
        metrics: NodeMetrics,
        runner: Runner | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._provider = provider
        self._direct = provider if isinstance(provider, SupportsDirectProbes) else None
        self._events = events
        self._clock = clock
        self._changed = changed
        self._metrics = metrics
        self._runner = runner or SocketRunner()
        self._random = rand
        self._pods: dict[PodKey, _Pod] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def arrange(self, key: PodKey, pod: JSON, seen: JSON | None) -> JSON | None:
        """Probe the containers that run according to `seen`, and no others; what `seen` becomes with the
        probes' results in it."""
        if self._direct is None or seen is None:
            return seen
        watched = self._pods.get(key)
        if watched is None:
            watched = self._pods[key] = _Pod(pod, _direct_specs(pod, self._direct.direct_probes(pod)))
        watched.pod = pod
        if not watched.specs:
            return seen
        terminating = bool(pod["metadata"].get("deletionTimestamp"))
        ip = str(seen.get("podIP") or "")
        running = {one["name"]: one for one in _statuses(seen) if "running" in (one.get("state") or {})}
        for name in [name for name in watched.containers if name not in running]:
            self._end(watched.containers.pop(name))
        for name, status in running.items():
            known = watched.containers.get(name)
            if known is not None and known.instance != _instance(status):
                self._end(watched.containers.pop(name))
                known = None
            if known is None and name in watched.specs and ip and not terminating:
                known = watched.containers[name] = self._begin(key, watched, status, ip)
            if known is not None:
                known.probes.ip = ip or known.probes.ip
                known.probes.terminating = terminating
                if ProbeKind.STARTUP not in known.probes.specs and status.get("started") is not False:
                    known.probes.release()
        return self._overlaid(watched, seen)

    def results(self) -> Reading:
        """How often each probe of the pods that there are was answered how, by `PROBE_LABELS`."""
        return {
            (*labels, key.name, key.namespace, key.uid): count
            for key, watched in self._pods.items()
            for labels, count in watched.results.items()
        }

    def forget(self, key: PodKey) -> None:
        """The pod is no more, or its containers are not."""
        watched = self._pods.pop(key, None)
        if watched is not None:
            for one in watched.containers.values():
                self._end(one)

    async def aclose(self) -> None:
        for key in list(self._pods):
            self.forget(key)
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._runner.aclose()

    # --- inside -----------------------------------------------------------------------------------

    def _begin(self, key: PodKey, watched: _Pod, status: JSON, ip: str) -> _Watched:
        name, pod = status["name"], watched.pod
        specs = watched.specs[name]
        # After a restart of this process, what it said last holds until probes show otherwise.
        before = next((one for one in _statuses(pod.get("status") or {}) if one["name"] == name), {})
        # Without the count: the API server's goes on over groups, the provider's does not.
        adopted = "running" in (before.get("state") or {}) and _instance(before)[:2] == _instance(status)[:2]
        gated = ProbeKind.STARTUP in specs or status.get("started") is False
        probes = ContainerProbes(
            specs,
            self._runner,
            _Reports(self, key, name),
            ip=ip,
            age=self._age(status),
            started=bool(before.get("started")) if adopted and gated else not gated,
            ready=bool(before.get("ready")) if adopted else False,
            late=(lambda period: self._random() * period) if adopted else (lambda _: 0.0),
        )
        task = asyncio.create_task(probes.run(), name=f"probes of {key} {name}")
        return _Watched(_instance(status), probes, task)

    def _age(self, status: JSON) -> float:
        try:
            return max(0.0, self._clock() - clocks.parse(status["state"]["running"]["startedAt"]))
        except (KeyError, TypeError, ValueError):
            return 0.0

    def _end(self, one: _Watched) -> None:
        one.task.cancel()
        self._ending.add(one.task)
        one.task.add_done_callback(self._ending.discard)

    def _overlaid(self, watched: _Pod, seen: JSON) -> JSON:
        fragment = dict(seen)
        for kind in _LISTS:
            if kind in seen:
                fragment[kind] = [
                    _with_results(one, watched.specs.get(one["name"]), watched.containers.get(one["name"]))
                    for one in seen[kind]
                ]
        return fragment

    # --- what probes report -----------------------------------------------------------------------

    def report(self, key: PodKey, name: str, spec: ProbeSpec, outcome: Outcome) -> None:
        words = _WORDS[spec.kind]
        if (watched := self._pods.get(key)) is not None:
            watched.results[words, _RESULTS[outcome.verdict], name] += 1
        if outcome.verdict is Verdict.SUCCESS:
            return
        if outcome.verdict is Verdict.WARNING:
            self.event(key, name, "ProbeWarning", f"{words} probe warning: {outcome.message}")
        elif outcome.verdict is Verdict.UNKNOWN:
            self.event(key, name, "Unhealthy", f"{words} probe errored: {outcome.message}")
        else:
            self.event(key, name, "Unhealthy", f"{words} probe failed: {outcome.message}")
            if isinstance(self._provider, HearsProbeFailures):
                self._provider.probe_failed(key, name, spec.kind)

    async def kill(self, key: PodKey, name: str, spec: ProbeSpec) -> bool:
        watched = self._pods.get(key)
        if watched is None:
            return True
        if (this := _next_kill(watched.kills.get(name))) is None:
            return False
        spoken = watched.pod["spec"]
        given = spoken.get("terminationGracePeriodSeconds") if spec.grace is None else spec.grace
        grace = _GRACE if given is None else float(given)
        message = f"Container {name} failed {_WORDS[spec.kind].lower()} probe"
        if (spoken.get("restartPolicy") or "Always") != "Never":
            message += ", will be restarted"
        self.event(key, name, "Killing", message, kind="Normal")
        if not isinstance(self._provider, SupportsContainerRestart):
            self.event(key, name, "FailedKillContainer", f"{self._provider.name} cannot restart a container")
            return False
        try:
            with self._metrics.call(Operation.RESTART):
                await self._provider.restart_container(key, name, grace=grace)
        except ProviderError as error:
            log.warning("pod %s: container %s was not restarted: %s", key, name, error)
            self.event(key, name, "FailedKillContainer", error.message)
            return False
        watched.kills[name] = this
        return True

    def event(self, key: PodKey, name: str, reason: str, message: str, *, kind: str = "Warning") -> None:
        watched = self._pods.get(key)
        if watched is not None:
            self._events.record(watched.pod, kind, reason, message, container=name)

    def changed(self, key: PodKey) -> None:
        if key in self._pods:
            self._changed(key)


@dataclass(frozen=True, slots=True)
class _Reports:
    probing: Probing
    key: PodKey
    name: str

    def outcome(self, spec: ProbeSpec, outcome: Outcome) -> None:
        self.probing.report(self.key, self.name, spec, outcome)

    def changed(self) -> None:
        self.probing.changed(self.key)

    async def kill(self, spec: ProbeSpec) -> bool:
        return await self.probing.kill(self.key, self.name, spec)


def _next_kill(last: _Kills | None) -> _Kills | None:
    """The kill that would be now; None where it is too early for one."""
    now = asyncio.get_running_loop().time()
    if last is None or now - last.at > _KILL_FORGET:
        return _Kills(now, _KILL_FIRST)
    if now - last.at < last.pause:
        return None
    return _Kills(now, min(last.pause * 2, _KILL_MOST))


def _statuses(fragment: JSON) -> Iterator[JSON]:
    for kind in _LISTS:
        yield from fragment.get(kind) or ()


def _instance(status: JSON) -> Instance:
    """Which start of a container this is: its ID where the provider has one for each start."""
    running = (status.get("state") or {}).get("running") or {}
    return (
        str(status.get("containerID") or ""),
        str(running.get("startedAt") or ""),
        int(status.get("restartCount") or 0),
    )


def _direct_specs(
    pod: JSON, kinds: Mapping[str, frozenset[ProbeKind]]
) -> dict[str, dict[ProbeKind, ProbeSpec]]:
    found = {}
    for container in containers(pod):
        mine = kinds.get(container["name"]) or frozenset()
        specs = {kind: spec for kind in ProbeKind if kind in mine and (spec := probe_spec(container, kind))}
        if specs:
            found[container["name"]] = specs
    return found


def _with_results(
    status: JSON, specs: Mapping[ProbeKind, ProbeSpec] | None, watched: _Watched | None
) -> JSON:
    """What is not probed (yet) has neither started nor become ready."""
    if specs is None or "running" not in (status.get("state") or {}):
        return status
    started, ready = status.get("started") is not False, status.get("ready") is not False
    if ProbeKind.STARTUP in specs:
        started = watched is not None and watched.probes.started
    if ProbeKind.READINESS in specs:
        ready = watched is not None and watched.probes.ready
    return {**status, "started": started, "ready": started and ready}
