"""A strict reader of the Prometheus text format 0.0.4: whatever the format forbids is an AssertionError."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HEADER = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.*)")
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)(?: (-?\d+))?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)')
_ESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_KINDS = ("counter", "gauge", "histogram", "summary", "untyped")

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    """`samples` by the whole name and the labels in their order; `times` are in milliseconds."""

    help: str = ""
    kind: str = ""
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)
    times: dict[tuple[str, Labels], int] = field(default_factory=dict)


def parse(text: str) -> dict[str, Family]:
    """All families by name, checked one by one and together."""
    assert text.endswith("\n"), "the last line must end with a line feed"
    families: dict[str, Family] = {}
    current = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("#"):
            current = _header(line, families, current)
        else:
            _sample(line, families, current)
    for name, family in families.items():
        assert family.help, f"{name} has no HELP"
        assert family.kind, f"{name} has no TYPE"
        if family.kind == "histogram":
            _check_histogram(name, family)
        if family.kind in ("counter", "histogram"):
            assert all(value >= 0 for value in family.samples.values()), f"{name} is below zero"
    return families


def _header(line: str, families: dict[str, Family], current: str) -> str:
    found = _HEADER.fullmatch(line)
    assert found, f"not a header: {line!r}"
    word, name, rest = found.groups()
    family = families.get(name)
    if family is None:
        family = families[name] = Family()
    else:
        assert name == current, f"{name} is in two pieces"
    assert not family.samples, f"{word} of {name} comes after its samples"
    if word == "HELP":
        assert not family.help, f"{name} has two HELPs"
        assert re.fullmatch(r"([^\\]|\\[\\n])*", rest), f"HELP of {name} has a stray backslash"
        family.help = rest
    else:
        assert not family.kind, f"{name} has two TYPEs"
        assert rest in _KINDS, f"{name} is of no known type: {rest!r}"
        family.kind = rest
    return name


def _sample(line: str, families: dict[str, Family], current: str) -> None:
    found = _SAMPLE.fullmatch(line)
    assert found, f"not a sample: {line!r}"
    name, inside, value, time = found.groups()
    family = families.get(current)
    suffixes = ("_bucket", "_sum", "_count") if family is not None and family.kind == "histogram" else ("",)
    assert family is not None, f"{name} has no header"
    assert name in [current + suffix for suffix in suffixes], f"{name} is among the samples of {current}"
    labels = _labels(inside or "")
    key = (name, labels)
    assert frozenset(labels) not in {frozenset(other) for same, other in family.samples if same == name}, (
        f"{name}{labels} is there twice"
    )
    family.samples[key] = _number(value)
    if time is not None:
        family.times[key] = int(time)


def _labels(inside: str) -> Labels:
    labels = []
    position = 0
    while position < len(inside):
        found = _LABEL.match(inside, position)
        assert found, f"not labels: {inside!r}"
        name, text = found.groups()
        labels.append((name, re.sub(r'\\[\\"n]', lambda match: _ESCAPED[match.group()], text)))
        position = found.end()
    names = [name for name, _ in labels]
    assert len(set(names)) == len(names), f"a label is there twice: {inside!r}"
    return tuple(labels)


def _number(text: str) -> float:
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.lower())
    assert re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text), f"not a number: {text!r}"
    return float(text)


def _check_histogram(name: str, family: Family) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            rest = tuple(pair for pair in labels if pair[0] != "le")
            assert len(rest) == len(labels) - 1, f"a bucket of {name} has no le"
            series.setdefault(rest, []).append((_number(dict(labels)["le"]), value))
    for labels, buckets in series.items():
        bounds, counts = [bound for bound, _ in buckets], [count for _, count in buckets]
        assert bounds == sorted(set(bounds)), f"buckets of {name}{labels} are not in order"
        assert counts == sorted(counts), f"buckets of {name}{labels} are not cumulative"
        assert buckets[-1][0] == math.inf, f"{name}{labels} has no bucket at infinity"
        assert family.samples[f"{name}_count", labels] == buckets[-1][1]
        assert (f"{name}_sum", labels) in family.samples
    counted = sum(sample.endswith(("_sum", "_count")) for sample, _ in family.samples)
    assert counted == 2 * len(series), f"{name} has a sum or a count without buckets"
