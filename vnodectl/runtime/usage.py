"""What the pods of a node use: samples from the provider, kept just long enough to tell rates and sums."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from vnodectl.runtime.clock import Clock
from vnodectl.runtime.http.pods import JSON, PodSource
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.provider import (
    Interface,
    PodKey,
    PodStats,
    Provider,
    ProviderError,
    SupportsStats,
    Usage,
)

_log = logging.getLogger(__name__)

_KINDS: Final = ("initContainerStatuses", "containerStatuses")


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """Times in seconds. `call`: for one call of the provider; `scrape`: for all calls of one scrape, below
    the 10 s after which Prometheus and metrics-server give up. `fresh`: a pod is not read again sooner.
    `stale`: how long the last sample of a pod that cannot be read is still shown.
    """

    calls: int = 32
    call: float = 4.0
    scrape: float = 8.0
    fresh: float = 5.0
    stale: float = 60.0


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """`usage` is None where nothing was measured, `cores` until there are two samples to compare.

    `started` is RFC 3339, or empty.
    """

    name: str
    started: str
    usage: Usage | None = None
    cores: float | None = None


@dataclass(frozen=True, slots=True)
class PodUsage:
    """A pod that has running containers. `cpu_seconds` are those of all its containers so far, ended ones
    included; it is None where nothing was measured."""

    key: PodKey
    pod: JSON = field(repr=False)
    containers: tuple[ContainerUsage, ...]
    cpu_seconds: float | None
    interfaces: tuple[Interface, ...] = ()

    @property
    def measured(self) -> list[Usage]:
        return [one.usage for one in self.containers if one.usage is not None]


@dataclass(slots=True)
class _Sampled:
    """One container's newest sample."""

    usage: Usage
    cores: float | None


@dataclass(slots=True)
class _Tracked:
    """One pod between scrapes."""

    key: PodKey
    containers: dict[str, _Sampled] = field(default_factory=dict)
    interfaces: tuple[Interface, ...] = ()
    cpu_seconds: float = 0.0
    tried_at: float = float("-inf")
    read_at: float = float("-inf")
    failed: bool = False


