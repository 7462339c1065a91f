"""Asking, mending what can be mended, and asking again. What changes anything is handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vnodectl.checks.model import Outcome, Repair, Report, Verdict
from vnodectl.checks.runner import run_until
from vnodectl.errors import VnodectlError

ROUNDS = 4
"""A subnet that is made now may lack its role next; no more rounds than there are kinds of repair."""


@dataclass(frozen=True, slots=True)
class Mended:
    """One repair. `problem` says why it could not be carried out, "" where it was; `passes` whether the
    check passes now."""

    id: str
    repair: Repair
    problem: str = ""
    hint: str = ""
    passes: bool = False

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.repair.kind,
            "change": self.repair.change,
            "applied": not self.problem,
            "problem": self.problem,
            "passes": self.passes,
        }


async def mend(
    ask: Callable[[], Awaitable[Report]],
    agree: Callable[[Sequence[Outcome]], Awaitable[bool]],
    apply: Callable[[Repair], Awaitable[None]],
    *,
    patience: float,
) -> tuple[Report, list[Mended]]:
    """The last report, and what was done.

    `agree` is shown the outcomes that can be mended and says whether to go on; `apply` carries one repair
    out. Cloud rights and registrations take their time to arrive: what was mended is asked for again until
    it passes, for `patience` seconds at most.
    """
    report = await ask()
    done: dict[tuple[str, str], Mended] = {}
    for _ in range(ROUNDS):
        fresh = [one for one in _mendable(report) if _key(one) not in done]
        if not fresh or not await agree(fresh):
            break
        for outcome in fresh:
            done[_key(outcome)] = await _carry_out(outcome, apply)
        worked = frozenset(one.id for one in done.values() if not one.problem)
        report = await run_until(ask, wait=patience, enough=partial(_all_pass, worked))
    passing = _passing(report)
    return report, [
        Mended(one.id, one.repair, one.problem, one.hint, not one.problem and one.id in passing)
        for one in done.values()
    ]


def _all_pass(ids: frozenset[str], report: Report) -> bool:
    return ids <= _passing(report)


def _passing(report: Report) -> set[str]:
    return {outcome.check.id for outcome in report.outcomes if outcome.verdict is Verdict.PASSED}


def _mendable(report: Report) -> list[Outcome]:
    """Each change once, whichever checks want it."""
    found: dict[tuple[str, str], Outcome] = {}
    for outcome in (*report.failures, *report.warnings):
        if outcome.answer.repair is not None:
            found.setdefault(_key(outcome), outcome)
    return list(found.values())


def _key(outcome: Outcome) -> tuple[str, str]:
    repair = outcome.answer.repair
    return (repair.kind, repr(sorted(repair.parameters.items()))) if repair else ("", outcome.check.id)


async def _carry_out(outcome: Outcome, apply: Callable[[Repair], Awaitable[None]]) -> Mended:
    repair = outcome.answer.repair
    if repair is None:
        raise ValueError(f"{outcome.check.id} offers no repair")
    try:
        await apply(repair)
    except VnodectlError as error:
        return Mended(outcome.check.id, repair, error.message, error.hint)
    return Mended(outcome.check.id, repair)
