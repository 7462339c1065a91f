"""A secret in a file."""

from __future__ import annotations

from pathlib import Path

from vnodectl.errors import UsageError


class SecretFile:
    """A file that Kubernetes may replace at any time (a mounted Secret); `what` names it in messages.

    `binary`: its bytes one for one as characters (latin-1), for what may be no text.
    """

    def __init__(self, path: str, what: str = "client secret", *, binary: bool = False) -> None:
        self.path = Path(path)
        self._what = what
        self._binary = binary
        self._stamp: tuple[int, int, int] | None = None
        self._value = ""

    def read(self) -> str:
        """The secret as it is now. Raises `UsageError` where the file is missing or empty."""
        try:
            stat = self.path.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                if self._binary:
                    self._value = self.path.read_bytes().decode("latin-1")
                else:
                    self._value = self.path.read_text(encoding="utf-8").strip()
                self._stamp = stamp
        except OSError as error:
            raise UsageError(f"{self._what} file {self.path}: {error.strerror}") from error
        if not self._value:
            raise UsageError(f"{self._what} file {self.path} is empty")
        return self._value
