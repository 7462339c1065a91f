"""How long a run takes, in virtual time: whatever the cloud's latency, at most twice its slowest check."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support import virtual_time
from support.canned_azure import CannedAzure
from support.canned_helm import CannedHelm, CannedRegistry
from support.check_cases.azure import TARGET

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.model import Check, Report, Resource, Verdict, failed, passed
from vnodectl.checks.runner import Selection, run
from vnodectl.checks.target import AlibabaTarget


class Slow:
    """Whatever is asked of it is answered with the same, after a while."""

    server, context = "https://cluster.example", "here"
    subscription = "/subscriptions/sub-1"
    region = "cn-hangzhou"

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.calls = 0

    def __getattr__(self, name):
        async def answer(*arguments, **keywords):
            self.calls += 1
            await asyncio.sleep(self.latency)
            return {"list": ([], ""), "pages": [], "clock_skew": 0.0, "manifests": []}.get(name, {})

        return answer


def slowest(report: Report) -> float:
    return max(outcome.seconds for outcome in report.outcomes)


@pytest.mark.parametrize("latencies", [(1, 1, 1), (5, 1, 0.1), (0.1, 5, 1), (1, 0.1, 5)])
def test_the_whole_catalogue_takes_at_most_twice_its_slowest_check(latencies):
    kube, azure, alibaba = map(Slow, latencies)
    place = AlibabaTarget("cn-hangzhou", ("vsw-1", "vsw-2"), "sg-1", "ack-1")
    context = Context(
        target=replace(TARGET, alibaba=place),
        kube=kube,
        azure=azure,
        alibaba=alibaba,
        helm=CannedHelm(),
        registry=CannedRegistry(),
    )

    async def main():
        return await run(all_checks(), context, clock=asyncio.get_running_loop().time)

    report = virtual_time.run(main())
    asked = [one for one in report.outcomes if one.attempts]
    assert len(asked) > 30
    assert slowest(report) > 0
    assert report.seconds <= 2 * slowest(report) + 0.001
    # Asked one after the other, it would take much longer.
    assert sum(one.seconds for one in report.outcomes) > 2 * report.seconds


def chain(*seconds: float, answer=None) -> list[Check]:
    """Checks that each need the one before and take so long."""

    def asking(length):
        async def ask(_):
            await asyncio.sleep(length)
            return answer or passed("yes")

        return ask

    return [
        Check(f"C{n}", "c", "Is it?", asking(length), needs=(f"C{n - 1}",) if n else ())
        for n, length in enumerate(seconds)
    ]


def test_a_long_chain_of_needs_takes_no_longer_than_its_gate_and_its_slowest():
    async def main():
        return await run(chain(1, 3, 2, 3, 1), Context(), clock=asyncio.get_running_loop().time)

    report = virtual_time.run(main())
    assert report.seconds == pytest.approx(4, abs=1e-3)
    assert {one.verdict for one in report.outcomes} == {Verdict.PASSED}


def test_what_a_failed_need_calls_off_is_skipped_at_once_and_with_the_reason():
    checks = chain(1, 1, 20)

    async def no(_):
        await asyncio.sleep(1)
        return failed("no", fix="none")

    checks[1] = replace(checks[1], ask=no)

    async def main():
        return await run(checks, Context(), clock=asyncio.get_running_loop().time)

    report = virtual_time.run(main())
    assert report.seconds == pytest.approx(2, abs=1e-3)
    assert report.outcomes[2].answer.cause == "needs C1, which failed"
    assert report.outcomes[2].attempts == 0


def test_nothing_signs_in_behind_a_gate_that_failed():
    azure = CannedAzure()  # knows nothing: the subscription is not found

    async def main():
        context = Context(target=TARGET, azure=azure)
        return await run(all_checks(), context, selection=Selection(only=("azure",)))

    report = virtual_time.run(main())
    assert azure.calls == [azure.subscription]
    assert [one.check.id for one in report.failures] == ["VN-AZ-001"]


def test_a_check_that_is_left_out_opens_the_way_below_it():
    checks = [*chain(1, 1, 1)]

    async def no(_):
        return failed("no", fix="none")

    checks[0] = replace(checks[0], ask=no)

    async def main():
        return await run(checks, Context(), selection=Selection(skip=("C1",)))

    report = virtual_time.run(main())
    assert [one.verdict.value for one in report.outcomes] == ["failed", "skipped", "passed"]


def test_a_check_whose_session_is_absent_is_not_asked():
    checks = [replace(chain(1)[0], resources=frozenset({Resource.KUBE}))]

    async def main():
        return await run(checks, Context())

    assert virtual_time.run(main()).outcomes[0].answer.cause == "no cluster session"


def test_a_registry_that_never_answers_costs_seconds_and_is_no_warning():
    class Silent:
        async def manifest(self, reference, secrets=()):
            await asyncio.sleep(3600)

    async def main():
        context = Context(target=TARGET, helm=CannedHelm(), registry=Silent())
        selection = Selection(only=("VN-REL-005",))
        loop = asyncio.get_running_loop()
        return await run(all_checks(), context, selection=selection, clock=loop.time)

    report = virtual_time.run(main())
    found = next(one for one in report.outcomes if one.check.id == "VN-REL-005")
    assert found.verdict is Verdict.SKIPPED
    assert found.seconds == pytest.approx(8, abs=0.001)
