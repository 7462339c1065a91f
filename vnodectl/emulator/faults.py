"""Faults on demand: which calls fail, how, and how often."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Every condition that is given must hold for the rule to apply.

    `method`: e.g. "PUT". `template`: a route's path as the recorder shows it. `path`: a regular
    expression searched in the request's path. `rate`: the share of matching calls that fail.
    `skip`: so many matching calls pass first. `times`: so many calls fail, then the rule is spent
    (1: once; None: always).

    What happens: wait `delay` seconds of real time, then drop the connection (`drop`), or answer with
    `status`, `code`, `message` and `headers`, or (neither) go on as usual. With `after` the call takes
    effect first and only its answer is lost or replaced.
    """

    id: str
    method: str = ""
    template: str = ""
    path: str = ""
    rate: float = 1.0
    skip: int = 0
    times: int | None = None
    delay: float = 0.0
    drop: bool = False
    status: int | None = None
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False

    def matches(self, method: str, template: str, path: str) -> bool:
        return (
            (not self.method or self.method == method)
            and (not self.template or self.template.casefold() == template.casefold())
            and (not self.path or re.search(self.path, path, re.IGNORECASE) is not None)
        )


class FaultBook:
    """The rules in force, in the order in which they were added; the first that applies wins."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._rules: dict[str, FaultRule] = {}
        self._seen: dict[str, int] = {}
        self._hits: dict[str, int] = {}
        self._next = 1

    def add(self, rule: Mapping[str, Any]) -> FaultRule:
        """From JSON with the names of `FaultRule`. Raises ValueError for what it does not understand."""
        known = set(FaultRule.__dataclass_fields__) - {"id"}
        if unknown := sorted(set(rule) - known):
            raise ValueError(f"unknown field {unknown[0]!r}; a fault has {', '.join(sorted(known))}")
        made = FaultRule(id=f"fault-{self._next}", **rule)
        try:
            re.compile(made.path)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from error
        if not 0 <= made.rate <= 1:
            raise ValueError("rate must be between 0 and 1")
        self._next += 1
        self._rules[made.id] = made
        return made

    def remove(self, fault: str) -> bool:
        return self._rules.pop(fault, None) is not None

    def clear(self) -> None:
        self._rules.clear()
        self._seen.clear()
        self._hits.clear()

    def listed(self) -> list[tuple[FaultRule, int]]:
        """Each rule with the number of calls it has hit."""
        return [(rule, self._hits.get(rule.id, 0)) for rule in self._rules.values()]

    def pick(self, method: str, template: str, path: str) -> FaultRule | None:
        """The rule for this call, which counts as a hit of it."""
        for rule in tuple(self._rules.values()):
            if not rule.matches(method, template, path):
                continue
            seen = self._seen[rule.id] = self._seen.get(rule.id, 0) + 1
            if seen <= rule.skip or (rule.rate < 1 and self._chance.random() >= rule.rate):
                continue
            hits = self._hits[rule.id] = self._hits.get(rule.id, 0) + 1
            if rule.times is not None and hits >= rule.times:
                del self._rules[rule.id]
            return rule
        return None
