"""Who is which node: what a connector's own Leases and pods say.

The connector's pods share its nodes out by Leases in its namespace, labelled with the release: one per node,
`node-<node>`, held by the pod that is the node, and one per pod, `replica-<pod>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vnodectl.connector.evidence import by_release
from vnodectl.connector.names import NODES_MAX
from vnodectl.errors import TimedOut
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import LEASES, PODS

if TYPE_CHECKING:
    from vnodectl.connector.names import Connector
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

NODES_LABEL = "vnodectl.io/nodes"
"""On the connector's pods: how many nodes each may become."""

_LEASE_LABEL = "vnodectl.io/lease"
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """One node's Lease: the pod that holds it ("" for nobody), and since when."""

    holder: str
    since: datetime | None


async def shares(kube: KubeClient, connector: Connector, namespace: str) -> Mapping[str, Share]:
    """The Leases of the connector's nodes, by node. Empty where its chart knows no such Leases."""
    found = {}
    for lease in await _leases(kube, connector, namespace):
        name, spec = str(lease["metadata"]["name"]), lease.get("spec") or {}
        if name.startswith("node-"):
            since = spec.get("acquireTime")
            found[name.removeprefix("node-")] = Share(
                str(spec.get("holderIdentity") or ""), datetime.fromisoformat(since) if since else None
            )
    return found


async def drop_shares(kube: KubeClient, connector: Connector, namespace: str) -> None:
    """Delete the connector's own Leases, once none of its pods is left."""
    for lease in await _leases(kube, connector, namespace):
        with suppress(NotFound):
            await kube.delete(LEASES.path(namespace, lease["metadata"]["name"]))


async def drop_share(kube: KubeClient, node: str, namespace: str) -> None:
    """Delete the Lease of a node that is no longer the connector's."""
    with suppress(NotFound):
        await kube.delete(LEASES.path(namespace, f"node-{node}"))


async def _leases(kube: KubeClient, connector: Connector, namespace: str) -> list[JSON]:
    selector = f"vnodectl.io/connector={connector.release}"
    found, _ = await kube.list(LEASES.path(namespace), {"labelSelector": selector})
    return [lease for lease in found if _LEASE_LABEL in (lease["metadata"].get("labels") or {})]


async def pods_of(kube: KubeClient, connector: Connector, namespace: str) -> list[JSON]:
    """The connector's own pods, those on their way out among them."""
    pods, _ = await kube.list(PODS.path(namespace), {"labelSelector": by_release(connector.release)})
    return pods


def node_count(template: JSON) -> int:
    """How many nodes a pod (or a Deployment's template) may become; at most what an agent allows."""
    text = str((template["metadata"].get("labels") or {}).get(NODES_LABEL) or "1")
    return min(int(text), NODES_MAX) if text.isdigit() else 1


async def wait_relieved(kube: KubeClient, connector: Connector, namespace: str, *, timeout: float) -> None:
    """Wait until none of its pods may become more nodes than the connector has; `timeout` in seconds.

    Until then one of them could register a node that was taken away again. Raises TimedOut.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        old = [
            str(pod["metadata"]["name"])
            for pod in await pods_of(kube, connector, namespace)
            if node_count(pod) > connector.nodes
        ]
        if not old:
            return
        if loop.time() + _POLL_SECONDS > deadline:
            raise TimedOut(
                f"after {timeout:.0f} s pods from before, with more nodes, do not end: {', '.join(old)}",
                hint=f"kubectl -n {namespace} delete pod {' '.join(old)} --force, then install again",
            )
        await asyncio.sleep(_POLL_SECONDS)
