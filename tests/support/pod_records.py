"""What was logged about pods, as a collector of JSON lines reads it."""

from __future__ import annotations

import json

import pytest

from vnodectl.logs import JsonFormatter
from vnodectl.runtime.provider import PodKey


def about(caplog: pytest.LogCaptureFixture, key: PodKey, level: str = "info") -> list[str]:
    """The messages of records of `level` that a collector finds by the pod's three keys."""
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    wanted = {"namespace": key.namespace, "pod": key.name, "podUID": key.uid, "level": level}
    return [line["message"] for line in lines if wanted.items() <= line.items()]
