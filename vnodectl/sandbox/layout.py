"""Where a sandbox keeps its files, and the record of what it runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vnodectl.errors import UsageError

_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$")
DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one sandbox under `home` (settings.sandbox_home).

    `tools` and `images` are caches that all sandboxes share; `root` goes away with `down`.
    """

    home: Path
    name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a sandbox's name",
                hint="use 1 to 20 of a-z, 0-9 and -, with a letter or digit at both ends",
            )

    @property
    def root(self) -> Path:
        return self.home / "run" / self.name

    @property
    def scope(self) -> str:
        """Marks this sandbox's containers and networks, among all sandboxes of this machine."""
        return f"{self.name}-{hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:6]}"

    @property
    def lock(self) -> Path:
        return self.home / "run" / f".{self.name}.lock"

    @property
    def record(self) -> Path:
        return self.root / "sandbox.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    def make(self) -> None:
        """Create the directories; only their owner may look in."""
        for path in (self.root, self.logs, self.pki, self.bin):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the sandbox. `started` is its start time in clock ticks since boot (proc(5), field 22):
    together with the pid it names one process for ever. `exit_code` is None while it runs."""

    name: str
    pid: int
    started: int
    log: str
    endpoint: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What runs, as the supervisor last wrote it.

    `run` is the value of RUN_VARIABLE in the environment of every process of this run. `phase` is
    starting, ready or stopping. `environment` is what `vnodectl sandbox env` prints; it holds a secret.
    """

    name: str
    run: str
    phase: str
    supervisor: Component
    engine: str
    network: str = ""
    address: str = ""
    components: tuple[Component, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
        temporary.rename(path)

    @staticmethod
    def load(path: Path) -> Record | None:
        """The record, or None where there is none (or half of one, from an older version)."""
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            content["supervisor"] = Component(**content["supervisor"])
            content["components"] = tuple(Component(**entry) for entry in content["components"])
            return Record(**content)
        except (OSError, ValueError, TypeError, KeyError):
            return None
