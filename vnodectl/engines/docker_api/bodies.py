"""What is sent to create containers, networks and volumes (Docker Engine API 1.41). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vnodectl.engines.api import ContainerSpec, GroupSpec, Mount, VolumeSpec
from vnodectl.engines.docker_api.pause import PAUSE_IMAGE

JSON = dict[str, Any]

SCOPE = "io.vnodectl.scope"
GROUP = "io.vnodectl.group"
CONTAINER = "io.vnodectl.container"
ATTEMPT = "io.vnodectl.attempt"
ROLE = "io.vnodectl.role"
STDIN_ONCE = "io.vnodectl.stdin-once"
LAST_WORDS = "io.vnodectl.last-words"
LOG_SPEAKS = "io.vnodectl.log-speaks"
INFRA, APP, HOLD = "infra", "app", "hold"

HOSTS = "/etc/hosts"
NOBODY = "65534:65534"
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Flavor:
    """What differs between engines: podman or docker, limits to set (podman only), whether SELinux labels."""

    podman: bool
    ulimits: tuple[JSON, ...] = ()
    selinux: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container goes: its group's infra container, its IP, the paths behind its mounts.

    `hosts` is the file that becomes /etc/hosts; "" leaves it to the engine. `last_words` is the one that
    becomes the container's own, if it has one.
    """

    infra: str
    ip: str
    sources: Mapping[Mount, str]
    hosts: str = ""
    last_words: str = ""


def container_name(scope: str, *parts: str) -> str:
    """Unique on the machine; `_` is in no scope or group name, so that parts never run together."""
    return "_".join((scope, *parts))


def volume_name(scope: str, group: str, volume: str) -> str:
    return "_".join((scope, group, volume))


def infra_body(scope: str, spec: GroupSpec, network: str, flavor: Flavor) -> JSON:
    """The process that holds the group's network, host name, /etc/hosts, resolv.conf and volumes in RAM."""
    mounts = [
        volume_mount(scope, spec, Mount(name, f"/volumes/{name}"))
        for name, volume in spec.volumes.items()
        if in_memory(volume)
    ]
    host = network == "host"
    body: JSON = _base(flavor)
    body |= {
        "Image": PAUSE_IMAGE,
        "User": NOBODY,
        "Labels": {SCOPE: scope, GROUP: spec.name, ROLE: INFRA},
    }
    body["HostConfig"] |= {
        "NetworkMode": network,
        "IpcMode": "shareable",
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "Mounts": mounts,
        "ExtraHosts": [f"{name}:{ip}" for ip, name in spec.hosts] if host else [],
        "Dns": list(spec.dns_servers),
        "DnsSearch": list(spec.dns_search),
        "DnsOptions": list(spec.dns_options),
    }
    body["HostConfig"]["SecurityOpt"].append("no-new-privileges")
    if spec.hostname and not host:
        body["Hostname"] = spec.hostname
    return body


def hold_body(network: str, labels: Mapping[str, str], flavor: Flavor) -> JSON:
    """The process that only keeps a bridge up."""
    body: JSON = _base(flavor) | {"Image": PAUSE_IMAGE, "User": NOBODY, "Labels": dict(labels)}
    body["HostConfig"] |= {
        "NetworkMode": network,
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
    }
    return body


