"""Hooks and sidecars, with a driver in memory and a clock that the test moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vnodectl.engines.api import (
    ContainerSpec,
    GroupPhase,
    GroupSpec,
    Hook,
    NoSuchGroup,
    Probe,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.engines.backoff import BackoffPolicy
from vnodectl.engines.simulated.engine import SimulatedEngine

APP = ContainerSpec("app", "app:1")
SIDE = ContainerSpec("side", "app:1", sidecar=True)
INIT = ContainerSpec("init", "app:1")


def group(*containers: ContainerSpec, **more) -> GroupSpec:
    return GroupSpec("g", containers or (APP,), termination_grace=30, **more)


async def reasons(engine) -> list[str]:
    return [event.reason for event in (await engine.get("g")).events]


# --- preStop ------------------------------------------------------------------------------------------


async def test_pre_stop_comes_before_the_signal_and_its_time_is_taken_off(engine, driver, clock):
    await engine.create(group(replace(APP, pre_stop=Hook(sleep=10))))
    await clock.advance(1)
    driver.ignores_term.add("app")
    await engine.delete("g")
    await clock.advance(9)
    assert driver.signals == []
    await clock.advance(2)
    assert driver.signals == [("app", "TERM")]
    await clock.advance(18)
    assert driver.signals == [("app", "TERM")]
    await clock.advance(2)
    assert driver.signals == [("app", "TERM"), ("app", "KILL")]


async def test_a_pre_stop_hook_that_does_not_end_leaves_two_seconds(engine, driver, clock):
    await engine.create(group(replace(APP, pre_stop=Hook(sleep=1000))))
    await clock.advance(1)
    driver.ignores_term.add("app")
    await engine.delete("g", grace=5)
    await clock.advance(5.5)
    assert driver.signals == [("app", "TERM")]
    assert "FailedPreStopHook" in await reasons(engine)
    await clock.advance(2)
    assert driver.signals == [("app", "TERM"), ("app", "KILL")]


async def test_a_pre_stop_command_that_fails_is_said_and_stops_nothing(engine, driver, clock):
    await engine.create(group(replace(APP, pre_stop=Hook(command=("bye",)))))
    await clock.advance(1)
    driver.probe_results["bye"] = 9
    watch = engine.watch()
    await engine.delete("g")
    await clock.advance(1)
    assert driver.signals == [("app", "TERM")]
    seen = []
    while not seen or "FailedPreStopHook" not in seen:
        seen = [event.reason for event in (await anext(watch)).events]
    await watch.aclose()


async def test_without_grace_there_is_no_hook(engine, driver, clock):
    await engine.create(group(replace(APP, pre_stop=Hook(sleep=10))))
    await clock.advance(1)
    await engine.delete("g", grace=0)
    await clock.advance(0)
    assert driver.signals == [("app", "KILL")]


# --- postStart ----------------------------------------------------------------------------------------


async def test_a_container_runs_once_its_post_start_hook_is_over(engine, driver, clock):
    await engine.create(group(replace(APP, post_start=Hook(sleep=5))))
    await clock.advance(4)
    (app,) = (await engine.get("g")).containers
    assert isinstance(app.state, Waiting)
    await clock.advance(2)
    (app,) = (await engine.get("g")).containers
    assert isinstance(app.state, Running)
    assert app.ready


async def test_a_post_start_hook_that_fails_ends_the_container(engine, driver, clock):
    driver.probe_results["hello"] = 1
    await engine.create(group(replace(APP, post_start=Hook(command=("hello",)))))
    await clock.advance(1)
    assert driver.signals[0] == ("app", "TERM")
    assert "FailedPostStartHook" in await reasons(engine)
    driver.probe_results["hello"] = 0
    await clock.advance(30)
    (app,) = (await engine.get("g")).containers
    assert isinstance(app.state, Running)
    assert app.restarts >= 1


async def test_a_container_that_ends_during_its_hook_is_not_waited_for(engine, driver, clock):
    spec = replace(APP, post_start=Hook(sleep=1000))
    await engine.create(group(spec, restart_policy=RestartPolicy.NEVER))
    await clock.advance(1)
    driver.finish("app", 4)
    await clock.advance(1)
    status = await engine.get("g")
    assert status.phase is GroupPhase.FAILED
    assert isinstance(status.containers[0].state, Terminated)


async def test_an_engine_that_comes_back_does_not_repeat_post_start(make_engine, driver, clock):
    driver.probe_results["hello"] = 0
    first = make_engine()
    await first.start()
    await first.create(group(replace(APP, post_start=Hook(command=("hello",)))))
    await clock.advance(1)
    await first.aclose()
    driver.probe_results["hello"] = 1
    second = make_engine()
    await second.start()
    await clock.advance(5)
    assert driver.signals == []
    await second.aclose()


# --- probes' own grace, and ends from outside ---------------------------------------------------------


async def test_a_probe_has_a_grace_period_of_its_own(engine, driver, clock):
    probe = Probe(command=("alive",), period=1, failure_threshold=1, grace=3)
    driver.ignores_term.add("app")
    driver.probe_results["alive"] = 1
    await engine.create(group(replace(APP, liveness=probe)))
    await clock.advance(2)
    assert driver.signals == [("app", "TERM")]
    await clock.advance(2)
    assert driver.signals[:2] == [("app", "TERM"), ("app", "KILL")]


async def test_a_container_is_ended_from_outside_and_started_again(engine, driver, clock):
    await engine.create(group())
    await clock.advance(1)
    await engine.end_container("g", "app", grace=5)
    await clock.advance(1)
    (app,) = (await engine.get("g")).containers
    assert isinstance(app.state, Running)
    assert (app.restarts, app.previous.exit_code) == (1, 143)
    with pytest.raises(NoSuchGroup):
        await engine.end_container("g", "nobody", grace=5)
    with pytest.raises(NoSuchGroup):
        await engine.end_container("nothing", "app", grace=5)


# --- sidecars -----------------------------------------------------------------------------------------


async def test_a_sidecar_starts_before_the_others_and_keeps_running(engine, driver, clock):
    startup = Probe(command=("up",), period=1, failure_threshold=100)
    driver.probe_results["up"] = 1
    await engine.create(group(APP, init_containers=(replace(SIDE, startup=startup), INIT)))
    await clock.advance(5)
    side, init = (await engine.get("g")).init_containers
    assert isinstance(side.state, Running)
    assert (side.started, side.ready) == (False, False)
    assert isinstance(init.state, Waiting)
    driver.probe_results["up"] = 0
    await clock.advance(2)
    side, init = (await engine.get("g")).init_containers
    assert (side.started, side.ready) == (True, True)
    assert isinstance(init.state, Running)
    driver.finish("init", 0)
    await clock.advance(1)
    status = await engine.get("g")
    assert isinstance(status.containers[0].state, Running)
    assert isinstance(status.init_containers[0].state, Running)
    assert status.phase is GroupPhase.RUNNING


async def test_a_sidecar_that_ends_is_started_again_whatever_the_groups_policy(engine, driver, clock):
    await engine.create(group(APP, init_containers=(SIDE,), restart_policy=RestartPolicy.NEVER))
    await clock.advance(1)
    driver.finish("side", 3)
    await clock.advance(1)
    status = await engine.get("g")
    (side,) = status.init_containers
    assert isinstance(side.state, Running)
    assert side.restarts == 1
    assert status.phase is GroupPhase.RUNNING


async def test_sidecars_end_when_the_others_are_done_the_last_one_first(engine, driver, clock):
    other = replace(SIDE, name="other")
    await engine.create(group(APP, init_containers=(SIDE, other), restart_policy=RestartPolicy.NEVER))
    await clock.advance(1)
    driver.finish("app", 0)
    await clock.advance(1)
    status = await engine.get("g")
    assert status.phase is GroupPhase.SUCCEEDED
    assert driver.signals == [("other", "TERM"), ("side", "TERM")]
    assert all(isinstance(one.state, Terminated) for one in status.init_containers)


async def test_sidecars_outlive_the_others_in_a_deletion(engine, driver, clock):
    driver.ignores_term.add("app")
    await engine.create(group(APP, init_containers=(SIDE,)))
    await clock.advance(1)
    await engine.delete("g", grace=10)
    await clock.advance(9)
    assert driver.signals == [("app", "TERM")]
    await clock.advance(2)
    assert driver.signals[:2] == [("app", "TERM"), ("app", "KILL")]
    assert driver.signals[2][0] == "side"
    await clock.advance(1)
    with pytest.raises(NoSuchGroup):
        await engine.get("g")


async def test_a_failed_init_container_takes_its_sidecars_along(engine, driver, clock):
    await engine.create(group(APP, init_containers=(SIDE, INIT), restart_policy=RestartPolicy.NEVER))
    await clock.advance(1)
    driver.finish("init", 2)
    await clock.advance(1)
    status = await engine.get("g")
    assert status.phase is GroupPhase.FAILED
    assert driver.signals == [("side", "TERM")]


async def test_an_engine_that_comes_back_finds_sidecars_and_all(make_engine, driver, clock):
    first = make_engine()
    await first.start()
    await first.create(group(APP, init_containers=(SIDE,)))
    await clock.advance(1)
    await first.aclose()
    second = make_engine()
    await second.start()
    await clock.advance(1)
    status = await second.get("g")
    assert status.phase is GroupPhase.RUNNING
    assert [one.restarts for one in status.init_containers + status.containers] == [0, 0]
    await second.aclose()


async def test_simulated_sidecars_do_the_same(clock):
    engine = SimulatedEngine(home=None, clock=clock, restart=BackoffPolicy(initial=10, cap=20))
    await engine.start()
    try:
        app = replace(APP, command=("sh", "-c", "sleep 60; exit 0"))
        init = replace(INIT, command=("sh", "-c", "sleep 5; exit 0"))
        await engine.create(group(app, init_containers=(SIDE, init), restart_policy=RestartPolicy.NEVER))
        side, first = (await engine.get("g")).init_containers
        assert isinstance(side.state, Running)
        assert side.ready
        assert isinstance(first.state, Running)
        await clock.advance(6)
        assert (await engine.get("g")).phase is GroupPhase.RUNNING
        await engine.end_container("g", "side", grace=1)
        (side, _) = (await engine.get("g")).init_containers
        assert (side.restarts, isinstance(side.state, Running)) == (1, True)
        await engine.restart("g")
        await clock.advance(6)
        assert isinstance((await engine.get("g")).containers[0].state, Running)
        await clock.advance(61)
        status = await engine.get("g")
        assert status.phase is GroupPhase.SUCCEEDED
        assert isinstance(status.init_containers[0].state, Terminated)
    finally:
        await engine.aclose()
