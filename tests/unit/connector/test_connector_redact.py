from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from vnodectl.connector.redact import redactor

SECRET = 'h~u"s/h+ é'


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        json.dumps({"a": SECRET}),
        quote(SECRET, safe=""),
    ],
)
def test_every_form_of_a_secret_is_masked(shown: str) -> None:
    cleaned = redactor([SECRET])(f"before {shown} after")
    assert shown not in cleaned
    assert "***" in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_no_secret_changes_nothing() -> None:
    assert redactor([""])("as it is") == "as it is"
