"""From a validated container group to what an engine runs. Pure."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import (
    ContainerSpec,
    FileContent,
    GroupSpec,
    Mount,
    Probe,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
    VolumeSpec,
)

GIB = 1024**3
CONFIG_MAPS = "/mnt/configmap"
"""Where the files of a container's config map are, below its name."""


def engine_name(subscription: str, group: str, name: str) -> str:
    """Deterministic, at most 63 of [a-z0-9-]: the group's name and a hash of its resource id."""
    identity = f"{subscription}/{group}/{name}".casefold()
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{name[:50].rstrip('-')}-{digest}"


def translate(
    name: str, properties: JSON, *, shares: Path, labels: dict[str, str], grace: float
) -> GroupSpec:
    """`shares` is the directory that stands for Azure Files: <account>/<share> in it.

    A gitRepo volume is an empty directory: the emulator reaches no network.
    """
    dns = properties.get("dnsConfig") or {}
    address = properties.get("ipAddress") or {}
    return GroupSpec(
        name=name,
        containers=tuple(_container(entry) for entry in properties["containers"]),
        init_containers=tuple(_container(entry) for entry in properties.get("initContainers") or ()),
        restart_policy=RestartPolicy(properties.get("restartPolicy") or "Always"),
        labels=labels,
        volumes={entry["name"]: _volume(entry, shares) for entry in properties.get("volumes") or ()}
        | {
            _config_volume(entry): VolumeSpec(
                files=tuple(FileContent(key, value.encode()) for key, value in _config_map(entry).items())
            )
            for entry in properties["containers"]
            if _config_map(entry)
        },
        registry_auth=tuple(
            RegistryAuth(entry["server"], entry["username"], entry.get("password") or "")
            for entry in properties.get("imageRegistryCredentials") or ()
            if entry.get("username")
        ),
        hostname=f"SandboxHost-{name[-12:]}",
        dns_servers=tuple(dns.get("nameServers") or ()),
        dns_search=tuple((dns.get("searchDomains") or "").split()),
        dns_options=tuple((dns.get("options") or "").split()),
        ports=tuple(int(port["port"]) for port in address.get("ports") or ()),
        termination_grace=grace,
    )


def share_paths(properties: JSON, shares: Path) -> list[Path]:
    """The directories of the group's Azure Files shares, which must exist before it starts."""
    return [
        Path(path)
        for entry in properties.get("volumes") or ()
        if (path := _volume(entry, shares).host_path) is not None
    ]


def _container(entry: JSON) -> ContainerSpec:
    properties = entry["properties"]
    command = properties.get("command")
    resources = properties.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    cpu = limits.get("cpu") or requests.get("cpu")
    memory = limits.get("memoryInGB") or requests.get("memoryInGB")
    security = properties.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    dropped = [name.upper() for name in capabilities.get("drop") or ()]
    return ContainerSpec(
        name=entry["name"],
        image=properties["image"],
        # ACI's command stands for entrypoint and arguments together.
        command=tuple(command) if command else None,
        args=() if command else None,
        env={
            variable["name"]: variable.get("secureValue") or variable.get("value") or ""
            for variable in properties.get("environmentVariables") or ()
        },
        user=_user(security),
        mounts=(
            *(
                Mount(mount["name"], mount["mountPath"], read_only=bool(mount.get("readOnly")))
                for mount in properties.get("volumeMounts") or ()
            ),
            *(
                (Mount(_config_volume(entry), f"{CONFIG_MAPS}/{entry['name']}", read_only=True),)
                if _config_map(entry)
                else ()
            ),
        ),
        cpu=float(cpu) if cpu else None,
        memory=int(float(memory) * GIB) if memory else None,
        drop_all_capabilities="ALL" in dropped,
        add_capabilities=tuple(capabilities.get("add") or ()),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        pull_policy=PullPolicy.IF_NOT_PRESENT,
        liveness=_probe(properties.get("livenessProbe")),
        readiness=_probe(properties.get("readinessProbe")),
    )


def _config_map(entry: JSON) -> dict[str, str]:
    return dict((entry["properties"].get("configMap") or {}).get("keyValuePairs") or {})


def _config_volume(entry: JSON) -> str:
    # No volume of a request can have a name with a dot.
    return f"configmap.{entry['name']}"


def _user(security: JSON) -> str | None:
    user, group = security.get("runAsUser"), security.get("runAsGroup")
    if user is None:
        return None
    return f"{user}:{group}" if group is not None else str(user)


def _probe(entry: Any) -> Probe | None:
    """ACI's defaults are those of Kubernetes."""
    if not entry:
        return None
    check = entry.get("httpGet") or {}
    return Probe(
        command=tuple((entry.get("exec") or {}).get("command") or ()),
        http_path=(check.get("path") or "/") if check else None,
        http_scheme=str(check.get("scheme") or "http").casefold(),
        http_headers=tuple((one["name"], one.get("value") or "") for one in _headers(check)),
        port=int(check["port"]) if check else None,
        initial_delay=entry.get("initialDelaySeconds") or 0,
        period=entry.get("periodSeconds") or 10,
        timeout=entry.get("timeoutSeconds") or 1,
        failure_threshold=entry.get("failureThreshold") or 3,
        success_threshold=entry.get("successThreshold") or 1,
    )


def _headers(check: JSON) -> list[JSON]:
    headers = check.get("httpHeaders") or []
    return headers if isinstance(headers, list) else [headers]


def _volume(entry: JSON, shares: Path) -> VolumeSpec:
    if secret := entry.get("secret"):
        files = (FileContent(file, base64.b64decode(content)) for file, content in secret.items())
        return VolumeSpec(files=tuple(files))
    if share := entry.get("azureFile"):
        return VolumeSpec(host_path=str(shares / share["storageAccountName"] / share["shareName"]))
    return VolumeSpec()
