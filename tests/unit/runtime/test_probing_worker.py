"""When probes are asked, and what becomes of their answers: in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from support import virtual_time

from vnodectl.runtime.clock import rfc3339
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.probing import PROBE_LABELS, Probing
from vnodectl.runtime.probing.outcome import SUCCESS, Outcome, Verdict, failure
from vnodectl.runtime.probing.spec import Action, HttpGet
from vnodectl.runtime.probing.worker import Tally
from vnodectl.runtime.provider import PodKey, ProbeKind, Retryable, Unsupported

JSON = dict[str, Any]

KEY = PodKey("default", "web", "u-1")
ALL = frozenset(ProbeKind)
PORTS = {"startupProbe": 1, "livenessProbe": 2, "readinessProbe": 3}


def now() -> float:
    return round(asyncio.get_running_loop().time(), 2)


class Scripted:
    """Answers by port, the last one for ever; remembers when it was asked."""

    def __init__(self, **answers: list[Outcome | float]) -> None:
        self.answers = {PORTS[kind]: list(those) for kind, those in answers.items()}
        self.asked: dict[int, list[float]] = {port: [] for port in PORTS.values()}
        self.addresses: set[str] = set()

    async def run(self, action: Action, ip: str, timeout: float) -> Outcome:
        assert isinstance(action, HttpGet)
        self.addresses.add(ip)
        self.asked[action.port].append(now())
        known = self.answers[action.port]
        answer = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(answer, float):  # takes that long, then fails
            await asyncio.sleep(answer)
            return failure("slow")
        return answer

    async def aclose(self) -> None: ...

    def times(self, kind: str) -> list[float]:
        return self.asked[PORTS[kind]]


class Cloud:
    """Leaves all probes to the runtime."""

    name = "cloud"

    def __init__(self, kinds: frozenset[ProbeKind] = ALL) -> None:
        self.kinds = kinds
        self.restarted: list[tuple[str, float, float]] = []
        self.errors: list[Exception] = []
        self.heard: list[ProbeKind] = []

    def direct_probes(self, pod: JSON) -> dict[str, frozenset[ProbeKind]]:
        return {"c": self.kinds}

    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:
        self.restarted.append((container, grace, now()))
        if self.errors:
            raise self.errors.pop(0)

    def probe_failed(self, key: PodKey, container: str, kind: ProbeKind) -> None:
        self.heard.append(kind)


@dataclass
class Events:
    all: list[tuple[str, str, str, str]] = field(default_factory=list)

    def record(self, about: JSON, kind: str, reason: str, message: str, *, container: str = "") -> None:
        self.all.append((kind, reason, message, container))

    def reasons(self) -> list[str]:
        return [reason for _, reason, _, _ in self.all]


@dataclass
class Room:
    probing: Probing
    cloud: Any
    events: Events
    runner: Scripted
    changes: list[float]
    pod: JSON

    def look(self, **status: Any) -> JSON:
        """The container as the runtime shows it, when the cloud says that it runs."""
        seen = self.probing.arrange(KEY, self.pod, running(**status))
        assert seen is not None
        return seen["containerStatuses"][0]


def running(*, ip: str = "10.0.0.9", restarts: int = 0, age: float = 0.0, **status: Any) -> JSON:
    started = rfc3339(virtual_time.clock() - age)
    state = {"running": {"startedAt": started}}
    one = {"name": "c", "containerID": f"x://{restarts}", "restartCount": restarts, "state": state}
    return {"podIP": ip, "containerStatuses": [{**one, "ready": True, "started": True, **status}]}


def probe(kind: str, **more: Any) -> JSON:
    return {kind: {"httpGet": {"port": PORTS[kind]}, **more}}


@asynccontextmanager
async def room(
    runner: Scripted, cloud: Any = None, spec: JSON | None = None, **container: Any
) -> AsyncIterator[Room]:
    cloud = cloud or Cloud()
    events, changes = Events(), []
    pod = {
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": KEY.uid},
        "spec": {"containers": [{"name": "c", **container}], **(spec or {})},
        "status": {},
    }
    probing = Probing(
        cloud,
        events,  # type: ignore[arg-type]
        clock=virtual_time.clock,
        changed=lambda _: changes.append(now()),
        metrics=NodeMetrics(),
        runner=runner,
        rand=lambda: 0.5,
    )
    try:
        yield Room(probing, cloud, events, runner, changes, pod)
    finally:
        await probing.aclose()


def test_a_container_is_ready_when_its_probe_says_so_and_no_earlier():
    async def main() -> None:
        runner = Scripted(readinessProbe=[failure("no"), failure("no"), SUCCESS])
        async with room(runner, **probe("readinessProbe", periodSeconds=4, initialDelaySeconds=7)) as here:
            assert (here.look()["started"], here.look()["ready"]) == (True, False)
            await asyncio.sleep(14)
            assert not here.look(age=14)["ready"]
            await asyncio.sleep(2)
            assert here.look(age=16)["ready"]
            assert runner.times("readinessProbe") == [7, 11, 15]
            assert here.changes == [15]
            assert here.events.all[0] == ("Warning", "Unhealthy", "Readiness probe failed: no", "c")
            assert here.cloud.heard == [ProbeKind.READINESS] * 2
            assert runner.addresses == {"10.0.0.9"}

    virtual_time.run(main())


def test_it_takes_a_threshold_of_answers_in_a_row_to_change_a_verdict():
    async def main() -> None:
        answers: list[Outcome | float] = [SUCCESS, SUCCESS, failure("x"), SUCCESS, failure("x"), failure("x"),
                                          SUCCESS, SUCCESS]  # fmt: skip
        runner = Scripted(readinessProbe=answers)
        settings = {"periodSeconds": 1, "successThreshold": 2, "failureThreshold": 2}
        async with room(runner, **probe("readinessProbe", **settings)) as here:
            here.look()
            await asyncio.sleep(7.5)
            assert here.changes == [1, 5, 7]
            assert here.look(age=7.5)["ready"]

    virtual_time.run(main())


def test_the_startup_probe_holds_the_others_back_and_then_is_done():
    async def main() -> None:
        runner = Scripted(
            startupProbe=[failure("x")] * 5 + [SUCCESS], livenessProbe=[SUCCESS], readinessProbe=[SUCCESS]
        )
        container = (
            probe("startupProbe", periodSeconds=2, failureThreshold=10)
            | probe("livenessProbe", periodSeconds=3)
            | probe("readinessProbe", periodSeconds=3)
        )
        async with room(runner, **container) as here:
            assert (here.look()["started"], here.look()["ready"]) == (False, False)
            await asyncio.sleep(9.5)
            assert runner.times("livenessProbe") == runner.times("readinessProbe") == []
            await asyncio.sleep(10)
            assert runner.times("startupProbe") == [0, 2, 4, 6, 8, 10]
            assert runner.times("livenessProbe") == runner.times("readinessProbe") == [10, 13, 16, 19]
            assert (here.look(age=19.5)["started"], here.look(age=19.5)["ready"]) == (True, True)
            assert here.cloud.restarted == []

    virtual_time.run(main())


def test_a_startup_probe_of_the_cloud_holds_ours_back_too():
    async def main() -> None:
        runner = Scripted(readinessProbe=[SUCCESS])
        cloud = Cloud(frozenset({ProbeKind.READINESS}))
        container = {
            "startupProbe": {"exec": {"command": ["true"]}},
            **probe("readinessProbe", periodSeconds=1),
        }
        async with room(runner, cloud, **container) as here:
            assert not here.look(started=False)["ready"]
            await asyncio.sleep(5)
            assert runner.times("readinessProbe") == []
            here.look(started=True, age=5)
            await asyncio.sleep(0.1)
            assert runner.times("readinessProbe") == [5]
            assert here.look(age=5.1)["ready"]

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("kind", "more", "pod", "grace", "message"),
    [
        ("livenessProbe", {}, {}, 30, "Container c failed liveness probe, will be restarted"),
        ("livenessProbe", {"terminationGracePeriodSeconds": 3}, {}, 3, "failed liveness"),
        (
            "startupProbe",
            {},
            {"terminationGracePeriodSeconds": 9},
            9,
            "Container c failed startup probe, will",
        ),
        ("livenessProbe", {}, {"restartPolicy": "Never"}, 30, "Container c failed liveness probe"),
    ],
)
def test_a_container_that_fails_is_killed_with_an_event(kind, more, pod, grace, message):
    async def main() -> None:
        runner = Scripted(
            **{kind: [SUCCESS, failure("dead")] if kind == "livenessProbe" else [failure("dead")]}
        )
        async with room(runner, spec=pod, **probe(kind, periodSeconds=10, **more)) as here:
            here.look()
            await asyncio.sleep(35)
            (restarted,) = here.cloud.restarted
            assert restarted == ("c", grace, 30 if kind == "livenessProbe" else 20)
            killing = next(one for one in here.events.all if one[1] == "Killing")
            assert killing[0] == "Normal"
            assert message in killing[2]
            assert ("will be restarted" in killing[2]) is (pod.get("restartPolicy") != "Never")
            assert here.events.reasons().count("Unhealthy") == 3

    virtual_time.run(main())


def test_a_new_start_of_the_container_is_probed_anew():
    async def main() -> None:
        runner = Scripted(livenessProbe=[failure("dead")], readinessProbe=[SUCCESS])
        container = probe("livenessProbe", periodSeconds=5, failureThreshold=1) | probe("readinessProbe")
        async with room(runner, **container) as here:
            here.look()
            await asyncio.sleep(1)
            assert here.look(age=1)["ready"]
            assert len(here.cloud.restarted) == 1
            assert here.look(restarts=1)["ready"] is False
            await asyncio.sleep(10.5)
            assert len(here.cloud.restarted) == 2
            assert here.look(restarts=1, age=10.5)["ready"] is True

    virtual_time.run(main())


@pytest.mark.parametrize("error", [Unsupported("cannot"), Retryable("Throttled", "later")])
def test_a_kill_that_could_not_be_asked_for_is_asked_for_again(error):
    async def main() -> None:
        cloud = Cloud()
        cloud.errors = [error]
        runner = Scripted(livenessProbe=[failure("dead")])
        async with room(runner, cloud, **probe("livenessProbe", periodSeconds=5, failureThreshold=2)) as here:
            here.look()
            await asyncio.sleep(16)
            assert [at for _, _, at in cloud.restarted] == [5, 15]
            assert here.events.reasons().count("FailedKillContainer") == 1

    virtual_time.run(main())


def test_a_container_that_keeps_failing_is_killed_less_and_less_often():
    async def main() -> None:
        runner = Scripted(livenessProbe=[failure("dead")])
        async with room(runner, **probe("livenessProbe", periodSeconds=1, failureThreshold=1)) as here:
            restarts = 0
            for _ in range(3000):
                here.look(restarts=restarts)
                await asyncio.sleep(1)
                restarts = len(here.cloud.restarted)
            times = [at for _, _, at in here.cloud.restarted]
            pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert [round(pause, -1) for pause in pauses[:6]] == [10, 20, 40, 80, 160, 300]
            assert max(pauses) < 310
            assert here.events.reasons().count("Killing") == len(times)

    virtual_time.run(main())


def test_a_kill_without_effect_is_repeated_but_not_at_once():
    async def main() -> None:
        runner = Scripted(livenessProbe=[failure("dead")])
        container = probe(
            "livenessProbe", periodSeconds=5, failureThreshold=1, terminationGracePeriodSeconds=10
        )
        async with room(runner, **container) as here:
            here.look()
            await asyncio.sleep(120)
            assert [at for _, _, at in here.cloud.restarted] == [0, 75]

    virtual_time.run(main())


def test_a_pod_that_is_deleted_may_become_unready_but_is_not_killed():
    async def main() -> None:
        runner = Scripted(livenessProbe=[SUCCESS, failure("dead")], readinessProbe=[SUCCESS, failure("dead")])
        container = probe("livenessProbe", periodSeconds=2, failureThreshold=1) | probe(
            "readinessProbe", periodSeconds=2, failureThreshold=1
        )
        async with room(runner, **container) as here:
            here.look()
            await asyncio.sleep(1)
            here.pod["metadata"]["deletionTimestamp"] = "2027-01-01T00:00:00Z"
            assert here.look(age=1)["ready"]
            await asyncio.sleep(10)
            assert here.look(age=11)["ready"] is False
            assert here.cloud.restarted == []

    virtual_time.run(main())


def test_after_a_restart_of_the_runtime_what_it_said_last_holds_until_shown_otherwise():
    async def main() -> None:
        runner = Scripted(startupProbe=[failure("x")], readinessProbe=[failure("x")])
        container = probe("startupProbe") | probe("readinessProbe", periodSeconds=10, failureThreshold=2)
        async with room(runner, **container) as here:
            said = running()
            said["containerStatuses"][0]["restartCount"] = 7  # of groups before this one, too
            here.pod["status"] = {**said, "phase": "Running"}
            assert here.look()["ready"] is True
            await asyncio.sleep(14)
            assert here.look(age=14)["ready"] is True
            await asyncio.sleep(2)
            assert here.look(age=16)["ready"] is False
            assert runner.times("startupProbe") == []
            assert runner.times("readinessProbe") == [5, 15]  # spread over the period

    virtual_time.run(main())


def test_slow_answers_drop_ticks_instead_of_piling_up():
    async def main() -> None:
        runner = Scripted(readinessProbe=[2.5, SUCCESS])
        async with room(runner, **probe("readinessProbe", periodSeconds=1)) as here:
            here.look()
            await asyncio.sleep(4.5)
            assert runner.times("readinessProbe") == [0, 3, 4]

    virtual_time.run(main())


def test_warnings_and_probes_that_cannot_be_carried_out_are_told_and_decide_nothing():
    async def main() -> None:
        runner = Scripted(
            livenessProbe=[Outcome(Verdict.UNKNOWN, "couldn't find port")],
            readinessProbe=[Outcome(Verdict.WARNING, "redirected")],
        )
        container = probe("livenessProbe", periodSeconds=1) | probe("readinessProbe")
        async with room(runner, **container) as here:
            here.look()
            await asyncio.sleep(10)
            assert here.look(age=10)["ready"] is True
            assert here.cloud.restarted == []
            assert here.cloud.heard == []
            told = {(reason, message) for _, reason, message, _ in here.events.all}
            assert told == {
                ("Unhealthy", "Liveness probe errored: couldn't find port"),
                ("ProbeWarning", "Readiness probe warning: redirected"),
            }

    virtual_time.run(main())


def test_without_an_address_nothing_is_probed_and_nothing_is_ready():
    async def main() -> None:
        runner = Scripted(readinessProbe=[SUCCESS])
        async with room(runner, **probe("readinessProbe")) as here:
            assert here.look(ip="")["ready"] is False
            await asyncio.sleep(30)
            assert runner.addresses == set()
            here.look(age=30)
            await asyncio.sleep(1)
            assert here.look(age=31)["ready"] is True

    virtual_time.run(main())


def test_probes_end_with_their_container_and_with_their_pod():
    async def main() -> None:
        runner = Scripted(livenessProbe=[SUCCESS])
        async with room(runner, **probe("livenessProbe", periodSeconds=1)) as here:
            here.look()
            await asyncio.sleep(2.5)
            ended = {"terminated": {"exitCode": 0}}
            seen = {"podIP": "10.0.0.9", "containerStatuses": [{"name": "c", "state": ended, "ready": False}]}
            assert here.probing.arrange(KEY, here.pod, seen) == seen
            await asyncio.sleep(10)
            assert runner.times("livenessProbe") == [0, 1, 2]
            here.look(restarts=1)
            await asyncio.sleep(0.5)
            here.probing.forget(KEY)
            await asyncio.sleep(10)
            assert runner.times("livenessProbe") == [0, 1, 2, 12.5]

    virtual_time.run(main())


def test_answers_are_counted_over_the_starts_of_a_container_and_go_with_its_pod():
    async def main() -> None:
        def counts(probing: Probing) -> dict[tuple[str, str], float]:
            found = {}
            for values, count in probing.results().items():
                labels = dict(zip(PROBE_LABELS, values, strict=True))
                where = [labels.pop(key) for key in ("container", "pod", "namespace", "pod_uid")]
                assert where == ["c", KEY.name, KEY.namespace, KEY.uid]
                found[labels["probe_type"], labels["result"]] = count
            return found

        runner = Scripted(
            livenessProbe=[SUCCESS, Outcome(Verdict.UNKNOWN, "no such port"), SUCCESS],
            readinessProbe=[Outcome(Verdict.WARNING, "redirected"), failure("503"), SUCCESS],
        )
        container = probe("livenessProbe", periodSeconds=1) | probe("readinessProbe", periodSeconds=1)
        async with room(runner, **container) as here:
            assert counts(here.probing) == {}
            here.look()
            await asyncio.sleep(3.5)
            expected = {
                ("Liveness", "successful"): 3,
                ("Liveness", "unknown"): 1,
                ("Readiness", "successful"): 3,
                ("Readiness", "failed"): 1,
            }
            assert counts(here.probing) == expected
            here.look(restarts=1)
            await asyncio.sleep(0.5)
            assert counts(here.probing)["Liveness", "successful"] == 4
            here.probing.forget(KEY)
            assert counts(here.probing) == {}

    virtual_time.run(main())


def test_a_provider_that_leaves_nothing_to_the_runtime_is_believed():
    async def main() -> None:
        class Plain:
            name = "plain"

        runner = Scripted(readinessProbe=[failure("no")])
        async with room(runner, Plain(), **probe("readinessProbe")) as here:
            assert here.look()["ready"] is True
        async with room(runner, Cloud(frozenset()), **probe("readinessProbe")) as here:
            assert here.look()["ready"] is True
            await asyncio.sleep(1)
            assert runner.addresses == set()

    virtual_time.run(main())


def test_a_verdict_needs_equal_answers_in_a_row():
    class Spec:
        success_threshold, failure_threshold = 2, 3

    tally = Tally(Spec())  # type: ignore[arg-type]
    answers = [tally.add(ok) for ok in (True, True, False, False, True, False, False, False, True)]
    assert answers == [None, True, None, None, None, None, None, False, None]
