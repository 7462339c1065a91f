"""Volumes and their mounts. Pure.

ACI has emptyDir, secret (flat file names, base64, no modes), azureFile and gitRepo, on Linux only, and mounts
whole volumes as directories. What a pod may ask for besides is put together from these: a directory of a
volume of files is a volume of its own; a single file, and a file with a mode that matters, is copied to its
place by the container's own shell when it starts (`wrap`).
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from vnodectl.providers.aci.shares import external
from vnodectl.providers.aci.wrap import Copy
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EmptyDir, EnvVar, External, File, Files, Rejected, ResolvedPod

VOLUMES_MAX = 20
"""Volumes per group."""

SERVICE_ACCOUNT_PREFIX = "kube-api-access-"
"""How the API server names the token volume that it adds to every pod."""

STAGE = "/.vnodectl"
"""Where volumes are mounted whose files are copied from there."""

_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Mounted:
    """`mounts` is the container's `volumeMounts`; `copies` is what its shell does, `at` which mount asks."""

    mounts: list[JSON]
    copies: tuple[Copy, ...] = ()
    at: str = ""


class Volumes:
    """The volumes of one group, made as its containers mount them."""

    def __init__(self, pod: ResolvedPod, *, windows: bool) -> None:
        self._pod = pod
        self._windows = windows
        self._entries = {
            entry["name"]: (index, entry) for index, entry in enumerate(pod.spec.get("volumes") or ())
        }
        self._made: dict[tuple[int, str], JSON] = {}
        self._paths = _sub_paths(pod)

    @property
    def bodies(self) -> list[JSON]:
        """The group's `volumes`, in the pod's order. Raises Rejected where there are too many."""
        if len(self._made) > VOLUMES_MAX:
            raise Rejected(
                "TooManyVolumes",
                f"a container group has at most {VOLUMES_MAX} volumes, this one needs {len(self._made)}",
                field="spec.volumes",
            )
        return [self._made[key] for key in sorted(self._made)]

    def mount(self, container: JSON, env: Iterable[EnvVar], path: str) -> Mounted:
        """What one container mounts. Raises Rejected with the field for what cannot be had."""
        if container.get("volumeDevices"):
            raise Rejected(
                "UnsupportedVolume",
                "there are no block devices in a container group",
                field=f"{path}.volumeDevices",
            )
        bodies: list[JSON] = []
        copies: list[Copy] = []
        at = ""
        values = {one.name: one.value for one in env}
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            where = f"{path}.volumeMounts[{number}]"
            if mount.get("mountPropagation") == "Bidirectional":
                raise Rejected(
                    "UnsupportedMount", "mounts do not propagate to a host", field=f"{where}.mountPropagation"
                )
            index, entry = self._entries[mount["name"]]
            if self._windows:
                if mount["name"].startswith(SERVICE_ACCOUNT_PREFIX):
                    continue
                raise Rejected(
                    "UnsupportedVolume",
                    "Windows container groups have no volumes",
                    field=f"spec.volumes[{index}]",
                )
            found = self._mount(index, entry["name"], mount, _sub_path(mount, values), where)
            bodies += found.mounts
            copies += found.copies
            at = at or found.at
        return Mounted(list({one["mountPath"]: one for one in bodies}.values()), tuple(copies), at)

    def _mount(self, index: int, name: str, mount: JSON, sub: str, where: str) -> Mounted:
        volume = self._pod.volumes[name]
        place = mount["mountPath"]
        match volume:
            case Files():
                return self._files(index, name, volume, mount, sub, where)
            case EmptyDir() if sub:
                if not _apart(self._paths[name]):
                    raise Rejected(
                        "UnsupportedMount",
                        "Azure Container Instances mounts whole volumes; sub-paths of an emptyDir are "
                        "volumes of their own only where nobody mounts what contains them",
                        field=f"{where}.subPath",
                    )
                return self._plain(index, name, sub, {"emptyDir": {}}, mount, place)
            case EmptyDir():
                return self._plain(index, name, "", {"emptyDir": {}}, mount, place)
            case External():
                if sub:
                    raise Rejected(
                        "UnsupportedMount",
                        "Azure Container Instances mounts whole volumes only",
                        field=f"{where}.subPath",
                    )
                return self._plain(
                    index,
                    name,
                    "",
                    external(volume, self._pod.key.namespace, f"spec.volumes[{index}]"),
                    mount,
                    place,
                )

    def _files(self, index: int, name: str, volume: Files, mount: JSON, sub: str, where: str) -> Mounted:
        files, place = list(volume.files), mount["mountPath"].rstrip("/")
        if sub:
            single = next((one for one in files if one.path == sub), None)
            if single is not None:
                return self._staged(index, name, [(single, place)], f"{where}.subPath")
            files = [
                File(one.path[len(sub) + 1 :], one.content, one.mode)
                for one in files
                if one.path.startswith(f"{sub}/")
            ]
            if not files:
                raise Rejected("UnsupportedMount", f"the volume has no {sub!r}", field=f"{where}.subPath")
        directories: defaultdict[str, list[File]] = defaultdict(list)
        for file in files:
            directories[file.path.rpartition("/")[0]].append(file)
        executable = any(file.mode & 0o111 for file in files)
        if executable or not _apart(directories):
            return self._staged(
                index, name, [(file, f"{place}/{file.path}") for file in files], f"spec.volumes[{index}]"
            )
        if not files:
            return self._plain(index, name, sub, {"emptyDir": {}}, mount, mount["mountPath"])
        mounts: list[JSON] = []
        for directory, content in directories.items():
            _check_names(content, f"spec.volumes[{index}]")
            body = {
                "secret": {
                    file.path.rpartition("/")[2]: base64.b64encode(file.content).decode() for file in content
                }
            }
            variant = "/".join(filter(None, (sub, directory)))
            target = f"{place}/{directory}" if directory else mount["mountPath"]
            mounts += self._plain(index, name, variant, body, mount, target).mounts
        return Mounted(mounts)

    def _staged(self, index: int, name: str, files: list[tuple[File, str]], at: str) -> Mounted:
        """The whole volume where nobody looks, and each of `files` copied to its target from there."""
        volume = self._pod.volumes[name]
        contents = [one.content for one in volume.files] if isinstance(volume, Files) else []
        numbers = {content: number for number, content in enumerate(dict.fromkeys(contents))}
        body = {
            "secret": {
                f"f{number}": base64.b64encode(content).decode() for content, number in numbers.items()
            }
        }
        stage = f"{STAGE}/{index}"
        mounted = self._plain(index, name, STAGE, body, {}, stage)
        copies = tuple(Copy(f"{stage}/f{numbers[file.content]}", target, file.mode) for file, target in files)
        return Mounted(mounted.mounts, copies, at)

    def _plain(self, index: int, name: str, variant: str, body: JSON, mount: JSON, place: str) -> Mounted:
        key = (index, variant)
        if key not in self._made:
            # ACI wants 5 to 63 characters; the numbers make cut names unique.
            number = sum(1 for one in self._made if one[0] == index)
            label = f"v{index:02d}-{name}" if not variant else f"v{index:02d}-{number}-{name}"
            self._made[key] = {"name": label[:63].rstrip("-"), **body}
        found: JSON = {"name": self._made[key]["name"], "mountPath": place}
        if mount.get("readOnly"):
            found["readOnly"] = True
        return Mounted([found])


def _sub_path(mount: JSON, values: dict[str, str]) -> str:
    sub = expand(mount["subPathExpr"], values) if mount.get("subPathExpr") else mount.get("subPath") or ""
    return sub.strip("/")


def _sub_paths(pod: ResolvedPod) -> dict[str, set[str]]:
    """By volume: every path in it that some container mounts; "" is the whole."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for kind in ("initContainers", "containers"):
        for container in pod.spec.get(kind) or ():
            values = {one.name: one.value for one in pod.env.get(container["name"], ())}
            for mount in container.get("volumeMounts") or ():
                found[mount["name"]].add(_sub_path(mount, values))
    return found


def _apart(paths: Iterable[str]) -> bool:
    """Whether no path is inside another one."""
    ordered = sorted(f"{path}/" if path else "" for path in paths)
    return all(not after.startswith(before) for before, after in pairwise(ordered))


def _check_names(files: Iterable[File], path: str) -> None:
    for file in files:
        if not _FILE_NAME.fullmatch(file.path.rpartition("/")[2]):
            raise Rejected(
                "UnsupportedVolume",
                f"file {file.path!r}: Azure Container Instances takes letters, digits, '-', '_' and '.' in "
                "the names of files",
                field=path,
            )
