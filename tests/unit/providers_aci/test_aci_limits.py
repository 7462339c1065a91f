"""Creates and deletes under ACI's limits, and reads under what ARM says is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.fake_timer import FakeTimer

from vnodectl.providers.aci.limits import Allowance, ReadLimits
from vnodectl.providers.aci.settings import ReadBudget


def test_a_hundred_go_at_once_and_the_next_in_five_minutes() -> None:
    timer = FakeTimer()
    allowance = Allowance(300, timer)
    assert [allowance.take(n) for n in range(100)] == [0.0] * 100
    assert allowance.take("late") == 300
    timer.time += 299
    assert allowance.take("late") == 1, "its turn was kept"
    timer.time += 1
    assert allowance.take("late") == 0
    assert allowance.waiting == 0


def test_three_hundred_in_an_hour() -> None:
    timer = FakeTimer()
    allowance = Allowance(300, timer)
    waits = [allowance.take(n) for n in range(400)]
    assert waits == [0.0] * 100 + [300.0] * 100 + [600.0] * 100 + [3600.0] * 100
    assert allowance.waiting == 300


def test_who_is_told_to_come_back_is_not_overtaken() -> None:
    timer = FakeTimer()
    allowance = Allowance(3, timer)
    assert allowance.take("a") == 0
    assert allowance.take("b") == 300
    timer.time += 300
    assert allowance.take("c") == 300
    assert allowance.take("b") == 0


def test_a_turn_that_nobody_came_for_is_forgotten() -> None:
    timer = FakeTimer()
    allowance = Allowance(3, timer)
    allowance.take("a")
    allowance.take("b")
    allowance.forget("b")
    assert allowance.waiting == 0
    allowance.take("c")
    timer.time += 5000
    assert allowance.waiting == 0
    assert allowance.take("c") == 0


def test_turns_that_are_taken_late_do_not_add_up() -> None:
    timer = FakeTimer()
    allowance = Allowance(6, timer)
    assert [allowance.take(name) for name in "abcdef"] == [0, 0, 300, 300, 600, 600]
    timer.time += 599
    assert [allowance.take(name) for name in "cd"] == [0, 0]
    timer.time += 1
    assert [allowance.take(name) for name in "ef"] == [299, 299]


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(0, 40)), max_size=200), st.integers(1, 30))
def test_no_window_ever_has_more_than_is_allowed(asks: list[tuple[float, int]], most: int) -> None:
    timer = FakeTimer()
    allowance = Allowance(most, timer)
    went: list[float] = []
    for pause, who in asks:
        timer.time += pause
        if allowance.take(who) == 0:
            went.append(timer.time)
    for start in went:
        assert sum(start <= at < start + 300 for at in went) <= max(1, most // 3)
        assert sum(start <= at < start + 3600 for at in went) <= most


async def test_lanes_slow_down_as_less_is_left() -> None:
    timer = FakeTimer()
    left = -1
    lanes = ReadLimits(ReadBudget(steady_rate=10.0, burst=1, reserve=100), timer, lambda: left)

    def wait() -> float:
        while lanes.steady.take_now() == 0:
            pass
        return round(lanes.steady.take_now(), 3)

    assert wait() == 0.1
    for left, pause in ((250, 0.1), (100, 0.1), (50, 0.2), (10, 1.0), (0, 1.0)):  # noqa: B007
        timer.time += 60
        assert wait() == pause
