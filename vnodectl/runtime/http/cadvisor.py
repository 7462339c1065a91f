"""/metrics/cadvisor: what is known of containers, in the names and labels of the cAdvisor in a kubelet.

Dashboards and recording rules read these. Series of a container have its image, those of a whole pod have
neither container nor image, as where control groups are counted. What no provider measures is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from aiohttp import web

from vnodectl.runtime import clock
from vnodectl.runtime.http.pieces import write_pieces
from vnodectl.runtime.prometheus import CONTENT_TYPE, header, sample
from vnodectl.runtime.provider import Interface, PodKey, Usage
from vnodectl.runtime.usage import NodeUsage, PodUsage

Labels = tuple[tuple[str, str], ...]
Images = Mapping[PodKey, Mapping[str, str]]
"""By pod, and there by container."""

_MEMORY: Final[tuple[tuple[str, str, Callable[[Usage], int]], ...]] = (
    ("container_memory_usage_bytes", "Current memory usage in bytes, all of it.", lambda one: one.memory),
    (
        "container_memory_working_set_bytes",
        "Current working set in bytes: what cannot be taken back under pressure.",
        lambda one: one.working_set,
    ),
)
_NETWORK: Final[tuple[tuple[str, str, Callable[[Interface], int]], ...]] = (
    (
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received by the pod.",
        lambda one: one.rx_bytes,
    ),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors of the pod while receiving.",
        lambda one: one.rx_errors,
    ),
    (
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted by the pod.",
        lambda one: one.tx_bytes,
    ),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors of the pod while transmitting.",
        lambda one: one.tx_errors,
    ),
)


async def cadvisor_metrics(request: web.Request, usage: NodeUsage) -> web.StreamResponse:
    """GET /metrics/cadvisor"""
    await usage.refresh()
    lines = cadvisor_lines(list(usage.pods()), failed=usage.failures > 0)
    return await write_pieces(request, CONTENT_TYPE, lines)


def cadvisor_lines(pods: list[PodUsage], *, failed: bool) -> Iterator[str]:
    """All families, each in one piece as the format wants it."""
    by_pod = {pod.key: _images(pod) for pod in pods}
    yield from _cpu_lines(pods, by_pod)
    for name, text, measure in _MEMORY:
        yield header(name, "gauge", text)
        for labels, parts in _measured(pods, by_pod):
            yield sample(name, labels, sum(map(measure, parts)), _time(parts))
    yield from _network_lines(pods)
    name = "container_start_time_seconds"
    yield header(name, "gauge", "Start time of the container, or of its pod, since unix epoch in seconds.")
    for pod in pods:
        if started := (pod.pod.get("status") or {}).get("startTime"):
            yield sample(name, _labels(pod), clock.parse(started))
        images = by_pod[pod.key]
        for one in pod.containers:
            if one.started:
                yield sample(name, _labels(pod, one.name, images), clock.parse(one.started))
    name = "container_scrape_error"
    yield header(name, "gauge", "1 if there was an error while getting container metrics, 0 otherwise.")
    yield sample(name, (), int(failed))


def _cpu_lines(pods: list[PodUsage], by_pod: Images) -> Iterator[str]:
    name, whole = "container_cpu_usage_seconds_total", ("cpu", "total")
    yield header(name, "counter", "Cumulative cpu time consumed, in core-seconds.")
    for pod in pods:
        if pod.cpu_seconds is not None:  # of containers that have ended too, unlike the sum of the others
            yield sample(name, (*_labels(pod), whole), pod.cpu_seconds, _time(pod.measured))
        images = by_pod[pod.key]
        for one in pod.containers:
            if (used := one.usage) is not None:
                labels = (*_labels(pod, one.name, images), whole)
                yield sample(name, labels, used.cpu_seconds, used.time)


def _network_lines(pods: list[PodUsage]) -> Iterator[str]:
    """A pod's containers share its network."""
    for name, text, count in _NETWORK:
        yield header(name, "counter", text)
        for pod in pods:
            for one in pod.interfaces if pod.measured else ():
                labels = (*_labels(pod), ("interface", one.name))
                yield sample(name, labels, count(one), _time(pod.measured))


def _measured(pods: list[PodUsage], by_pod: Images) -> Iterator[tuple[Labels, list[Usage]]]:
    """Every pod of which something was measured, and then each of its containers."""
    for pod in pods:
        if pod.measured:
            yield _labels(pod), pod.measured
        images = by_pod[pod.key]
        for one in pod.containers:
            if one.usage is not None:
                yield _labels(pod, one.name, images), [one.usage]


def _labels(pod: PodUsage, container: str = "", images: Mapping[str, str] | None = None) -> Labels:
    image = (images or {}).get(container, "")
    key = pod.key
    return (("container", container), ("image", image), ("namespace", key.namespace), ("pod", key.name))


def _images(pod: PodUsage) -> dict[str, str]:
    """By container, as the pod names them."""
    spec = pod.pod.get("spec") or {}
    kinds = (spec.get("initContainers") or (), spec.get("containers") or ())
    return {one["name"]: str(one.get("image") or "") for kind in kinds for one in kind}


def _time(parts: list[Usage]) -> float:
    return max(one.time for one in parts)
