from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.fake_timer import FakeTimer

from vnodectl.clouds.alibaba import AlibabaError, AlibabaThrottled
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.eci import logs
from vnodectl.runtime.provider import LogOptions, NotFound, Retryable

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)


def _line(number: int) -> str:
    return f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z line {number}"


class Container:
    """ECI's log: at most 2,000 lines of it at once."""

    def __init__(self, lines: int) -> None:
        self.lines = [_line(number) for number in range(lines)]
        self.tails: list[int] = []
        self.error: Exception | None = None

    async def logs(self, group_id: str, container: str, *, tail: int, previous: bool) -> str:
        if self.error is not None:
            raise self.error
        assert 0 < tail <= 2000
        self.tails.append(tail)
        return "\n".join(self.lines[-tail:]).encode()[: 2**20].decode()


class Scripted(FakeTimer):
    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.steps = list(steps)

    async def sleep(self, seconds: float) -> None:
        if self.steps:
            self.steps.pop(0)()


async def _read(container: Container, options: LogOptions, *steps: Any) -> list[str]:
    timer = Scripted(*steps)
    chunks = logs.read(
        container,  # type: ignore[arg-type]
        "eci-1",
        "main",
        options,
        timer=timer,
        wall=lambda: NOW,
        ended=lambda: not timer.steps,
    )
    return b"".join([chunk async for chunk in chunks]).decode().splitlines()


async def test_as_much_as_eci_gives() -> None:
    container = Container(3000)
    found = await _read(container, LogOptions())
    assert (len(found), found[-1]) == (2000, "line 2999")


async def test_tail() -> None:
    container = Container(30)
    assert await _read(container, LogOptions(tail=2)) == ["line 28", "line 29"]
    assert await _read(container, LogOptions(tail=0)) == []


async def test_following_a_busy_log_repeats_nothing() -> None:
    container = Container(100)

    def more(count: int) -> Any:
        return lambda: container.lines.extend(
            _line(number) for number in range(len(container.lines), len(container.lines) + count)
        )

    found = await _read(container, LogOptions(follow=True, tail=1), more(3), more(900), more(1500), more(0))
    assert found == [f"line {number}" for number in range(99, 2503)]
    assert max(container.tails) == 2000


async def test_a_log_that_outruns_the_looks_loses_its_middle_and_goes_on() -> None:
    container = Container(10)

    def flood() -> None:
        container.lines = [_line(number) for number in range(5000)]

    found = await _read(container, LogOptions(follow=True), flood, lambda: None)
    assert found[:10] == [f"line {number}" for number in range(10)]
    assert found[10:] == [f"line {number}" for number in range(3000, 5000)]


async def test_long_lines_do_not_hide_the_newest() -> None:
    container = Container(1900)
    container.lines = [f"{line} {'x' * 1500}" for line in container.lines]
    found = await _read(container, LogOptions())
    assert found[-1].startswith("line 1899 ")
    assert all(line.endswith("x" * 1500) for line in found)
    assert container.tails == [2000, 1000, 500]


async def test_what_a_program_prints_within_a_line_does_not_end_it() -> None:
    container = Container(2)
    container.lines[0] += "10 %\r20 %\x0c\u2028\x1cdone"
    timer = Scripted()
    chunks = logs.read(
        container,  # type: ignore[arg-type]
        "eci-1",
        "main",
        LogOptions(),
        timer=timer,
        wall=lambda: NOW,
        ended=lambda: True,
    )
    found = b"".join([chunk async for chunk in chunks]).decode()
    assert found == "line 010 %\r20 %\x0c\u2028\x1cdone\nline 1\n"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (AlibabaError(400, "IncorrectStatus", "no log yet"), NotFound),
        (AlibabaThrottled(400, "Throttling.User", "slow", retry_after=3), Retryable),
        (AlibabaError(500, "InternalError", "no"), Retryable),
        (CloudUnreachable("gone"), Retryable),
    ],
)
async def test_errors(error: Exception, raised: type[Exception]) -> None:
    container = Container(1)
    container.error = error
    with pytest.raises(raised):
        await _read(container, LogOptions())
