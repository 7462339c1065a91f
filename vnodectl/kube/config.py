"""Opening a client: in a pod by its service account, elsewhere by kubeconfig and context."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from vnodectl.errors import ClusterUnreachable, UsageError
from vnodectl.kube.client import KubeClient
from vnodectl.settings import expanded

SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
SERVICE_ACCOUNT_VARIABLE = "VNODECTL_SERVICE_ACCOUNT_DIR"


async def connect(kubeconfig: str | None = None, context: str | None = None) -> KubeClient:
    """A client for the given kubeconfig and context.

    kubeconfig: a path, else `$KUBECONFIG` (may list several), else `~/.kube/config`, else, inside a
    pod, its service account. The context defaults to the file's current one. Nothing global is changed.
    Raises UsageError for a file or context that is not there or not readable as a kubeconfig, and
    ClusterUnreachable where its credential plug-in gives nothing.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG") or str(expanded("~/.kube/config"))
    if not kubeconfig and not _exists(path) and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster()
    if not _exists(path):
        raise UsageError(
            f"no kubeconfig at {path}",
            hint="give --kubeconfig or KUBECONFIG, or name the cluster (AKS: -g and -n; ACK: --cluster-id)",
        )
    from kubernetes.aio.client import Configuration

    configuration = type.__call__(Configuration)
    loader = await _load(path, context, configuration)
    current = loader.current_context

    async def reauthenticate() -> None:
        await _load(path, context, configuration)

    return KubeClient(
        configuration,
        context=str(current.get("name") or ""),
        namespace=str((current.get("context") or {}).get("namespace") or "default"),
        reauthenticate=reauthenticate,
    )


async def _load(path: str, context: str | None, configuration: Any) -> Any:
    """Fill `configuration` from the file(s). What the loader says is cut down: it quotes whole entries."""
    import yaml
    from kubernetes.aio.config import ConfigException, load_kube_config

    try:
        loader = await load_kube_config(
            config_file=path, context=context, client_configuration=configuration, persist_config=False
        )
    except ConfigException as error:
        raise UsageError(
            f"kubeconfig {path}: {_cause(str(error))}",
            hint="list contexts: kubectl config get-contexts",
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"kubeconfig {path} is not valid YAML{where}", hint="kubectl config view") from None
    except OSError as error:
        raise UsageError(f"kubeconfig {path} cannot be read: {error.strerror}") from None
    except Exception as error:  # the loader raises whatever its parsing and plug-in code raises
        raise UsageError(
            f"kubeconfig {path} cannot be used ({type(error).__name__})", hint="kubectl config view"
        ) from None
    user = getattr(loader, "_user", None)
    given = configuration.api_key or configuration.cert_file
    if user is not None and "exec" in user and not given:
        # The loader only logs that the plug-in failed, with the plug-in's own words.
        plugin = user["exec"].safe_get("command")
        raise ClusterUnreachable(
            f"kubeconfig {path}: the credential plug-in {plugin} gave no credentials",
            hint="log in again (az login, aliyun configure …), renew the kubeconfig, and retry",
        )
    return loader


def _cause(text: str) -> str:
    """What the loader says, without the entries of the file that it quotes."""
    missing = re.search(r"Expected object with name (.*) in .*/(context|cluster|user)s list", text, re.DOTALL)
    if missing:
        return f"there is no {missing[2]} {missing[1]!r}"
    return re.sub(r"\{.*\}", "…", text, flags=re.DOTALL)


def _exists(path: str) -> bool:
    parts = [expanded(part) for part in path.split(os.pathsep) if part]
    return any(part.exists() and not part.is_dir() for part in parts)  # a pipe will do: <(sops -d config)


def _in_cluster() -> KubeClient:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    configuration = type.__call__(Configuration)
    # The process engine gives pods no root file system of their own, so it says where the files are.
    directory = Path(os.environ.get(SERVICE_ACCOUNT_VARIABLE) or SERVICE_ACCOUNT_DIR)
    try:
        InClusterConfigLoader(str(directory / "token"), str(directory / "ca.crt")).load_and_set(configuration)
    except ConfigException as error:
        raise ClusterUnreachable(f"this pod's service account cannot be used: {error}") from error
    namespace = directory / "namespace"
    return KubeClient(
        configuration,
        context="in-cluster",
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )
