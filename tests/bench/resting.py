"""What a node costs that has nothing to do, what strangers cost it, and how fast it is back."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.floor import client as credentials
from bench.load import NAMESPACE, populate, spread
from bench.subjects import Cluster, Node, agent, until_ready
from vnodectl.kube.resources import NODES, PODS, SECRETS

JSON = dict[str, Any]

NODE = "bench-rest"
STRANGERS = "strangers"
_SETTLE = 15.0
_WATCHED = 60.0  # two of the local provider's full looks at its engine, six renewals of the lease


async def memory(cluster: Cluster, sizes: tuple[int, ...]) -> list[JSON]:
    """Memory at each number of pods, which only grows, and CPU at the last."""
    found = []
    async with agent(cluster, NODE, keep=True) as node:
        before = 0
        for size in sizes:
            await populate(cluster.client, node.subject, NODE, size - before, f"rest-{size}")
            before = size
            await asyncio.sleep(_SETTLE)
            entry: JSON = {"pods": size, "memory": node.subject.memory()}
            entry["idle_cpu_percent"] = await idle_cpu(node)
            found.append(entry)
    return found


async def idle_cpu(node: Node) -> float:
    """Percent of one core."""
    began, before = time.monotonic(), node.subject.cpu_seconds()
    await asyncio.sleep(_WATCHED)
    return 100 * (node.subject.cpu_seconds() - before) / (time.monotonic() - began)


async def strangers(cluster: Cluster, secrets: int, pods: int) -> JSON:
    """Memory of an agent without pods, before and after others' objects have come."""
    async with agent(cluster, "bench-alone") as node:
        await asyncio.sleep(5)
        before = node.subject.memory()
        namespace = {"metadata": {"name": STRANGERS}}
        await cluster.client.create("/api/v1/namespaces", namespace)
        value = "x" * 4096

        async def secret(name: str) -> None:
            body = {"metadata": {"name": name}, "stringData": {"value": value}}
            await cluster.client.create(SECRETS.path(STRANGERS), body)

        async def pod(name: str) -> None:
            containers = [{"name": "main", "image": "registry.example/app:1"}]
            spec = {"schedulerName": "nobody", "containers": containers}
            await cluster.client.create(PODS.path(STRANGERS), {"metadata": {"name": name}, "spec": spec})

        await _account(cluster, STRANGERS)
        await spread((f"s-{number}" for number in range(secrets)), secret)
        await spread((f"p-{number}" for number in range(pods)), pod)
        await asyncio.sleep(_SETTLE)
        return {"secrets": secrets, "pods": pods, "before": before, "after": node.subject.memory()}


async def _account(cluster: Cluster, namespace: str) -> None:
    from vnodectl.kube.errors import NotFound
    from vnodectl.kube.resources import SERVICE_ACCOUNTS

    async with asyncio.timeout(60):
        while True:
            try:
                await cluster.client.get(SERVICE_ACCOUNTS.path(namespace, "default"))
                return
            except NotFound:
                await asyncio.sleep(0.1)


async def restart(cluster: Cluster, count: int) -> JSON:
    """An agent that is asked to end with `count` pods, and the next one until it has compared them all."""
    name = "bench-restart"
    async with agent(cluster, name, keep=True) as node:
        await populate(cluster.client, node.subject, name, count, "restart")
        await asyncio.sleep(2)
        versions = await _versions(cluster, name)
        stopped = await node.subject.stop()
    began = time.monotonic()
    await _versions(cluster, name)
    one_list = time.monotonic() - began
    since, began = time.time(), time.monotonic()
    async with agent(cluster, name) as node:
        await until_ready(cluster.client, name, node.subject, since=since)
        ready = time.monotonic() - began
        await _converged(cluster, name, count)
        converged = time.monotonic() - began
        after = await _versions(cluster, name)
        await _empty(cluster, name)
    return {
        "pods": count,
        "stop_seconds": stopped,
        "one_list_seconds": one_list,
        "node_ready_seconds": ready,
        "converged_seconds": converged,
        "pods_written_to": sum(after.get(pod) != version for pod, version in versions.items()),
    }


async def _versions(cluster: Cluster, node: str) -> dict[str, str]:
    pods, _ = await cluster.client.list(PODS.path(NAMESPACE), {"fieldSelector": f"spec.nodeName={node}"})
    return {pod["metadata"]["name"]: pod["metadata"]["resourceVersion"] for pod in pods}


async def _empty(cluster: Cluster, node: str) -> None:
    names = await _versions(cluster, node)
    await spread(names, lambda name: cluster.client.delete(PODS.path(NAMESPACE, name)))
    while await _versions(cluster, node):  # noqa: ASYNC110 - the cluster is asked
        await asyncio.sleep(0.5)


async def _converged(cluster: Cluster, name: str, count: int) -> None:
    """By the node's own metrics: every pod was compared with its group, and nothing waits for a worker."""
    server, tls = credentials(Path(cluster.kubeconfig))
    del server
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE  # the node's certificate is its own
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        node = await cluster.client.get(NODES.path(name=name))
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        while True:
            async with session.get(f"https://127.0.0.1:{port}/metrics", ssl=tls) as answer:
                values = _values(await answer.text())
            done = values['vnodectl_pod_syncs_total{result="ok"}']
            running = values['vnodectl_pods{phase="Running"}']
            if done >= count and running == count and values['workqueue_depth{name="pods"}'] == 0:
                return
            await asyncio.sleep(0.05)


def _values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)}


async def tidy(cluster: Cluster) -> None:
    """The pods that `memory` left, without waiting for a node that is gone."""
    names = await _versions(cluster, NODE)

    async def drop(name: str) -> None:
        await cluster.client.delete(PODS.path(NAMESPACE, name), grace_seconds=0)

    await spread(names, drop)
