"""`$(VAR)` in commands, arguments and values, by the rules of the Kubernetes API.

`$(X)` becomes the value of X where X is known and stays as it is where it is not; `$$` is one `$`, so
`$$(X)` is the text `$(X)`. Nothing else is special, and what was put in is not expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with its references replaced."""
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return values.get(name, match.group(0))

    return _TOKEN.sub(replace, text)


def references(text: str) -> list[str]:
    """The names that `text` refers to, in order; `$$(X)` refers to nothing."""
    if "$" not in text:
        return []
    return [match.group(1) for match in _TOKEN.finditer(text) if match.group(1) is not None]
