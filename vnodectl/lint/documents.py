"""Files of manifests with the place of every value: YAML streams, JSON, `kind: List`, Helm's output.

Values are read as the API server's tools read them (YAML 1.1 into JSON): dates stay text, numbers keep
their digits. Anchors, aliases and merge keys are followed; what came through an alias has the line where it
is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vnodectl.lint.model import JSON, Step, Steps

_MOST_REPEATED = 100_000
"""Values of one document that come through aliases: with more it is an attack or a mistake."""

_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]\w\w)\\u([dD][c-fC-F]\w\w)")
"""A character beyond U+FFFF as JSON escapes it; YAML has another way."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


class Unreadable(Exception):
    """A file that is not YAML or JSON. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Number(float):
    """A number whose text is that of the file: `1.10` is not `1.1`, and quantities are read from text."""

    written: str

    def __new__(cls, text: str, value: float) -> Number:
        made = super().__new__(cls, value)
        made.written = text
        return made

    def __str__(self) -> str:
        return self.written

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Source:
    """One object, and where each of its values is. `lines` is by path, from 1.

    `live` is how kubectl names an object that was read from a cluster: `-n web deployment/api`.
    """

    file: str
    body: JSON
    lines: Mapping[Steps, int] = field(default_factory=dict, repr=False)
    live: str | None = None

    def line(self, steps: Steps) -> int:
        """The line of what is at the path or, where nothing is, of the nearest thing above it."""
        for length in range(len(steps), -1, -1):
            found = self.lines.get(steps[:length])
            if found is not None:
                return found
        return 0


def read(text: str, file: str) -> list[Source]:
    """Every object of a file, those of Lists one by one. Raises Unreadable."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        # JSON may be indented by tabs, which YAML forbids; within its texts there can be none.
        text = _PAIR.sub(_character, text.replace("\t", " "))
    found: list[Source] = []
    try:
        for node in yaml.compose_all(text, Loader=loader):
            if node is not None:
                found += _objects(node, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(_words(error), mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"is not text that YAML allows: {type(error).__name__}", 1) from None
    except RecursionError:
        raise Unreadable("is nested too deeply", 1) from None
    return found


def _character(match: re.Match[str]) -> str:
    pair = bytes.fromhex(match[2] + match[3]).decode("utf-16-be")
    return match[1] + pair


def _words(error: yaml.MarkedYAMLError) -> str:
    return " ".join(filter(None, (error.context, error.problem))) or "is not YAML"


def _objects(node: Any, file: str) -> Iterator[Source]:
    lines: dict[Steps, int] = {}
    body = _Builder(lines).build(node, (), ())
    if not isinstance(body, dict):
        return
    yield from _unlisted(Source(file, body, lines))


def _unlisted(source: Source) -> Iterator[Source]:
    """The object, or those of a List: `kind: List` and `kind: PodList` alike."""
    items = source.body.get("items")
    if not (str(source.body.get("kind") or "").endswith("List") and isinstance(items, list)):
        yield source
        return
    by_item: list[dict[Steps, int]] = [{} for _ in items]
    for steps, line in source.lines.items():
        if len(steps) >= 2 and steps[0] == "items" and isinstance(steps[1], int):
            by_item[steps[1]][steps[2:]] = line
    kind = str(source.body.get("kind"))
    for index, item in enumerate(items):
        if isinstance(item, dict):
            if not item.get("kind") and kind != "List":  # the API server leaves it out in typed lists
                item = {
                    **item,
                    "kind": kind.removesuffix("List"),
                    "apiVersion": source.body.get("apiVersion"),
                }
            yield from _unlisted(Source(source.file, item, by_item[index]))


class _Builder:
    """Values from YAML nodes; notes the line of each."""

    def __init__(self, lines: dict[Steps, int]) -> None:
        self._lines = lines
        self._left = _MOST_REPEATED
        self._seen: set[int] = set()

    def build(self, node: Any, steps: Steps, above: tuple[int, ...], line: int | None = None) -> Any:
        """`line` is that of the key, where there is one: it says more than the first line of the value."""
        self._left -= id(node) in self._seen
        self._seen.add(id(node))
        here = node.start_mark.line + 1
        if self._left < 0:
            raise Unreadable("has too many values once its aliases are followed", here)
        if id(node) in above:
            raise Unreadable("an alias stands for something that contains it", here)
        self._lines[steps] = here if line is None else line
        if isinstance(node, yaml.MappingNode):
            return {
                key: self.build(value, (*steps, key), (*above, id(node)), where)
                for key, (value, where) in self._pairs(node, (*above, id(node))).items()
            }
        if isinstance(node, yaml.SequenceNode):
            return [
                self.build(value, (*steps, index), (*above, id(node)))
                for index, value in enumerate(node.value)
            ]
        return _scalar(node)

    def _pairs(self, node: Any, above: tuple[int, ...]) -> dict[Step, tuple[Any, int]]:
        """Keys with their values and lines; what is merged in gives way to what is written."""
        merged: dict[Step, tuple[Any, int]] = {}
        own: dict[Step, tuple[Any, int]] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for part in reversed(parts):
                    if not isinstance(part, yaml.MappingNode) or id(part) in above:
                        raise Unreadable("<< merges mappings only", key.start_mark.line + 1)
                    merged |= self._pairs(part, (*above, id(part)))
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable("a key must be text", key.start_mark.line + 1)
            own[key.value] = (value, key.start_mark.line + 1)
        return {**merged, **own}


def _scalar(node: Any) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"yes", "true", "on"}
    if kind == "int":
        return _whole(text)
    if kind == "float":
        return _float(text)
    return text


def _whole(text: str) -> Any:
    digits = text.replace("_", "")
    try:
        if digits.lstrip("+-").startswith("0") and digits.lstrip("+-0").isdigit():
            return int(digits, 8)  # YAML 1.1: file modes are written so
        return int(digits, 0) if digits.lstrip("+-")[1:2].isalpha() else int(digits)
    except ValueError:  # sexagesimal 1:30 and the like
        return text


def _float(text: str) -> Any:
    try:
        return Number(text, float(text.replace("_", "")))
    except ValueError:
        return text
