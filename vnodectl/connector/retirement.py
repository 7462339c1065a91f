"""Taking virtual nodes out of service: who would miss them, their pods, and what is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vnodectl.connector.discovery import virtual_nodes
from vnodectl.connector.drain import Say, cordon, drain, finished, full_name, in_the_way, pods_on
from vnodectl.errors import TimedOut, VnodectlError
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import LEASES, NODE_LEASE_NAMESPACE, NODES, PODS

if TYPE_CHECKING:
    from vnodectl.connector.names import Connector
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

_POLL_SECONDS = 0.5
_SHOWN = 5
_FORCE_SECONDS = 60.0
"""What pods get that are deleted by force: twice the usual grace, so that their container groups go too."""


async def registered(kube: KubeClient) -> list[str]:
    """The names of all virtual nodes, those of one connector together and by number."""
    return list(await virtual_nodes(kube))


def surplus(connector: Connector, nodes: Iterable[str]) -> list[str]:
    """Those of the nodes that are the connector's, but more than it is meant to be."""
    return [node for node in nodes if connector.owns(node) and node not in connector.node_names]


async def refuse_if_used(kube: KubeClient, nodes: Iterable[str], *, hint: str) -> None:
    """Raise VnodectlError where pods that somebody would miss are on one of the nodes."""
    for node in nodes:
        running = in_the_way(await pods_on(kube, node))
        if running:
            shown = ", ".join(full_name(pod) for pod in running[:_SHOWN])
            more = f" and {len(running) - _SHOWN} more" if len(running) > _SHOWN else ""
            raise VnodectlError(
                f"{len(running)} pod{'s' if len(running) > 1 else ''} still on node {node}: {shown}{more}",
                hint=hint,
            )


async def cordon_all(kube: KubeClient, nodes: Iterable[str]) -> None:
    """All before any is drained: a pod that leaves one of them must not land on the next."""
    for node in nodes:
        await cordon(kube, node)


async def drain_all(kube: KubeClient, nodes: Sequence[str], *, timeout: float, say: Say) -> None:
    """Evict every pod of the cordoned nodes; `timeout` in seconds for all of them. Raises TimedOut."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    for node in nodes:
        await drain(kube, node, timeout=max(1.0, deadline - loop.time()), say=say)


async def delete_pods(kube: KubeClient, nodes: Iterable[str]) -> None:
    """Delete every pod of the nodes and give their connector a while to end them. What stays, stays."""
    deadline = asyncio.get_running_loop().time() + _FORCE_SECONDS
    for node in nodes:
        for pod in await pods_on(kube, node):
            await _delete(kube, PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"]))
    for node in nodes:
        while in_the_way(await pods_on(kube, node)):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def delete_finished(kube: KubeClient, nodes: Sequence[str], *, timeout: float) -> None:
    """Finished pods go while the connector can still delete their container groups. Raises TimedOut."""
    for node in nodes:
        for pod in await pods_on(kube, node):
            if finished(pod):
                await _delete(kube, PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"]))
    deadline = asyncio.get_running_loop().time() + timeout
    for node in nodes:
        while any(finished(pod) for pod in await pods_on(kube, node)):
            if asyncio.get_running_loop().time() > deadline:
                raise TimedOut(
                    f"finished pods do not go away from node {node}",
                    hint="use --force; their container groups may then stay: remove-connector reports them",
                )
            await asyncio.sleep(_POLL_SECONDS)


async def forget(kube: KubeClient, node: str) -> None:
    """Delete the Node that nobody is any more, its Lease, and pods that nobody is left to end."""
    await _delete(kube, NODES.path(name=node))
    await _delete(kube, LEASES.path(NODE_LEASE_NAMESPACE, node))
    for pod in await pods_on(kube, node):
        await _delete(kube, PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"]), grace=0)


async def _delete(kube: KubeClient, path: str, *, grace: int | None = None) -> None:
    with suppress(NotFound):
        await kube.delete(path, grace_seconds=grace)