class NodeUsage:
    """Reads what is old, when it is asked for; any number of scrapers may ask at a time.

    A pod that is slow or broken costs the others nothing but its own time limit, and is tried last the next
    time. Without `SupportsStats` only names and times are known, which is not an error.
    """

    def __init__(
        self,
        provider: Provider,
        pods: PodSource,
        *,
        clock: Clock,
        metrics: NodeMetrics | None = None,
        limits: UsageLimits | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None:
        """`timer` in seconds, never going back; by default the event loop's."""
        self._provider = provider if isinstance(provider, SupportsStats) else None
        self._pods = pods
        self._clock = clock
        self._metrics = metrics or NodeMetrics()
        self._limits = limits or UsageLimits()
        self._timer = timer or asyncio.get_running_loop().time
        self._one_scrape = asyncio.Lock()
        self._tracked: dict[PodKey, _Tracked] = {}
        self._complained = False
        self.started = clock()
        """Since when the node's sums are kept, in seconds since the epoch."""
        self.cpu_seconds = 0.0
        """Of all pods since `started`, those that are gone included, so that it never shrinks."""

    @property
    def failures(self) -> int:
        """Pods that could not be read when they were last tried."""
        return sum(tracked.failed for tracked in self._tracked.values())

    async def refresh(self) -> None:
        """Bring what `pods` gives up to date. Takes at most `scrape` seconds, or twice that with company."""
        if self._provider is None:
            return
        async with self._one_scrape:
            running = {_key(pod) for pod in self._pods.list() if _running(pod)}
            for key in self._tracked.keys() - running:
                del self._tracked[key]
            for key in running - self._tracked.keys():
                self._tracked[key] = _Tracked(key)
            oldest = self._timer() - self._limits.fresh
            due = [tracked for tracked in self._tracked.values() if tracked.tried_at <= oldest]
            await self._read(self._provider, sorted(due, key=lambda tracked: tracked.failed))

    def pods(self) -> Iterator[PodUsage]:
        """The pods that run now, each with what is known of it."""
        oldest = self._timer() - self._limits.stale
        for pod in self._pods.list():
            if started := _running(pod):
                key = _key(pod)
                tracked = self._tracked.get(key)
                shown = tracked is not None and tracked.read_at >= oldest
                yield _merged(key, pod, started, tracked if shown else None)

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self, provider: SupportsStats, due: list[_Tracked]) -> None:
        size = max(1, provider.stats_batch)
        batches = deque(due[start : start + size] for start in range(0, len(due), size))
        causes: list[str] = []
        began = self._timer()
        try:
            async with asyncio.timeout(self._limits.scrape), asyncio.TaskGroup() as group:
                for number in range(min(self._limits.calls, len(batches))):
                    group.create_task(self._work(provider, batches, causes), name=f"read usage {number}")
        except TimeoutError:
            for tracked in due:
                if tracked.tried_at < began:
                    tracked.failed, tracked.tried_at = True, self._timer()
            causes.append("not enough time for all pods")
        if causes and not self._complained:
            _log.warning("the usage of %d pods cannot be read: %s", self.failures, causes[0])
        if due:
            self._complained = bool(causes)

    async def _work(self, provider: SupportsStats, batches: deque[list[_Tracked]], causes: list[str]) -> None:
        while batches:
            batch = batches.popleft()
            found: Iterable[PodStats] = ()
            failed = True
            try:
                with self._metrics.call(Operation.STATS):
                    async with asyncio.timeout(self._limits.call):
                        found = await provider.stats([tracked.key for tracked in batch])
                failed = False
            except ProviderError as error:
                causes.append(f"{batch[0].key}: {error.message}")
            except TimeoutError:
                causes.append(f"{batch[0].key}: no answer in {self._limits.call:g} s")
            except Exception as error:  # one pod's bug must not fail the scrape of the others
                _log.debug("usage of %s", batch[0].key, exc_info=True)
                causes.append(f"{batch[0].key}: unexpected {type(error).__name__}")
            now = self._timer()
            for tracked in batch:
                tracked.failed, tracked.tried_at = failed, now
            for stats in found:
                if (known := self._tracked.get(stats.key)) is not None:
                    self._note(known, stats, now)
            # A provider that answers from memory would otherwise hold up everything else.
            await asyncio.sleep(0)

    def _note(self, tracked: _Tracked, stats: PodStats, now: float) -> None:
        tracked.read_at = now
        tracked.interfaces = stats.interfaces
        for gone in tracked.containers.keys() - stats.containers.keys():
            del tracked.containers[gone]
        for name, usage in stats.containers.items():
            last = tracked.containers.get(name)
            if last is not None and usage.time <= last.usage.time:
                continue  # the cloud has measured nothing new since
            cores = None
            spent = usage.cpu_seconds
            if last is not None and usage.cpu_seconds >= last.usage.cpu_seconds:  # else it was restarted
                spent -= last.usage.cpu_seconds
                cores = spent / (usage.time - last.usage.time)
            tracked.containers[name] = _Sampled(usage, cores)
            tracked.cpu_seconds += spent
            self.cpu_seconds += spent


def _key(pod: JSON) -> PodKey:
    metadata = pod["metadata"]
    return PodKey(metadata["namespace"], metadata["name"], metadata["uid"])


def _running(pod: JSON) -> dict[str, str]:
    """The containers that run, each with its start; RFC 3339, or empty."""
    status: JSON = pod.get("status") or {}
    return {
        one["name"]: state["running"].get("startedAt") or ""
        for kind in _KINDS
        for one in status.get(kind) or ()
        if "running" in (state := one.get("state") or {})
    }


def _merged(key: PodKey, pod: JSON, started: dict[str, str], tracked: _Tracked | None) -> PodUsage:
    sampled = tracked.containers if tracked is not None else {}
    containers = tuple(
        ContainerUsage(name, since, one.usage, one.cores)
        if (one := sampled.get(name)) is not None
        else ContainerUsage(name, since)
        for name, since in started.items()
    )
    if tracked is None or not sampled:
        return PodUsage(key, pod, containers, None)
    return PodUsage(key, pod, containers, tracked.cpu_seconds, tracked.interfaces)
