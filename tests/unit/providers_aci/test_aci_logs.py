from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.fake_timer import FakeTimer

from vnodectl.clouds.azure.errors import AzureError, AzureNotFound
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.aci import logs
from vnodectl.runtime.provider import LogOptions, NotFound, Retryable, Unsupported

NOW = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)


def _line(second: int, text: str | None = None) -> str:
    return f"2026-01-01T00:00:{second:02d}.123456789Z {text or f'line {second}'}"


class Container:
    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.tails: list[int | None] = []
        self.error: Exception | None = None

    async def logs(self, name: str, container: str, *, tail: int | None, timestamps: bool) -> str:
        assert timestamps
        if self.error is not None:
            raise self.error
        self.tails.append(tail)
        lines = self.lines if tail is None else self.lines[-tail:]
        return "".join(f"{line}\n" for line in lines)


class InstantTimer(FakeTimer):
    """Each sleep runs the next step of the test's script."""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.steps = list(steps)

    async def sleep(self, seconds: float) -> None:
        if self.steps:
            self.steps.pop(0)()


async def _read(container: Container, options: LogOptions, *steps: Any) -> bytes:
    timer = InstantTimer(*steps)
    chunks = [
        chunk
        async for chunk in logs.read(
            container,  # type: ignore[arg-type]
            "group",
            "main",
            options,
            timer=timer,
            wall=lambda: NOW,
            ended=lambda: not timer.steps,
        )
    ]
    return b"".join(chunks)


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (LogOptions(), "line 1\nline 2\nline 50\n"),
        (LogOptions(tail=1), "line 50\n"),
        (LogOptions(tail=0), ""),
        (LogOptions(tail=99), "line 1\nline 2\nline 50\n"),
        (LogOptions(since=15), "line 50\n"),
        (LogOptions(since_time="2026-01-01T00:00:02Z"), "line 2\nline 50\n"),
        (LogOptions(since_time="2026-01-01T00:00:02Z", tail=1), "line 50\n"),
        (LogOptions(limit_bytes=9), "line 1\nli"),
        (LogOptions(timestamps=True, tail=1), _line(50) + "\n"),
    ],
)
async def test_options(options: LogOptions, want: str) -> None:
    assert (await _read(Container(_line(1), _line(2), _line(50)), options)).decode() == want


async def test_a_line_without_a_time_is_told_as_it_is() -> None:
    assert await _read(Container("no time here"), LogOptions(since=1)) == b"no time here\n"


async def test_following_tells_every_line_once() -> None:
    container = Container(_line(1), _line(2))

    def more() -> None:
        container.lines += [_line(2, "same second"), _line(3)]

    def nothing() -> None:
        return

    told = await _read(container, LogOptions(follow=True, tail=1), more, nothing, more)
    assert told.decode().splitlines() == ["line 2", "same second", "line 3", "same second", "line 3"]


async def test_following_without_the_past() -> None:
    container = Container(_line(1), _line(2))
    told = await _read(container, LogOptions(follow=True, tail=0), lambda: container.lines.append(_line(3)))
    assert told == b"line 3\n"


async def test_following_from_an_empty_log() -> None:
    container = Container()
    told = await _read(container, LogOptions(follow=True), lambda: container.lines.append(_line(1)))
    assert told == b"line 1\n"


async def test_a_burst_larger_than_the_window_is_not_cut() -> None:
    container = Container(_line(0, "first"))

    def burst() -> None:
        container.lines += [f"2026-01-01T00:00:01.{n:09d}Z n{n}" for n in range(2000)]

    told = (await _read(container, LogOptions(follow=True), burst)).decode().splitlines()
    assert told == ["first", *(f"n{n}" for n in range(2000))]
    assert 5000 in container.tails


async def test_a_restarted_container_begins_a_new_log() -> None:
    container = Container(_line(1), _line(2))

    def restart() -> None:
        container.lines = [_line(9, "again")]

    assert await _read(container, LogOptions(follow=True), restart) == b"line 1\nline 2\nagain\n"


async def test_a_followed_log_that_goes_with_its_ended_container_has_ended() -> None:
    container = Container(_line(1))

    def gone() -> None:
        container.error = AzureNotFound(404, "ResourceNotFound", "no such group")

    assert await _read(container, LogOptions(follow=True), gone) == b"line 1\n"


async def test_a_followed_log_that_is_gone_while_its_container_runs_is_an_error() -> None:
    container = Container(_line(1))

    def gone() -> None:
        container.error = AzureNotFound(404, "ResourceNotFound", "no such group")

    with pytest.raises(NotFound):
        await _read(container, LogOptions(follow=True), gone, lambda: None)


async def test_following_stops_at_the_byte_limit() -> None:
    container = Container(_line(1))

    def more() -> None:
        container.lines.append(_line(2))

    assert await _read(container, LogOptions(follow=True, limit_bytes=10), more, more, more) == b"line 1\nlin"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AzureNotFound(404, "ResourceNotFound", "x"), NotFound),
        (AzureError(409, "ContainerGroupDeploymentNotReady", "x"), NotFound),
        (AzureError(500, "Boom", "x"), Retryable),
        (CloudUnreachable("x"), Retryable),
    ],
)
async def test_errors(error: Exception, kind: type[Exception]) -> None:
    container = Container()
    container.error = error
    with pytest.raises(kind):
        await _read(container, LogOptions())


async def test_no_log_of_a_previous_instance() -> None:
    with pytest.raises(Unsupported):
        await _read(Container(), LogOptions(previous=True))
