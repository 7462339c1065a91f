"""Parts of the pages that say what is emulated."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from vnodectl.emulator.documents import camel

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def numbers_table(name: str, unit: str, defaults: DataclassInstance) -> str:
    """A seed's object of numbers, as a section with all of its fields."""
    rows = [f"| {camel(one.name)} | {getattr(defaults, one.name)} |" for one in fields(defaults)]
    return "\n".join([f"### `{name}` ({unit})\n", "| Field | Default |", "|---|---|", *rows, ""])


def code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)
