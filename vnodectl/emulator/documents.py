"""Reading JSON that people wrote: what is missing or of the wrong type is said with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JSON = dict[str, Any]
D = TypeVar("D", bound="DataclassInstance")


def read_seed(path: Path) -> Any:
    """The JSON document in a file. Raises UsageError where it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"the seed {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the seed {path} is not JSON: {error}") from error


class Reader:
    """One JSON object of a seed. `place` is where it stands, e.g. "servicePrincipals[0]".

    Each of the methods takes a field; `done` then refuses the fields that nothing has asked for, so
    that a misspelt one is not silently ignored. All raise UsageError.
    """

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise UsageError(f"{place or 'the seed'} must be a JSON object, not {_kind(value)}")
        self._value = value
        self._place = place
        self._asked: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        value = self._take(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def number(self, name: str, default: float) -> float:
        """A number of at least zero."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise self._wrong(name, "a number of at least 0", value)
        return float(value)

    def integer(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value != int(value):
            raise self._wrong(name, "a whole number", value)
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._take(name, list(default))
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self._wrong(name, "a list of strings", value)
        return tuple(value)

    def mapping(self, name: str) -> JSON:
        value = self._take(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return value

    def objects(self, name: str) -> list[Reader]:
        value = self._take(name, [])
        if not isinstance(value, list):
            raise self._wrong(name, "a list", value)
        return [Reader(entry, f"{self._at(name)}[{index}]") for index, entry in enumerate(value)]

    def has(self, name: str) -> bool:
        return name in self._value

    def nested(self, name: str) -> Reader:
        return Reader(self._take(name, {}), self._at(name))

    def raw(self, name: str) -> Any:
        return self._take(name, None) if self.has(name) else None

    def done(self) -> None:
        if unknown := sorted(set(self._value) - self._asked):
            raise UsageError(
                f"{self._at(unknown[0])}: there is no such field",
                hint=f"known here: {', '.join(sorted(self._asked))}",
            )

    def _take(self, name: str, default: Any) -> Any:
        self._asked.add(name)
        if name in self._value:
            return self._value[name]
        if default is None:
            raise UsageError(f"{self._at(name)} is missing")
        return default

    def _wrong(self, name: str, wanted: str, value: Any) -> UsageError:
        return UsageError(f"{self._at(name)} must be {wanted}, not {_kind(value)}")

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name


def numbers(base: D, reader: Reader) -> D:
    """`base`, a dataclass of numbers and flags, with the fields that the seed names in camelCase."""
    changes: dict[str, float] = {}
    for entry in fields(base):
        default = getattr(base, entry.name)
        name = camel(entry.name)
        if isinstance(default, bool):
            changes[entry.name] = reader.flag(name, default)
        elif isinstance(default, int):
            changes[entry.name] = reader.integer(name, default)
        else:
            changes[entry.name] = reader.number(name, default)
    reader.done()
    return replace(base, **changes)


def camel(name: str) -> str:
    """group_creates_per_5_minutes → groupCreatesPer5Minutes."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _kind(value: Any) -> str:
    # Never the value itself: it may be a secret.
    return {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
