"""Parameters of the RPC style: flat names such as `Container.1.Port.2.Protocol`, read as a tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vnodectl.emulator.alibaba.errors import invalid_parameter, missing_parameter
from vnodectl.emulator.documents import JSON

_TRUE, _FALSE = ("true",), ("false",)


def nested(flat: Mapping[str, str]) -> JSON:
    """Objects by name, lists where all names are numbers; a leaf is always a string.

    Where a name is both a leaf and a branch, the branch wins.
    """
    tree: JSON = {}
    for name in sorted(flat):
        branch = tree
        *path, leaf = name.split(".")
        for part in path:
            if not isinstance(branch.get(part), dict):
                branch[part] = {}
            branch = branch[part]
        branch.setdefault(leaf, flat[name])
    return {name: _listed(value) for name, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(one) for name, one in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


class Params:
    """One object of the tree. `place` is its own name, e.g. "Container.1". All methods raise ApiError."""

    def __init__(self, tree: Mapping[str, Any], place: str = "") -> None:
        self.tree = tree
        self._place = place

    def has(self, name: str) -> bool:
        """Whether it was given, and not as an empty string."""
        return self._get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise invalid_parameter(self.at(name))
        return value

    def required(self, name: str) -> str:
        if not self.has(name):
            raise missing_parameter(self.at(name))
        return self.text(name)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name) or default
        if value not in allowed:
            raise invalid_parameter(self.at(name), f"must be one of {', '.join(allowed)}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name).casefold()
        if not value:
            return default
        if value not in (*_TRUE, *_FALSE):
            raise invalid_parameter(self.at(name), "must be true or false")
        return value in _TRUE

    def integer(
        self, name: str, default: int = 0, *, least: int | None = None, most: int | None = None
    ) -> int:
        value = self.number(name, default, least=least, most=most)
        if value != int(value):
            raise invalid_parameter(self.at(name), "must be a whole number")
        return int(value)

    def number(
        self, name: str, default: float = 0, *, least: float | None = None, most: float | None = None
    ) -> float:
        text = self.text(name)
        try:
            value = float(text) if text else float(default)
        except ValueError as error:
            raise invalid_parameter(self.at(name), "must be a number") from error
        if text and ((least is not None and value < least) or (most is not None and value > most)):
            limits = f"at least {least:g}" if most is None else f"between {least or 0:g} and {most:g}"
            raise invalid_parameter(self.at(name), f"must be {limits}")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise invalid_parameter(self.at(name), "must be a list of strings")
        return value

    def items(self, name: str) -> list[Params]:
        value = self._get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise invalid_parameter(self.at(name), "must be a list of objects")
        return [Params(one, f"{self.at(name)}.{index + 1}") for index, one in enumerate(value)]

    def child(self, name: str) -> Params:
        """Empty where it is missing."""
        value = self._get(name)
        if value is not None and not isinstance(value, dict):
            raise invalid_parameter(self.at(name))
        return Params(value or {}, self.at(name))

    def json_texts(self, name: str, most: int) -> list[str] | None:
        """A list of at most so many strings, written as JSON; None where it is missing."""
        if not self.has(name):
            return None
        try:
            value = json.loads(self.text(name))
        except ValueError as error:
            raise invalid_parameter(self.at(name), "must be a JSON array of strings") from error
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise invalid_parameter(self.at(name), "must be a JSON array of strings")
        if len(value) > most:
            raise invalid_parameter(self.at(name), f"must not have more than {most} entries")
        return value

    def at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _get(self, name: str) -> Any:
        """`name` may lead down, e.g. "HttpGet.Port"."""
        value: Any = self.tree
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return value
