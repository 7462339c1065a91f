"""The nodes that are compared: our agent, the floor, and a peer where its program is given."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import Subject, running
from vnodectl.kube.client import KubeClient
from vnodectl.kube.errors import AlreadyExists, NotFound
from vnodectl.kube.resources import LEASES, NODES

JSON = dict[str, Any]

_READY_SECONDS = 60.0
_TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cluster:
    kubeconfig: str
    client: KubeClient
    work: Path
    """For logs and state."""
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    name: str
    subject: Subject


@asynccontextmanager
async def floor(cluster: Cluster, name: str) -> AsyncIterator[Node]:
    argv = (sys.executable, "-m", "bench.floor", cluster.kubeconfig, name)
    environ = {**cluster.environment, "PYTHONPATH": str(_TESTS)}
    async with _node(cluster, name, argv, environ) as node:
        yield node


@asynccontextmanager
async def agent(cluster: Cluster, name: str, *, keep: bool = False) -> AsyncIterator[Node]:
    """Our agent: local provider, simulated engine. `keep`: its Node and state stay, for a restart."""
    argv = (sys.executable, "-m", "vnodectl", "agent", "--node-name", name, "--provider", "local")
    options = ("--node-ip", "127.0.0.1", "--kubelet-port", "0", "--node-pods", "20000")
    state = cluster.work / f"state-{name}"
    environ = {
        **cluster.environment,
        "KUBECONFIG": cluster.kubeconfig,
        "VNODECTL_LOCAL_ENGINE": "simulated",
        "VNODECTL_LOCAL_STATE_DIR": str(state),
    }
    async with _node(cluster, name, (*argv, *options), environ, keep=keep) as node:
        yield node
    if not keep:
        shutil.rmtree(state, ignore_errors=True)


@asynccontextmanager
async def kwok(cluster: Cluster, name: str, program: str, stages: str) -> AsyncIterator[Node]:
    """A peer, given as a program and the file of its stages: https://kwok.sigs.k8s.io"""
    mark = {"kwok.x-k8s.io/node": "fake"}
    with suppress(AlreadyExists):
        await cluster.client.create(NODES.path(), {"metadata": {"name": name, "annotations": mark}})
    selector = "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"
    options = ("--kubeconfig", cluster.kubeconfig, "--config", stages, "--node-lease-duration-seconds=40")
    argv = (program, selector, *options)
    async with _node(cluster, name, argv, dict(cluster.environment)) as node:
        yield node


@asynccontextmanager
async def _node(
    cluster: Cluster, name: str, argv: Sequence[str], environ: Mapping[str, str], *, keep: bool = False
) -> AsyncIterator[Node]:
    async with running(argv, {**os.environ, **environ}, cluster.work / f"{name}.log") as subject:
        await until_ready(cluster.client, name, subject, since=time.time())
        yield Node(name, subject)
    if not keep:
        for path in (NODES.path(name=name), LEASES.path("kube-node-lease", name)):
            with suppress(NotFound):
                await cluster.client.delete(path)


async def until_ready(client: KubeClient, name: str, subject: Subject, *, since: float) -> float:
    """Seconds until the node is Ready and its Lease was renewed since then (seconds since the epoch)."""
    from datetime import datetime

    began = time.monotonic()
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            subject.check()
            try:
                node = await client.get(NODES.path(name=name))
                lease = await client.get(LEASES.path("kube-node-lease", name))
            except NotFound:
                await asyncio.sleep(0.1)
                continue
            conditions = {one["type"]: one["status"] for one in node["status"].get("conditions") or ()}
            renewed = (lease["spec"].get("renewTime") or "1970-01-01T00:00:00Z").replace("Z", "+00:00")
            if conditions.get("Ready") == "True" and datetime.fromisoformat(renewed).timestamp() >= since - 1:
                return time.monotonic() - began
            await asyncio.sleep(0.1)
