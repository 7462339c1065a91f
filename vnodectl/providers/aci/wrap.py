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


def wrapped(command: Sequence[str], before: Preparation) -> list[str]:
    """`command` after what has to be done before it; unchanged where that is nothing."""
    if not before:
        return list(command)
    return [SHELL, "-c", script(before), SHELL, *command]


def script(before: Preparation) -> str:
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
    return "\n".join((*steps, 'exec "$@"'))


def _hosts(before: Preparation) -> list[str]:
    return [" ".join(shlex.quote(line) for line in before.hosts)] if before.hosts else []


def _step(what: str, name: str) -> str:
    message = shlex.quote(f"vnodectl: cannot prepare {name}")
    return f"{{ {what}; }} || {{ echo {message} >&2; exit {FAILED}; }}"
