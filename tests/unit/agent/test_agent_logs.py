"""Records about pods carry the pods' keys, in both formats."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from vnodectl import logs
from vnodectl.runtime.provider import PodKey

WEB = PodKey("default", "web", "u1")
DB = PodKey("store", "db", "u2")
log = logging.getLogger("vnodectl.test")


class Lines(logging.Handler):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


@pytest.fixture
def lines(request: pytest.FixtureRequest):
    handler = Lines(getattr(request, "param", logs.JsonFormatter)())
    logger = logging.getLogger()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def keys(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in ("node", "namespace", "pod", "podUID"))


def test_outside_there_is_nothing(lines: Lines):
    log.info("hello %s", "world")
    assert keys(lines.last) == (None, None, None, None)
    assert lines.last["message"] == "hello world"


def test_what_is_logged_about_a_pod_by_others_too(lines: Lines):
    with logs.about(node="vn"), logs.about(WEB):
        logging.getLogger("some.sdk").warning("slow")
        assert keys(lines.last) == ("vn", "default", "web", "u1")
    log.info("after")
    assert keys(lines.last) == (None, None, None, None)


def test_a_records_own_pod_wins(lines: Lines):
    with logs.about(WEB, node="vn"):
        log.info("pod %s", DB)
        assert keys(lines.last) == ("vn", "store", "db", "u2")
        log.info("group gone", extra={"pod": DB})
        assert keys(lines.last) == ("vn", "store", "db", "u2")


async def test_tasks_keep_their_own_pods(lines: Lines):
    started = asyncio.Event()

    async def work(key: PodKey) -> None:
        with logs.about(key):
            await started.wait()
            await asyncio.create_task(deeper())

    async def deeper() -> None:
        log.info("deep")

    tasks = [asyncio.create_task(work(key)) for key in (WEB, DB)]
    await asyncio.sleep(0)
    started.set()
    await asyncio.gather(*tasks)
    found = {keys(json.loads(line)) for line in lines.lines if "deep" in line}
    assert found == {(None, "default", "web", "u1"), (None, "store", "db", "u2")}


def test_what_a_request_is_about_ends_with_it(lines: Lines):
    with logs.about():
        logs.now_about(WEB)
        log.info("in")
        assert keys(lines.last)[2] == "web"
    log.info("out")
    assert keys(lines.last)[2] is None


@pytest.mark.parametrize("lines", [logs.TextFormatter], indirect=True)
def test_for_people(lines: Lines):
    with logs.about(WEB, node="vn"):
        log.warning("broken")
    assert lines.lines[-1].endswith(" warning vnodectl.test: broken [node=vn pod=default/web uid=u1]")
    log.warning("fine")
    assert lines.lines[-1].endswith("vnodectl.test: fine")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("pod %s", DB)
    first, *_, last = lines.lines[-1].splitlines()
    assert first.endswith("pod store/db [pod=store/db uid=u2]")
    assert last == "ValueError: why"
