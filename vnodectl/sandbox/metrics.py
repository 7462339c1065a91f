"""metrics-server beside the control plane, behind the API server as anywhere: `kubectl top`, autoscaling."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnodectl.kube.resources import SERVICES, Resource
from vnodectl.sandbox.components import LOOPBACK, Command

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient
    from vnodectl.sandbox.pki import Pair

JSON = dict[str, Any]

NAMESPACE, SERVICE = "kube-system", "metrics-server"

_ENDPOINTS = Resource("/api/v1", "endpoints")
_API_SERVICES = Resource("/apis/apiregistration.k8s.io/v1", "apiservices", namespaced=False)
_GROUP, _VERSION = "metrics.k8s.io", "v1beta1"


def command(program: str, serving: Pair, kubeconfig: Path, address: str, port: int) -> Command:
    return Command(
        "metrics-server",
        (
            program,
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={address}",
            f"--secure-port={port}",
            "--permit-port-sharing=true",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            "--kubelet-insecure-tls",  # a node's certificate is its own where nobody signs another
            "--kubelet-request-timeout=9s",
            "--metric-resolution=10s",  # the least that it takes, and more than the time of a request
        ),
        endpoint=f"https://{address}:{port}",
    )


async def register(client: KubeClient, address: str, port: int, authority: Path) -> None:
    """Tell the API server where it is. No pod serves here, so the Service says it: with endpoints or, as
    those may not hold a loopback address, as another name of this machine (see `components.api_server`).
    """
    service: JSON = {"ports": [{"port": port}]}
    if address == LOOPBACK:
        service |= {"type": "ExternalName", "externalName": "localhost"}
    await client.create(SERVICES.path(NAMESPACE), {"metadata": {"name": SERVICE}, "spec": service})
    if address != LOOPBACK:
        subset = {"addresses": [{"ip": address}], "ports": [{"port": port}]}
        await client.create(_ENDPOINTS.path(NAMESPACE), {"metadata": {"name": SERVICE}, "subsets": [subset]})
    spec: JSON = {
        "group": _GROUP,
        "version": _VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": NAMESPACE, "name": SERVICE, "port": port},
        "caBundle": base64.b64encode(authority.read_bytes()).decode(),
    }
    await client.create(_API_SERVICES.path(), {"metadata": {"name": f"{_VERSION}.{_GROUP}"}, "spec": spec})
