"""What a connector left behind in the cluster: whatever carries its labels."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vnodectl.connector.names import LOCK, Connector
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NODE_LEASE_NAMESPACE,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

ROLES = Resource("/apis/rbac.authorization.k8s.io/v1", "roles")
ROLE_BINDINGS = Resource("/apis/rbac.authorization.k8s.io/v1", "rolebindings")
WEBHOOKS = Resource(
    "/apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False
)
_INSTANCE = "app.kubernetes.io/instance"
_PART_OF = "app.kubernetes.io/part-of=vnodectl"
_WEBHOOK_PARTS = (WEBHOOKS, SERVICES)
BUDGETS = Resource("/apis/policy/v1", "poddisruptionbudgets")


async def sweep(kube: KubeClient, connector: Connector, namespace: str) -> list[str]:
    """Delete whatever carries the release's labels; what it was, e.g. `secrets/x`.

    After a `helm uninstall` that is the Secret with its credentials, or the parts of an interrupted run or
    test.
    """
    places: tuple[tuple[Resource, str | None], ...] = (
        (WEBHOOKS, None),  # first: nobody answers for it any more
        (DEPLOYMENTS, namespace),
        (SERVICES, namespace),
        (BUDGETS, namespace),
        (SECRETS, namespace),
        (CONFIG_MAPS, namespace),
        (SERVICE_ACCOUNTS, namespace),
        (PODS, namespace),
        (ROLES, namespace),
        (ROLE_BINDINGS, namespace),
        (ROLES, NODE_LEASE_NAMESPACE),
        (ROLE_BINDINGS, NODE_LEASE_NAMESPACE),
        (ROLES, "kube-system"),
        (ROLE_BINDINGS, "kube-system"),
        (CLUSTER_ROLE_BINDINGS, None),
        (CLUSTER_ROLES, None),
    )
    swept: list[str] = []
    for resource, where in places:
        try:
            found, _ = await kube.list(resource.path(where), {"labelSelector": _mine(connector.release)})
        except Forbidden:
            if resource not in _WEBHOOK_PARTS:
                raise
            continue  # who may not look at these cannot have installed a webhook either
        for one in found:
            name = one["metadata"]["name"]
            try:
                await kube.delete(resource.path(where, name), propagation="Background")
            except NotFound:
                continue
            swept.append(f"{resource.plural}/{name}")
    return swept


async def beginnings(kube: KubeClient, namespace: str) -> list[str]:
    """Releases of which perhaps nothing is there yet but what an installation makes first, and leaves where
    it is killed: the Lease that keeps others out, and the Secret with the credentials."""
    found: list[str] = []
    with suppress(Forbidden):
        leases, _ = await kube.list(LEASES.path(namespace))
        names = [str(one["metadata"]["name"]) for one in leases]
        found += [name.removesuffix(LOCK) for name in names if name.endswith(LOCK)]
    with suppress(Forbidden):
        secrets, _ = await kube.list(SECRETS.path(namespace), {"labelSelector": _PART_OF})
        found += [str(one["metadata"]["labels"].get(_INSTANCE) or "") for one in secrets]
    return found


def _mine(release: str) -> str:
    return f"{_INSTANCE}={release},{_PART_OF}"
