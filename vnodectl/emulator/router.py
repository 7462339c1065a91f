"""Paths with `{parameters}`, matched without regard to case, and a table of them for the documentation.

A template that begins with `/{+name}/` matches below any path: the parameter is that path, with its slashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """One operation. `versions` are the api-versions it is offered in, newest first; empty: not versioned."""

    method: str
    template: str
    operation: str
    handler: H
    versions: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Match(Generic[H]):
    route: Route[H]
    params: dict[str, str]


class Router(Generic[H]):
    """Finds the route of a request. Templates of the same shape must differ in a literal segment."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        self.routes = tuple(routes)
        self._by_length: dict[int, list[tuple[tuple[str, ...], Route[H]]]] = {}
        self._below: list[tuple[str, tuple[str, ...], Route[H]]] = []
        for route in self.routes:
            segments = _segments(route.template)
            if segments and segments[0].startswith("{+"):
                self._below.append((segments[0][2:-1], segments[1:], route))
            else:
                self._by_length.setdefault(len(segments), []).append((segments, route))

    def match(self, method: str, path: str) -> Match[H] | None:
        for route, params in self._candidates(path):
            if route.method == method:
                return Match(route, params)
        return None

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that `path` has; empty where there is no such path."""
        return tuple(sorted({route.method for route, _ in self._candidates(path)}))

    def table(self) -> str:
        """A Markdown table of the operations, sorted by path."""
        rows = ["| Method | Path | Operation | API versions | Notes |", "|---|---|---|---|---|"]
        for route in sorted(self.routes, key=lambda route: (route.template.casefold(), route.method)):
            versions = _version_range(route.versions)
            rows.append(
                f"| {route.method} | `{route.template}` | {route.operation} | {versions} | {route.note} |"
            )
        return "\n".join(rows) + "\n"

    def _candidates(self, path: str) -> list[tuple[Route[H], dict[str, str]]]:
        given = _segments(path)
        found = []
        for segments, route in self._by_length.get(len(given), ()):
            params = _bind(segments, given)
            if params is not None:
                found.append((route, params))
        for name, segments, route in self._below:
            start = len(given) - len(segments)
            if start >= 0 and (params := _bind(segments, given[start:])) is not None:
                found.append((route, {name: "/" + "/".join(given[:start])} | params))
        return found


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _bind(template: tuple[str, ...], given: tuple[str, ...]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for pattern, value in zip(template, given, strict=True):
        if pattern.startswith("{"):
            params[pattern[1:-1]] = value
        elif pattern.casefold() != value.casefold():
            return None
    return params


def _version_range(versions: tuple[str, ...]) -> str:
    if len(versions) <= 4:
        return ", ".join(versions) or "any"
    return f"{versions[-1]} … {versions[0]}"
