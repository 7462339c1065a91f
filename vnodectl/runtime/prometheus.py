"""Counters and histograms, and the text in which Prometheus reads them.

The text is the exposition format, version 0.0.4. Every series is declared when its family is made: a label
can take the values named then and no others, so that nothing a pod or a user chooses can add series.
Counting happens where thousands of pods pass per second, hence plain attributes and no locks: one event
loop counts, and it also renders.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Generic, Protocol, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LabelPairs = Iterable[tuple[str, str]]

# --- text -----------------------------------------------------------------------------------------


def header(name: str, kind: str, text: str) -> str:
    """HELP and TYPE; `kind` is counter, gauge or histogram."""
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


def sample(name: str, labels: LabelPairs, value: float, time: float | None = None) -> str:
    """One line; `time` in seconds since the epoch, where the value was measured at another time than now."""
    pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    stamp = "" if time is None else f" {round(time * 1000)}"
    return f"{name}{{{pairs}}} {number(value)}{stamp}\n" if pairs else f"{name} {number(value)}{stamp}\n"


def number(value: float) -> str:
    """As Go's ParseFloat reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def _bound(value: float) -> str:
    """As Go writes it, which queries of client-go's histograms expect: `1`, not `1.0`."""
    return f"{value:g}" if math.isfinite(value) else number(value)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


# --- series ---------------------------------------------------------------------------------------


class Series(Protocol):
    """What one combination of label values counts."""

    def lines(self, name: str, labels: Sequence[tuple[str, str]]) -> Iterator[str]: ...


S = TypeVar("S", bound=Series)


class Counter:
    """Only ever grows; add to `value` directly where a call would cost too much."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1

    def lines(self, name: str, labels: Sequence[tuple[str, str]]) -> Iterator[str]:
        yield sample(name, labels, self.value)


class Histogram:
    """`bounds` are the buckets' upper ends, ascending; the one at infinity is added."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Sequence[tuple[str, str]]) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self._bounds, math.inf), self._counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", (*labels, ("le", _bound(bound))), total)
        yield sample(f"{name}_sum", labels, self._sum)
        yield sample(f"{name}_count", labels, total)


class Family(Generic[S]):
    """All series of one name: every combination of the declared label values, from the beginning."""

    def __init__(
        self, name: str, kind: str, text: str, make: Callable[[], S], labels: Mapping[str, Sequence[str]]
    ) -> None:
        self._name = name
        self._header = header(name, kind, text)
        self._names = tuple(labels)
        self._series = {values: make() for values in product(*labels.values())}

    def labels(self, *values: str) -> S:
        """The series of these label values, in the order of declaration. Raises KeyError for others."""
        return self._series[values]

    def lines(self) -> Iterator[str]:
        yield self._header
        for values, series in self._series.items():
            yield from series.lines(self._name, tuple(zip(self._names, values, strict=True)))


# --- all of them ----------------------------------------------------------------------------------

Reading = Mapping[tuple[str, ...], float]
"""Values by label values; `{(): 1.5}` for a metric without labels."""


class Registry:
    """The metrics of one node, rendered in the order in which they were made."""

    def __init__(self) -> None:
        self._families: dict[str, Callable[[], Iterable[str]]] = {}

    def counter(self, name: str, text: str, /, **labels: Sequence[str]) -> Family[Counter]:
        return self._add(name, Family(name, "counter", text, Counter, labels))

    def histogram(
        self, name: str, text: str, bounds: Sequence[float], /, **labels: Sequence[str]
    ) -> Family[Histogram]:
        return self._add(name, Family(name, "histogram", text, lambda: Histogram(bounds), labels))

    def read(
        self, name: str, kind: str, text: str, read: Callable[[], Reading], labels: Sequence[str] = ()
    ) -> None:
        """A counter or gauge that is kept elsewhere; `read` is called once per scrape and must be quick."""
        first = header(name, kind, text)

        def lines() -> Iterator[str]:
            yield first
            for values, value in read().items():
                yield sample(name, zip(labels, values, strict=True), value)

        self._claim(name, lines)

    def text(self) -> str:
        return "".join(line for lines in self._families.values() for line in lines())

    def _add(self, name: str, family: Family[S]) -> Family[S]:
        self._claim(name, family.lines)
        return family

    def _claim(self, name: str, lines: Callable[[], Iterable[str]]) -> None:
        if name in self._families:
            raise ValueError(f"metric {name} exists already")
        self._families[name] = lines
