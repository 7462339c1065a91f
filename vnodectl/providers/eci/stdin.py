"""How a command is told that its stdin has ended, over a protocol that cannot say so. Pure.

`v4.channel.k8s.io` carries input but not its end, so `kubectl exec -i … cat > FILE` and the upload of
`kubectl cp` would never return. A shell in the container stands in between: it is sent lines of base64 and,
for the end, a line with a dot. In the command's stdout it marks that it is there, before it runs anything,
and how the command ended:

    \\x1eNONCE\\x1e  …  \\x1eNONCE:CODE\\x1e

An image without a shell or base64 never sends the first mark, and nothing has been run then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vnodectl.providers.base64_lines import base64_lines

WORDS_MAX, WORD_MAX = 20, 256
"""Of a command, and characters of each (ExecContainerCommand's documents)."""

END = b".\n"

_MARK = b"\x1e"
_PIECE = 24_000
"""Bytes per line; a shell reads them one by one."""
_SCRIPT = (
    "command -v base64 >/dev/null||exit 127;printf '\\036@N@\\036';"
    'while IFS= read -r l&&[ "$l" != . ];do printf %s "$l"|base64 -d;done 2>/dev/null|'
    "{ \"$@\";printf '\\036@N@:%d\\036' $?; }"
)


def wrapped(command: Sequence[str], nonce: str) -> list[str] | None:
    """`command` with the shell around it; None where that would be more than ECI takes."""
    words = ["/bin/sh", "-c", _SCRIPT.replace("@N@", nonce), "sh", *command]
    return words if len(words) <= WORDS_MAX and len(words[2]) <= WORD_MAX else None


def encoded(data: bytes) -> Iterator[bytes]:
    return base64_lines(data, _PIECE)


@dataclass(slots=True)
class Marked:
    """Takes the marks out of a command's stdout."""

    nonce: str
    begun: bool = False
    code: int | None = None
    _held: bytes = b""
    _marks: re.Pattern[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._marks = re.compile(rb"\x1e" + self.nonce.encode() + rb"(?::(\d+))?\x1e")

    def feed(self, data: bytes) -> bytes:
        """What of `data` is the command's; the beginning of what may be a mark is held back."""
        self._held += data
        out = b""
        while (mark := self._marks.search(self._held)) is not None:
            out += self._held[: mark.start()] if self.begun else b""
            self._held = self._held[mark.end() :]
            self.begun = True
            if mark[1] is not None:
                self.code = int(mark[1])
        start = self._held.rfind(_MARK)
        longest = len(self.nonce) + len("\x1e:255")
        keep = start if start >= 0 and len(self._held) - start <= longest else len(self._held)
        out += self._held[:keep] if self.begun else b""
        self._held = self._held[keep:]
        return out
