"""Azure's way of laying one JSON document over another, and of naming resources. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def laid_over(base: Any, over: Any) -> Any:
    """Objects are merged, everything else is replaced."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {
            name: laid_over(base[name], over[name])
            if name in base and name in over
            else over.get(name, base.get(name))
            for name in (*base, *(name for name in over if name not in base))
        }
    return over


def resource_id(subscription: str, group: str, kind: str, name: str) -> str:
    """`kind` with its namespace, e.g. Microsoft.Network/virtualNetworks."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"
