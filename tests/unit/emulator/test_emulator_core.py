"""Router, rate limits, faults and recorder: what every emulated cloud shares."""

from __future__ import annotations

import random

import pytest

from vnodectl.emulator.buckets import SlidingWindow, TokenBucket
from vnodectl.emulator.faults import FaultBook
from vnodectl.emulator.recorder import Call, Recorder
from vnodectl.emulator.router import Route, Router


def test_paths_match_without_regard_to_case_and_keep_the_names_as_given() -> None:
    router = Router(
        [
            Route("GET", "/things", "list", 1),
            Route("GET", "/things/{name}", "get", 2),
            Route("POST", "/things/{name}/start", "start", 3),
        ]
    )
    match = router.match("GET", "/THINGS/Web-1/")
    assert match is not None
    assert (match.route.operation, match.params) == ("get", {"name": "Web-1"})
    assert router.match("DELETE", "/things") is None
    assert router.methods("/things") == ("GET",)
    assert router.methods("/nothing") == ()


def test_the_table_names_every_operation() -> None:
    versions = ("5", "4", "3", "2", "1")
    table = Router([Route("GET", "/b", "B", 1, versions, "soon"), Route("GET", "/a", "A", 1)]).table()
    assert table.splitlines()[2:] == [
        "| GET | `/a` | A | any |  |",
        "| GET | `/b` | B | 1 … 5 | soon |",
    ]


def test_a_bucket_refills_with_time_up_to_its_capacity() -> None:
    bucket = TokenBucket(2, 0.5, now=0)
    assert [bucket.take(0) for _ in range(3)] == [0, 0, 2]
    assert bucket.take(1) == 1
    assert bucket.take(2) == 0
    assert bucket.remaining(1000) == 2


def test_a_window_lets_pass_what_is_old_enough() -> None:
    window = SlidingWindow(2, 60)
    for moment in (0, 10):
        assert window.wait(moment) == 0
        window.record(moment)
    assert window.wait(20) == 40
    assert window.wait(60) == 0


def faults(seed: int = 1) -> FaultBook:
    return FaultBook(random.Random(seed))  # noqa: S311 - a repeatable sequence is wanted


def test_a_rule_applies_to_what_it_names() -> None:
    book = faults()
    book.add({"method": "PUT", "template": "/Things/{name}", "path": "web-\\d+$", "status": 500})
    assert book.pick("GET", "/things/{name}", "/things/web-1") is None
    assert book.pick("PUT", "/things", "/things/web-1") is None
    assert book.pick("PUT", "/things/{name}", "/things/web-x") is None
    assert book.pick("PUT", "/things/{name}", "/things/web-1") is not None


def test_a_rule_skips_counts_and_is_spent() -> None:
    book = faults()
    book.add({"skip": 1, "times": 2, "status": 500})
    assert [book.pick("GET", "", "/") is not None for _ in range(4)] == [False, True, True, False]
    assert book.listed() == []


def test_a_rate_is_kept_on_average() -> None:
    book = faults()
    rule = book.add({"rate": 0.25, "status": 500})
    hits = sum(book.pick("GET", "", "/") is not None for _ in range(2000))
    assert 400 < hits < 600
    assert book.listed() == [(rule, hits)]


def test_the_first_rule_wins_and_a_removed_one_is_gone() -> None:
    book = faults()
    first, second = book.add({"status": 500}), book.add({"status": 503})
    assert book.pick("GET", "", "/") == first
    assert book.remove(first.id)
    assert not book.remove(first.id)
    assert book.pick("GET", "", "/") == second


@pytest.mark.parametrize(
    ("rule", "says"),
    [({"statuss": 1}, "unknown field"), ({"rate": 2}, "rate"), ({"path": "["}, "expression")],
)
def test_a_wrong_rule_is_refused(rule: dict[str, object], says: str) -> None:
    book = faults()
    with pytest.raises(ValueError, match=says):
        book.add(rule)
    assert book.listed() == []


def call(method: str, template: str, status: int, time: float = 0) -> Call:
    return Call(time, method, template, template, status, "somebody", 0.1)


def test_calls_are_found_and_counted_even_when_no_longer_kept() -> None:
    recorder = Recorder(size=2)
    for index, status in enumerate((200, 200, 404)):
        recorder.add(call("GET", "/Things", status, time=index))
    recorder.add(call("PUT", "/things", 201, time=9))
    assert [one.status for one in recorder.calls(template="things")] == [404, 201]
    assert [one.status for one in recorder.calls(method="get", status=404)] == [404]
    assert [one.status for one in recorder.calls(since=5)] == [201]
    assert recorder.count("GET") == 3
    assert recorder.count(template="THINGS", status=200) == 2
    recorder.clear()
    assert recorder.count() == 0
