"""Asking somebody: every answer, the end of the input, and what interrupts."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import typer

from vnodectl.cli.ask import confirm


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where answers are written; closing it is the end of standard input."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield write
        with suppress(OSError):  # a test closed it
            os.close(write)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y", True), ("YES", True), (" yes ", True), ("n", False), ("No", False), ("", False)],
)
async def test_an_answer(typed: str, answer: bool, keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, f"{typed}\n".encode())
    assert await confirm("Go on?") is answer
    assert capsys.readouterr() == ("", "Go on? [y/N]: ")


async def test_what_is_no_answer_is_asked_for_again(keyboard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("answer"):
                os.write(keyboard, b"y\n")
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Screen())
    os.write(keyboard, b"maybe\n")
    assert await confirm("Go on?") is True
    assert sys.stderr.getvalue() == "Go on? [y/N]: answer y or n\nGo on? [y/N]: "


async def test_the_end_of_the_input_is_no_answer(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.close(keyboard)
    with pytest.raises(typer.Abort):
        await confirm("Go on?")
    assert capsys.readouterr().err == "Go on? [y/N]: \n"


_ASKING = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))  # who leads a session gets the terminal that it opens
from vnodectl.cli import app, run
from vnodectl.cli.ask import confirm
app.app = lambda **_: run.run(confirm("Go on?"))
sys.exit(app.run_program([]))
"""


def key(code: bytes) -> Callable[[int, int], object]:
    return lambda keys, _: os.write(keys, code)


def sent(number: signal.Signals) -> Callable[[int, int], object]:
    return lambda _, process: os.kill(process, number)


@pytest.mark.parametrize(
    ("interrupt", "echo"),
    [
        (key(b"\x03"), b"^C"),
        (key(b"\x04"), b""),
        (sent(signal.SIGTERM), b""),
        (sent(signal.SIGHUP), b""),
    ],
    ids=["Ctrl-C", "Ctrl-D", "SIGTERM", "SIGHUP"],
)
def test_a_question_can_be_interrupted(interrupt: Callable[[int, int], object], echo: bytes) -> None:
    """On a real terminal: a blocking read held up the signals' handlers until somebody pressed Enter."""
    keys, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ASKING],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    try:
        while not shown.endswith(b"[y/N]: "):
            shown += os.read(keys, 4096)
        interrupt(keys, process.pid)
        assert process.wait(timeout=30) == 130
        shown += os.read(keys, 4096)
    finally:
        process.kill()
        process.wait()
        os.close(keys)
    assert shown.endswith(b"Go on? [y/N]: " + echo + b"\r\ninterrupted\r\n")
