"""A settings file: one YAML mapping of options. Imported only where one is read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from vnodectl.errors import UsageError
from vnodectl.settings import expanded

_AS_WRITTEN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `image-tag: 1.10` does not become 1.1, and no key is there twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute, only read
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _AS_WRITTEN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_config(path: str) -> Mapping[str, Any]:
    """What a settings file says, by key; numbers and dates are texts, as they are written there.

    UsageError where it cannot be read, with the place of the mistake.
    """
    where = f"settings file {path}"
    try:
        data = expanded(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from error
    try:
        text = data.decode()
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}, {_at(data[: error.start].decode())}: not UTF-8 text") from error
    except yaml.reader.ReaderError as error:
        raise UsageError(f"{where}, {_at(text[: error.position])}: a control character") from error
    except yaml.MarkedYAMLError as error:  # its `problem` names marks of YAML and keys, never a value
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise UsageError(f"{where}{place}: {error.problem or error.context}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{where} must be a mapping of options", hint="connector-name: my-aci")
    return content


def _at(before: str) -> str:
    """The place that comes after a text."""
    lines = before.split("\n")
    return f"line {len(lines)}, column {len(lines[-1]) + 1}"
