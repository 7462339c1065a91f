"""What a rule is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vnodectl.lint.model import Severity

AZURE, ALIBABA = "azure", "alibaba"
_INDEX = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is a word to use instead of the code; `remedy` is a command or a sentence.

    `rejects` are (reason, pattern of the field without indices) pairs of the translators, on nodes of `os`
    ("": any). `online`: the cloud has to be asked. `removable`: removing what is named mends it.
    """

    code: str
    name: str
    title: str
    why: str
    remedy: str
    severity: Severity = Severity.ERROR
    clouds: tuple[str, ...] = (AZURE, ALIBABA)
    rejects: tuple[tuple[str, str], ...] = ()
    os: str = ""
    online: bool = False
    removable: bool = False

    @property
    def doc(self) -> str:
        """The anchor of its section."""
        return f"lint.md#{self.code.lower()}"

    def speaks_for(self, reason: str, field: str, cloud: str, os: str) -> bool:
        """Whether this is the rule of what a translator rejected for that reason at that place."""
        if cloud not in self.clouds or (self.os and self.os != os):
            return False
        plain = _INDEX.sub("", field)
        return any(reason == why and re.fullmatch(where, plain) for why, where in self.rejects)

    def called(self, pattern: str) -> bool:
        """Whether a code, a glob of codes or a name means this rule."""
        return fnmatchcase(self.code, pattern.upper()) or self.name == pattern.lower()
