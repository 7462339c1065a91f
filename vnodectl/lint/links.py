"""What the Services of a namespace add to the environment of each of its pods. Pure.

Of every Service a pod gets seven variables or more: where there are thousands of both, that would be most of
the work, and no translator looks at any of them. So they are made once, counted for each pod, and given to a
pod as far as it refers to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vnodectl.lint.model import JSON
from vnodectl.runtime.env import service_env
from vnodectl.runtime.expansion import references
from vnodectl.runtime.facts import Facts, NodeFacts


@dataclass(frozen=True, slots=True)
class Links:
    """`values` are variables by name, `owners` the places of their `services`, `size` the bytes of all."""

    values: Mapping[str, str]
    owners: Mapping[str, int]
    services: Sequence[JSON]
    size: int

    def of(self, pod: JSON) -> tuple[JSON, ...]:
        """The Services whose variables a pod refers to, in order: of two of one name the last wins."""
        named = {
            self.owners[name]
            for kind in ("initContainers", "containers")
            for text in _texts(pod["spec"].get(kind))
            for name in references(text)
            if name in self.owners
        }
        return tuple(self.services[index] for index in sorted(named))

    def besides(self, names: Collection[str]) -> tuple[int, int]:
        """How many variables there are besides those, and their bytes."""
        there = [name for name in names if name in self.values]
        return len(self.values) - len(there), self.size - sum(
            taken(name, self.values[name]) for name in there
        )


def links(namespace: str, services: Sequence[JSON], node: NodeFacts) -> Links:
    """Those of all Services of a namespace; what is not written as one adds nothing."""
    pod: JSON = {"metadata": {"namespace": namespace}, "spec": {}}
    values: dict[str, str] = {}
    owners: dict[str, int] = {}
    for index, service in enumerate(services):
        try:
            made = service_env(pod, Facts(node=node, services=(service,)))
        except (KeyError, TypeError, AttributeError, ValueError):
            continue  # the API server would not take it
        values |= made
        owners |= dict.fromkeys(made, index)
    return Links(values, owners, services, sum(taken(name, value) for name, value in values.items()))


def taken(name: str, value: str) -> int:
    """Bytes of a variable in a program's environment: `NAME=value` and a zero."""
    return len(name) + len(value.encode()) + 2


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
