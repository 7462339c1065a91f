"""Asking checks, all at once as far as that makes sense, each within its deadline.

A check is asked as soon as its gates have passed: those among its needs, and their needs, that need nothing
themselves (the cluster answers, the credentials work, the program is there). Its other needs are asked
meanwhile; where one of them ends badly, the check is called off and shown as skipped. So a run takes no
longer than its slowest gate and its slowest check together, however deep the needs are, and nobody signs in
forty times with a wrong password.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Protocol

from vnodectl.checks.context import Context
from vnodectl.checks.model import (
    ONLINE,
    Answer,
    Check,
    Outcome,
    Report,
    Severity,
    Verdict,
    not_applicable,
)
from vnodectl.checks.recording import NotRecorded
from vnodectl.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TIMEOUT,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    Unreachable,
    UsageError,
    VnodectlError,
)

Clock = Callable[[], float]

_BAD = frozenset({Verdict.FAILED, Verdict.TIMED_OUT})
_VOUCHED = "left out by --skip"


class Observer(Protocol):
    """Who watches a run. Calls are synchronous; they print, they do not decide."""

    def started(self, check: Check) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checks to ask. Patterns are ids, globs of ids (`VN-AZ-*`) or categories, in any case.

    What an `only` check needs is asked too. A check that is skipped by pattern does not hold back
    those that need it: the user has vouched for it.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    offline: bool = False

    def reasons(self, checks: Sequence[Check]) -> Mapping[str, str]:
        """Why a check is not asked, by id. Raises UsageError for a pattern that matches nothing."""
        chosen = self._closure(checks, self._matching(checks, self.only, "--only")) if self.only else None
        skipped = self._matching(checks, self.skip, "--skip")
        reasons = {}
        for check in checks:
            if check.id in skipped:
                reasons[check.id] = _VOUCHED
            elif chosen is not None and check.id not in chosen:
                reasons[check.id] = "left out by --only"
            elif self.offline and check.resources & ONLINE:
                reasons[check.id] = "needs the network; --offline was given"
        return reasons

    @staticmethod
    def _matching(checks: Sequence[Check], patterns: Collection[str], flag: str) -> set[str]:
        found: set[str] = set()
        for pattern in patterns:
            wanted = pattern.upper()
            matches = {
                check.id
                for check in checks
                if fnmatchcase(check.id, wanted) or check.category.upper() == wanted
            }
            if not matches:
                raise UsageError(f"{flag} {pattern}: no such check", hint="list them: vnodectl check --list")
            found |= matches
        return found

    @staticmethod
    def _closure(checks: Sequence[Check], ids: set[str]) -> set[str]:
        needs = {check.id: check.needs for check in checks}
        found: set[str] = set()
        pending = list(ids)
        while pending:
            current = pending.pop()
            if current not in found:
                found.add(current)
                pending.extend(needs[current])
        return found


async def run(
    checks: Sequence[Check],
    context: Context,
    *,
    selection: Selection | None = None,
    observer: Observer | None = None,
    clock: Clock = time.monotonic,
) -> Report:
    """Ask every check at most once and report on all of them, in the order given.

    A check that breaks becomes a failed outcome that names it; only cancellation leaves this function.
    Raises ValueError where `needs` names an unknown check or goes round in a circle.
    """
    validate(checks)
    reasons = (selection or Selection()).reasons(checks)
    began = clock()
    outcomes: dict[str, asyncio.Future[Outcome]] = {
        check.id: asyncio.get_running_loop().create_future() for check in checks
    }

    gates = _gates(checks, reasons)

    async def settle(check: Check, group: asyncio.TaskGroup) -> None:
        asking: asyncio.Task[Outcome] | None = None
        passed_gates = [await outcomes[gate] for gate in gates[check.id]]
        if check.id not in reasons and not _obstacle(check, passed_gates, context):
            if observer is not None:
                observer.started(check)
            asking = group.create_task(_ask(check, context, clock), name=f"ask {check.id}")
        needed = [await outcomes[need] for need in check.needs]
        reason = reasons.get(check.id) or _obstacle(check, needed, context)
        if reason and asking is not None:
            asking.cancel()
            await asyncio.wait([asking])
        outcome = (
            await asking if asking is not None and not reason else Outcome(check, not_applicable(reason))
        )
        outcomes[check.id].set_result(outcome)
        if observer is not None:
            observer.finished(outcome)

    async with asyncio.TaskGroup() as group:
        for check in checks:
            group.create_task(settle(check, group), name=f"check {check.id}")
    return Report(tuple(outcomes[check.id].result() for check in checks), clock() - began)


async def run_until(
    ask: Callable[[], Awaitable[Report]],
    *,
    wait: float,
    interval: float = 5.0,
    enough: Callable[[Report], bool] = lambda report: report.ok,
) -> Report:
    """Run again, `interval` seconds after the last run, until it is `enough` or `wait` seconds are over.

    `ask` makes one whole run with a context of its own: facts are not carried over. The last report.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        report = await ask()
        if enough(report) or loop.time() + interval > deadline:
            return report
        await asyncio.sleep(interval)


