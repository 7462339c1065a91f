"""The simulated groups of a scope in one append-only file, so that they survive the engine's process."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from vnodectl.engines.api import EngineError
from vnodectl.engines.codec import decode, encode
from vnodectl.engines.simulated.model import Sketch

SLACK = 10_000  # dead lines before the file is written anew


@dataclass(slots=True)
class Kept:
    """A group, and what was asked of it since: ("stop" or "run", when)."""

    sketch: Sketch
    wishes: list[tuple[str, float]] = field(default_factory=list)


class Journal:
    """Lines `{"put": <sketch>}`, `{"stop": <name>, "at": <time>}`, `{"run": …}`, `{"drop": <name>}`."""

    def __init__(self, home: Path) -> None:
        self._path = home / "simulated.jsonl"
        self._home = home
        self._file: TextIO | None = None
        self._lines = 0
        self._alive = 0

    def open(self) -> list[Kept]:
        """All groups that were put and not dropped. Raises EngineError if another process has the file."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise EngineError(f"{self._home} is in use by another process") from error
        return self._compact()

    def put(self, sketch: Sketch) -> None:
        self._alive += 1
        self._append({"put": encode(sketch)})

    def drop(self, name: str) -> None:
        self._alive -= 1
        self._append({"drop": name})
        if self._lines > 2 * self._alive + SLACK:
            self._compact()

    def note(self, what: str, name: str, moment: float) -> None:
        self._append({what: name, "at": moment})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _compact(self) -> list[Kept]:
        """Read the history and replace it by what it comes to."""
        if self._file is None:
            return []
        kept: dict[str, Kept] = {}
        self._file.seek(0)
        for line in self._file:
            # A line that was cut short was never acknowledged.
            if line.endswith("\n"):
                _apply(kept, json.loads(line))
        self._file.seek(0)
        self._file.truncate()
        self._lines = self._alive = 0
        for one in kept.values():
            self.put(one.sketch)
            for what, moment in one.wishes:
                self.note(what, one.sketch.name, moment)
        return list(kept.values())

    def _append(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            self._lines += 1


def _apply(kept: dict[str, Kept], record: dict[str, Any]) -> None:
    if "put" in record:
        sketch = decode(Sketch, record["put"])
        kept[sketch.name] = Kept(sketch)
    elif "drop" in record:
        kept.pop(record["drop"], None)
    else:
        for what in ("stop", "run"):
            if (name := record.get(what)) in kept:
                kept[name].wishes.append((what, record["at"]))
