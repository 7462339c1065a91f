"""Pods by the thousand, and when each of them got where it should."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.process import Subject
from vnodectl.kube.client import KubeClient
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import PODS

JSON = dict[str, Any]

NAMESPACE = "default"
CALLS = 64
_LIMIT = 1800.0


@dataclass
class Seen:
    """A Listener that notes when a pod was first seen Running, and when it was seen to be gone."""

    running: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def replaced(self, items: list[JSON]) -> None:
        present = {item["metadata"]["name"] for item in items}
        for item in items:
            self.changed_(item)
        for name in self.running.keys() - present:
            self.gone.setdefault(name, time.monotonic())
        self.changed.set()

    def changed_(self, item: JSON) -> None:
        if item["status"].get("phase") == "Running":
            self.running.setdefault(item["metadata"]["name"], time.monotonic())
            self.changed.set()

    def deleted(self, item: JSON) -> None:
        self.gone.setdefault(item["metadata"]["name"], time.monotonic())
        self.changed.set()


class _Listener:
    """`Seen` as `ListWatch` wants it."""

    def __init__(self, seen: Seen) -> None:
        self.replaced, self.changed, self.deleted = seen.replaced, seen.changed_, seen.deleted


def pod(name: str, node: str) -> JSON:
    """A pod that needs nothing but itself: what is measured is the node, not the reading of Secrets."""
    return {
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "registry.example/app:1", "env": []}],
        },
    }


async def spread(items: Iterable[str], call: Callable[[str], Awaitable[Any]]) -> None:
    """`call` for each item, `CALLS` at a time."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await call(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLS):
            group.create_task(work())


async def burst(client: KubeClient, subject: Subject, node: str, count: int, prefix: str) -> JSON:
    """Create, wait until all run, delete, wait until all are gone. Times in seconds, memory in bytes."""
    names = [f"{prefix}-{number}" for number in range(count)]
    created, deleted = {}, {}

    async def create(name: str) -> None:
        created[name] = time.monotonic()
        await client.create(PODS.path(NAMESPACE), pod(name, node))

    async def delete(name: str) -> None:
        deleted[name] = time.monotonic()
        await client.delete(PODS.path(NAMESPACE, name))

    seen = Seen()
    params = {"fieldSelector": f"spec.nodeName={node}"}
    watch = ListWatch(client, PODS.path(NAMESPACE), _Listener(seen), params=params)
    task = asyncio.create_task(watch.run(), name="bench watch")
    try:
        await watch.synced.wait()
        before = subject.cpu_seconds()
        running = await _phase(seen, subject, seen.running, names, create)
        latencies = [seen.running[name] - created[name] for name in names]
        result = {
            "pods": count,
            "running_seconds": running,
            "pod_running_seconds": quantiles(latencies),
            "running_cpu_seconds": subject.cpu_seconds() - before,
            "memory": subject.memory(),
        }
        before = subject.cpu_seconds()
        result["gone_seconds"] = await _phase(seen, subject, seen.gone, names, delete)
        result["pod_gone_seconds"] = quantiles([seen.gone[name] - deleted[name] for name in names])
        result["gone_cpu_seconds"] = subject.cpu_seconds() - before
        return result
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def populate(client: KubeClient, subject: Subject, node: str, count: int, prefix: str) -> None:
    """Pods that stay."""
    names = [f"{prefix}-{number}" for number in range(count)]

    async def create(name: str) -> None:
        await client.create(PODS.path(NAMESPACE), pod(name, node))

    seen = Seen()
    params = {"fieldSelector": f"spec.nodeName={node}"}
    watch = ListWatch(client, PODS.path(NAMESPACE), _Listener(seen), params=params)
    task = asyncio.create_task(watch.run(), name="bench watch")
    try:
        await watch.synced.wait()
        await _phase(seen, subject, seen.running, names, create)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _phase(
    seen: Seen,
    subject: Subject,
    reached: dict[str, float],
    names: Sequence[str],
    call: Callable[[str], Awaitable[None]],
) -> float:
    """Seconds from the first call to the last pod that got there."""
    began = time.monotonic()
    await spread(names, call)
    async with asyncio.timeout(_LIMIT):
        while any(name not in reached for name in names):
            subject.check()
            seen.changed.clear()
            try:
                async with asyncio.timeout(1):
                    await seen.changed.wait()
            except TimeoutError:
                continue  # look after the process
    return max((reached[name] for name in names), default=began) - began


def quantiles(values: Sequence[float]) -> JSON:
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "max": ordered[-1],
    }
