"""Logging of long-running processes: lines for people, or JSON for collectors; always on stderr.

A record about a pod carries its keys. Whoever works on a pod says so once with `about`; what is logged
meanwhile, by SDKs as well, is then about that pod. Where several are looked at in turn, a record takes the
pod that it was given: as an argument of its message or as `extra={"pod": key}`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

_NOTHING: Mapping[str, str] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str]] = ContextVar("fields of log records", default=_NOTHING)


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@runtime_checkable
class PodLike(Protocol):
    """What names a pod, e.g. `runtime.provider.PodKey`."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...


@contextmanager
def about(pod: PodLike | None = None, *, node: str = "") -> Iterator[None]:
    """What is logged inside, in tasks begun inside as well, is about that pod, or that node.

    With neither, it only keeps what `now_about` says inside from what comes after.
    """
    token = _fields.set(_with(pod, node))
    try:
        yield
    finally:
        _fields.reset(token)


def now_about(pod: PodLike) -> None:
    """From here to the end of the surrounding `about`."""
    _fields.set(_with(pod, ""))


def _with(pod: PodLike | None, node: str) -> Mapping[str, str]:
    known = _fields.get()
    if node:
        known = {**known, "node": node}
    return {**known, **_keys(pod)} if pod is not None else known


def _keys(pod: PodLike) -> dict[str, str]:
    return {"namespace": pod.namespace, "pod": pod.name, "podUID": pod.uid}


def fields_of(record: logging.LogRecord) -> Mapping[str, str]:
    """node, namespace, pod and podUID, as far as they are known."""
    arguments: Any = record.args if isinstance(record.args, tuple) else ()
    for candidate in (getattr(record, "pod", None), *arguments):
        if candidate is not None and not isinstance(candidate, str) and isinstance(candidate, PodLike):
            return _with(candidate, "")
    return _fields.get()


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message, `fields_of` and, after an error, its
    trace."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`2026-01-31T10:00:00.000Z warning vnodectl.runtime.pods: … [node=vn pod=default/web uid=…]`"""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        fields = fields_of(record)
        words = [f"node={fields['node']}"] if "node" in fields else []
        if "pod" in fields:
            words += [f"pod={fields['namespace']}/{fields['pod']}", f"uid={fields['podUID']}"]
        if words:
            line += f" [{' '.join(words)}]"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(form: LogFormat, level: str) -> None:
    """For this process. `level` is debug, info, warning or error, and holds for our own code; SDKs, which
    log requests at info, are kept to warnings unless it is debug."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=max(wanted, logging.WARNING), force=True)
    logging.getLogger("vnodectl").setLevel(wanted)
    # It logs whole answers of the token endpoint; what failed is in the error that it raises as well.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    if wanted <= logging.DEBUG:
        logging.getLogger().setLevel(logging.INFO)


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
