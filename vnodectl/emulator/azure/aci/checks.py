"""Small looks into a request's JSON, each of which raises ArmError where it is not as it must be."""

from __future__ import annotations

from typing import Any

from vnodectl.emulator.azure.errors import bad_request, invalid_content
from vnodectl.emulator.documents import JSON


def expect(condition: bool, target: str, message: str) -> None:
    """Raises InvalidParameter with `message` as a sentence."""
    if not condition:
        raise bad_request("InvalidParameter", f"{message[:1].upper()}{message[1:]}.", target)


def optional_object(value: JSON, name: str) -> JSON:
    """The object in the field, {} where it is missing or null."""
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise invalid_content(f"'{name}' must be an object.")
    return found


def items(value: JSON, name: str) -> list[JSON]:
    """The objects in the field, [] where it is missing or null."""
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise invalid_content(f"'{name}' must be a list of objects.")
    return found


def text(value: JSON, name: str, place: str) -> str:
    """A string that must be there."""
    found = value.get(name)
    if not isinstance(found, str):
        raise bad_request(
            "InvalidParameter", f"'{name}' is required and must be a string.", f"{place}.{name}"
        )
    return found


def number(value: JSON, name: str, place: str) -> float | None:
    """A number, None where it is missing or null."""
    found = value.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise invalid_content(f"'{name}' of '{place}' must be a number.")
    return float(found)


def choice(value: JSON, name: str, allowed: tuple[str, ...]) -> str | None:
    """One of `allowed`, None where it is missing or null."""
    found: Any = value.get(name)
    if found is None:
        return None
    if found not in allowed:
        raise bad_request("InvalidParameter", f"'{found}' is not one of '{','.join(allowed)}'.", name)
    return str(found)


def one_of(value: JSON, names: tuple[str, ...], place: str) -> str:
    """The only one of `names` that is there."""
    found = [name for name in names if value.get(name) is not None]
    if len(found) != 1:
        raise bad_request("InvalidParameter", f"Exactly one of '{','.join(names)}' must be given.", place)
    return found[0]
