"""How the values of annotations are read. Each function raises ValueError with what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from vnodectl.providers.eci.settings import split
from vnodectl.runtime import quantity

Parse = Callable[[str], Any]


def text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def flag(value: str) -> bool:
    if value.strip().lower() not in {"true", "false"}:
        raise ValueError(f"must be true or false, not {value!r}")
    return value.strip().lower() == "true"


def whole(least: int, most: int | None = None) -> Parse:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value.strip()):
            raise ValueError(f"must be a whole number, not {value!r}")
        number = int(value)
        if number < least or (most is not None and number > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(f"must be {bounds}, not {number}")
        return number

    return parse


def one_of(*choices: str) -> Parse:
    def parse(value: str) -> str:
        for choice in choices:
            # The documents write both vSwitchOrdered and VSwitchOrdered.
            if value.strip().lower() == choice.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")

    return parse


def price(value: str) -> str:
    try:
        price = Decimal(value.strip())
    except InvalidOperation:
        raise ValueError(f"must be a price per hour, as in 0.5, not {value!r}") from None
    if not price.is_finite() or price <= 0 or price != round(price, 3):
        raise ValueError(f"must be positive, with at most three decimal places, not {value!r}")
    return f"{price:f}"


def names(most: int) -> Parse:
    def parse(value: str) -> str:
        found = split(value)
        if not found or len(found) > most:
            raise ValueError(f"must name 1 to {most}, not {len(found)}")
        return ",".join(found)

    return parse


def several(value: str) -> list[str]:
    found = list(split(value))
    if not found:
        raise ValueError("must not be empty")
    return found


def gib(value: str) -> int:
    try:
        amount = quantity.parse(value.strip()) / Decimal(2) ** 30
    except ValueError:
        raise ValueError(f"must be a size, as in 50Gi, not {value!r}") from None
    if amount <= 0:
        raise ValueError(f"must be more than nothing, not {value!r}")
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


_BANDWIDTH = re.compile(r"(\d+(?:\.\d+)?)\s*(TB?|GB?|MB?|KB?|B?)", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def bits_per_second(value: str) -> int:
    """The annotation counts bytes a second ("40M is 320 Mbit/s"), the parameter bits."""
    match = _BANDWIDTH.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"must be bytes a second, as in 40M, not {value!r}")
    unit = match[2].upper().removesuffix("B") if len(match[2]) > 1 else match[2].upper()
    return int(Decimal(match[1]) * _UNITS[unit] * 8)


def ipv6(value: str) -> int | None:
    return 1 if flag(value) else None
