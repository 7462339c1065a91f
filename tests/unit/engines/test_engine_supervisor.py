"""What a kubelet does for a pod, on a driver in memory and a clock that the test moves."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable

import pytest

from vnodectl.engines.api import (
    ContainerSpec,
    ContainerStatus,
    EngineError,
    GroupGone,
    GroupPhase,
    GroupSpec,
    LogQuery,
    NoSuchGroup,
    Probe,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
    Running,
    Terminated,
    Waiting,
)
from vnodectl.engines.driver import BadConfig, Image
from vnodectl.engines.supervised import SupervisedEngine


def app(name: str = "web", **more) -> ContainerSpec:
    return ContainerSpec(name, more.pop("image", "app:1"), **more)


def group(*containers: ContainerSpec, **more) -> GroupSpec:
    return GroupSpec(more.pop("name", "g"), containers or (app(),), **more)


async def web(engine: SupervisedEngine, index: int = 0) -> ContainerStatus:
    return (await engine.get("g")).containers[index]


def waiting(status: ContainerStatus) -> str:
    assert isinstance(status.state, Waiting), status
    return status.state.reason


async def test_a_group_runs_and_is_seen(engine, driver, clock):
    await engine.create(group())
    assert (await engine.get("g")).phase is GroupPhase.PENDING
    await clock.advance(0)
    status = await engine.get("g")
    assert status.phase is GroupPhase.RUNNING
    assert status.ip == "10.0.0.1"
    container = status.containers[0]
    assert isinstance(container.state, Running)
    assert (container.ready, container.started, container.restarts) == (True, True, 0)
    assert container.container_id == "fake://g/web/0"
    assert container.image_id == "sha256:app"
    assert [event.reason for event in status.events] == ["Pulled", "Created", "Started"]


async def test_creating_twice_changes_nothing(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    await engine.create(group(app(image="other:1")))
    await clock.advance(0)
    assert list(driver.containers) == ["fake://g/web/0"]


async def test_crashes_restart_at_once_then_with_growing_delays(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    driver.finish("web", 3)
    await clock.advance(0)
    status = await web(engine)
    assert isinstance(status.state, Running)
    assert status.restarts == 1
    assert status.previous.exit_code == 3
    assert status.previous.container_id == "fake://g/web/0"

    for restarts, delay in ((2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300)):
        driver.finish("web", 3)
        await clock.advance(0)
        assert waiting(await web(engine)) == "CrashLoopBackOff"
        await clock.advance(delay - 0.5)
        assert waiting(await web(engine)) == "CrashLoopBackOff"
        await clock.advance(0.5)
        status = await web(engine)
        assert isinstance(status.state, Running)
        assert status.restarts == restarts
    assert (await engine.get("g")).phase is GroupPhase.RUNNING


async def test_ten_quiet_minutes_reset_the_backoff(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    for _ in range(2):
        driver.finish("web", 1)
        await clock.advance(10)
    await clock.advance(601)
    driver.finish("web", 1)
    await clock.advance(0)
    assert isinstance((await web(engine)).state, Running)


async def test_only_the_current_and_the_previous_attempt_are_kept(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    for _ in range(3):
        driver.finish("web", 1)
        await clock.advance(300)
    assert sorted(driver.containers) == ["fake://g/web/2", "fake://g/web/3"]


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [
        (RestartPolicy.NEVER, 0, GroupPhase.SUCCEEDED, 0),
        (RestartPolicy.NEVER, 2, GroupPhase.FAILED, 0),
        (RestartPolicy.ON_FAILURE, 0, GroupPhase.SUCCEEDED, 0),
        (RestartPolicy.ON_FAILURE, 2, GroupPhase.RUNNING, 1),
        (RestartPolicy.ALWAYS, 0, GroupPhase.RUNNING, 1),
    ],
)
async def test_restart_policies(engine, driver, clock, policy, code, phase, restarts):
    await engine.create(group(restart_policy=policy))
    await clock.advance(0)
    driver.finish("web", code)
    await clock.advance(0)
    status = await engine.get("g")
    assert status.phase is phase
    assert status.containers[0].restarts == restarts


async def test_a_finished_group_gives_its_network_back_and_keeps_its_state(engine, driver, clock):
    await engine.create(group(restart_policy=RestartPolicy.NEVER))
    await clock.advance(0)
    driver.finish("web", 137, "OOMKilled")
    await clock.advance(0)
    assert driver.parked == ["g"]
    state = (await web(engine)).state
    assert isinstance(state, Terminated)
    assert (state.exit_code, state.reason) == (137, "OOMKilled")
    assert (await web(engine)).ready is False


async def test_init_containers_run_one_after_the_other_before_the_rest(engine, driver, clock):
    await engine.create(group(init_containers=(app("first"), app("second"))))
    await clock.advance(0)
    assert list(driver.containers) == ["fake://g/first/0"]
    assert waiting(await web(engine)) == "PodInitializing"
    driver.finish("first", 0)
    await clock.advance(0)
    assert list(driver.containers) == ["fake://g/first/0", "fake://g/second/0"]
    driver.finish("second", 0)
    await clock.advance(0)
    status = await engine.get("g")
    assert isinstance(status.containers[0].state, Running)
    assert [one.ready for one in status.init_containers] == [True, True]


async def test_a_failed_init_container_is_tried_again_unless_never(engine, driver, clock):
    await engine.create(group(init_containers=(app("setup"),)))
    await clock.advance(0)
    driver.finish("setup", 1)
    await clock.advance(0)
    assert (await engine.get("g")).init_containers[0].restarts == 1
    assert (await engine.get("g")).phase is GroupPhase.PENDING

    await engine.create(group(name="h", init_containers=(app("never"),), restart_policy=RestartPolicy.NEVER))
    await clock.advance(0)
    driver.finish("never", 1)
    await clock.advance(0)
    assert (await engine.get("h")).phase is GroupPhase.FAILED
    assert "fake://h/web/0" not in driver.containers


async def test_an_image_that_cannot_be_pulled_is_tried_again(engine, driver, clock):
    auth = RegistryAuth("registry.example", "user", "word")
    await engine.create(group(app(image="registry.example/app:2"), registry_auth=(auth,)))
    await clock.advance(0)
    status = await web(engine)
    assert waiting(status) == "ImagePullBackOff"
    assert "not found in any registry" in status.state.message
    assert driver.pulls == [("registry.example/app:2", auth)]
    driver.pullable["registry.example/app:2"] = Image("sha256:two")
    await clock.advance(9)
    assert len(driver.pulls) == 1
    await clock.advance(1)
    assert isinstance((await web(engine)).state, Running)
    reasons = [event.reason for event in (await engine.get("g")).events]
    assert reasons == ["Pulling", "Failed", "BackOff", "Pulling", "Pulled", "Created", "Started"]


async def test_a_name_that_no_image_can_have(engine, driver, clock):
    await engine.create(group(app(image="Foo//BAR:::x")))
    await clock.advance(0)
    status = await engine.get("g")
    message = (
        'Failed to apply default image tag "Foo//BAR:::x": couldn\'t parse image name "Foo//BAR:::x": '
        "invalid reference format: repository name (/BAR) must be lowercase"
    )
    assert status.containers[0].state == Waiting("InvalidImageName", message)
    assert [(one.type, one.reason, one.message) for one in status.events] == [
        ("Warning", "InspectFailed", message),
        ("Warning", "Failed", "Error: InvalidImageName"),
    ]
    assert driver.pulls == []


async def test_pull_policies(engine, driver, clock):
    await engine.create(
        group(
            app("never", image="absent:1", pull_policy=PullPolicy.NEVER),
            app("always", pull_policy=PullPolicy.ALWAYS),
            app("present", pull_policy=PullPolicy.IF_NOT_PRESENT),
        )
    )
    driver.pullable["app:1"] = Image("sha256:newer")
    await clock.advance(0)
    assert waiting(await web(engine)) == "ErrImageNeverPull"
    assert driver.pulls == [("app:1", None)]
    assert (await web(engine, 1)).image_id == "sha256:newer"


async def test_a_program_that_cannot_be_started_counts_as_an_exit(engine, driver, clock):
    driver.refuse_start["web"] = "executable file not found"
    await engine.create(group())
    await clock.advance(0)
    status = await web(engine)
    assert waiting(status) == "CrashLoopBackOff"
    assert (status.previous.exit_code, status.previous.reason) == (128, "ContainerCannotRun")
    del driver.refuse_start["web"]
    await clock.advance(10)
    assert isinstance((await web(engine)).state, Running)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadConfig("volume data has no sub"), "CreateContainerConfigError"),
        (EngineError("out of disk"), "CreateContainerError"),
    ],
)
async def test_a_container_that_cannot_be_created_says_why_and_waits(engine, driver, clock, error, reason):
    driver.refuse_create["web"] = error
    await engine.create(group(restart_policy=RestartPolicy.NEVER))
    await clock.advance(0)
    status = await web(engine)
    assert waiting(status) == reason
    assert status.state.message == str(error)
    await clock.advance(9)
    assert len([one for one in (await engine.get("g")).events if one.reason == "Failed"]) == 1
    driver.refuse_create.clear()
    await clock.advance(1)
    assert isinstance((await web(engine)).state, Running)
    assert (await web(engine)).restarts == 0


@pytest.mark.parametrize(("user", "refused"), [(None, True), ("0", True), ("1000", False), ("app", True)])
async def test_run_as_non_root_is_held_to(engine, driver, clock, user, refused):
    await engine.create(group(app(user=user, require_non_root=True)))
    await clock.advance(0)
    state = (await web(engine)).state
    assert isinstance(state, Waiting) == refused
    if refused:
        assert state.reason == "CreateContainerConfigError"


async def test_readiness_follows_its_probe(engine, driver, clock):
    driver.probe_results["ready?"] = 1
    probe = Probe(command=("ready?",), period=5, failure_threshold=2)
    await engine.create(group(app(readiness=probe)))
    await clock.advance(0)
    assert (await web(engine)).ready is False
    assert (await web(engine)).started is True
    driver.probe_results["ready?"] = 0
    await clock.advance(5)
    assert (await web(engine)).ready is True
    driver.probe_results["ready?"] = 1
    await clock.advance(5)
    assert (await web(engine)).ready is True, "one failure is below the threshold"
    await clock.advance(5)
    assert (await web(engine)).ready is False
    assert isinstance((await web(engine)).state, Running)


async def test_a_failed_liveness_probe_kills_and_restarts(engine, driver, clock):
    probe = Probe(command=("alive?",), period=10, failure_threshold=3, initial_delay=5)
    driver.ignores_term.add("web")
    await engine.create(group(app(liveness=probe), termination_grace=7))
    driver.probe_results["alive?"] = 1
    await clock.advance(24.5)
    assert driver.signals == []
    await clock.advance(0.5)
    assert driver.signals == [("web", "TERM")]
    await clock.advance(7)
    assert driver.signals == [("web", "TERM"), ("web", "KILL")]
    status = await web(engine)
    assert status.restarts == 1
    assert status.previous.exit_code == 137
    reasons = {event.reason for event in (await engine.get("g")).events if event.type == "Warning"}
    assert reasons == {"Unhealthy"}


async def test_a_startup_probe_holds_the_others_back(engine, driver, clock):
    driver.probe_results |= {"started?": 1, "alive?": 1}
    await engine.create(
        group(
            app(
                startup=Probe(command=("started?",), period=1, failure_threshold=30),
                liveness=Probe(command=("alive?",), period=1, failure_threshold=1),
            )
        )
    )
    await clock.advance(10)
    status = await web(engine)
    assert (status.started, status.ready, driver.signals) == (False, False, [])
    driver.probe_results |= {"started?": 0, "alive?": 0}
    await clock.advance(1)
    status = await web(engine)
    assert (status.started, status.ready, driver.signals) == (True, True, [])


async def test_a_startup_probe_that_gives_up_restarts(engine, driver, clock):
    driver.probe_results["started?"] = 1
    probe = Probe(command=("started?",), period=1, failure_threshold=3)
    await engine.create(group(app(startup=probe)))
    await clock.advance(2)
    assert driver.signals == [("web", "TERM")]
    assert (await web(engine)).restarts == 1


async def test_delete_is_graceful_and_then_everything_is_gone(engine, driver, clock, tmp_path):
    watch = engine.watch()
    await engine.create(group(labels={"a": "b"}))
    await clock.advance(0)
    driver.ignores_term.add("web")
    await engine.delete("g", grace=20)
    await clock.advance(19)
    assert driver.signals == [("web", "TERM")]
    assert await engine.get("g")
    await clock.advance(1)
    assert driver.signals[-1] == ("web", "KILL")
    seen = []
    while not seen or not isinstance(seen[-1], GroupGone):
        seen.append(await anext(watch))
    assert seen[-1] == GroupGone("g", {"a": "b"})
    assert isinstance(seen[-2].containers[0].state, Terminated), "the last exit code is told before"
    assert driver.containers == driver.groups == {}
    assert list((tmp_path / "state/scope/groups").iterdir()) == []
    with pytest.raises(NoSuchGroup):
        await engine.get("g")


async def test_a_shorter_grace_hurries_a_delete_up(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    driver.ignores_term.add("web")
    await engine.delete("g", grace=1000)
    await clock.advance(1)
    await engine.delete("g", grace=0)
    await clock.advance(0)
    assert await engine.groups() == []


async def test_a_longer_grace_does_not_slow_a_delete_down(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    driver.ignores_term.add("web")
    await engine.delete("g", grace=5)
    await engine.delete("g", grace=1000)
    await clock.advance(5)
    assert await engine.groups() == []


async def test_no_grace_means_no_asking(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    await engine.delete("g", grace=0)
    await clock.advance(0)
    assert driver.signals == [("web", "KILL")]


@pytest.mark.parametrize(("step", "signals"), [("create", []), ("start", [("web", "TERM")])])
async def test_a_delete_waits_for_a_step_that_is_under_way(engine, driver, clock, step, signals):
    driver.gate_at = step
    await engine.create(group())
    await driver.gated.wait()
    await engine.delete("g", grace=30)
    await clock.advance(1)
    assert await engine.groups(), "the engine may still be at it"
    driver.gate.set()
    await clock.advance(0)
    assert driver.signals == signals, "what has just started is asked to end"
    assert driver.containers == driver.groups == {}
    assert await engine.groups() == []


async def test_a_group_being_deleted_cannot_be_made_again_yet(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    driver.ignores_term.add("web")
    await engine.delete("g", grace=5)
    with pytest.raises(EngineError, match="still being deleted"):
        await engine.create(group())
    await clock.advance(5)
    await engine.create(group())
    await clock.advance(0)
    assert isinstance((await web(engine)).state, Running)


async def test_delete_while_a_container_is_being_created_leaves_nothing(engine, driver, clock):
    watch = engine.watch()
    await engine.create(group())
    async for status in watch:
        if status.ip:
            break
    await engine.delete("g", grace=0)
    await clock.advance(0)
    assert driver.containers == driver.groups == {}


async def test_delete_goes_on_until_the_driver_obeys(engine, driver, clock, monkeypatch):
    await engine.create(group())
    await clock.advance(0)
    failures = [EngineError("no answer"), EngineError("no answer")]
    close = driver.close_group

    async def close_group(name: str) -> None:
        if failures:
            raise failures.pop()
        await close(name)

    monkeypatch.setattr(driver, "close_group", close_group)
    await engine.delete("g", grace=0)
    await clock.advance(0)
    assert await engine.groups()
    await clock.advance(3)
    assert await engine.groups() == []


async def test_stop_and_restart(engine, driver, clock):
    await engine.create(group(restart_policy=RestartPolicy.NEVER))
    await clock.advance(0)
    await engine.stop("g")
    await clock.advance(0)
    status = await engine.get("g")
    assert status.phase is GroupPhase.STOPPED
    assert status.containers[0].state.exit_code == 143
    await engine.restart("g")
    await clock.advance(0)
    status = await engine.get("g")
    assert status.phase is GroupPhase.RUNNING
    assert status.containers[0].restarts == 1
    await engine.restart("g")
    await clock.advance(0)
    assert (await engine.get("g")).containers[0].restarts == 2


async def test_the_network_is_tried_again_until_it_is_there(engine, driver, clock):
    driver.refuse_open += [EngineError("no address is free"), EngineError("no address is free")]
    await engine.create(group())
    await clock.advance(0)
    status = await engine.get("g")
    assert status.phase is GroupPhase.PENDING
    assert status.events[-1].message == "no address is free"
    await clock.advance(3)
    assert (await engine.get("g")).phase is GroupPhase.RUNNING


async def test_a_lost_network_restarts_the_containers(engine, driver, clock):
    await engine.create(group())
    await clock.advance(0)
    driver.lose("g")
    await clock.advance(0)
    status = await web(engine)
    assert isinstance(status.state, Running)
    assert status.restarts == 1
    assert status.previous.exit_code == 137


async def test_what_was_only_created_is_made_again_with_the_network(make_engine, driver, clock):
    driver.gate_at = "start"
    first = make_engine()
    await first.start()
    await first.create(group())
    await driver.gated.wait()
    closing = asyncio.create_task(first.aclose())
    await clock.advance(0)
    driver.refuse_start["web"] = "the machine went down"
    driver.gate.set()
    await closing
    driver.refuse_start.clear()
    driver.groups.clear()

    second = make_engine()
    await second.start()
    await clock.advance(0)
    status = (await second.get("g")).containers[0]
    assert isinstance(status.state, Running)
    assert status.previous is None, "it has not failed, it was never started"
    await second.aclose()


async def test_logs_show_the_attempt_that_the_kubelet_would(engine, driver, clock):
    async def shown(previous: bool) -> str:
        chunks = [chunk async for chunk in engine.logs("g", "web", LogQuery(previous=previous))]
        return b"".join(chunks).decode()

    await engine.create(group())
    with pytest.raises(NoSuchGroup, match="waiting to start: ContainerCreating"):
        await shown(previous=False)
    await clock.advance(0)
    assert await shown(previous=False) == "fake://g/web/0"
    with pytest.raises(NoSuchGroup, match="previous"):
        await shown(previous=True)
    driver.finish("web", 1)
    await clock.advance(0)
    assert (await shown(previous=False), await shown(previous=True)) == (
        "fake://g/web/1",
        "fake://g/web/0",
    )
    driver.finish("web", 1)
    await clock.advance(0)
    assert waiting(await web(engine)) == "CrashLoopBackOff"
    assert await shown(previous=False) == "fake://g/web/1"


async def test_after_a_restart_of_the_engine_everything_goes_on(
    make_engine: Callable[[], SupervisedEngine], driver, clock
):
    first = make_engine()
    await first.start()
    await first.create(group(labels={"x": "y"}, init_containers=(app("setup"),)))
    await clock.advance(0)
    driver.finish("setup", 0)
    await clock.advance(0)
    driver.finish("web", 4)
    await clock.advance(0)
    created = (await first.get("g")).created_at
    await first.aclose()
    assert len(driver.containers) == 3, "closing the engine ends nothing"

    second = make_engine()
    await second.start()
    await clock.advance(0)
    status = await second.get("g")
    assert (status.created_at, status.labels, status.ip) == (created, {"x": "y"}, "10.0.0.1")
    container = status.containers[0]
    assert isinstance(container.state, Running)
    assert (container.restarts, container.previous.exit_code) == (1, 4)
    assert len(driver.containers) == 3, "nothing was started anew"
    driver.finish("web", 5)
    await clock.advance(0)
    assert (await second.get("g")).containers[0].restarts == 2
    await second.aclose()


async def test_what_ended_while_the_engine_was_away_is_handled(make_engine, driver, clock):
    first = make_engine()
    await first.start()
    await first.create(group())
    await first.create(group(app("job"), name="j", restart_policy=RestartPolicy.NEVER))
    await clock.advance(0)
    await first.aclose()
    driver.finish("web", 1)
    driver.finish("job", 7)

    second = make_engine()
    await second.start()
    await clock.advance(0)
    assert (await second.get("g")).containers[0].restarts == 1
    assert (await second.get("j")).phase is GroupPhase.FAILED
    assert (await second.get("j")).containers[0].state.exit_code == 7
    await second.aclose()


async def test_a_delete_survives_the_engine(make_engine, driver, clock):
    first = make_engine()
    await first.start()
    await first.create(group())
    await clock.advance(0)
    driver.ignores_term.add("web")
    await first.delete("g", grace=30)
    await clock.advance(10)
    await first.aclose()

    second = make_engine()
    await second.start()
    await clock.advance(19)
    assert ("web", "KILL") not in driver.signals
    await clock.advance(1)
    assert await second.groups() == []
    assert driver.containers == {}
    await second.aclose()


async def test_what_no_record_explains_is_removed_at_the_start(make_engine, driver, clock):
    first = make_engine()
    await first.start()
    await first.create(group())
    await clock.advance(0)
    await first.aclose()
    shutil.rmtree(first._home / "groups" / "g")
    second = make_engine()
    await second.start()
    assert driver.containers == {}
    await second.aclose()


async def test_two_engines_never_share_a_scope(engine, make_engine):
    with pytest.raises(EngineError, match="in use"):
        await make_engine().start()


async def test_remove_takes_the_files_away(make_engine, driver, clock, tmp_path):
    engine = make_engine()
    await engine.start()
    await engine.create(group())
    await clock.advance(0)
    await engine.aclose(remove=True)
    assert driver.containers == {}
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize(
    "spec",
    [
        group(name="Not_A_Label"),
        group(app("../escape")),
        group(app("same"), app("same")),
        group(volumes={"..": None}),
    ],
)
async def test_names_that_cannot_be_files_are_refused(engine, spec):
    with pytest.raises(EngineError):
        await engine.create(spec)
