"""/metrics, /metrics/probes and /metrics/resource.

The last is the kubelet's resource metrics endpoint (KEP-727), from which metrics-server, and so
`kubectl top` and the HorizontalPodAutoscaler, learn what pods use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web

from vnodectl.runtime import clock
from vnodectl.runtime.http.pieces import write_pieces
from vnodectl.runtime.probing import PROBE_LABELS
from vnodectl.runtime.prometheus import CONTENT_TYPE, Reading, header, sample
from vnodectl.runtime.usage import ContainerUsage, NodeUsage, PodUsage

_CPU: Final = "Cumulative cpu time consumed by the {} in core-seconds"
_MEMORY: Final = "Current working set of the {} in bytes"
_ERROR: Final = "1 if there was an error while getting container metrics, 0 otherwise"

Labels = tuple[tuple[str, str], ...]


async def resource_metrics(request: web.Request, usage: NodeUsage) -> web.StreamResponse:
    """GET /metrics/resource"""
    await usage.refresh()
    lines = resource_lines(list(usage.pods()), usage.cpu_seconds, failed=usage.failures > 0)
    return await write_pieces(request, CONTENT_TYPE, lines)


def node_metrics(text: Callable[[], str]) -> web.Response:
    """GET /metrics"""
    return web.Response(body=text().encode(), headers={"Content-Type": CONTENT_TYPE})


async def probe_metrics(request: web.Request, results: Reading) -> web.StreamResponse:
    """GET /metrics/probes"""
    return await write_pieces(request, CONTENT_TYPE, probe_lines(results))


def probe_lines(results: Reading) -> Iterator[str]:
    """`results` are counts by the values of `PROBE_LABELS`; none where all probes are the provider's."""
    name = "prober_probe_total"
    yield header(
        name, "counter", "Cumulative number of a probe that this node runs for a container, by its result."
    )
    for values, count in results.items():
        yield sample(name, zip(PROBE_LABELS, values, strict=True), count)


def resource_lines(pods: list[PodUsage], cpu_seconds: float, *, failed: bool) -> Iterator[str]:
    """All families, each in one piece as the format wants it. `cpu_seconds` is the node's."""
    yield from _container_lines(pods)
    yield from _pod_lines(pods)
    yield from _node_lines(pods, cpu_seconds)
    for name in ("scrape_error", "resource_scrape_error"):
        yield header(name, "gauge", _ERROR)
        yield sample(name, (), int(failed))


def _container_lines(pods: list[PodUsage]) -> Iterator[str]:
    containers = [(_container_labels(pod, one), one) for pod in pods for one in pod.containers]
    name = "container_cpu_usage_seconds_total"
    yield header(name, "counter", _CPU.format("container"))
    for labels, one in containers:
        if one.usage is not None:
            yield sample(name, labels, one.usage.cpu_seconds, one.usage.time)
    name = "container_memory_working_set_bytes"
    yield header(name, "gauge", _MEMORY.format("container"))
    for labels, one in containers:
        if one.usage is not None:
            yield sample(name, labels, one.usage.working_set, one.usage.time)
    name = "container_start_time_seconds"
    yield header(name, "gauge", "Start time of the container since unix epoch in seconds")
    for labels, one in containers:
        if one.started:
            yield sample(name, labels, clock.parse(one.started))


def _pod_lines(pods: list[PodUsage]) -> Iterator[str]:
    measured = [
        (_pod_labels(pod), pod.cpu_seconds, pod.measured) for pod in pods if pod.cpu_seconds is not None
    ]
    name = "pod_cpu_usage_seconds_total"
    yield header(name, "counter", _CPU.format("pod"))
    for labels, cpu_seconds, parts in measured:
        yield sample(name, labels, cpu_seconds, max(one.time for one in parts))
    name = "pod_memory_working_set_bytes"
    yield header(name, "gauge", _MEMORY.format("pod"))
    for labels, _, parts in measured:
        yield sample(name, labels, sum(one.working_set for one in parts), max(one.time for one in parts))


def _node_lines(pods: list[PodUsage], cpu_seconds: float) -> Iterator[str]:
    measured = [one for pod in pods for one in pod.measured]
    time = max((one.time for one in measured), default=None)
    name = "node_cpu_usage_seconds_total"
    yield header(name, "counter", _CPU.format("node"))
    yield sample(name, (), cpu_seconds, time)
    name = "node_memory_working_set_bytes"
    yield header(name, "gauge", _MEMORY.format("node"))
    yield sample(name, (), sum(one.working_set for one in measured), time)


# The order of labels means nothing to Prometheus, but virtual-kubelet's own end-to-end test takes the second
# one for the pod's name.


def _container_labels(pod: PodUsage, container: ContainerUsage) -> Labels:
    key = pod.key
    return (("container", container.name), ("pod", key.name), ("namespace", key.namespace))


def _pod_labels(pod: PodUsage) -> Labels:
    return (("namespace", pod.key.namespace), ("pod", pod.key.name))
