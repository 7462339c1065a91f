"""How a check of this cloud is written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Check, Resource

CLOUD = frozenset({Resource.ALIBABA})

_PLANNED = frozenset({Resource.ALIBABA, Resource.PLAN})
_GATE = ("VN-ALI-001",)


def check(
    number: int, title: str, ask: Callable[[Context], Awaitable[Answer]], why: str, **more: Any
) -> Check:
    """With the credentials as its gate, and a plan, unless `more` says otherwise."""
    fields = {"needs": _GATE, "resources": _PLANNED, **more}
    return Check(f"VN-ALI-{number:03}", "alibaba", title, ask, why=why, **fields)
