"""Frozen dataclasses of the engine contract to plain JSON and back, by their type hints."""

from __future__ import annotations

import base64
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON: dataclasses become objects without the fields that have their default, bytes base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    result = {}
    kind: Any = type(value)
    for name, default in _defaults(kind):
        item = getattr(value, name)
        if item != default:
            result[name] = encode(item)
    return result


def decode(kind: type[T], data: Any) -> T:
    """The inverse of `encode`. Raises ValueError for data of another shape."""
    try:
        whatever: Any = kind
        return cast(T, _decoder(whatever)(data))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    result = []
    for spec in fields(kind):
        default = spec.default
        if default is MISSING and spec.default_factory is not MISSING:
            default = spec.default_factory()
        result.append((spec.name, default))
    return tuple(result)


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        inner = _decoder(options[0])
        return lambda data: None if data is None else inner(data)
    if origin is tuple:
        return _tuple_decoder(get_args(kind))
    if origin is not None and issubclass(origin, Mapping):
        item = _decoder(get_args(kind)[1])
        return lambda data: {key: item(value) for key, value in data.items()}
    if kind is bytes:
        return base64.b64decode
    if is_dataclass(kind):
        return _object_decoder(cast(type, kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return lambda data: data


def _tuple_decoder(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _decoder(arguments[0])
        return lambda data: tuple(item(value) for value in data)
    items = [_decoder(argument) for argument in arguments]
    return lambda data: tuple(one(value) for one, value in zip(items, data, strict=True))


def _object_decoder(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    return lambda data: kind(**{name: _decoder(hints[name])(value) for name, value in data.items()})
