"""The cluster to work on: one that a cloud knows by name, or a context of a kubeconfig."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vnodectl.connector.clouds import cloud_of
from vnodectl.connector.clouds.facts import Facts
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.resources import NAMESPACES

if TYPE_CHECKING:
    from vnodectl.connector.clouds import Account
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with a session open. `kubeconfig` and `context` are for subprocesses.

    `kubeconfig` is None where the usual places hold it (KUBECONFIG, ~/.kube/config, a pod's account).
    `described` is how its cloud describes it, where it was named.
    """

    kube: KubeClient
    kubeconfig: str | None
    context: str | None
    described: JSON | None = None


@asynccontextmanager
async def open_cluster(settings: Settings, account: Account | None) -> AsyncIterator[Cluster]:
    """The cluster that the settings name.

    Of one that the cloud knows (-g and -n, --cluster-id) the credentials come from there, into a file that
    only this user can read and that is gone afterwards; --kubeconfig or --context besides says to use those
    credentials instead. The ambient kubeconfig is never written. UsageError for a cluster that does not
    exist.
    """
    from vnodectl.kube.config import connect

    kubeconfig = settings.kubeconfig
    described: JSON | None = None
    async with AsyncExitStack() as stack:
        if cloud_of(settings).names_cluster(settings):
            who = _needed(account, settings)
            described = await who.cluster(settings)
            if not kubeconfig and not settings.context:
                kubeconfig = _private_file(stack, await who.kubeconfig(settings))
        kube = await stack.enter_async_context(await connect(kubeconfig, settings.context))
        context = None if kube.context == "in-cluster" else kube.context
        yield Cluster(kube, kubeconfig, context, described)


def _needed(account: Account | None, settings: Settings) -> Account:
    if account is not None:
        return account
    if cloud_of(settings).name == "alibaba":
        raise UsageError(
            "--cluster-id names an ACK cluster, but nobody is signed in to Alibaba Cloud",
            hint="set ALIBABA_CLOUD_ACCESS_KEY_ID and …_SECRET, or run: aliyun configure",
        )
    raise UsageError(
        "-g and -n name an AKS cluster, but nobody is signed in to Azure",
        hint="az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    )


def _private_file(stack: AsyncExitStack, content: bytes) -> str:
    """A file only for this user, deleted with the stack."""
    home = stack.enter_context(tempfile.TemporaryDirectory(prefix="vnodectl-"))
    path = Path(home, "kubeconfig")
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


async def look_up(settings: Settings, cluster: Cluster, account: Account | None) -> Facts:
    """What the plan needs to know of cloud and cluster. UsageError for a place that does not exist."""
    facts = Facts() if account is None else await account.facts(settings, cluster.described)
    return replace(
        facts,
        api_server=public_server(cluster.kube.server),
        ca_bundle=_read_bundle(settings.ca_bundle),
        cluster_uid=await cluster_uid(cluster.kube),
    )


async def cluster_uid(kube: KubeClient) -> str:
    """The UID of the namespace kube-system, which no other cluster has; "" for who may not read it."""
    try:
        return str((await kube.get(NAMESPACES.path(name="kube-system")))["metadata"].get("uid") or "")
    except (Forbidden, NotFound):
        return ""


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
        cause = error.strerror if isinstance(error, OSError) else "not PEM text"
        raise UsageError(f"CA bundle {path}: {cause}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"CA bundle {path} holds no PEM certificate")
    return text
