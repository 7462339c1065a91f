"""What people and programs see: results on stdout, everything else on stderr.

Names and messages come from clusters, clouds and files: on a terminal they must be text, and nothing else.

Rich is only loaded when a table or a spinner is drawn: help and completion never need it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from vnodectl.errors import VnodectlError
from vnodectl.plain import json_text, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

SCHEMA_VERSION = 1
"""Of every JSON document. Raised when a field changes its meaning or goes away, not for new fields."""

_ANY_WIDTH = 4096


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


def write_json(kind: str, fields: dict[str, Any]) -> None:
    """One document on stdout: `{"schemaVersion": 1, "kind": kind, …fields}`."""
    write_document({"schemaVersion": SCHEMA_VERSION, "kind": kind, **fields})


def write_document(document: dict[str, Any]) -> None:
    """A document that has its own form on stdout."""
    sys.stdout.write(json_text(document, sys.stdout.encoding or "utf-8"))


def write_failure(exit_code: int, message: str, hint: str) -> None:
    """The document of a command that ended in an error, before it had a result."""
    write_json("Error", {"exitCode": exit_code, "message": message, "hint": hint})


def write_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout, no wider than the terminal; in a pipe no cell is ever cut or wrapped."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(" ".join(map(one_line, cell.split("\n")))) for cell in row))
    output = console(sys.stdout)
    with output.capture() as captured:
        output.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    sys.stdout.write("\n".join(lines) + "\n")


def console(stream: TextIO) -> Console:
    """A console on the stream: colours only on a terminal and without NO_COLOR."""
    from rich.console import Console

    width = None if stream.isatty() else _ANY_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def note(text: str) -> None:
    """A line for people."""
    _say(printable(text))


def warn(text: str) -> None:
    _say(f"{_coloured('warning:', 33)} {printable(text)}")


def report(error: VnodectlError) -> None:
    """The error's cause and, where known, the next step."""
    complain(error.message, error.hint)


def complain(message: str, hint: str = "") -> None:
    """`error: …` and, where there is one, `hint: …` on stderr."""
    _say(f"{_coloured('error:', 31)} {printable(message)}")
    if hint:
        _say(f"{_coloured('hint:', 36)} {printable(hint)}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _coloured(text: str, colour: int) -> str:
    """With an ANSI colour, on a terminal that wants one (https://no-color.org)."""
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour};1m{text}\x1b[0m"


class Progress:
    """What is going on, by subject: one spinner with all subjects on a terminal, else a line per change."""

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._now: dict[str, str] = {}

    @property
    def text(self) -> str:
        """All that is going on now, in one line."""
        return "; ".join(self._now.values())

    def say(self, subject: str, text: str) -> None:
        """The subject (an OS, or "" for the whole command) is now at `text`."""
        self._now[subject] = f"{subject}: {text}" if subject else text
        if self._status is None:
            note(self._now[subject])
        self._refresh()

    def done(self, subject: str) -> None:
        """Nothing more is to be said of the subject."""
        self._now.pop(subject, None)
        self._refresh()

    def _refresh(self) -> None:
        if self._status is not None:
            from rich.markup import escape

            self._status.update(escape(printable(self.text)))


@contextmanager
def progress() -> Iterator[Progress]:
    """A spinner on stderr where that is a terminal, else plain lines."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Progress(None)
        return
    with console(sys.stderr).status("") as status:
        yield Progress(status)
