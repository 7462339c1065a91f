"""Opening a client: in a pod by its service account, elsewhere by kubeconfig and context."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from vnodectl.errors import ClusterUnreachable, UsageError
from vnodectl.kube.client import KubeClient


async def connect(kubeconfig: str | None = None, context: str | None = None) -> KubeClient:
    """A client for the given kubeconfig and context.

    kubeconfig: a path, else `$KUBECONFIG` (may list several), else `~/.kube/config`, else, inside a
    pod, its service account. The context defaults to the file's current one. Nothing global is changed.
    Raises UsageError for a file or context that is not there or not readable as a kubeconfig.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    if not kubeconfig and not _exists(path) and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster()
    if not _exists(path):
        raise UsageError(
            f"no kubeconfig at {path}",
            hint="name one with --kubeconfig or KUBECONFIG, or name the AKS cluster with -g and -n",
        )
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config

    configuration = type.__call__(Configuration)

    async def load() -> Any:
        return await load_kube_config(
            config_file=path, context=context, client_configuration=configuration, persist_config=False
        )

    try:
        loader = await load()
        current = loader.current_context
    except ConfigException as error:
        raise UsageError(
            f"kubeconfig {path}: {error}", hint="list contexts: kubectl config get-contexts"
        ) from error
    except asyncio.CancelledError:
        raise
    except Exception as error:  # the loader raises whatever its YAML and plug-in code raises
        raise ClusterUnreachable(
            f"kubeconfig {path}: cannot get credentials: {type(error).__name__}: {error}",
            hint="log in again (az login, az aks get-credentials …) and retry",
        ) from error

    async def reauthenticate() -> None:
        await load()

    return KubeClient(
        configuration,
        context=str(current.get("name") or ""),
        namespace=str((current.get("context") or {}).get("namespace") or "default"),
        reauthenticate=reauthenticate,
    )


def _exists(path: str) -> bool:
    return any(Path(part).is_file() for part in path.split(os.pathsep) if part)


def _in_cluster() -> KubeClient:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_incluster_config

    configuration = type.__call__(Configuration)
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise ClusterUnreachable(f"this pod's service account cannot be used: {error}") from error
    namespace = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return KubeClient(
        configuration,
        context="in-cluster",
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )
