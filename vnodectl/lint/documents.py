"""Files of manifests with the place of every value: YAML streams, JSON, `kind: List`, Helm's output.

Values are read as the API server's tools read them (YAML 1.1 into JSON): dates stay text, numbers keep
their digits. Anchors, aliases and merge keys are followed; what came through an alias has the line where it
is written; of a key that is written twice the last one counts. A stream is taken apart before it is parsed,
as kubectl does it, so that what is wrong with one document says nothing of the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vnodectl.lint.model import JSON, Step, Steps

_MOST_REPEATED = 100_000
"""Values of one document that come through aliases: with more it is an attack or a mistake."""

_DEEPEST = 1000
"""Levels of one document. The parser in C keeps no watch on its stack: a hundred thousand end the process."""

_NESTING = "{[-?:"
"""Every level takes one of these."""

_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]\w\w)\\u([dD][c-fC-F]\w\w)")
"""A character beyond U+FFFF as JSON escapes it; YAML has another way."""

_MARKER = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
"""Where a document begins: YAML allows such a line nowhere else, not even within a text."""

_MARK = re.compile(r"^\ufeff", re.MULTILINE)
"""Byte order marks, at the beginning of each file that was put into a stream."""

_BRACKET = re.compile(r"(?:---)?\s*([{\[])")
_DOCUMENT = "the document"
_DECODER = json.JSONDecoder()

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


class Unreadable(Exception):
    """A document that cannot be looked at. `line` counts from 1."""

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


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file has.

    `broken` are documents that are not YAML or JSON; `foreign` those that are, and yet no objects of
    Kubernetes: text, lists, what has one of `kind` and `apiVersion`. Objects with neither are among the
    `sources`, and nothing is said of them. `kubernetes` tells whether there is an object of Kubernetes.
    """

    sources: tuple[Source, ...]
    broken: tuple[Unreadable, ...] = ()
    foreign: tuple[Unreadable, ...] = ()
    kubernetes: bool = False


def read(text: str, file: str) -> Contents:
    """Every object of a file, those of Lists one by one."""
    sources: list[Source] = []
    broken: list[Unreadable] = []
    foreign: list[Unreadable] = []
    kubernetes = False
    for before, document in _documents(_MARK.sub("", text) if "\ufeff" in text else text):
        try:
            for node in _nodes(document, before):
                lines: dict[Steps, int] = {}
                body = _Builder(lines, before).build(node, (), ())
                kubernetes |= isinstance(body, dict) and not lacking(body)
                sources += _objects(body, lines, file, foreign)
        except Unreadable as error:
            broken.append(error)
        except RecursionError:
            broken.append(Unreadable("is nested too deeply", before + 1))
    return Contents(tuple(sources), tuple(broken), tuple(foreign), kubernetes)


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a stream, each with the number of lines before it."""
    before = start = 0
    for match in _MARKER.finditer(text):
        at = match.start()
        while at and text.startswith("%", above := text.rfind("\n", 0, at - 1) + 1):
            at = above  # directives belong to what follows them
        if at > start:
            yield from _values(text[start:at], before)
            before += text.count("\n", start, at)
            start = at
    yield from _values(text[start:], before)


def _values(document: str, before: int) -> Iterator[tuple[int, str]]:
    """A document or, where JSON objects follow one another (`jq -c`), each: YAML has no such thing."""
    start = 0
    while match := _BRACKET.match(document, start):
        try:
            _, end = _DECODER.raw_decode(document, match.start(1))
        except (ValueError, RecursionError):
            break
        if not _BRACKET.match(document, end):
            break
        yield before, document[start:end]
        before += document.count("\n", start, end)
        start = end
    yield before, document[start:]


def _nodes(document: str, before: int) -> Iterator[Any]:
    """The YAML nodes of one document: none where it is empty. Raises Unreadable."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if _BRACKET.match(document):
        # JSON may be indented by tabs, which YAML forbids; within its texts there can be none.
        document = _PAIR.sub(_character, document.replace("\t", " "))
    _refuse_deep(document, before, loader)
    try:
        for node in yaml.compose_all(document, Loader=loader):
            if node is not None and node.tag != f"{_TAG}null":
                yield node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = document.rstrip().count("\n")  # what is never closed is missed behind the end
        raise Unreadable(_words(error), before + (min(mark.line, last) if mark else 0) + 1) from None
    except yaml.reader.ReaderError as error:
        read_so_far = document.encode()[: error.position] if isinstance(error.position, int) else b""
        what = f"U+{error.character:04X} may not be" if isinstance(error.character, int) else error.reason
        raise Unreadable(f"{what} in YAML", before + read_so_far.count(b"\n") + 1) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"is not text that YAML allows: {type(error).__name__}", before + 1) from None
    except UnicodeEncodeError:
        raise Unreadable("is not UTF-8 text", before + 1) from None


def _refuse_deep(document: str, before: int, loader: Any) -> None:
    """Raises Unreadable for more levels than the stack has room for. For most, counting will do."""
    if sum(map(document.count, _NESTING)) <= _DEEPEST:
        return
    depth = 0
    try:
        for event in yaml.parse(document, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                mark = event.start_mark
                raise Unreadable("is nested too deeply", before + (mark.line if mark else 0) + 1)
    except (yaml.YAMLError, UnicodeEncodeError):
        return  # said where it is read


def _character(match: re.Match[str]) -> str:
    pair = bytes.fromhex(match[2] + match[3]).decode("utf-16-be")
    return match[1] + pair


def _words(error: yaml.MarkedYAMLError) -> str:
    return " ".join(filter(None, (error.context, error.problem))) or "is not YAML"


def lacking(body: JSON) -> tuple[str, ...]:
    """What makes an object one of Kubernetes, and is not there as text."""
    return tuple(key for key in ("apiVersion", "kind") if not body.get(key) or not isinstance(body[key], str))


def _called(value: Any) -> str:
    kinds = (
        (list, "a list"),
        (str, "text"),
        (bool, "true or false"),
        (int | float, "a number"),
        (dict, "an object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _objects(
    body: Any, lines: dict[Steps, int], file: str, foreign: list[Unreadable], what: str = _DOCUMENT
) -> Iterator[Source]:
    """The object, or those of a List: `kind: List` and `kind: PodList` alike. What is none is `foreign`."""
    if not isinstance(body, dict):
        foreign.append(Unreadable(f"{what} is {_called(body)}, not an object", lines.get((), 1)))
        return
    absent = lacking(body)
    if len(absent) == 1 or (absent and what != _DOCUMENT):
        foreign.append(Unreadable(f"{what} has no {' and no '.join(absent)}", lines.get((), 1)))
    kind, items = str(body.get("kind") or ""), body.get("items")
    if not (kind.endswith("List") and isinstance(items, list)):
        if kind == "List" and items is not None:
            foreign.append(
                Unreadable(f"items of the List is {_called(items)}, not a list", lines[("items",)])
            )
        yield Source(file, body, lines)
        return
    by_item: list[dict[Steps, int]] = [{} for _ in items]
    for steps, line in lines.items():
        if len(steps) >= 2 and steps[0] == "items" and isinstance(steps[1], int):
            by_item[steps[1]][steps[2:]] = line
    for index, item in enumerate(items):
        if isinstance(item, dict) and not item.get("kind") and kind != "List":
            # The API server leaves it out in typed lists.
            item = {**item, "kind": kind.removesuffix("List"), "apiVersion": body.get("apiVersion")}
        elif not isinstance(item, dict) and kind != "List":
            continue  # a custom object that happens to be called so
        yield from _objects(item, by_item[index], file, foreign, f"items[{index}] of the List")


class _Builder:
    """Values from YAML nodes; notes the line of each. `before` is how many lines are before the document."""

    def __init__(self, lines: dict[Steps, int], before: int) -> None:
        self._lines = lines
        self._first = before + 1
        self._left = _MOST_REPEATED
        self._seen: set[int] = set()

    def build(self, node: Any, steps: Steps, above: tuple[int, ...], line: int | None = None) -> Any:
        """`line` is that of the key, where there is one: it says more than the first line of the value."""
        self._left -= id(node) in self._seen
        self._seen.add(id(node))
        here = node.start_mark.line + self._first
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
                        raise Unreadable("<< merges mappings only", key.start_mark.line + self._first)
                    merged |= self._pairs(part, (*above, id(part)))
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable("a key must be text", key.start_mark.line + self._first)
            own[key.value] = (value, key.start_mark.line + self._first)
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
