"""Whether an image can be asked for under its name at all. Pure.

The grammar is distribution's (github.com/distribution/reference), by which a kubelet judges too.
"""

from __future__ import annotations

import re

NAME_MAX = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*)(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


def is_tag(text: str) -> bool:
    return re.fullmatch(_TAG, text, re.ASCII) is not None


def reference_error(image: str) -> str:
    """Why this is no image's name, in a kubelet's words; "" for one that is."""
    if _IDENTIFIER.fullmatch(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    path = re.split("[:@]", _path(image), maxsplit=1)[0]
    if path != path.lower():
        return f"invalid reference format: repository name ({path}) must be lowercase"
    if (match := _REFERENCE.fullmatch(image)) is None:
        return "invalid reference format"
    if len(match["name"]) > NAME_MAX:
        return f"repository name must not be more than {NAME_MAX} characters"
    return ""


def _path(image: str) -> str:
    """Without the registry. A first part in capitals can only be a host."""
    first, slash, rest = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    return rest if is_host else image
