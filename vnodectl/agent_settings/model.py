"""What a setting is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    TEXT = auto()
    NUMBER = auto()
    YES_NO = auto()
    QUANTITY = auto()
    """A Kubernetes quantity: 800, 4Ti."""
    SECRET = auto()
    """Only ever in the environment: command lines and settings files are read by others."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `name` is the flag's without its dashes, and the key in a settings file.

    `variable` names it in the environment; `formerly` are variables of other programs that mean the same,
    asked for in this order where it is not set. `default` is the value where nobody says anything, and
    `otherwise` says in words what an empty one means. `choices` are all values there are; `least` and
    `most` bound a number.
    """

    name: str
    variable: str
    help: str
    kind: Kind = Kind.TEXT
    default: str = ""
    otherwise: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 65535
    formerly: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Empty where it cannot be given on the command line."""
        return "" if self.kind is Kind.SECRET else f"--{self.name}"


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    settings: tuple[Setting, ...]
