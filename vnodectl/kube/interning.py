"""Objects that say the same things share them: thousands of pods in memory differ in little.

`json.loads` makes every key and every value of every document anew; an object of the API is mostly keys,
image names, times and words such as "True". Sharing them takes half of what the pods of a node weigh.
"""

from __future__ import annotations

from typing import Any

_LONGEST = 64
_REMEMBERED = 8192


class Interner:
    """`intern` gives a copy of a JSON value whose equal short strings are one string each, over all calls.

    What was seen is forgotten when there is too much of it, so that names and numbers that occur once do not
    pile up.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def intern(self, value: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
        """`before` is what an earlier call gave for the same object: its parts that say the same are taken
        as they are. Whoever gets them must not change them."""
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return self._dict(value, before or {})

    def _dict(self, value: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        known = self._known
        copied: dict[str, Any] = {}
        for key, one in value.items():
            kind = type(one)
            if kind is str:
                if len(one) < _LONGEST:
                    one = known.setdefault(one, one)
            elif kind is dict or kind is list:
                old = before.get(key)
                if one == old:
                    one = old
                elif kind is list:
                    one = self._list(one)
                else:
                    one = self._dict(one, old if type(old) is dict else {})
            copied[known.setdefault(key, key)] = one
        return copied

    def _list(self, value: list[Any]) -> list[Any]:
        known = self._known
        copied: list[Any] = []
        for one in value:
            kind = type(one)
            if kind is dict:
                copied.append(self._dict(one, {}))
            elif kind is list:
                copied.append(self._list(one))
            else:
                copied.append(known.setdefault(one, one) if kind is str and len(one) < _LONGEST else one)
        return copied
