from __future__ import annotations

import io
import json
import re
import sys

import pytest

from vnodectl.cli import output
from vnodectl.errors import VnodectlError

LONG = "virtual-kubelet-" + "x" * 120


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_no_cell_is_cut_and_no_line_has_trailing_space(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table(("NODE", "OS"), [(LONG, "Linux"), ("short", "")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [LONG, "Linux"]
    assert all(line == line.rstrip() for line in lines)
    assert len(lines) == 3


def test_on_a_terminal_a_table_is_no_wider_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    output.write_table(("NODE", "OS"), [(LONG, "Linux")])
    lines = re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert "".join(line.split()[0] for line in lines[1:]) == LONG, "folded, not cut"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_where_it_is_wanted(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    output.report(VnodectlError("broken"))
    assert ("\x1b[" in terminal.getvalue()) is coloured
    assert "error:" in terminal.getvalue()


def test_json_is_one_document_with_a_schema_version(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json("Thing", {"name": "ä"})
    assert json.loads(capsys.readouterr().out) == {"schemaVersion": 1, "kind": "Thing", "name": "ä"}


ODD = "\x1b[31mred\x1b[0m\x9b1m\x07\r [bold]x[/bold] 日本"
SHOWN = r"\x1b[31mred\x1b[0m\x9b1m\x07\r [bold]x[/bold] 日本"


def test_what_clusters_and_clouds_say_is_only_text_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.note(ODD)
    output.warn(ODD)
    output.complain(ODD, ODD)
    output.write_table(("NODE", "OS"), [(ODD, "a\nb")])
    shown = capsys.readouterr()
    assert shown.err == f"{SHOWN}\nwarning: {SHOWN}\nerror: {SHOWN}\nhint: {SHOWN}\n"
    assert shown.out.splitlines()[1].split("   ") == [SHOWN, "a b"]


@pytest.mark.parametrize(("encoding", "errors"), [("utf-8", "surrogateescape"), ("ascii", "strict")])
def test_json_can_always_be_read(encoding: str, errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors=errors))
    output.write_json("Thing", {"name": "日本 \udcff \U0001f600"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue().decode())["name"] == "日本 \udcff \U0001f600"


def test_progress_in_a_pipe_is_a_line_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as shown:
        shown.say("", "looking")
        shown.say("Linux", "installing [bold]x")
        shown.done("Linux")
    assert capsys.readouterr() == ("", "looking\nLinux: installing [bold]x\n")


def test_progress_on_a_terminal_shows_every_subject_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with output.progress() as shown:
        shown.say("Linux", "a")
        shown.say("Windows", "[b]")
        assert shown.text == "Linux: a; Windows: [b]"
        shown.done("Linux")
        assert shown.text == "Windows: [b]"
