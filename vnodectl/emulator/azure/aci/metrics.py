"""Microsoft.Insights: the metrics of container groups, from what the engine says of them now.

An engine knows CPU and memory of running containers, and no history: each interval since a container's
start has its average CPU from then on, and its memory of now. Networks are not counted: their series have no
values, which is what the service shows where it has none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from vnodectl.emulator.azure.access import SCOPED
from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.aci.lifecycle import Lifecycle
from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call
from vnodectl.emulator.azure.config import CONTAINER_GROUPS
from vnodectl.emulator.azure.errors import ArmError, bad_request, resource_not_found
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route
from vnodectl.engines.api import ContainerUsage, EngineError, Running

VERSIONS = ("2024-02-01", "2023-10-01", "2021-05-01", "2019-07-01", "2018-01-01")
DEFINITION_VERSIONS = ("2024-02-01", "2023-10-01", "2021-05-01", "2018-01-01")
INTERVALS = {
    "PT1M": 60,
    "PT5M": 300,
    "PT15M": 900,
    "PT30M": 1800,
    "PT1H": 3600,
    "PT6H": 21600,
    "PT12H": 43200,
    "P1D": 86400,
}
_TOP = 10
"""Series that a filter gives back where the caller does not say how many (`top`)."""
_HOUR = 3600.0
_GROUP = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/Microsoft\.ContainerInstance/containerGroups/([^/]+)",
    re.IGNORECASE,
)
_DIMENSION = re.compile(r"\s*containerName eq '([^']*)'\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Metric:
    """As in the service's table of supported metrics; all are averages of a minute."""

    name: str
    title: str
    description: str
    unit: str
    per_container: bool


