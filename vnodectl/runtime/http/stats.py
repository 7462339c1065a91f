"""/stats/summary: the kubelet's Summary (stats/v1alpha1) of what this node measures.

Rates come from two samples, so the first answer about a container has no `usageNanoCores`. Filesystems are
left out: no provider measures them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from vnodectl.runtime import quantity
from vnodectl.runtime.clock import rfc3339
from vnodectl.runtime.http.pieces import json_list, write_pieces
from vnodectl.runtime.provider import Interface, Usage
from vnodectl.runtime.usage import ContainerUsage, NodeUsage, PodUsage

JSON = dict[str, Any]

_NANO: Final = 1_000_000_000


async def stats_summary(request: web.Request, node: str, usage: NodeUsage) -> web.StreamResponse:
    """GET /stats/summary[?only_cpu_and_memory=true]"""
    await usage.refresh()
    brief = request.query.get("only_cpu_and_memory", "").lower() in ("1", "t", "true")
    pods = list(usage.pods())
    whole = node_stats(node, usage.started, usage.cpu_seconds, pods)
    parts = json_list(
        f'{{"node":{json.dumps(whole)},"pods":[', (pod_stats(pod, brief=brief) for pod in pods), "]}\n"
    )
    return await write_pieces(request, "application/json", parts)


def node_stats(name: str, started: float, cpu_seconds: float, pods: Iterable[PodUsage]) -> JSON:
    """NodeStats: the sums of the pods, as a virtual node has nothing else to use. Times since the epoch."""
    containers = [one for pod in pods for one in pod.containers]
    stats: JSON = {"nodeName": name, "startTime": rfc3339(started)}
    measured = [one.usage for one in containers if one.usage is not None]
    return stats | _used(measured, [one.cores for one in containers], cpu_seconds)


def pod_stats(pod: PodUsage, *, brief: bool = False) -> JSON:
    """PodStats. `brief`: without the network."""
    limits = _memory_limits(pod.pod)
    containers = [_container_stats(one, limits.get(one.name)) for one in pod.containers]
    key = pod.key
    stats: JSON = {
        "podRef": {"name": key.name, "namespace": key.namespace, "uid": key.uid},
        "startTime": (pod.pod.get("status") or {}).get("startTime"),
        "containers": containers,
    }
    if pod.cpu_seconds is not None:
        stats |= _used(pod.measured, [one.cores for one in pod.containers], pod.cpu_seconds)
    if pod.interfaces and pod.measured and not brief:
        interfaces = [_interface_stats(one) for one in pod.interfaces]
        time = rfc3339(max(one.time for one in pod.measured))
        stats["network"] = {"time": time, **interfaces[0], "interfaces": interfaces}
    return stats


def _container_stats(container: ContainerUsage, limit: int | None) -> JSON:
    stats: JSON = {"name": container.name, "startTime": container.started or None}
    if container.usage is not None:
        stats |= _used([container.usage], [container.cores], container.usage.cpu_seconds, limit)
    return stats


def _used(
    measured: Sequence[Usage], cores: Sequence[float | None], cpu_seconds: float, limit: int | None = None
) -> JSON:
    """CPUStats and MemoryStats of what was measured; nothing where that is nothing."""
    if not measured:
        return {}
    time = rfc3339(max(one.time for one in measured))
    cpu: JSON = {"time": time, "usageCoreNanoSeconds": round(cpu_seconds * _NANO)}
    known = [one for one in cores if one is not None]
    if known:
        cpu["usageNanoCores"] = round(sum(known) * _NANO)
    working_set = sum(one.working_set for one in measured)
    memory: JSON = {
        "time": time,
        "usageBytes": sum(one.memory for one in measured),
        "workingSetBytes": working_set,
    }
    if limit is not None:
        memory["availableBytes"] = max(0, limit - working_set)
    return {"cpu": cpu, "memory": memory}


def _interface_stats(one: Interface) -> JSON:
    return {
        "name": one.name,
        "rxBytes": one.rx_bytes,
        "rxErrors": one.rx_errors,
        "txBytes": one.tx_bytes,
        "txErrors": one.tx_errors,
    }


def _memory_limits(pod: JSON) -> Mapping[str, int]:
    """In bytes, by container."""
    spec: JSON = pod.get("spec") or {}
    found = {}
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is not None:
            found[container["name"]] = int(quantity.parse(limit))
    return found
