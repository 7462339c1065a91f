"""The shell that stands between a command and its stdin, in real shells, and the marks that it makes."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.eci.stdin import END, WORD_MAX, Marked, encoded, wrapped

NONCE = "0123456789abcdef"


@pytest.mark.parametrize("shell", [one for one in ("dash", "bash", "busybox") if shutil.which(one)])
def test_in_any_shell_bytes_and_codes_pass(shell: str) -> None:
    given_bytes = bytes(range(256)) * 500
    words = wrapped(["sh", "-c", "cat; echo e >&2; exit 9"], NONCE)
    assert words is not None
    program = [shell, "sh"] if shell == "busybox" else [shell]
    typed = b"".join(encoded(given_bytes)) + END
    done = subprocess.run([*program, *words[1:]], input=typed, capture_output=True, check=False, timeout=60)
    marked = Marked(NONCE)
    assert marked.feed(done.stdout) == given_bytes
    assert (marked.begun, marked.code, done.stderr) == (True, 9, b"e\n")


def test_without_base64_nothing_is_run() -> None:
    words = wrapped(["/bin/echo", "ran"], NONCE)
    assert words is not None
    done = subprocess.run(words, capture_output=True, check=False, env={"PATH": "/nowhere"}, timeout=60)
    assert (done.stdout, done.returncode) == (b"", 127)


def test_what_eci_would_not_take_is_not_made() -> None:
    assert wrapped(["x"] * 16, NONCE) is not None
    assert wrapped(["x"] * 17, NONCE) is None
    assert all(len(word) <= WORD_MAX for word in wrapped(["x"], NONCE) or ())


@given(st.binary(max_size=80).map(lambda data: data + b"\x1e0123"), st.data())
def test_output_cut_anywhere_is_put_together_again(out: bytes, data: st.DataObject) -> None:
    mark = b"\x1e" + NONCE.encode()
    stream = b"sh: noise\n" + mark + b"\x1e" + out + mark + b":17\x1e"
    marked, shown, position = Marked(NONCE), b"", 0
    while position < len(stream):
        size = data.draw(st.integers(1, 30))
        shown += marked.feed(stream[position : position + size])
        position += size
    assert (shown, marked.code) == (out, 17)
