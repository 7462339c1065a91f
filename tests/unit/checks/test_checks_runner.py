"""Asking checks: order, concurrency, deadlines, retries, selection; and that nothing ever escapes."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from support import virtual_time

from vnodectl.checks.context import Context, Fact
from vnodectl.checks.model import (
    Check,
    Resource,
    Retry,
    Severity,
    Verdict,
    failed,
    not_applicable,
    passed,
    warned,
)
from vnodectl.checks.runner import Selection, run, run_until, validate
from vnodectl.errors import ClusterUnreachable, TimedOut, UsageError, VnodectlError
from vnodectl.kube.errors import ApiError, Forbidden, NotFound, Throttled

SECRET = "s3cr3t-marker"


def check(id_: str, ask=None, **fields) -> Check:
    async def fine(_):
        return passed("fine")

    fields.setdefault("retry", Retry(attempts=3, delay=0))
    return Check(id_, fields.pop("category", "test"), f"Is {id_} true?", ask or fine, **fields)


def raising(*errors: BaseException):
    """A check that raises these, one per call, and then passes."""
    left = list(errors)

    async def ask(_):
        if left:
            raise left.pop(0)
        return passed("in the end")

    return ask


def verdicts(report) -> dict[str, str]:
    return {outcome.check.id: outcome.verdict.value for outcome in report.outcomes}


async def test_independent_checks_are_asked_at_once():
    together = asyncio.Barrier(3)

    async def ask(_):
        await together.wait()  # passes only when all three are being asked
        return passed("met")

    report = await run([check(f"VN-T-00{number}", ask) for number in range(3)], Context())
    assert set(verdicts(report).values()) == {"passed"}


async def test_a_check_waits_for_what_it_needs_in_whatever_order_they_are_listed():
    order = []

    def noting(name):
        async def ask(_):
            order.append(name)
            return passed(name)

        return ask

    report = await run(
        [
            check("B", noting("B"), needs=("A",)),
            check("A", noting("A")),
            check("C", noting("C"), needs=("B",)),
        ],
        Context(),
    )
    assert order == ["A", "B", "C"]
    assert [outcome.check.id for outcome in report.outcomes] == ["B", "A", "C"]


async def test_what_needs_a_failed_check_is_skipped_with_the_reason():
    async def bad(_):
        return failed("it is not", fix="make it so")

    report = await run(
        [check("A", bad), check("B", needs=("A",)), check("C", needs=("B",)), check("D")], Context()
    )
    assert verdicts(report) == {"A": "failed", "B": "skipped", "C": "skipped", "D": "passed"}
    assert report.outcomes[1].answer.cause == "needs A, which failed"
    assert report.outcomes[2].answer.cause == "needs B, which was skipped"
    assert report.outcomes[1].attempts == 0


async def test_a_question_that_does_not_arise_holds_nothing_back():
    async def moot(_):
        return not_applicable("nothing to ask about")

    report = await run([check("A", moot), check("B", needs=("A",))], Context())
    assert verdicts(report) == {"A": "skipped", "B": "passed"}
    assert report.exit_code(strict=True) == 0


async def test_missing_sessions_skip_with_their_reason():
    checks = [
        check("K", resources=frozenset({Resource.KUBE})),
        check("A", resources=frozenset({Resource.AZURE})),
        check("P", resources=frozenset({Resource.PLAN})),
    ]
    report = await run(checks, Context(absent={Resource.AZURE: "nobody is signed in"}))
    assert [outcome.answer.cause for outcome in report.outcomes] == [
        "no cluster session",
        "nobody is signed in",
        "no connector is named",
    ]


async def test_a_session_that_could_not_be_opened_fails_the_check_that_asks_for_it():
    async def ask(context):
        await context.cluster_facts.version()

    broken = {Resource.KUBE: ClusterUnreachable("refused", hint="start it")}
    report = await run([check("K", ask, resources=frozenset({Resource.KUBE}))], Context(broken=broken))
    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.answer.cause, outcome.answer.fix) == (
        Verdict.FAILED,
        "refused",
        "start it",
    )
    assert report.exit_code() == 5


@pytest.mark.parametrize(
    "error",
    [
        ClusterUnreachable("refused"),
        Throttled(429, "TooManyRequests", "slow down"),
        ApiError(500, "InternalError", "oops"),
        ApiError(503, "ServiceUnavailable", "starting"),
    ],
)
async def test_transient_errors_are_tried_again(error):
    report = await run([check("A", raising(error, error))], Context())
    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.attempts, outcome.answer.evidence) == (Verdict.PASSED, 3, "in the end")


@pytest.mark.parametrize(
    "error", [Forbidden(403, "Forbidden", "may not"), NotFound(404, "NotFound", "is not")]
)
async def test_403_and_404_are_answers(error):
    report = await run([check("A", raising(error))], Context())
    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.attempts, outcome.answer.cause) == (Verdict.FAILED, 1, error.message)
    assert report.exit_code() == 1


async def test_trouble_that_stays_is_reported_as_such():
    report = await run([check("A", raising(*[ClusterUnreachable("refused")] * 9))], Context())
    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.attempts) == (Verdict.FAILED, 3)
    assert outcome.answer.fix
    assert report.exit_code() == 5


async def test_a_deadline_covers_every_attempt_and_says_what_was_seen():
    first = iter([ClusterUnreachable("refused")])

    async def ask(_):
        for error in first:
            raise error
        await asyncio.Event().wait()

    report = await run([check("A", ask, deadline=0.05), check("B", needs=("A",))], Context())
    outcome, dependent = report.outcomes
    assert outcome.verdict is Verdict.TIMED_OUT
    assert outcome.answer.cause == "no answer within 0.05 s; last seen: refused"
    assert dependent.answer.cause == "needs A, which timed out"
    assert report.exit_code() == 4


@pytest.mark.parametrize(("wait", "attempts", "seconds"), [(10, 2, 20.5), (20, 1, 20), (0.25, 3, 2.25)])
def test_another_attempt_that_would_not_end_in_time_is_not_begun(wait, attempts, seconds):
    """A host that swallows packets is out of reach, which says more than that time ran out."""

    async def ask(_):
        await asyncio.sleep(wait)
        raise ClusterUnreachable("no answer")

    async def main():
        return await run([check("A", ask, retry=Retry())], Context(), clock=asyncio.get_running_loop().time)

    report = virtual_time.run(main())
    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.attempts) == (Verdict.FAILED, attempts)
    assert outcome.seconds == pytest.approx(seconds, abs=0.01)
    assert report.exit_code() == 5


@pytest.mark.parametrize(
    "error",
    [
        KeyError(SECRET),
        TimeoutError(SECRET),
        ExceptionGroup("many", [ValueError(SECRET)]),
        asyncio.CancelledError(),
    ],
)
async def test_a_broken_check_fails_by_name_and_harms_no_other(error):
    report = await run([check("A", raising(error)), check("B", needs=("A",)), check("C")], Context())
    assert verdicts(report) == {"A": "failed", "B": "skipped", "C": "passed"}
    answer = report.outcomes[0].answer
    assert "check A itself is broken" in answer.cause
    assert type(error).__name__ in answer.cause
    assert "--skip A" in answer.fix
    assert SECRET not in f"{answer.cause} {answer.fix} {answer.evidence}"
    assert report.exit_code() == 1


async def test_cancelling_a_run_cancels_every_check():
    started, ended = asyncio.Event(), []

    async def ask(_):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(run([check("A", ask), check("B", ask), check("C", needs=("A",))], Context()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(ended) == 2


async def test_severity_warning_never_stops_anything():
    async def bad(_):
        return failed("untidy", fix="tidy up")

    checks = [
        check("A", bad, severity=Severity.WARNING),
        check("B", raising(KeyError()), severity=Severity.WARNING),
        check("C", needs=("A",)),
    ]
    report = await run(checks, Context())
    assert verdicts(report) == {"A": "warning", "B": "warning", "C": "passed"}
    assert report.ok
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 3)


async def test_a_fatal_check_may_answer_with_a_warning():
    async def odd(_):
        return warned("odd")

    report = await run([check("A", odd)], Context())
    assert report.ok
    assert report.exit_code(strict=True) == 3


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([VnodectlError("no"), ClusterUnreachable("x"), TimedOut("y")], 1),
        ([ClusterUnreachable("x"), TimedOut("y")], 5),
        ([TimedOut("y")], 4),
        ([UsageError("a value that the chart refuses")], 2),
        ([UsageError("bad"), VnodectlError("no")], 1),
    ],
)
async def test_the_exit_code_is_that_of_the_surest_failure(errors, code):
    checks = [
        check(f"T{number}", raising(error), retry=Retry(attempts=1)) for number, error in enumerate(errors)
    ]
    assert (await run(checks, Context())).exit_code() == code


async def test_times_come_from_the_clock_that_is_given():
    ticks = count()
    report = await run([check("A")], Context(), clock=lambda: next(ticks))
    assert report.outcomes[0].seconds == 1
    assert report.seconds == 3


async def test_who_watches_sees_every_check_end():
    class Watcher:
        def __init__(self):
            self.seen = []

        def started(self, check):
            self.seen.append(f"start {check.id}")

        def finished(self, outcome):
            self.seen.append(f"{outcome.verdict.value} {outcome.check.id}")

    watcher = Watcher()

    async def bad(_):
        return failed("no", fix="x")

    await run([check("A", bad), check("B", needs=("A",))], Context(), observer=watcher)
    assert watcher.seen == ["start A", "failed A", "skipped B"]


# --- selection ------------------------------------------------------------------------------------

CATALOG = [
    check("VN-K-001", category="cluster", resources=frozenset({Resource.KUBE})),
    check("VN-K-002", category="cluster", needs=("VN-K-001",)),
    check("VN-A-001", category="azure", needs=("VN-K-002",)),
    check("VN-T-001", category="tools"),
]


@pytest.mark.parametrize(
    ("selection", "asked"),
    [
        (Selection(), {"VN-K-001", "VN-K-002", "VN-A-001", "VN-T-001"}),
        (Selection(only=("vn-k-002",)), {"VN-K-001", "VN-K-002"}),
        (Selection(only=("VN-A-*",)), {"VN-K-001", "VN-K-002", "VN-A-001"}),
        (Selection(only=("tools",)), {"VN-T-001"}),
        (Selection(skip=("cluster",)), {"VN-A-001", "VN-T-001"}),
        (Selection(only=("azure",), skip=("VN-K-001",)), {"VN-K-002", "VN-A-001"}),
        (Selection(offline=True), {"VN-T-001"}),
    ],
)
async def test_which_checks_are_asked(selection, asked, mocker):
    context = Context(kube=mocker.Mock())
    report = await run(CATALOG, context, selection=selection)
    assert {outcome.check.id for outcome in report.outcomes if outcome.attempts} == asked
    assert len(report.outcomes) == len(CATALOG)
    assert all(outcome.answer.cause for outcome in report.outcomes if not outcome.attempts)


@pytest.mark.parametrize("selection", [Selection(only=("VN-X-*",)), Selection(skip=("nothing",))])
async def test_a_pattern_that_matches_nothing_is_a_mistake(selection):
    with pytest.raises(UsageError, match="no such check"):
        await run(CATALOG, Context(), selection=selection)


@pytest.mark.parametrize(
    "checks",
    [
        [check("A"), check("A")],
        [check("A", needs=("Z",))],
        [check("A", needs=("B",)), check("B", needs=("A",))],
    ],
)
def test_a_catalogue_that_cannot_be_asked(checks):
    with pytest.raises(ValueError, match=r"A|same id"):
        validate(checks)


# --- waiting and facts ----------------------------------------------------------------------------


async def test_waiting_asks_again_with_fresh_facts_until_nothing_fails():
    answers = [VnodectlError("not yet"), VnodectlError("not yet")]
    contexts = []

    async def ask(context):
        contexts.append(context)
        if answers:
            raise answers.pop()
        return passed("now")

    report = await run_until(lambda: run([check("A", ask)], Context()), wait=60, interval=0)
    assert report.ok
    assert len({id(context) for context in contexts}) == 3


async def test_waiting_ends():
    report = await run_until(
        lambda: run([check("A", raising(*[VnodectlError("never")] * 99))], Context()), wait=0, interval=1
    )
    assert not report.ok


async def test_a_fact_is_read_once_however_many_ask():
    reads = count(1)

    async def read():
        await asyncio.sleep(0)
        return next(reads)

    fact = Fact(read)
    assert await asyncio.gather(*(fact() for _ in range(5))) == [1] * 5


async def test_a_reader_that_is_cancelled_leaves_the_reading_to_the_next():
    entered, calls = asyncio.Event(), count(1)

    async def read():
        number = next(calls)
        entered.set()
        if number == 1:
            await asyncio.Event().wait()
        return number

    fact = Fact(read)
    first = asyncio.create_task(fact())
    await entered.wait()
    second = asyncio.create_task(fact())
    first.cancel()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_errors_of_a_fact_are_not_kept():
    answers = iter([ClusterUnreachable("refused"), "value"])

    async def read():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    fact = Fact(read)
    with pytest.raises(ClusterUnreachable):
        await fact()
    assert await fact() == "value"
