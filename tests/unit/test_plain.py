"""Text of others on a terminal."""

from __future__ import annotations

import json

import pytest

from vnodectl.plain import json_text, one_line, printable

EVIL = "\x1b[31mred\x1b[0m\x9b1m\x07\r\u202egnp\ufeff\udcff"
SHOWN = r"\x1b[31mred\x1b[0m\x9b1m\x07\r\u202egnp\ufeff\udcff"


def test_what_does_not_show_is_an_escape() -> None:
    assert one_line(f"{EVIL}\n\tx") == f"{SHOWN}\\n\\tx"
    assert printable(f"{EVIL}\n\tx") == f"{SHOWN}\n\tx"


def test_other_peoples_letters_stay() -> None:
    assert one_line("Grüße, 世界 😀 [red]") == printable("Grüße, 世界 😀 [red]") == "Grüße, 世界 😀 [red]"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_means_the_same_in_any_encoding(encoding: str) -> None:
    text = json_text({EVIL: "世界\u007f 😀"}, encoding)
    assert json.loads(text.encode(encoding)) == {EVIL: "世界\u007f 😀"}
    assert all(line.isprintable() for line in text.splitlines())
