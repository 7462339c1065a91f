"""A group's private directory on this machine: what it is, what was asked of it, and its volumes.

    <scope>/groups/<name>/group.json      0600: spec, creation time, what is wanted
                          volumes/<v>/    mounted into the containers
                          logs/           of the process engine

The scope's directory is 0700, so that secrets in volumes are as private as the modes that containers need
allow them to be.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from vnodectl.engines.api import EngineError, FileContent, GroupSpec, Mount, VolumeSpec
from vnodectl.engines.codec import decode, encode
from vnodectl.engines.payload import DATA, check_relative, write_payload


class Wanted(StrEnum):
    """What was last asked of a group."""

    RUN = "run"
    RESTART = "restart"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What must survive the engine's process. The contents of files are in the volumes, not in `spec`.

    `created` in seconds since the epoch; `deadline` likewise, for a deletion: when to stop being patient.
    """

    spec: GroupSpec
    created: float
    wanted: Wanted = Wanted.RUN
    deadline: float | None = None


class Workspace:
    """The directory of one group. File operations are small and synchronous."""

    def __init__(self, path: Path, record: GroupRecord) -> None:
        self.path = path
        self.record = record

    @property
    def spec(self) -> GroupSpec:
        return self.record.spec

    @classmethod
    def create(cls, root: Path, spec: GroupSpec, created: float) -> Workspace:
        """Write the volumes, then the record: a directory without one was never accepted."""
        path = root / spec.name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, mode=0o700)
        try:
            for name, volume in spec.volumes.items():
                _make_volume(path / "volumes" / name, volume)
        except OSError as error:
            raise EngineError(f"cannot write the volumes of group {spec.name}: {error}") from error
        volumes = {name: _without_contents(volume) for name, volume in spec.volumes.items()}
        workspace = cls(path, GroupRecord(replace(spec, volumes=volumes), created))
        workspace.save()
        return workspace

    @classmethod
    def load_all(cls, root: Path) -> list[Workspace]:
        """All accepted groups; what was only half written is removed."""
        found = []
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            try:
                text = (path / "group.json").read_text()
            except FileNotFoundError:
                shutil.rmtree(path, ignore_errors=True)
                continue
            found.append(cls(path, decode(GroupRecord, json.loads(text))))
        return found

    def want(self, wanted: Wanted, deadline: float | None = None) -> None:
        self.record = replace(self.record, wanted=wanted, deadline=deadline)
        self.save()

    def save(self) -> None:
        staged = self.path / "group.json.new"
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(encode(self.record), file)
        staged.rename(self.path / "group.json")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def write_files(self, volume: str, files: Sequence[FileContent]) -> None:
        spec = self.spec.volumes.get(volume)
        if spec is None or spec.memory or spec.host_path is not None:
            raise EngineError(f"group {self.spec.name} has no volume {volume} made of files")
        write_payload(self.path / "volumes" / volume, files, group=spec.group)

    def source(self, mount: Mount) -> Path:
        """The path on this machine that `mount` shows. Raises EngineError where there is none."""
        volume = self.spec.volumes.get(mount.volume)
        if volume is None:
            raise EngineError(f"mount {mount.path} names volume {mount.volume}, which does not exist")
        root = Path(volume.host_path) if volume.host_path else self.path / "volumes" / mount.volume
        if not mount.sub_path:
            return root
        check_relative(mount.sub_path)
        payload = (root / DATA).is_symlink()
        resolved = ((root / DATA if payload else root) / mount.sub_path).resolve()
        # Checked before anything is made: a container may have put a symbolic link there.
        if not resolved.is_relative_to(root.resolve()):
            raise EngineError(f"subPath {mount.sub_path} of volume {mount.volume} leaves the volume")
        if not payload:
            resolved.mkdir(parents=True, exist_ok=True)
        if not resolved.exists():
            raise EngineError(f"volume {mount.volume} has no {mount.sub_path}")
        return resolved


def _make_volume(path: Path, volume: VolumeSpec) -> None:
    if volume.host_path is not None or (volume.memory and not volume.files):
        return
    path.mkdir(parents=True)
    if volume.files:
        path.chmod(0o755)
        write_payload(path, volume.files, group=volume.group)
    elif volume.group is not None:
        os.chown(path, -1, volume.group)
        path.chmod(0o2777)
    else:
        path.chmod(0o777)


def _without_contents(volume: VolumeSpec) -> VolumeSpec:
    return replace(volume, files=tuple(replace(file, content=b"") for file in volume.files))
