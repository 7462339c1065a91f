"""Mounts that cannot be made as they are written, found before a provider is asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from vnodectl.runtime.expansion import expand, references
from vnodectl.runtime.facts import Notice, Unresolved
from vnodectl.runtime.provider import JSON, EnvVar


def check(container: JSON, variables: tuple[EnvVar, ...]) -> None:
    """Raises Unresolved, as a kubelet does, for a `subPathExpr` with a variable that has no value (yet), and
    for a subPath that leads out of its volume: the container waits with CreateContainerConfigError."""
    known = {one.name: one.value for one in variables if not one.late}
    for mount in container.get("volumeMounts") or ():
        sub_path_of(container, mount, known)


def sub_path_of(container: JSON, mount: JSON, known: Mapping[str, str]) -> str:
    """What of the volume is mounted, "" for all of it. Raises Unresolved."""
    path = mount.get("subPath") or ""
    if expression := mount.get("subPathExpr"):
        for name in references(expression):
            if name not in known:
                raise _unusable(container, mount, f"missing value for {name!r} in subPathExpr")
        path = expand(expression, known)
    if path.startswith("/"):
        raise _unusable(container, mount, f"subPath {path!r} must not be an absolute path")
    if ".." in PurePosixPath(path).parts:
        raise _unusable(container, mount, f"subPath {path!r} must not contain '..'")
    return path


def _unusable(container: JSON, mount: JSON, why: str) -> Unresolved:
    where = f"volumeMount {mount['name']} of container {container['name']}"
    return Unresolved(Notice("Warning", "Failed", f"Error: {where}: {why}"))
