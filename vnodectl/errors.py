"""The exception tree. Each class owns its exit code and says what to do next.

VnodectlError                1  the operation failed
├── UsageError               2  the command line or a settings file is wrong
├── TimedOut                 4  a wait ran out
├── Unreachable              5  something on the network did not answer
│   ├── ClusterUnreachable   5  the Kubernetes API
│   └── CloudUnreachable     5  Azure or Alibaba Cloud, or its token endpoint
├── ToolMissing              1  helm, podman … is not there or too old
└── ComponentDied            1  a process of the sandbox ended too early
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_WARNINGS = 3
EXIT_TIMEOUT = 4
EXIT_UNREACHABLE = 5


class VnodectlError(Exception):
    """An error meant for the user: one sentence of cause and, where known, the next step.

    `hint` is a sentence or a command that mends the cause. Neither may hold a secret: response
    bodies and command lines are never put here as they are.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(VnodectlError):
    """The command line, the environment or a settings file is wrong. Nothing was changed."""

    exit_code = EXIT_USAGE


class TimedOut(VnodectlError):
    """A wait ran out. The message says what was waited for and what was seen last."""

    exit_code = EXIT_TIMEOUT


class Unreachable(VnodectlError):
    """A service on the network did not answer or refused the connection."""

    exit_code = EXIT_UNREACHABLE


class ClusterUnreachable(Unreachable):
    """The Kubernetes API server did not answer, or the credentials no longer work."""


class CloudUnreachable(Unreachable):
    """A cloud's API or token endpoint did not answer."""


class ToolMissing(VnodectlError):
    """A program that is needed is not on PATH, or is too old."""


class ComponentDied(VnodectlError):
    """A process that should keep running has ended; the message has its exit code and last lines."""
