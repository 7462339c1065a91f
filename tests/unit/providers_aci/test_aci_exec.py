"""What is typed into a shell, run in a real one on a real terminal as ACI has it, and what is read back."""

from __future__ import annotations

import base64
import fcntl
import os
import pty
import select
import shutil
import subprocess
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnodectl.providers.aci.exec_script import SHELL, STDIN_END, Splitter, Typing, script

NONCE = "0123456789abcdef"
WORDS = ["sh", "-c", 'for w in "$@"; do printf "%s\\036" "$w"; done', "x"]


@dataclass
class Told:
    out: bytes
    err: bytes
    code: int | None
    features: str


def _run(
    command: list[str],
    *,
    stdin: bytes | None = None,
    tty: bool = False,
    type_after: tuple[bytes, bytes] = (b"", b""),
    path: str | None = None,
    shell: str = SHELL,
) -> Told:
    """The script in a shell on a terminal. `type_after` = (what to wait for, what to type then)."""
    outside, inside = pty.openpty()
    splitter, out, err = Splitter(NONCE, tty), b"", b""
    with subprocess.Popen(
        [shell],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        env={**os.environ, **({"PATH": path} if path else {})},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(inside)
        os.set_blocking(outside, False)
        lines = script(command, NONCE, tty=tty, stdin=stdin is not None)
        pending = b"".join(f"{line}\n".encode() for line in lines)
        given, (awaited, typed) = stdin, type_after
        try:
            while not splitter.ended:
                readable, writable, _ = select.select([outside], [outside] if pending else [], [])
                if writable:
                    pending = pending[os.write(outside, pending[:500]) :]
                if not readable:
                    continue
                more = splitter.feed(os.read(outside, 1000))
                out, err = out + more[0], err + more[1]
                if splitter.begun and given is not None:
                    pending += _typed(given, splitter.features)
                    given = None
                if splitter.begun and awaited in out:
                    pending, typed = pending + typed, b""
        finally:
            process.kill()
            os.close(outside)
    return Told(out, err, splitter.code, splitter.features)


def _typed(data: bytes, features: str) -> bytes:
    if "i" not in features:
        return data + b"\x04"
    typing = Typing("b" in features)
    return b"".join([*typing.feed(data), *typing.rest(), STDIN_END])


def test_arguments_exit_code_and_both_streams() -> None:
    told = _run(
        [
            "sh",
            "-c",
            'printf "%s|" "$@"; echo err >&2; exit 7',
            "x",
            "a b",
            "",
            "it's $HOME `x` \\",
            "ü\n\t\x03",
        ]
    )
    assert told == Told("a b||it's $HOME `x` \\|ü\n\t\x03|".encode(), b"err\n", 7, "e")


def test_a_program_that_is_not_there() -> None:
    told = _run(["/no/such/program"])
    assert (told.out, told.code) == (b"", 127)
    assert b"/no/such/program" in told.err


def test_the_program_has_no_terminal_where_kubectl_has_none() -> None:
    assert _run(["sh", "-c", "test -t 0 || test -t 1 || test -t 2"]).code == 1
    assert _run(["sh", "-c", "test -t 0 && test -t 1 && test -t 2"], tty=True).code == 0


def test_without_stdin_the_program_reads_nothing() -> None:
    assert _run(["cat"]) == Told(b"", b"", 0, "e")


def test_stdin_goes_to_the_program_not_to_the_shell() -> None:
    assert _run(["cat"], stdin=b"echo not a command\n").out == b"echo not a command\n"


def test_bytes_pass_as_they_are_in_all_three_streams() -> None:
    every = bytes(range(256)) * 40
    told = _run(["sh", "-c", "tee /dev/stderr"], stdin=every)
    assert (told.out, told.err, told.code) == (every, every, 0)


def test_a_program_that_does_not_read_its_stdin_ends() -> None:
    told = _run(["sh", "-c", "exit 5"], stdin=b"x" * 100_000)
    assert told.code == 5


@pytest.mark.parametrize("shell", [one for one in ("dash", "bash", "busybox") if shutil.which(one)])
def test_large_output_of_both_kinds_in_any_shell(shell: str, tmp_path: Path) -> None:
    program = "i=0; while [ $i -lt 300 ]; do echo out-$i; echo err-$i >&2; i=$((i+1)); done"
    link = tmp_path / "sh"
    link.symlink_to(str(shutil.which(shell)))
    told = _run(["sh", "-c", program], shell=str(link))
    assert told.out == b"".join(b"out-%d\n" % i for i in range(300))
    assert told.err == b"".join(b"err-%d\n" % i for i in range(300))


@settings(max_examples=25)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40), max_size=4
    )
)
def test_any_argument_arrives_as_it_is(words: list[str]) -> None:
    told = _run([*WORDS, *words])
    assert (told.out, told.code) == (b"".join(word.encode() + b"\x1e" for word in words), 0)


def test_carriage_returns_arrive_as_they_are() -> None:
    assert _run([*WORDS, "\r\n", "\r"]).out == b"\r\n\x1e\r\x1e"


