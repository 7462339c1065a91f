"""Standing on somebody else's cluster: what must hold there before, and what is taken away after."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vnodectl.errors import ClusterUnreachable, UsageError
from vnodectl.sandbox.programs import run

_KUBERNETES_SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector="
    "kubernetes.io%2Fservice-name%3Dkubernetes"
)
_TIMEOUT = 10.0


async def api_server_for_pods(kubeconfig: Path, node_names: Sequence[str]) -> str:
    """The URL at which containers reach the cluster's API server.

    A kubeconfig often names a port on loopback (kind, k3d), which means another machine inside of a
    container; the address that the cluster publishes as its `kubernetes` Service does not. Raises
    UsageError where a node that is to be made is there already, ClusterUnreachable without an answer.
    """
    from vnodectl.kube.config import connect
    from vnodectl.kube.resources import NODES

    async with await connect(str(kubeconfig)) as client:
        nodes, _ = await client.list(NODES.path(), timeout=_TIMEOUT)
        taken = {node["metadata"]["name"] for node in nodes} & set(node_names)
        if taken:
            raise UsageError(
                f"the cluster has a node {', '.join(sorted(taken))} already",
                hint="another sandbox stands on this cluster: take that down first",
            )
        if not _is_loopback(client.server):
            return client.server
        slices = await client.get(_KUBERNETES_SLICES, timeout=_TIMEOUT)
    return published(slices) or client.server


async def remove_nodes(kubeconfig: Path, names: Sequence[str]) -> None:
    """Delete our nodes and their pods, which run no more. A cluster that is gone has none any more."""
    from vnodectl.kube.config import connect
    from vnodectl.kube.errors import Conflict, NotFound
    from vnodectl.kube.resources import NODES, PODS

    with suppress(ClusterUnreachable, UsageError):
        async with await connect(str(kubeconfig)) as client:
            for name in names:
                # The node first, or a controller's next pod would come here again.
                with suppress(NotFound):
                    await client.delete(NODES.path(name=name), timeout=_TIMEOUT)
                pods, _ = await client.list(PODS.path(), {"fieldSelector": f"spec.nodeName={name}"})
                for pod in pods:
                    meta = pod["metadata"]
                    path = PODS.path(meta["namespace"], meta["name"])
                    with suppress(NotFound, Conflict):
                        await client.delete(path, uid=meta["uid"], grace_seconds=0, timeout=_TIMEOUT)


def published(slices: dict[str, Any]) -> str:
    """The first https endpoint of EndpointSlices as a URL; "" if there is none."""
    for entry in slices.get("items") or ():
        ports = [port["port"] for port in entry.get("ports") or () if port.get("name") == "https"]
        for endpoint in entry.get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                if ports:
                    return f"https://{f'[{address}]' if ':' in address else address}:{ports[0]}"
    return ""


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


async def network_around(engine: str, url: str) -> str:
    """The engine's bridge network that the host of `url` is in, "" if none.

    kind, k3d and minikube run their API server as a container: only on its own network can nodes and API
    server reach each other, as engines keep networks apart.
    """
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return ""
    names = (await run([engine, "network", "ls", "--format", "{{.Name}}"])).output.split()
    shown = (await run([engine, "network", "inspect", *names])).output if names else "[]"
    return containing(json.loads(shown), address)


def containing(
    networks: Sequence[dict[str, Any]], address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> str:
    """The name of the network with a subnet around `address`, in podman's or docker's own words."""
    for network in networks:
        podman = [entry.get("subnet") for entry in network.get("subnets") or ()]
        docker = [entry.get("Subnet") for entry in (network.get("IPAM") or {}).get("Config") or ()]
        for subnet in filter(None, [*podman, *docker]):
            if address in ipaddress.ip_network(subnet, strict=False):
                return str(network.get("name") or network.get("Name") or "")
    return ""
