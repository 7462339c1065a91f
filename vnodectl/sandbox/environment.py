"""Environments: of the sandbox's components, and of the people who use it."""

from __future__ import annotations

import shlex
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from vnodectl.errors import UsageError
from vnodectl.sandbox.plan import (
    DEMO_ALIBABA_REGION,
    DEMO_SECURITY_GROUP,
    DEMO_VSWITCHES,
    AccessKey,
    Identity,
)
from vnodectl.sandbox.processes import RUN_VARIABLE

_FOREIGN = ("AZURE_", "ALIBABA_", "ECI_", "VNODECTL_", "KUBE", "HELM_")
_PROXY = ("no_proxy", "NO_PROXY")


def for_components(environ: Mapping[str, str], run: str) -> dict[str, str]:
    """Ours without anything that names another cluster or cloud, and with the mark of this run."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, RUN_VARIABLE: run, "PYTHONUNBUFFERED": "1"}


def without_proxy(env: Mapping[str, str], address: str) -> dict[str, str]:
    """The same, with `address` excepted from a proxy (loopback already is, for most programs)."""
    theirs = env.get("NO_PROXY") or env.get("no_proxy")
    exceptions = ",".join(filter(None, (theirs, "localhost", "127.0.0.1", address)))
    return {**env, **dict.fromkeys(_PROXY, exceptions)}


def node(
    *,
    engine: str,
    name: str,
    kubeconfig: Path,
    address: str,
    state: Path,
    scope: str,
    network: str,
    api_server: str,
) -> dict[str, str]:
    """The settings of `vnodectl agent` for a node of the sandbox; `api_server` is what its pods use."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "VNODECTL_PROVIDER": "local",
        "VNODECTL_NODE_NAME": name,
        "VNODECTL_TAINT": "false",
        "VNODECTL_NODE_IP": address,
        "VNODECTL_KUBELET_PORT": "0",  # any: the Node object says which
        "VNODECTL_API_SERVER": api_server,
        "VNODECTL_LOCAL_ENGINE": engine,
        "VNODECTL_LOCAL_SCOPE": scope,
        "VNODECTL_LOCAL_STATE_DIR": str(state),
        "VNODECTL_LOCAL_NETWORK": network,
    }


def for_azure(
    identity: Identity,
    *,
    arm: str,
    authority: str,
    graph: str,
    metrics: str,
    proxy: str,
    control: str,
    bundle: Path,
    roots: Path,
) -> dict[str, str]:
    """What points the CLI and the vendors' SDKs at the emulated Azure.

    `bundle` is the sandbox's authority alone, `roots` the system's authorities and that one. `proxy` is for
    other programs: with it as HTTPS_PROXY they reach the emulator under Azure's own host names.
    """
    return {
        "AZURE_SUBSCRIPTION_ID": identity.subscription,
        "AZURE_TENANT_ID": identity.tenant,
        "AZURE_CLIENT_ID": identity.client,
        "AZURE_CLIENT_SECRET": identity.secret,
        "AZURE_AUTHORITY_HOST": authority,
        "VNODECTL_ARM_ENDPOINT": arm,
        "VNODECTL_GRAPH_ENDPOINT": graph,
        "VNODECTL_METRICS_ENDPOINT": metrics,
        "VNODECTL_EMULATOR_CONTROL": control,
        "VNODECTL_EMULATOR_PROXY": proxy,
        **_trusting(bundle, roots),
    }


def for_alibaba(key: AccessKey, *, endpoint: str, control: str, bundle: Path, roots: Path) -> dict[str, str]:
    """What points the CLI and the vendors' SDKs at the emulated Alibaba Cloud; files as in `for_azure`."""
    return {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": key.id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": key.secret,
        "ALIBABA_CLOUD_REGION_ID": DEMO_ALIBABA_REGION,
        "ECI_VSWITCH": ",".join(DEMO_VSWITCHES),
        "ECI_SECURITY_GROUP": DEMO_SECURITY_GROUP,
        "VNODECTL_ALIBABA_ENDPOINT": endpoint,
        "VNODECTL_ALIBABA_EMULATOR_CONTROL": control,
        **_trusting(bundle, roots),
    }


def _trusting(bundle: Path, roots: Path) -> dict[str, str]:
    return {
        "VNODECTL_CA_BUNDLE": str(bundle),
        "REQUESTS_CA_BUNDLE": str(roots),
        "SSL_CERT_FILE": str(roots),
    }


def system_roots() -> bytes:
    """The PEM certificates that this machine trusts; b"" where it names no file of them."""
    paths = ssl.get_default_verify_paths()
    found = Path(paths.cafile) if paths.cafile else None
    return found.read_bytes() if found is not None and found.is_file() else b""


# --- for a shell ------------------------------------------------------------------------------------


def render(variables: Mapping[str, str], path_first: str, shell: str) -> str:
    """Lines to evaluate in `shell`: sh (bash, zsh too), fish or powershell.

    `path_first` goes before PATH; "" leaves PATH alone. Raises UsageError for another shell.
    """
    formats: dict[str, Callable[[str, str], str]] = {
        "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
        "fish": lambda name, value: f"set -gx {name} {_fish(value)};",
        "powershell": lambda name, value: f"$Env:{name} = {_powershell(value)}",
    }
    if shell not in formats:
        raise UsageError(f"no such shell: {shell}", hint=f"one of {', '.join(formats)}")
    lines = [formats[shell](name, value) for name, value in variables.items()]
    if path_first:
        lines.append(
            {
                "sh": f'export PATH={shlex.quote(path_first)}:"$PATH"',
                "fish": f"fish_add_path --global --prepend {_fish(path_first)};",
                "powershell": f'$Env:PATH = {_powershell(path_first)} + ":" + $Env:PATH',
            }[shell]
        )
    return "\n".join(lines)


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
