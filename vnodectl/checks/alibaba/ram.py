"""What RAM policies allow. Pure.

A request is allowed where a statement allows it and none denies it; actions may hold `*` for any characters
(Alibaba Cloud, RAM: policy elements). Resources and conditions are not looked at: a policy that limits them
is taken to allow what it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from vnodectl.providers.eci.limits import PER_MINUTE

JSON = dict[str, Any]

ACTIONS = tuple(f"eci:{action}" for action in PER_MINUTE)
"""What the connector calls."""


def statements(document: str | JSON) -> list[JSON]:
    """Of a policy document, which RAM returns as JSON text. [] for what is none."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError:
        return []
    found = parsed.get("Statement") if isinstance(parsed, dict) else None
    return [one for one in found or () if isinstance(one, dict)]


def missing(granted: Sequence[JSON], actions: Iterable[str] = ACTIONS) -> list[str]:
    """Those of `actions` that the statements do not allow."""
    return [action for action in actions if not _allowed(granted, action)]


def policy() -> JSON:
    """A policy of least rights."""
    statement = {"Effect": "Allow", "Action": list(ACTIONS), "Resource": "*"}
    return {"Version": "1", "Statement": [statement]}


def _allowed(granted: Sequence[JSON], action: str) -> bool:
    matching = [str(one.get("Effect")) for one in granted if _matches(one, action)]
    return "Allow" in matching and "Deny" not in matching


def _matches(statement: JSON, action: str) -> bool:
    if "NotAction" in statement:
        return not _any(statement["NotAction"], action)
    return _any(statement.get("Action"), action)


def _any(patterns: Any, action: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
    return any(
        re.fullmatch(".*".join(map(re.escape, str(one).split("*"))), action, re.IGNORECASE) for one in listed
    )
