"""Mending: what is offered, agreed to, carried out, waited for and told. In virtual time."""

from __future__ import annotations

import asyncio

from support.virtual_time import run as run_virtually

from vnodectl.checks.context import Context
from vnodectl.checks.mending import mend
from vnodectl.checks.model import Check, Repair, Severity, failed, passed
from vnodectl.checks.runner import run
from vnodectl.errors import VnodectlError

REPAIR = Repair("k", "turn it on", {"what": "it"})


async def agreed(_):
    return True


async def declined(_):
    return False


class World:
    """Something that works `late` seconds after it was turned on, and something else that never does."""

    def __init__(self, late: float = 0.0, severity: Severity = Severity.FATAL) -> None:
        self.late = late
        self.on: float | None = None
        self.applied: list[Repair] = []
        self.asked = 0
        self.severity = severity

    @property
    def checks(self):
        async def works(_):
            now = asyncio.get_running_loop().time()
            if self.on is not None and now >= self.on + self.late:
                return passed("it works")
            return failed("it is off", fix="turn it on", repair=REPAIR)

        async def hopeless(_):
            return failed("hopeless", fix="none")

        return [
            Check("A", "c", "Does it work?", works, severity=self.severity),
            Check("B", "c", "Does it work as well?", works, severity=self.severity),
            Check("C", "c", "And the other?", hopeless),
        ]

    async def ask(self):
        self.asked += 1
        return await run(self.checks, Context())

    async def apply(self, repair):
        self.applied.append(repair)
        self.on = asyncio.get_running_loop().time()


def test_one_change_that_two_checks_want_is_made_once_and_told():
    world = World()
    report, done = run_virtually(mend(world.ask, agreed, world.apply, patience=60))
    assert world.applied == [REPAIR]
    assert [(one.id, one.passes) for one in done] == [("A", True)]
    assert [one.check.id for one in report.failures] == ["C"]
    assert done[0].document() == {
        "id": "A",
        "kind": "k",
        "change": "turn it on",
        "applied": True,
        "problem": "",
        "passes": True,
    }


def test_what_was_mended_is_waited_for_and_nothing_else():
    world = World(late=21)

    async def main():
        found = await mend(world.ask, agreed, world.apply, patience=60)
        return found, asyncio.get_running_loop().time()

    (_, done), took = run_virtually(main())
    assert done[0].passes
    assert 21 <= took <= 26  # hopeless C is not waited for


def test_what_does_not_arrive_in_time_is_told_so():
    world = World(late=1000)
    report, done = run_virtually(mend(world.ask, agreed, world.apply, patience=30))
    assert not done[0].passes
    assert not done[0].problem
    assert "A" in [one.check.id for one in report.failures]
    assert world.applied == [REPAIR]


def test_nothing_is_made_without_agreement():
    world = World()
    _, done = run_virtually(mend(world.ask, declined, world.apply, patience=60))
    assert (world.applied, done, world.asked) == ([], [], 1)


def test_warnings_are_mended_too():
    world = World(severity=Severity.WARNING)
    _, done = run_virtually(mend(world.ask, agreed, world.apply, patience=60))
    assert done[0].passes


def test_a_change_that_fails_is_told_with_what_to_do_and_not_tried_again():
    world = World()

    async def refuse(repair):
        world.applied.append(repair)
        raise VnodectlError("no right", hint="ask for it")

    _, done = run_virtually(mend(world.ask, agreed, refuse, patience=60))
    assert [(one.problem, one.hint, one.passes) for one in done] == [("no right", "ask for it", False)]
    assert world.applied == [REPAIR]


def test_where_nothing_can_be_mended_nobody_is_asked():
    async def hopeless(_):
        return failed("hopeless", fix="none")

    async def ask():
        return await run([Check("C", "c", "Is it?", hopeless)], Context())

    def never(_):
        raise AssertionError("asked")

    report, done = run_virtually(mend(ask, never, World().apply, patience=60))
    assert done == []
    assert not report.ok
