"""Volumes and mounts of a pod. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vnodectl.engines.api import FileContent, Mount, VolumeSpec
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EmptyDir, External, Files, Rejected, ResolvedPod, Volume


def volumes(pod: ResolvedPod, *, group: int | None, host_paths: bool) -> dict[str, VolumeSpec]:
    """All volumes by name; `group` is the pod's fsGroup. As in a kubelet, what nobody mounts is no matter."""
    found = {}
    for index, source in enumerate(pod.spec.get("volumes") or ()):
        name = source["name"]
        if name not in pod.volumes:
            continue
        found[name] = _volume(pod.volumes[name], group, host_paths, f"spec.volumes[{index}]")
    return found


def contents(volume: Files) -> tuple[FileContent, ...]:
    return tuple(FileContent(file.path, file.content, file.mode) for file in volume.files)


def mounts(pod: ResolvedPod, container: JSON, values: Mapping[str, str], path: str) -> tuple[Mount, ...]:
    """`values` are the container's variables, for subPathExpr."""
    found = []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        if mount.get("mountPropagation") == "Bidirectional":
            raise Rejected(
                "UnsupportedMount", "mounts do not propagate to this node", field=f"{where}.mountPropagation"
            )
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", values)
        volume = pod.volumes.get(mount["name"])
        if sub_path and isinstance(volume, EmptyDir) and volume.medium == "Memory":
            raise Rejected(
                "UnsupportedMount", "a volume in memory is mounted as a whole", field=f"{where}.subPath"
            )
        # Files are written by the node alone, whatever the mount says.
        read_only = bool(mount.get("readOnly")) or isinstance(volume, Files)
        found.append(Mount(mount["name"], mount["mountPath"], read_only, sub_path))
    return tuple(found)


def _volume(volume: Volume, group: int | None, host_paths: bool, path: str) -> VolumeSpec:
    if isinstance(volume, Files):
        return VolumeSpec(files=contents(volume), group=group)
    if isinstance(volume, EmptyDir):
        if volume.medium not in ("", "Memory"):
            raise Rejected(
                "UnsupportedVolume", f"there is no medium {volume.medium}", field=f"{path}.emptyDir.medium"
            )
        return VolumeSpec(memory=volume.medium == "Memory", size_limit=volume.size_limit, group=group)
    return _external(volume, host_paths, path)


def _external(volume: External, host_paths: bool, path: str) -> VolumeSpec:
    kind = next((key for key in volume.source if key != "name"), "nothing")
    if kind != "hostPath":
        raise Rejected(
            "UnsupportedVolume",
            "this node has emptyDir, configMap, secret, downwardAPI and projected volumes",
            field=f"{path}.{kind}",
        )
    if not host_paths:
        raise Rejected(
            "UnsupportedVolume", "directories of the node are not given out", field=f"{path}.hostPath"
        )
    return VolumeSpec(host_path=volume.source["hostPath"]["path"])
