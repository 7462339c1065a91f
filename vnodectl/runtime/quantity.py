"""Kubernetes quantities: `500m`, `1.5Gi`, `2e3`.

The grammar is the one of the API's reference documentation of Quantity.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

# `1E3` has a decimal exponent, `1E` the suffix exa: the exponent is tried first.
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?", re.ASCII)

_SUFFIXES: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def parse(text: str | int | float) -> Decimal:
    """The value in base units (cores, bytes). Raises ValueError for what is not a quantity."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"not a quantity: {text!r}")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def divide(value: Decimal, divisor: Decimal) -> int:
    """`value / divisor`, rounded up, as resourceFieldRef does."""
    return int((value / divisor).to_integral_value(rounding=ROUND_CEILING))
