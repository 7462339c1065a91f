"""Runs a program that must not outlive its parent: `python child.py <parent's pid> <signal> <program> …`.

The kernel sends the signal when the parent dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG). A file of its
own, run by path, because code between fork and exec is not safe in a program with threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
NO_SUCH_PROGRAM = 127  # as a shell says it


def main() -> None:
    parent, signal, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent has already ended")
    try:
        os.execvp(program[0], program)  # noqa: S606 - it replaces this process, no shell is wanted
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - there is no other voice here
        sys.exit(NO_SUCH_PROGRAM)


if __name__ == "__main__":
    main()
