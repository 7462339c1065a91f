"""What a simulated container was told to do. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vnodectl.engines.api import ContainerSpec, EngineError

VARIABLE = "VNODECTL_SIMULATE"

_SETTING = re.compile(r"(?:(exit)=(\d{1,3})|(after|start)=(\d+(?:\.\d+)?)(ms|s|m|h)?)")
_SHELL = re.compile(r"(?:sleep\s+(\d+(?:\.\d+)?)\s*(?:;|&&)\s*)?exit\s+(\d{1,3})\s*;?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class Script:
    """`exit_code` is None for a container that runs until it is stopped; times in seconds."""

    exit_code: int | None = None
    after: float = 0.0
    start: float = 0.0


FOREVER = Script()
SUCCEED = Script(exit_code=0)


def script_of(container: ContainerSpec, *, init: bool) -> Script:
    """Raises EngineError for a script that cannot be read."""
    if (text := container.env.get(VARIABLE)) is not None:
        return _parsed(text)
    words = (*(container.command or ()), *(container.args or ()))
    if words and (match := _SHELL.fullmatch(words[-1].strip())):
        return Script(int(match[2]), float(match[1] or 0))
    return SUCCEED if init else FOREVER


def _parsed(text: str) -> Script:
    code, times = None, {"after": 0.0, "start": 0.0}
    for word in text.split():
        if (match := _SETTING.fullmatch(word)) is None:
            raise EngineError(f"{VARIABLE}: {word!r} is not exit=CODE, after=TIME or start=TIME")
        if match[1]:
            code = int(match[2])
        else:
            times[match[3]] = float(match[4]) * _UNITS[match[5]]
    return Script(code, times["after"], times["start"])
