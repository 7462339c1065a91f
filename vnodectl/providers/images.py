"""What an image says of itself: how it is started, and as whom. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """`user` is as in the image: a name or number, perhaps with a group; empty means root."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_directory: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ImageConfig:
        """From the config blob of an image (OCI image specification, and Docker's of the same shape)."""
        config = document.get("config") or {}
        return cls(
            _words(config.get("Entrypoint")),
            _words(config.get("Cmd")),
            str(config.get("User") or ""),
            str(config.get("WorkingDir") or ""),
        )

    @property
    def root(self) -> bool:
        return self.user.partition(":")[0] in {"", "0", "root"}

    def argv(self, command: list[str], args: list[str]) -> list[str]:
        """What is run, by Kubernetes' table: a command replaces the entrypoint, and args the image's own."""
        if command:
            return [*command, *args]
        return [*self.entrypoint, *(args or self.command)]


def _words(given: Any) -> tuple[str, ...]:
    """Without NULs, which no system can pass to a program."""
    return tuple(str(word).replace("\0", "") for word in given or ())
