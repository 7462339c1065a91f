"""How far a server's clock is ahead, by its Date header."""

from __future__ import annotations

import pytest

from vnodectl.httpdate import ahead

NOON = 1767268800.0  # Thu, 01 Jan 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("date", "before", "after", "skew"),
    [
        ("Thu, 01 Jan 2026 12:00:00 GMT", NOON, NOON + 1, 0.0),
        ("Thu, 01 Jan 2026 13:00:00 GMT", NOON, NOON, 3600.5),
        ("Thu, 01 Jan 2026 11:00:00 GMT", NOON, NOON, -3599.5),
        ("yesterday", NOON, NOON, None),
        ("", NOON, NOON, None),
        (None, NOON, NOON, None),
    ],
)
def test_skew(date, before, after, skew):
    assert ahead(date, before, after) == skew
