"""Collecting: every section on its own, so that what fails loses nothing but itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol

from vnodectl import __version__
from vnodectl.connector.redact import Redactor
from vnodectl.errors import EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, EXIT_WARNINGS, VnodectlError
from vnodectl.sysdump.archive import MANIFEST

JSON = dict[str, Any]

SCHEMA_VERSION = 1
DEADLINE = 90.0
"""Seconds that a section may take."""

Files = Mapping[str, Any]
"""By member name: text, bytes, or what becomes a JSON document."""


class Skipped(Exception):
    """There is nothing to collect here; the text says why."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the archive. `collect` gives files and remarks about what is not complete.

    `needs_cluster`: what it says, the API server has to tell, and not just anybody.
    """

    name: str
    collect: Callable[[], Awaitable[tuple[Files, Sequence[str]]]]
    needs_cluster: bool = False


class Outcome(StrEnum):
    COLLECTED = "collected"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of a section. `reason` is why it failed or was skipped; `code` the error's exit code."""

    name: str
    outcome: Outcome
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    reason: str = ""
    remarks: tuple[str, ...] = ()
    needs_cluster: bool = False
    code: int = EXIT_OK
    seconds: float = 0.0

    def document(self) -> JSON:
        return {
            "name": self.name,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "remarks": list(self.remarks),
            "durationSeconds": round(self.seconds, 3),
            "files": [{"path": path, "size": len(self.files[path])} for path in sorted(self.files)],
        }


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that was collected, ready to be written."""

    taken_at: datetime
    sections: tuple[Collected, ...]

    @property
    def failed(self) -> tuple[Collected, ...]:
        return tuple(one for one in self.sections if one.outcome is Outcome.FAILED)

    def manifest(self) -> JSON:
        return {
            "schemaVersion": SCHEMA_VERSION,
            "kind": "Sysdump",
            "vnodectl": __version__,
            "takenAt": self.taken_at.isoformat(),
            "complete": not self.failed,
            "sections": [one.document() for one in self.sections],
        }

    def members(self) -> dict[str, bytes]:
        """Every file of the archive, the manifest among them."""
        found = {path: content for one in self.sections for path, content in one.files.items()}
        return {**found, MANIFEST: _json(self.manifest())}

    @property
    def lost(self) -> int:
        """5 where the cluster never answered, 1 where it let nothing be read, 0 where something was."""
        codes = {one.code for one in self.sections if one.needs_cluster}
        if not codes or EXIT_OK in codes:
            return EXIT_OK
        return EXIT_UNREACHABLE if codes == {EXIT_UNREACHABLE} else EXIT_FAILED

    def exit_code(self, *, strict: bool = False) -> int:
        """The archive is there in any case. That of `lost`, else 3 where anything failed and `strict` was
        asked for."""
        return self.lost or (EXIT_WARNINGS if strict and self.failed else EXIT_OK)


class Watcher(Protocol):
    """Who is told how far it is. Calls are synchronous."""

    def started(self, name: str) -> None: ...

    def finished(self, one: Collected) -> None: ...


async def collect(
    sections: Sequence[Section],
    *,
    clean: Redactor,
    taken_at: datetime,
    watcher: Watcher,
    deadline: float = DEADLINE,
) -> Bundle:
    """Run every section at once. `clean` goes over every text that ends up in the archive."""

    async def run(section: Section) -> Collected:
        watcher.started(section.name)
        one = await _run(section, clean, deadline)
        watcher.finished(one)
        return one

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(one), name=f"sysdump {one.name}") for one in sections]
    return Bundle(taken_at, tuple(task.result() for task in tasks))


async def _run(section: Section, clean: Redactor, deadline: float) -> Collected:
    loop = asyncio.get_running_loop()
    began = loop.time()

    def failed(reason: str, code: int = EXIT_FAILED) -> Collected:
        return Collected(
            section.name,
            Outcome.FAILED,
            reason=clean(reason),
            needs_cluster=section.needs_cluster,
            code=code,
            seconds=loop.time() - began,
        )

    try:
        async with asyncio.timeout(deadline) as limit:
            files, remarks = await section.collect()
        cleaned = {path: _bytes(content, clean) for path, content in files.items()}
    except Skipped as reason:
        return Collected(
            section.name,
            Outcome.SKIPPED,
            reason=clean(str(reason)),
            needs_cluster=section.needs_cluster,
            seconds=loop.time() - began,
        )
    except VnodectlError as error:
        return failed(error.message, error.exit_code)
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            return failed(f"not finished within {deadline:g} s")
        frames = extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return failed(f"{type(error).__name__}{place}")  # nobody has looked at what its text may hold
    return Collected(
        section.name,
        Outcome.COLLECTED,
        files=cleaned,
        remarks=tuple(clean(one) for one in remarks),
        needs_cluster=section.needs_cluster,
        seconds=loop.time() - began,
    )


def _bytes(content: Any, clean: Redactor) -> bytes:
    if isinstance(content, str):
        return clean(content).encode()
    return _json(_texts(content, clean))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _texts(value: Any, clean: Redactor) -> Any:
    """`clean` over every text, keys included: a secret may be a label's key as well."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _texts(one, clean) for key, one in value.items()}
    return [_texts(one, clean) for one in value] if isinstance(value, (list, tuple)) else value