def test_long_arguments_are_typed_in_short_lines() -> None:
    typed = "\n".join(script(["echo", "x" * 10_000], NONCE, tty=False))
    assert max(map(len, typed.split("\n"))) < 1000
    assert _run(["printf", "%s", "é" * 5000]).out == ("é" * 5000).encode()


@pytest.fixture
def tools(tmp_path: Path) -> Callable[..., str]:
    """A PATH with the named programs only."""

    def make(*names: str) -> str:
        for name in names:
            (tmp_path / name).symlink_to(str(shutil.which(name)))
        return str(tmp_path)

    return make


def test_a_terminal_that_cannot_be_silenced(tools: Callable[..., str]) -> None:
    """Without stty the terminal makes CR LF of every newline, which is mended; a CR of its own is lost."""
    path = tools("sh", "cat", "dd", "tr", "base64")
    told = _run(["sh", "-c", "echo a; printf 'b\\r\\n'; echo e >&2; exit 3"], path=path)
    assert told == Told(b"a\nb\r\n", b"e\n", 3, "e")


def test_an_image_without_the_tools_gets_one_stream_and_typed_input(tools: Callable[..., str]) -> None:
    path = tools("sh", "stty", "cat")
    assert _run(["sh", "-c", "echo a; echo b >&2; exit 3"], path=path) == Told(b"a\nb\n", b"", 3, "")
    assert _run(["cat"], stdin=b"one\ntwo\n", path=path) == Told(b"one\ntwo\n", b"", 0, "t")


def test_much_stdin_is_decoded_by_few_processes(tools: Callable[..., str], tmp_path: Path) -> None:
    """One for each line of it lets through some tens of KiB a second, and kubectl gives up after a minute."""
    given = bytes(range(256)) * 1500
    path = tools("sh", "stty", "cat", "dd", "tr", "sed")
    calls = tmp_path / "calls"
    counting = tmp_path / "base64"
    counting.write_text(f'#!/bin/sh\necho x >> {calls}\nexec {shutil.which("base64")} "$@"\n')
    counting.chmod(0o755)
    told = _run(["sh", "-c", "cat > /dev/null"], stdin=given, path=path)
    assert (told.code, told.features) == (0, "ibe")
    assert len(calls.read_text().split()) < 10


def test_stdin_without_sed_comes_line_by_line(tools: Callable[..., str]) -> None:
    every = bytes(range(256)) * 40
    told = _run(["cat"], stdin=every, path=tools("sh", "stty", "cat", "dd", "tr", "base64"))
    assert told == Told(every, b"", 0, "ie")


@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 4).map(lambda n: b"ab" * 3000 * n)))
)
def test_stdin_in_pieces_of_any_size_is_one_stream(pieces: list[bytes]) -> None:
    typing = Typing(can_bulk=True)
    typed = b"".join(line for piece in pieces for line in typing.feed(piece))
    lines = (typed + b"".join(typing.rest())).split(b"\n")
    assert b"".join(map(base64.b64decode, (one for one in lines if one not in {b"*", b"."}))) == b"".join(
        pieces
    )
    assert lines.count(b"*") == lines.count(b".") <= 1
    assert max(map(len, lines)) <= 3800
    assert all(b"=" not in one for one in lines[lines.index(b"*") : -3]) if b"*" in lines else True


def test_in_a_terminal_nothing_of_the_shell_is_seen() -> None:
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert _run(command, tty=True) == Told(b"out\r\nerr\r\n", b"", 3, "")


def test_control_c_ends_the_program_and_its_code_is_told() -> None:
    command = ["sh", "-c", "echo up; exec sleep 600"]
    assert _run(command, tty=True, type_after=(b"up", b"\x03")).code == 130


@given(st.data())
def test_output_cut_anywhere_is_put_together_again(data: st.DataObject) -> None:
    out = data.draw(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
    err = data.draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
    stream = b"$ set --\r\nnoise \x1ebegin-wrong:0\x1e" + f"\x1ebegin-{NONCE}:0:e:77\x1e".encode()
    for index, piece in enumerate(out):
        stream += piece
        if index < len(err):
            stream += f"\x1eerr-{NONCE}:".encode() + base64.b64encode(err[index]) + b"\x1e"
    stream += f"\x1eexit-{NONCE}:42\x1e\x1eend-{NONCE}:0\x1ebye".encode()
    splitter, output, errors = Splitter(NONCE, tty=False), b"", b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        more = splitter.feed(stream[:size])
        output, errors = output + more[0], errors + more[1]
        stream = stream[size:]
    assert (output, errors) == (b"".join(out), b"".join(err[: len(out)]))
    assert (splitter.code, splitter.ended, splitter.pid) == (42, True, 77)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_line_ends_of_a_terminal_that_cannot_be_silenced_are_mended_wherever_cut(size: int) -> None:
    stream = f"\x1ebegin-{NONCE}:127::1\x1ea\r\nb\r\n\x1eexit-{NONCE}:0\x1e\x1eend-{NONCE}:0\x1e".encode()
    splitter, output = Splitter(NONCE, tty=False), b""
    for start in range(0, len(stream), size):
        output += splitter.feed(stream[start : start + size])[0]
    assert (output, splitter.code) == (b"a\nb\n", 0)
