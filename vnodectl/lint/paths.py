"""Paths in objects: `spec.containers[0].ports[1].hostPort`, `metadata.annotations[example.com/a]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vnodectl.lint.model import Step, Steps

_STEP = re.compile(r"\.?([A-Za-z_$][\w$-]*)|\[([^\]]*)\]")
_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*")
ALL = "*"
"""The step of `containers[*]`: every element."""


def parse(text: str) -> Steps:
    """The steps of a path. Raises ValueError for what is none."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"not a path: {text!r}")
        name, bracket = match.groups()
        steps.append(name if name is not None else int(bracket) if bracket.isdigit() else bracket)
        position = match.end()
    return tuple(steps)


def text(steps: Steps) -> str:
    """The path of steps, as `parse` reads it."""
    parts: list[str] = []
    for step in steps:
        if isinstance(step, str) and _PLAIN.fullmatch(step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{step}]")
    return "".join(parts)


def pointer(steps: Steps) -> str:
    """The JSON pointer (RFC 6901) of steps."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def look(value: Any, steps: Steps) -> Any:
    """What is there; None where nothing is."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def deepest(value: Any, steps: Steps) -> Steps:
    """As much of the path as exists."""
    for length in range(len(steps), 0, -1):
        parent = look(value, steps[: length - 1])
        step = steps[length - 1]
        if (isinstance(parent, dict) and step in parent) or (
            isinstance(parent, list) and isinstance(step, int) and 0 <= step < len(parent)
        ):
            return steps[:length]
    return ()


def spread(value: Any, steps: Steps) -> Iterator[Steps]:
    """The path itself, or one for each element where a step is `*`."""
    if ALL not in steps:
        yield steps
        return
    at = steps.index(ALL)
    elements = look(value, steps[:at])
    for index in range(len(elements) if isinstance(elements, list) else 0):
        yield from spread(value, (*steps[:at], index, *steps[at + 1 :]))