def validate(checks: Sequence[Check]) -> None:
    """Raises ValueError for a duplicate id, an unknown need, or a circle of needs."""
    ids = [check.id for check in checks]
    if len(set(ids)) != len(ids):
        raise ValueError("two checks have the same id")
    for check in checks:
        for need in check.needs:
            if need not in ids:
                raise ValueError(f"{check.id} needs {need}, which is not among the checks")
    try:
        TopologicalSorter({check.id: check.needs for check in checks}).prepare()
    except CycleError as error:
        raise ValueError(f"checks need each other in a circle: {' → '.join(error.args[1])}") from error


def _gates(checks: Sequence[Check], left_out: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """For each check the ones among all that it needs, directly or not, which need nothing themselves.

    What is below a check that is left out does not matter.
    """
    needs = {check.id: check.needs for check in checks}
    found: dict[str, tuple[str, ...]] = {}
    for name in TopologicalSorter(needs).static_order():
        below = (
            gate for need in needs[name] for gate in ((need,) if need in left_out else found[need] or (need,))
        )
        found[name] = tuple(dict.fromkeys(below))
    return found


def transient(error: BaseException) -> bool:
    """Whether asking again may give another answer: no connection, throttling, a server's own failure.

    Errors of Kubernetes and of a cloud both carry the HTTP status; 403 and 404 are answers.
    """
    status = getattr(error, "status", 0)
    return isinstance(error, Unreachable) or status in {408, 429} or status >= 500


def _obstacle(check: Check, needed: Sequence[Outcome], context: Context) -> str:
    """Why a check cannot be asked, or ""."""
    for outcome in needed:
        if outcome.stopped:
            return f"needs {outcome.check.id}, which {_ended(outcome.verdict)}"
    for resource in sorted(check.resources):
        missing = context.missing(resource)
        if missing:
            return missing
    for outcome in needed:
        if outcome.attempts == 0 and outcome.answer.cause != _VOUCHED:
            return f"needs {outcome.check.id}, which was skipped"
    return ""


def _ended(verdict: Verdict) -> str:
    return "timed out" if verdict is Verdict.TIMED_OUT else "failed"


async def _ask(check: Check, context: Context, clock: Clock) -> Outcome:
    began = clock()
    loop = asyncio.get_running_loop()
    attempts = 0
    last: VnodectlError | None = None
    try:
        async with asyncio.timeout(check.deadline) as limit:
            while True:
                attempts += 1
                asked = loop.time()
                try:
                    answer = await check.ask(context)
                    break
                except VnodectlError as error:
                    last = error
                    delay = check.retry.delay * 2 ** (attempts - 1)
                    # What is known now is worth more than a deadline in the middle of the next attempt.
                    ends = loop.time() + delay + (loop.time() - asked)
                    late = ends > (limit.when() or ends)
                    if attempts >= check.retry.attempts or not transient(error) or late:
                        raise
                await asyncio.sleep(delay)
        code = EXIT_FAILED if answer.verdict is Verdict.FAILED else EXIT_OK
    except NotRecorded as error:
        answer, code = not_applicable(error.message), EXIT_OK
    except VnodectlError as error:
        answer = _from_error(error)
        code = error.exit_code if error.exit_code in _OWN_CODES else EXIT_FAILED
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        answer, code = _broken(check, error), EXIT_FAILED
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            seen = f"; last seen: {last.message}" if last else ""
            answer = Answer(
                Verdict.TIMED_OUT, cause=f"no answer within {check.deadline:g} s{seen}", fix="try again later"
            )
            code = EXIT_TIMEOUT
        else:
            answer, code = _broken(check, error), EXIT_FAILED
    if answer.verdict in _BAD and check.severity is Severity.WARNING:
        answer, code = replace(answer, verdict=Verdict.WARNING), EXIT_OK
    return Outcome(check, answer, clock() - began, attempts, code)


_OWN_CODES = frozenset({EXIT_USAGE, EXIT_UNREACHABLE, EXIT_TIMEOUT})
"""Exit codes that say more than that something failed."""


def _from_error(error: VnodectlError) -> Answer:
    """403, 404 and errors that stayed: the error's own cause and next step."""
    verdict = Verdict.TIMED_OUT if error.exit_code == EXIT_TIMEOUT else Verdict.FAILED
    fallback = "try again when it answers" if error.exit_code == EXIT_UNREACHABLE else ""
    if getattr(error, "status", 0) == 403:
        fallback = "ask an administrator for the right that is named"
    return Answer(verdict, cause=error.message, fix=error.hint or fallback)


def _broken(check: Check, error: BaseException) -> Answer:
    """An unexpected exception. Its text is not shown: nobody has looked at what it may hold."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Answer(
        Verdict.FAILED,
        cause=f"check {check.id} itself is broken: {type(error).__name__}{place}",
        fix=f"report this, and leave the check out for now: --skip {check.id}",
    )
