"""What is typed into a shell, run in a real one, and what is read back."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnodectl.providers.aci.exec import Splitter, script

NONCE = "0123456789abcdef"


def _shell(command: list[str], *, stdin: bytes = b"") -> tuple[bytes, int | None]:
    """(output, exit code) of the script in /bin/sh without a terminal."""
    typed = "".join(f"{line}\n" for line in script(command, NONCE, tty=False)).encode()
    splitter, output = Splitter(NONCE, tty=False), b""
    with subprocess.Popen(
        ["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(typed)
        shell.stdin.flush()
        while not splitter.begun:
            output += splitter.feed(os.read(shell.stdout.fileno(), 1000))
        shell.stdin.write(stdin)
        shell.stdin.close()
        output += splitter.feed(shell.stdout.read())
    return output, splitter.code


def test_arguments_and_exit_code() -> None:
    output, code = _shell(
        ["sh", "-c", 'printf "%s|" "$@"; exit 7', "x", "a b", "", "it's $HOME `x` \\", "ü\n\t\x03"]
    )
    assert code == 7
    assert output == "a b||it's $HOME `x` \\|ü\n\t\x03|".encode()


def test_a_program_that_is_not_there() -> None:
    assert _shell(["/no/such/program"])[1] == 127


def test_stdin_goes_to_the_program_not_to_the_shell() -> None:
    assert _shell(["cat"], stdin=b"echo not a command\n") == (b"echo not a command\n", 0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40), max_size=4
    )
)
def test_any_argument_arrives_as_it_is(words: list[str]) -> None:
    told = _shell(["sh", "-c", 'for w in "$@"; do printf "%s\\036" "$w"; done', "x", *words])
    expected = b"".join(word.encode() + b"\x1e" for word in words)
    assert told == (expected, 0)


def test_long_arguments_are_typed_in_short_lines() -> None:
    lines = list(script(["echo", "x" * 10_000], NONCE, tty=False))
    assert max(map(len, lines)) < 1000
    assert _shell(["printf", "%s", "é" * 5000]) == (("é" * 5000).encode(), 0)


def _terminal(
    command: list[str], typed_later: bytes, *, tty: bool, after: bytes = b""
) -> tuple[bytes, int | None]:
    """The same in a real terminal, as ACI gives one."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv("/bin/sh", ["/bin/sh"])  # noqa: S606
    splitter, output, sent = Splitter(NONCE, tty), b"", False
    os.write(terminal, "".join(f"{line}\n" for line in script(command, NONCE, tty=tty)).encode())
    try:
        while splitter.code is None:
            output += splitter.feed(os.read(terminal, 1000))
            if splitter.begun and after in output and not sent:
                os.write(terminal, typed_later)
                sent = True
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    return output, splitter.code


def test_in_a_terminal_nothing_of_the_shell_is_seen() -> None:
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert _terminal(command, b"", tty=False) == (b"out\nerr\n", 3)
    assert _terminal(command, b"", tty=True) == (b"out\r\nerr\r\n", 3)


def test_piped_input_ends_with_control_d() -> None:
    output, code = _terminal(["sh", "-c", "wc -l; exit 4"], b"one\ntwo\n\x04", tty=False)
    assert (output.strip(), code) == (b"2", 4)


def test_control_c_ends_the_program_and_its_code_is_told() -> None:
    _, code = _terminal(["sh", "-c", "echo up; exec sleep 600"], b"\x03", tty=True, after=b"up")
    assert code == 130


@given(st.data())
def test_output_cut_anywhere_is_put_together_again(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=60).filter(lambda one: b"\x1eend-" not in one))
    stream = (
        b"$ set --\r\nnoise \x1ebegin-wrong:0\x1e"
        + f"\x1ebegin-{NONCE}:0\x1e".encode()
        + body
        + f"\x1eend-{NONCE}:42\x1e".encode()
        + b"bye"
    )
    splitter, output = Splitter(NONCE, tty=False), b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        output += splitter.feed(stream[:size])
        stream = stream[size:]
    assert (output, splitter.code) == (body, 42)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_terminal_that_cannot_be_silenced_has_its_line_ends_mended(size: int) -> None:
    stream = f"\x1ebegin-{NONCE}:127\x1ea\r\nb\r\n\x1eend-{NONCE}:0\x1e".encode()
    splitter, output = Splitter(NONCE, tty=False), b""
    for start in range(0, len(stream), size):
        output += splitter.feed(stream[start : start + size])
    assert (output, splitter.code) == (b"a\nb\n", 0)
