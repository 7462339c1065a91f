"""Quantities of the Kubernetes API."""

from __future__ import annotations

from decimal import Decimal

import pytest

from vnodectl.runtime.quantity import divide, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("1.5Gi", "1610612736"),
        ("2e3", "2000"),
        ("1E3", "1000"),
        ("1E", "1e18"),
        ("3k", "3000"),
        ("100n", "1e-7"),
        (2, "2"),
        ("-1", "-1"),
        (".5", "0.5"),
    ],
)
def test_parse(text, value):
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1KiB", "nan", "inf", "1,5", "x"])
def test_what_is_not_a_quantity(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse(text)


def test_division_rounds_up():
    assert divide(parse("250m"), parse("1")) == 1
    assert divide(parse("1Gi"), parse("1Mi")) == 1024
