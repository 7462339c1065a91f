"""The cluster to work on: an AKS cluster by name, or a context of a kubeconfig."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vnodectl.connector.plan import AksCluster, Facts, aks_cluster
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

_SUBSCRIPTIONS_API = "2022-12-01"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with a session open. `kubeconfig` and `context` are for subprocesses.

    `kubeconfig` is None where the usual places hold it (KUBECONFIG, ~/.kube/config, a pod's account).
    `aks` is the managed cluster's ARM JSON, where it was named.
    """

    kube: KubeClient
    kubeconfig: str | None
    context: str | None
    aks: JSON | None = None


@asynccontextmanager
async def open_cluster(settings: Settings, azure: AzureSession | None) -> AsyncIterator[Cluster]:
    """The cluster that the settings name.

    With -g and -n its credentials come from AKS, into a file that only this user can read and that is
    gone afterwards; --kubeconfig or --context besides says to use those credentials instead. The ambient
    kubeconfig is never written. UsageError for a cluster that does not exist.
    """
    from vnodectl.kube.config import connect

    kubeconfig, wanted = settings.kubeconfig, aks_cluster(settings)
    aks: JSON | None = None
    async with AsyncExitStack() as stack:
        if wanted is not None:
            session = _needed(azure)
            aks = await _managed_cluster(session, wanted)
            if not kubeconfig and not settings.context:
                credentials = await session.aks_kubeconfig(wanted.resource_group, wanted.name)
                kubeconfig = _private_file(stack, credentials)
        kube = await stack.enter_async_context(await connect(kubeconfig, settings.context))
        context = None if kube.context == "in-cluster" else kube.context
        yield Cluster(kube, kubeconfig, context, aks)


def _needed(azure: AzureSession | None) -> AzureSession:
    if azure is None:
        raise UsageError(
            "-g and -n name an AKS cluster, but nobody is signed in to Azure",
            hint="az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
        )
    return azure


async def _managed_cluster(azure: AzureSession, wanted: AksCluster) -> JSON:
    from vnodectl.clouds.azure import AzureNotFound

    try:
        return await azure.aks_cluster(wanted.resource_group, wanted.name)
    except AzureNotFound as error:
        raise UsageError(
            f"no AKS cluster {wanted.name!r} in resource group {wanted.resource_group!r}: {error.message}",
            hint="list clusters: az aks list --query '[].[resourceGroup,name]' -o tsv",
        ) from error


def _private_file(stack: AsyncExitStack, content: bytes) -> str:
    """A file only for this user, deleted with the stack."""
    home = stack.enter_context(tempfile.TemporaryDirectory(prefix="vnodectl-"))
    path = Path(home, "kubeconfig")
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


async def look_up(settings: Settings, cluster: Cluster, azure: AzureSession | None) -> Facts:
    """What the plan needs to know of cloud and cluster. UsageError for an unknown resource group."""
    properties = (cluster.aks or {}).get("properties") or {}
    node_group = properties.get("nodeResourceGroup")
    group = settings.aci_resource_group or node_group
    location: str | None = None
    regions: frozenset[str] | None = None
    tenant: str | None = None
    if azure is not None:
        location = await _location(azure, group) if group else None
        regions = frozenset(await azure.locations())
        if not settings.tenant:
            subscription = await azure.arm("GET", azure.subscription, _SUBSCRIPTIONS_API)
            tenant = subscription.get("tenantId")
    return Facts(
        node_resource_group=node_group,
        resource_group_location=location,
        regions=regions,
        tenant=tenant,
        api_server=public_server(cluster.kube.server),
        ca_bundle=_read_bundle(settings.ca_bundle),
    )


async def _location(azure: AzureSession, group: str) -> str:
    from vnodectl.clouds.azure import AzureNotFound

    try:
        return str((await azure.resource_group(group)).get("location") or "")
    except AzureNotFound as error:
        raise UsageError(
            f"no resource group {group!r}: {error.message}",
            hint=f"create it: az group create -n {group} -l <region>",
        ) from error


def public_server(url: str) -> str | None:
    """The API server's URL if pods elsewhere may reach it; None for a loopback address (tunnel, proxy)."""
    host = urlsplit(url).hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost" or host.endswith(".localhost")
    return None if loopback or not url.startswith("https://") else url


def _read_bundle(path: str | None) -> str | None:
    if not path:
        return None
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"CA bundle {path}: {error}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"CA bundle {path} holds no PEM certificate")
    return text
