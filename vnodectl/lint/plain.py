"""What users have written, as it may go to a terminal."""

from __future__ import annotations

import re

_NOT_PLAIN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(text: str) -> str:
    """One line in which every character shows: names may hold newlines, sequences that move the cursor or
    change colours, and marks that turn the direction of text. They become escapes (`\\x1b`)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def plain_json(text: str) -> str:
    """JSON in which what `json.dumps` leaves as it is becomes an escape too: it means the same. What cannot
    be encoded at all (names of files that are not UTF-8) is among it."""
    return _NOT_PLAIN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