def container_body(
    scope: str,
    spec: GroupSpec,
    container: ContainerSpec,
    number: int,
    place: Place,
    flavor: Flavor,
) -> JSON:
    """One attempt."""
    env = dict(container.env) | dict.fromkeys(container.address_env, place.ip)
    body: JSON = _base(flavor)
    body |= {
        "Image": container.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Tty": container.tty,
        "OpenStdin": container.stdin,
        "StdinOnce": container.stdin_once,
        "Labels": {
            SCOPE: scope,
            GROUP: spec.name,
            ROLE: APP,
            CONTAINER: container.name,
            ATTEMPT: str(number),
            STDIN_ONCE: str(container.stdin_once).lower(),
        },
    }
    if container.command is not None:
        body["Entrypoint"] = list(container.command)
    if container.args is not None:
        body["Cmd"] = list(container.args)
    if container.working_dir:
        body["WorkingDir"] = container.working_dir
    if container.user is not None:
        body["User"] = container.user
    config = body["HostConfig"]
    config |= {
        "NetworkMode": f"container:{place.infra}",
        "IpcMode": f"container:{place.infra}",
        "LogConfig": {"Type": "k8s-file" if flavor.podman else "json-file"},
        "ReadonlyRootfs": container.read_only_root,
        "GroupAdd": [str(group) for group in container.groups],
        "CapDrop": ["ALL"] if container.drop_all_capabilities else list(container.drop_capabilities),
        "CapAdd": list(container.add_capabilities),
        "Mounts": [
            volume_mount(scope, spec, mount)
            if in_memory(spec.volumes[mount.volume])
            else bind_mount(place.sources[mount], mount)
            for mount in container.mounts
        ],
    }
    if place.hosts and all(mount.path != HOSTS for mount in container.mounts):
        config["Mounts"].append(bind_mount(place.hosts, Mount("", HOSTS)))
    if container.log_speaks:
        body["Labels"][LOG_SPEAKS] = "true"
    if place.last_words:
        body["Labels"][LAST_WORDS] = place.last_words
        config["Mounts"].append(bind_mount(place.last_words, Mount("", container.last_words)))
    if flavor.podman:
        # docker shares the host name with the network; podman does not by itself.
        config["UTSMode"] = f"container:{place.infra}"
    if container.no_new_privileges:
        config["SecurityOpt"].append("no-new-privileges")
    if container.cpu is not None:
        config["NanoCpus"] = int(container.cpu * 1_000_000_000)
    if container.memory is not None:
        config["Memory"] = config["MemorySwap"] = container.memory
    return body


def hosts_file(spec: GroupSpec, ip: str) -> str:
    """/etc/hosts as the kubelet writes it: podman would copy this machine's own."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{ip}\t{spec.hostname or spec.name}"]
    lines += [f"{address}\t{name}" for address, name in spec.hosts]
    return "\n".join(lines) + "\n"


def filters(labels: Mapping[str, list[str]]) -> str:
    return json.dumps(labels)


def in_memory(volume: VolumeSpec) -> bool:
    return volume.memory and not volume.files and volume.host_path is None


def memory_volume_body(scope: str, group: str, name: str, volume: VolumeSpec) -> JSON:
    """A tmpfs. Its size is given in blocks: podman takes `size` for a disk quota and refuses it."""
    options = ["nosuid", "nodev", "mode=1777" if volume.group is None else f"mode=3777,gid={volume.group}"]
    if volume.size_limit is not None:
        options.append(f"nr_blocks={max(1, -(-volume.size_limit // PAGE))}")
    return {
        "Name": volume_name(scope, group, name),
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": ",".join(options)},
        "Labels": {SCOPE: scope, GROUP: group},
    }


def volume_mount(scope: str, spec: GroupSpec, mount: Mount) -> JSON:
    return {
        "Type": "volume",
        "Source": volume_name(scope, spec.name, mount.volume),
        "Target": mount.path,
        "ReadOnly": mount.read_only,
    }


def bind_mount(source: str, mount: Mount) -> JSON:
    return {"Type": "bind", "Source": source, "Target": mount.path, "ReadOnly": mount.read_only}


def _base(flavor: Flavor) -> JSON:
    config: JSON = {"SecurityOpt": []}
    if flavor.podman and flavor.ulimits:
        config["Ulimits"] = list(flavor.ulimits)
    if flavor.selinux:
        # The volumes carry the labels of the user's own files, which containers may not read.
        config["SecurityOpt"].append("label=disable")
    return {"HostConfig": config}