METRICS = (
    Metric("CpuUsage", "CPU Usage", "CPU usage on all cores in millicores.", "Count", True),
    Metric("MemoryUsage", "Memory Usage", "Total memory usage in byte.", "Bytes", True),
    Metric(
        "NetworkBytesReceivedPerSecond",
        "Network Bytes Received Per Second",
        "The network bytes received per second.",
        "Bytes",
        False,
    ),
    Metric(
        "NetworkBytesTransmittedPerSecond",
        "Network Bytes Transmitted Per Second",
        "The network bytes transmitted per second.",
        "Bytes",
        False,
    ),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a container uses: millicores on average since `since`, and bytes. Moments in seconds."""

    container: str
    since: float
    millicores: float
    memory: float


@dataclass(frozen=True, slots=True)
class Question:
    """Moments in seconds; `last` is the end, or now where that is earlier.

    `container` None: of the group as a whole; "*": one series of each; else of that one.
    """

    metrics: tuple[Metric, ...]
    interval: str
    begin: float
    end: float
    last: float
    container: str | None
    top: int

    @property
    def timespan(self) -> str:
        return f"{_stamp(self.begin)}/{_stamp(self.end)}"

    @classmethod
    def read(cls, query: Mapping[str, str], timespan: str, expression: str, now: float) -> Question:
        """`query` has lower-case names. Raises ArmError 400."""
        metrics, interval = _chosen(query.get("metricnames", "")), query.get("interval", "PT1M")
        if interval not in INTERVALS:
            raise bad_request("BadRequest", f"Detected invalid time grain input: {interval}.")
        begin, end = _timespan(timespan, now)
        container = _filtered(expression)
        if container is not None and (plain := [one.name for one in metrics if not one.per_container]):
            raise bad_request(
                "BadRequest", f"Metric: {plain[0]} does not support requested dimension combination."
            )
        top = query.get("top", "")
        return cls(
            metrics, interval, begin, end, min(end, now), container, int(top) if top.isdecimal() else _TOP
        )


class Metrics:
    def __init__(self, world: World, lifecycle: Lifecycle) -> None:
        self._world = world
        self._lifecycle = lifecycle

    def routes(self) -> list[ArmRoute]:
        base = f"{SCOPED}providers/Microsoft.Insights"
        note = "of container groups; see below what they measure"
        return [
            Route("GET", f"{base}/metrics", "Metrics_List", self.values, VERSIONS, note),
            Route(
                "GET",
                f"{base}/metricDefinitions",
                "MetricDefinitions_List",
                self.definitions,
                DEFINITION_VERSIONS,
                "of container groups",
            ),
        ]

    async def definitions(self, call: Call) -> Answer:
        group = self._find(call)
        base = f"{group.id}/providers/Microsoft.Insights/metricdefinitions"
        return Answer(
            200,
            {
                "value": [
                    {
                        "id": f"{base}/{metric.name}",
                        "resourceId": group.id,
                        "namespace": CONTAINER_GROUPS,
                        "name": _name(metric.name, metric.title),
                        "displayDescription": metric.description,
                        "unit": metric.unit,
                        "primaryAggregationType": "Average",
                        "supportedAggregationTypes": ["Average"],
                        "isDimensionRequired": False,
                        "dimensions": (
                            [{"value": "containerName", "localizedValue": "containerName"}]
                            if metric.per_container
                            else []
                        ),
                        "metricAvailabilities": [
                            {"timeGrain": interval, "retention": "P93D"} for interval in INTERVALS
                        ],
                    }
                    for metric in METRICS
                ]
            },
        )

    async def values(self, call: Call) -> Answer:
        query = call.query
        asked = Question.read(
            query, query.get("timespan", ""), query.get("$filter", ""), self._world.clock.now()
        )
        return Answer(
            200, {"cost": 59, "timespan": asked.timespan} | await self.read(self._find(call), asked)
        )

    async def read(self, group: Group, asked: Question) -> JSON:
        """What both APIs say of one group."""
        samples = await self._samples(group)
        return {
            "interval": asked.interval,
            "namespace": CONTAINER_GROUPS,
            "resourceregion": group.location,
            "value": [
                {
                    "id": f"{group.id}/providers/Microsoft.Insights/metrics/{metric.name}",
                    "type": "Microsoft.Insights/metrics",
                    "name": _name(metric.name, metric.title),
                    "displayDescription": metric.description,
                    "unit": metric.unit,
                    "timeseries": series(metric, samples, asked),
                    "errorCode": "Success",
                }
                for metric in asked.metrics
            ],
        }

    def group(self, resource: str) -> Group:
        """By its id. Raises ArmError 404."""
        matched = _GROUP.fullmatch(resource)
        if matched is None:
            raise ArmError(
                404,
                "ResourceNotFound",
                f"Metrics of '{resource}' are not emulated: it is no container group.",
            )
        self._world.resource_group(matched[1])
        group = self._lifecycle.groups.get((matched[1].casefold(), matched[2].casefold()))
        if group is None:
            raise resource_not_found(CONTAINER_GROUPS, matched[2], matched[1])
        return group

    def _find(self, call: Call) -> Group:
        return self.group(call.params["scope"])

    async def _samples(self, group: Group) -> list[Sample]:
        """Of what runs; nothing where nothing does."""
        if group.status is None or not group.in_engine:
            return []
        started = {
            one.name: one.state.started_at
            for one in group.status.containers
            if isinstance(one.state, Running)
        }
        try:
            usage = await group.engine.usage(group.engine_name)
        except EngineError:
            return []
        return [sample(one, started[one.name]) for one in usage if one.name in started]


def sample(usage: ContainerUsage, since: float) -> Sample:
    """Pure. `since`: when the container started."""
    lasted = usage.time - since
    millicores = usage.cpu_seconds / lasted * 1000 if lasted > 0 else 0.0
    return Sample(usage.name, since, millicores, float(usage.memory_working_set))


def series(metric: Metric, samples: list[Sample], asked: Question) -> list[JSON]:
    """Pure. The group as a whole is the average of its containers, as the service aggregates a dimension."""
    if asked.container is None:
        chosen = [("", samples)]
    else:
        names = sorted(one.container for one in samples if asked.container in ("*", one.container))
        chosen = [(name, [one for one in samples if one.container == name]) for name in names[: asked.top]]
    step = INTERVALS[asked.interval]
    return [
        {
            "metadatavalues": [{"name": _name("containername", "containername"), "value": name}]
            if name
            else [],
            "data": [
                _point(metric, group, moment, step) for moment in _moments(asked.begin, asked.last, step)
            ],
        }
        for name, group in chosen
    ]


def _point(metric: Metric, samples: list[Sample], moment: float, step: int) -> JSON:
    values = [
        one.millicores if metric.name == "CpuUsage" else one.memory
        for one in samples
        if metric.per_container and one.since < moment + step
    ]
    point: JSON = {"timeStamp": _stamp(moment)}
    return point | {"average": sum(values) / len(values)} if values else point


def _moments(begin: float, end: float, step: int) -> Iterator[float]:
    moment = begin - begin % step
    while moment < end:
        yield moment
        moment += step


def _chosen(names: str) -> tuple[Metric, ...]:
    """By name; the first where none is named, as the service does. Raises ArmError."""
    if not names:
        return METRICS[:1]
    known = {metric.name.casefold(): metric for metric in METRICS}
    chosen = []
    for name in names.split(","):
        if name.casefold() not in known:
            valid = ",".join(metric.name for metric in METRICS)
            raise bad_request(
                "BadRequest",
                "Failed to find metric configuration for provider: Microsoft.ContainerInstance, resource "
                f"Type: containerGroups, metric: {name}, Valid metrics: {valid}",
            )
        chosen.append(known[name.casefold()])
    return tuple(chosen)


def _filtered(expression: str) -> str | None:
    if not expression:
        return None
    found = _DIMENSION.fullmatch(expression)
    if found is None:
        raise bad_request("BadRequest", f"The filter '{expression}' is not emulated: only containerName is.")
    return found[1]


def _timespan(text: str, now: float) -> tuple[float, float]:
    """Start and end, in seconds; the last hour where it is not given. Raises ArmError."""
    if not text:
        return now - _HOUR, now
    begin, separator, end = text.partition("/")
    try:
        moments = [datetime.fromisoformat(one.replace(" ", "+")) for one in (begin, end)]
    except ValueError as error:
        raise bad_request("BadRequest", f"Invalid time interval input: {text}.") from error
    first, last = ((one if one.tzinfo else one.replace(tzinfo=UTC)).timestamp() for one in moments)
    if not separator or last <= first:
        raise bad_request("BadRequest", f"Start time cannot be equal to or later than end time: {text}.")
    return first, last


def _name(value: str, title: str) -> JSON:
    return {"value": value, "localizedValue": title}


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
