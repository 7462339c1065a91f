"""Every check has a case in which it passes and one in which it does not, and both are walked by tests."""

from __future__ import annotations

import pytest
from support.check_cases import alibaba, azure, cluster
from support.check_cases.case import bad

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.model import Verdict

CASES = (*azure.CASES, *alibaba.CASES, *cluster.CASES)


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
def test_a_check_has_a_passing_and_a_failing_case(check):
    verdicts = [case.verdict for case in CASES if case.id == check.id]
    assert Verdict.PASSED in verdicts
    assert any(map(bad, verdicts))


def test_cases_are_of_checks_that_exist_and_told_apart_by_name():
    known = {check.id for check in all_checks()}
    assert {case.id for case in CASES} <= known
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
def test_a_check_says_what_it_is_for(check):
    assert check.why.endswith(".")
