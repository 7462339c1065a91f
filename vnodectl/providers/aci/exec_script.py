"""What is typed into a container's shell to run a command, and how its answer is taken apart. Pure.

ACI gives exec one terminal: no arguments, no exit code, and stdout and stderr in one stream. So `/bin/sh` is
started, typed a few lines that build the argument list, and then a script that marks in the stream what it
has to say. Marks hold a nonce that the program cannot know:

    \\x1ebegin-NONCE:STTY:FEATURES:PID\\x1e   everything before it is the shell talking to itself
    \\x1eerr-NONCE:BASE64\\x1e                a piece of the program's stderr, anywhere in its stdout
    \\x1eexit-NONCE:CODE\\x1e                 the program has ended
    \\x1eend-NONCE:0\\x1e                     and all its output has arrived

Without a terminal on kubectl's side the program gets pipes: stdout is passed on untouched by a terminal that
is told to leave it alone, stderr comes in frames, and stdin is typed as lines of base64, ended by a line with
a dot. For that an image needs `stty`, `cat`, `dd`, `tr` and `base64` (coreutils and busybox have them);
FEATURES tells what could be used: `e` frames of stderr, `i` encoded stdin.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vnodectl.providers.base64_lines import base64_lines

SHELL = "/bin/sh"

STDIN_END = b".\n.\n"
"""Ends an encoded stdin, be it in bulk just then or not."""

_BULK, _BULK_END = b"*\n", b".\n"
_MARK = b"\x1e"
_LINE = 600
"""Characters typed per line; a terminal takes 4,095 at most."""
_STDIN_PIECE = 2850
"""Bytes of stdin per line: 3,800 characters of base64, without padding."""
_QUIET_TERMINAL = "-echo -opost -onlcr -isig -ixon -icrnl -iexten erase undef kill undef"

# No single quote may occur in it: it is typed between two of them. A frame is one write of less than 1,024
# bytes, which is what every shell's printf buffers, so that a terminal keeps it in one piece.
_PIPES = r"""trap : INT QUIT
n=@NONCE@ i=@STDIN@ e=
stty @QUIET@ 2>/dev/null
s=$?
has() { for w in "$@"; do command -v "$w" >/dev/null 2>&1 || return 1; done; }
if has base64 && [ "$(printf QQ== | base64 -d 2>/dev/null)" = A ]; then
[ -z "$i" ] || { i=i; has sed && i=ib; }
has dd cat tr && e=e
fi
feed() {
while IFS= read -r l && [ "$l" != . ]; do
case $l in
\*) sed -n "/^[.]/q;p" | base64 -d ;;
*) printf %s "$l" | base64 -d ;;
esac
done
}
frames() {
while f=$(dd bs=600 count=1 2>/dev/null | base64 | tr -d "\n") && [ -n "$f" ]; do
printf "\036err-$n:%s\036" "$f"
done
}
ended() { printf "\036exit-$n:%d\036" $? >&5; }
work() {
case $i in
i*) feed 2>/dev/null | { "$@" 5>&-; ended; } ;;
t) "$@" 5>&-; ended ;;
*) "$@" </dev/null 5>&-; ended ;;
esac
}
exec 5>&1
printf "\036begin-$n:%d:%s:%d\036" $s "$i$e" $$
if [ -n "$e" ]; then
{ work "$@" 2>&1 >&3 3>&- | frames >&5; } 3>&1 | cat
else
work "$@"
fi
printf "\036end-$n:0\036"
"""
_TERMINAL = r"""trap : INT QUIT
printf "\036begin-%s:0::%d\036" @NONCE@ $$
"$@"
printf "\036exit-%s:%d\036\036end-%s:0\036" @NONCE@ $? @NONCE@
"""


def script(command: Sequence[str], nonce: str, *, tty: bool, stdin: bool = False) -> Iterator[str]:
    """The lines to type. No character of `command` is typed as it is, so the terminal cannot act on it.

    `stdin`: the caller has input for the program; else, without a terminal, it reads from /dev/null.
    """
    yield "set --"
    for word in command:
        yield "w="
        for part in _parts(word):
            yield f"p=$(printf '{part}x');w=$w${{p%x}}"
        yield 'set -- "$@" "$w"'
    inner = _TERMINAL if tty else _PIPES
    for name, value in (("NONCE", nonce), ("STDIN", "t" if stdin else ""), ("QUIET", _QUIET_TERMINAL)):
        inner = inner.replace(f"@{name}@", value)
    yield f"exec {SHELL} -c '{inner}' sh \"$@\""


def _parts(word: str) -> Iterator[str]:
    """`word` as printf formats of bounded length. `-` is escaped too: it could begin an option."""
    line = ""
    for byte in word.encode():
        char = chr(byte)
        line += char if char.isascii() and (char.isalnum() or char in "_./:=,+@ ") else f"\\{byte:03o}"
        if len(line) > _LINE:
            yield line
            line = ""
    if line:
        yield line


@dataclass(slots=True)
class Typing:
    """Stdin as lines that the script's `feed` understands; `can_bulk` where FEATURES has `b`.

    While `in_bulk`, some of it may be held back, here and there: call `rest` when no more comes for now.
    """

    can_bulk: bool
    in_bulk: bool = False
    _held: bytes = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self.can_bulk and not self.in_bulk and len(data) > _STDIN_PIECE:
            self.in_bulk = True
            yield _BULK
        self._held += data
        # Padding is only understood at the end of what one process decodes.
        whole = len(self._held) // _STDIN_PIECE * _STDIN_PIECE if self.in_bulk else len(self._held)
        ready, self._held = self._held[:whole], self._held[whole:]
        yield from base64_lines(ready, _STDIN_PIECE)

    def rest(self) -> Iterator[bytes]:
        yield from base64_lines(self._held, _STDIN_PIECE)
        if self.in_bulk:
            yield _BULK_END
        self._held, self.in_bulk = b"", False


@dataclass(slots=True)
class Splitter:
    """Separates a program's output from what the shell around it says."""

    nonce: str
    tty: bool
    begun: bool = False
    cooked: bool = False
    """The terminal could not be silenced: it turns every newline into CR LF."""
    features: str = ""
    pid: int = 0
    """The shell's, so that its terminal can be found (/proc/PID/fd/0)."""
    code: int | None = None
    ended: bool = False
    """Nothing more comes."""
    held: bytes = b""
    _marks: re.Pattern[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._marks = re.compile(
            rb"\x1e(begin|err|exit|end)-" + self.nonce.encode() + rb":([^\x1e]*)\x1e", re.DOTALL
        )

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The program's (stdout, stderr) in `data`; a piece that may be a mark's beginning is held back."""
        self.held += data
        out: list[bytes] = []
        err: list[bytes] = []
        position = 0
        for mark in self._marks.finditer(self.held):
            if self.begun and not self.ended:
                out.append(self.held[position : mark.start()])
            position = mark.end()
            self._marked(mark[1], mark[2], err)
        keep = self._unfinished(position)
        if self.begun and not self.ended:
            out.append(self.held[position:keep])
        self.held = self.held[keep:]
        output = b"".join(out)
        return self._newlines(output) if self.cooked else output, b"".join(err)

    def _marked(self, kind: bytes, value: bytes, err: list[bytes]) -> None:
        if kind == b"begin":
            status, features, pid = (*value.split(b":"), b"", b"")[:3]
            self.begun = True
            self.cooked = status != b"0" and not self.tty
            self.features, self.pid = features.decode(), int(pid or b"0")
        elif kind == b"err":
            err.append(base64.b64decode(value))
        elif kind == b"exit":
            self.code = int(value)
        else:
            self.ended = True

    def _unfinished(self, position: int) -> int:
        """Where in `held` a mark begins of which the rest has not arrived; its length where there is none."""
        start = self.held.rfind(_MARK, position)
        if start < 0:
            return len(self.held)
        tail = self.held[start:]
        for kind in (b"begin-", b"err-", b"exit-", b"end-"):
            head = _MARK + kind + self.nonce.encode() + b":"
            if head.startswith(tail) or tail.startswith(head):
                return start
        return len(self.held)

    def _newlines(self, output: bytes) -> bytes:
        """CR LF as one newline; a CR at the end may be the first half of one."""
        if output.endswith(b"\r") and not self.held and not self.ended:
            output, self.held = output[:-1], b"\r"
        return output.replace(b"\r\n", b"\n")
