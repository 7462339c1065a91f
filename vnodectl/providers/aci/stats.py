"""What containers use, from Azure Monitor: averages of a minute, as core-seconds and bytes.

Azure Monitor answers for 50 groups at once at a regional endpoint (`metrics:getBatch`), which asks for
the role Monitoring Reader on the subscription and costs none of ARM's reads. Where that is refused, or a
private cloud has no such endpoint, groups are read one by one through ARM, a few at a time and within a
budget; who finds no place in it is left out until the next time. A minute's figures are not asked for twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vnodectl.clouds.azure import AzureForbidden, AzureNotFound, AzureSession, AzureUnauthorized
from vnodectl.clouds.azure.session import path_of
from vnodectl.errors import VnodectlError
from vnodectl.providers.aci.failures import of_request
from vnodectl.providers.timing import Pace, Timer
from vnodectl.runtime.provider import JSON, PodKey, PodStats, Usage

log = logging.getLogger(__name__)

NAMESPACE = "Microsoft.ContainerInstance/containerGroups"
SINGLE_API, BATCH_API = "2023-10-01", "2024-02-01"
BATCH = 50
"""Resources in one request of the batch API."""

_METRICS = "CpuUsage,MemoryUsage"
_CPU, _MEMORY = "cpuusage", "memoryusage"
_MINUTE = 60.0
_SPAN = 5 * _MINUTE
_FRESH = 40.0
_REFUSED = 3600.0
_CONCURRENT = 8
_KEPT = 2000


@dataclass(slots=True)
class _Total:
    """One container's core-seconds up to `until` (seconds since the epoch), and its memory then."""

    until: float = 0.0
    cpu_seconds: float = 0.0
    memory: int = 0


@dataclass(slots=True)
class _Pod:
    read_at: float
    containers: dict[str, _Total] = field(default_factory=dict)


class Stats:
    """Of the groups of one resource group. `wall` is seconds since the epoch, `pace` the reads one by one."""

    def __init__(
        self,
        session: AzureSession,
        resource_group: str,
        region: str,
        pace: Pace,
        timer: Timer,
        wall: Callable[[], float],
    ) -> None:
        self._session = session
        self._resource_group = resource_group
        self._region = region
        self._pace = pace
        self._timer = timer
        self._wall = wall
        self._pods: dict[PodKey, _Pod] = {}
        self._batch_again_at = float("-inf")
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def read(self, groups: Mapping[PodKey, str]) -> list[PodStats]:
        """Of the groups (names by pod) that have figures. Raises Retryable where Azure refuses to say any."""
        now = self._timer.now()
        due = {
            key: name
            for key, name in groups.items()
            if (known := self._pods.get(key)) is None or now - known.read_at >= _FRESH
        }
        try:
            if due and not await self._batch(due, now):
                await self._singly(due, now)
        except VnodectlError as error:
            raise of_request(error) from error
        if len(self._pods) > _KEPT:
            self._pods = {key: one for key, one in self._pods.items() if now - one.read_at < _REFUSED}
        return [stats for key in groups if (stats := self._stats(key)) is not None]

    async def _batch(self, due: Mapping[PodKey, str], now: float) -> bool:
        """Whether the batch API answered."""
        if now < self._batch_again_at or not self._session.settings.metrics_endpoint(self._region):
            return False
        names = {self._path(name).lower(): key for key, name in due.items()}
        begin, end = self._span()
        params = {
            "api-version": BATCH_API,
            "metricnamespace": NAMESPACE,
            "starttime": begin,
            "endtime": end,
            **_query(),
            "filter": "containerName eq '*'",
        }
        try:
            found = await self._session.metrics(
                self._region, params, [self._path(name) for name in due.values()]
            )
        except (AzureForbidden, AzureUnauthorized, AzureNotFound) as error:
            if error.code != "ResourceNotFound":  # else one of the groups has just gone
                log.info("usage is read group by group, as Azure Monitor's batch API refuses: %s", error)
                self._batch_again_at = now + _REFUSED
            return False
        for one in found.get("values") or ():
            key = names.get(str(one.get("resourceid") or "").lower())
            if key is not None:
                self._note(key, one, now)
        return True

    async def _singly(self, due: Mapping[PodKey, str], now: float) -> None:
        errors: list[VnodectlError] = []

        async def one(key: PodKey, name: str) -> None:
            async with self._slots:
                try:
                    self._note(key, await self._single(name), now)
                except AzureNotFound:
                    self._pods.pop(key, None)
                except VnodectlError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as tasks:
            for key, name in due.items():
                if self._pace.take_now():
                    break  # the budget is spent; the runtime asks for the others first the next time
                tasks.create_task(one(key, name), name=f"aci-stats {name}")
        if errors and len(errors) == len(due):
            raise errors[0]

    async def _single(self, name: str) -> JSON:
        begin, end = self._span()
        answer = await self._session.request(
            "GET",
            f"{self._path(name)}/providers/Microsoft.Insights/metrics",
            SINGLE_API,
            params={"timespan": f"{begin}/{end}", **_query(), "$filter": "containerName eq '*'"},
            retries=False,
        )
        return answer.body

    def _path(self, name: str) -> str:
        return path_of(self._session.subscription, self._resource_group, NAMESPACE, name)

    def _span(self) -> tuple[str, str]:
        now = self._wall()
        return _stamp(now - _SPAN), _stamp(now)

    def _note(self, key: PodKey, body: JSON, now: float) -> None:
        pod = self._pods.setdefault(key, _Pod(now))
        pod.read_at = now
        samples = dict(_samples(body))
        for container, points in samples.items():
            total = pod.containers.setdefault(container, _Total())
            fresh = [one for one in points if one[0] + _MINUTE > total.until]
            # What was used before anybody looked is not known: it begins with the newest minute.
            for at, millicores, memory in fresh if total.until else fresh[-1:]:
                total.until = at + _MINUTE
                total.cpu_seconds += millicores / 1000 * _MINUTE
                total.memory = memory
        for gone in pod.containers.keys() - samples.keys():
            del pod.containers[gone]

    def _stats(self, key: PodKey) -> PodStats | None:
        pod = self._pods.get(key)
        if pod is None:
            return None
        found = {
            name: Usage(one.until, one.cpu_seconds, one.memory, one.memory)
            for name, one in pod.containers.items()
            if one.until
        }
        return PodStats(key, found) if found else None


def _query() -> dict[str, str]:
    return {"interval": "PT1M", "metricnames": _METRICS, "aggregation": "average", "top": "60"}


def _samples(body: JSON) -> Iterator[tuple[str, list[tuple[float, float, int]]]]:
    """By container: (begin of the minute in seconds since the epoch, millicores, bytes), oldest first."""
    found: dict[str, dict[str, dict[float, float]]] = {}
    for metric in body.get("value") or ():
        name = str((metric.get("name") or {}).get("value") or "").lower()
        for series in metric.get("timeseries") or ():
            container = next(
                (
                    str(one.get("value"))
                    for one in series.get("metadatavalues") or ()
                    if str((one.get("name") or {}).get("value") or "").lower() == "containername"
                ),
                "",
            )
            points = found.setdefault(container, {}).setdefault(name, {})
            for point in series.get("data") or ():
                if point.get("average") is not None:
                    points[_seconds(str(point["timeStamp"]))] = float(point["average"])
    for container, metrics in found.items():
        cpu, memory = metrics.get(_CPU, {}), metrics.get(_MEMORY, {})
        if container:
            yield container, [(at, cpu[at], int(memory[at])) for at in sorted(cpu.keys() & memory.keys())]


def _seconds(text: str) -> float:
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
