"""The files, directories and streams that `vnodectl lint` is given."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vnodectl.errors import UsageError
from vnodectl.plain import one_line

if TYPE_CHECKING:
    from vnodectl.lint.documents import Source, Unreadable
    from vnodectl.lint.model import Finding

_SUFFIXES = (".yaml", ".yml", ".json")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(slots=True)
class Files:
    """What was read. `findings` are what cannot be judged; `notes` name what has nothing to judge."""

    sources: list[Source] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_files(names: Sequence[str]) -> Files:
    """Everything that is named; of a directory everything that looks like manifests, at any depth.

    What stands in a directory by chance (values, playbooks) is left alone; of what is named itself every
    document has to be an object. To be called before there is an event loop: in one, a signal would not end
    the wait for a terminal or a pipe. UsageError for a file that is named and cannot be read.
    """
    files = Files()
    for name in dict.fromkeys(names):
        if not name:
            raise UsageError(
                "a file has no name", hint="an empty argument is often a variable that is not set"
            )
        found = len(files.findings)
        try:
            inside = name != "-" and Path(name).is_dir()
            kubernetes, nothing = _directory(files, name) if inside else _named(files, name)
        except OSError as error:
            raise UsageError(f"{one_line(name)}: {error.strerror}") from error
        if not kubernetes and found == len(files.findings):
            shown = "standard input" if name == "-" else name
            files.notes.append(f"nothing to look at in {shown}: {nothing}")
    return files


def _named(files: Files, name: str) -> tuple[bool, str]:
    """Whether there is an object of Kubernetes and, if not, what there is instead."""
    data = _standard_input() if name == "-" else Path(name).read_bytes()
    kubernetes = _add(files, name, data, alone=True)
    return kubernetes, "no object of Kubernetes" if data.strip() else "it is empty"


def _directory(files: Files, name: str) -> tuple[bool, str]:
    kubernetes = False
    paths = sorted(_inside(files, name))
    for path in paths:
        try:
            if not path.is_file():  # nobody may ever write to a pipe
                continue
            data = path.read_bytes()
        except OSError as error:
            _unread(files, str(path), error)
            continue
        kubernetes |= _add(files, str(path), data, alone=False)
    return kubernetes, "no object of Kubernetes" if paths else f"no {_listed(_SUFFIXES)} file"


def _inside(files: Files, name: str) -> Iterator[Path]:
    """The files of a directory that look like manifests; links to directories are not followed."""

    def refused(error: OSError) -> None:
        _unread(files, str(error.filename), error)

    for above, _, inside in os.walk(name, onerror=refused):
        for one in inside:
            path = Path(above, one)
            if path.suffix in _SUFFIXES:
                yield path


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _standard_input() -> bytes:
    """Its bytes: they may be in another encoding than the terminal's."""
    buffer = getattr(sys.stdin, "buffer", None)  # who runs this as a function may have put text there
    return buffer.read() if buffer is not None else sys.stdin.read().encode()


def _add(files: Files, name: str, data: bytes, *, alone: bool) -> bool:
    """Whether there is an object of Kubernetes. `alone`: the file was named itself."""
    from vnodectl.lint.documents import Unreadable, read

    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _found(files, name, Unreadable("is not UTF-8 text", line))
        return False
    contents = read(text.replace("\r\n", "\n").replace("\r", "\n"), name)
    files.sources += contents.sources
    for one in (*contents.broken, *(contents.foreign if alone or contents.kubernetes else ())):
        _found(files, name, one)
    return contents.kubernetes


def _unread(files: Files, name: str, error: OSError) -> None:
    from vnodectl.lint.documents import Unreadable

    _found(files, name, Unreadable(f"cannot be read: {error.strerror}", 1))


def _found(files: Files, name: str, what: Unreadable) -> None:
    from vnodectl.lint.asked import UNREADABLE as RULE
    from vnodectl.lint.model import Finding

    files.findings.append(Finding(name, what.line, "", RULE.code, RULE.severity, what.message, RULE.remedy))
