"""The namespace of connectors: made where there is none, and taken away again when nothing else is in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vnodectl.errors import TimedOut
from vnodectl.kube.errors import AlreadyExists, Forbidden, NotFound
from vnodectl.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "vnodectl"
POLL_SECONDS = 0.5

_OCCUPANTS = (
    PODS,
    DEPLOYMENTS,
    SECRETS,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    SERVICES,
    LEASES,  # somebody is at work here, or was
    Resource("/api/v1", "persistentvolumeclaims"),
    Resource("/apis/rbac.authorization.k8s.io/v1", "roles"),
    Resource("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
)
_DEFAULTS = frozenset({("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")})
"""What Kubernetes puts into each namespace itself."""


def given(name: str) -> bool:
    """Whether every cluster has the namespace: it is not ours to make or to describe."""
    return name == "default" or name.startswith("kube-")


def namespace_manifest(name: str) -> JSON:
    """A namespace that admits only pods of the restricted profile, which the connector's are."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                MANAGED_BY: MANAGER,
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    }


async def ensure(kube: KubeClient, name: str, *, timeout: float) -> bool:
    """True where the namespace was made now. One that is being deleted is waited for first.

    Whoever may not read namespaces is taken to have one that exists. `timeout` in seconds; TimedOut.
    """
    await ended(kube, name, timeout=timeout)
    try:
        await kube.get(NAMESPACES.path(name=name))
    except NotFound:
        with suppress(AlreadyExists):
            await kube.create(NAMESPACES.path(), namespace_manifest(name))
            return True
    except Forbidden:
        pass
    return False


async def ended(kube: KubeClient, name: str, *, timeout: float, interval: float = POLL_SECONDS) -> None:
    """Return once the namespace is not being deleted (any more); `timeout` in seconds. Raises TimedOut."""
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            namespace = await kube.get(NAMESPACES.path(name=name))
        except (NotFound, Forbidden):
            return
        if not namespace["metadata"].get("deletionTimestamp"):
            return
        if asyncio.get_running_loop().time() + interval > deadline:
            raise TimedOut(
                f"after {timeout:.0f} s namespace {name} is still being deleted",
                hint=f"see what holds it: kubectl get namespace {name} -o jsonpath={{.status.conditions}}",
            )
        await asyncio.sleep(interval)


async def drop(kube: KubeClient, name: str) -> bool:
    """Delete the namespace if install made it and nothing but Kubernetes' own defaults is in it."""
    try:
        namespace = await kube.get(NAMESPACES.path(name=name))
    except (NotFound, Forbidden):
        return False
    meta = namespace["metadata"]
    if (meta.get("labels") or {}).get(MANAGED_BY) != MANAGER or meta.get("deletionTimestamp"):
        return False
    try:
        for kind in _OCCUPANTS:
            found, _ = await kube.list(kind.path(name))
            if any(not _default(kind, one) for one in found):
                return False
        await kube.delete(NAMESPACES.path(name=name), uid=meta["uid"])
    except Forbidden:
        return False
    return True


def _default(kind: Resource, item: JSON) -> bool:
    """What nobody would miss: Kubernetes' own, and what is on its way out."""
    meta = item["metadata"]
    return bool(meta.get("deletionTimestamp")) or (kind.plural, meta["name"]) in _DEFAULTS
