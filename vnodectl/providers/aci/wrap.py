"""What a container does before its own command, where ACI itself cannot do it. Pure.

ACI has no working directory, no lines for /etc/hosts, no single files as mounts and no executable files in
volumes. A shell can do all of that before it becomes the container's own program: `exec` keeps its process,
signals and exit code. It needs a `/bin/sh` in the image; one that fails says why, and the container ends.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SHELL = "/bin/sh"
FAILED = 126
"""Exit code where a preparation did not work: "cannot execute" in a shell's words."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One file of a volume that is put in its place when the container starts; `mode` e.g. 0o755."""

    source: str
    target: str
    mode: int


@dataclass(frozen=True, slots=True)
class Preparation:
    """`hosts` are lines of /etc/hosts; `fields` are the paths in the pod that ask for it, for messages."""

    hosts: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    directory: str = ""
    fields: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.copies or self.directory)


_REFERENCE = "\0"
"""Around a variable's name in a word of a command, where no word has a NUL of its own: none could be run."""


def secret_reference(name: str) -> str:
    """What stands in a word of a command for the value that variable `name` has in the container."""
    return f"{_REFERENCE}{name}{_REFERENCE}"


def is_shell(program: str) -> bool:
    """Whether an image that is told to run `program` has a shell."""
    return program.rpartition("/")[2] in {"sh", "ash", "bash", "dash"}


def wrapped(command: Sequence[str], before: Preparation, *, references: bool = False) -> list[str]:
    """`command` after what has to be done before it; unchanged where that is nothing.

    `references`: its words may have references to variables.
    """
    refers = references and any(_REFERENCE in word for word in command)
    if not before and not refers:
        return list(command)
    if refers:
        return [SHELL, "-c", script(before, command)]
    return [SHELL, "-c", script(before), SHELL, *command]


def _quoted(word: str) -> str:
    """For a shell; every other piece is the name of a variable, whose value is put there as it is."""
    pieces = enumerate(word.split(_REFERENCE))
    return (
        "".join(f'"${{{piece}}}"' if at % 2 else shlex.quote(piece) for at, piece in pieces if piece) or "''"
    )


def script(before: Preparation, command: Sequence[str] = ()) -> str:
    """Ends in `command`, or else in what the shell is given as arguments."""
    steps = [_step(f"printf '%s\\n' {quoted} >>/etc/hosts", "/etc/hosts") for quoted in _hosts(before)]
    for copy in before.copies:
        source, target = shlex.quote(copy.source), shlex.quote(copy.target)
        directory = shlex.quote(copy.target.rpartition("/")[0] or "/")
        steps.append(
            _step(
                f"mkdir -p {directory} && rm -f {target} && cp {source} {target} && "
                f"chmod {copy.mode:o} {target}",
                copy.target,
            )
        )
    if before.directory:
        directory = shlex.quote(before.directory)
        # As a container runtime does, make a working directory that the image does not have.
        steps.append(_step(f"mkdir -p {directory} && cd {directory}", before.directory))
    run = " ".join(map(_quoted, command)) if command else '"$@"'
    return "\n".join((*steps, f"exec {run}"))


def _hosts(before: Preparation) -> list[str]:
    return [" ".join(shlex.quote(line) for line in before.hosts)] if before.hosts else []


def _step(what: str, name: str) -> str:
    message = shlex.quote(f"vnodectl: cannot prepare {name}")
    return f"{{ {what}; }} || {{ echo {message} >&2; exit {FAILED}; }}"
