"""What others have written (names, messages, files), as it may go to a terminal: as text, and no more.

Control characters move cursors, set titles and colours; some marks turn the direction of text. They become
escapes (`\\x1b`).
"""

from __future__ import annotations

import json
import re
from typing import Any

_HIDDEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""What `json.dumps` leaves as it is and a terminal would not show; the last are halves of characters, which
names of files that are not UTF-8 turn into."""


def one_line(text: str) -> str:
    """The text with every character that does not show as an escape, the ends of lines among them."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable(text: str) -> str:
    """As `one_line`, with lines and tabs as they are."""
    if text.isprintable():
        return text
    return "".join(one if one in "\t\n" else _shown(one) for one in text)


def json_text(document: Any, encoding: str = "utf-8") -> str:
    """JSON to look at, with a line end: in `encoding`, else in ASCII."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    text = _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a terminal without UTF-8
        return json.dumps(document, indent=2) + "\n"
    return text


def _shown(one: str) -> str:
    return one if one.isprintable() else one.encode("unicode_escape").decode()
