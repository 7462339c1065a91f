"""Alibaba Cloud's checks through the real SDK's pipeline against the emulator, recorded and replayed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.alibaba_clients import KEY, SECRET, USER_KEY, USER_SECRET, emulated
from support.check_cases.alibaba import ALL_WELL, CASES, TARGET
from support.check_cases.case import Case, at_home, pastes, told

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.model import Outcome, Report, Verdict
from vnodectl.checks.recording import Recorder, replay
from vnodectl.checks.runner import Selection, run
from vnodectl.clouds.alibaba import AlibabaSession, AlibabaSettings


async def check(case: Case, *only: str) -> tuple[Report, Report]:
    """The report, and that of its replay."""
    changes = dict(case.target)
    place = {key: changes.pop(key) for key in list(changes) if key not in {"cpu", "memory"}}
    target = replace(TARGET, alibaba=replace(TARGET.alibaba, **place), **changes)
    key, secret = (USER_KEY, USER_SECRET) if case.options.get("user") else (KEY, SECRET)
    async with emulated(**{**ALL_WELL, **case.seed}) as emulator:
        await told(emulator.control_url, case)
        settings = AlibabaSettings(
            access_key_id=key,
            access_key_secret=case.options.get("secret", secret),
            region=place.get("region") or TARGET.alibaba.region,
            endpoint=emulator.host,
            ca_bundle=str(emulator.ca_file),
        )
        async with AlibabaSession(settings) as session:
            recorder = Recorder()
            context = recorder.wrap(Context(target=target, alibaba=session))
            selection = Selection(only=only or ("alibaba",))
            first = await run(all_checks(), context, selection=selection)
    document = json.loads(json.dumps(recorder.document()))
    assert settings.access_key_secret not in json.dumps(document)
    return first, await run(all_checks(), replay(document), selection=selection)


def outcome(report: Report, id_: str) -> Outcome:
    return next(one for one in report.outcomes if one.check.id == id_)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_case_is_told_and_told_again_by_a_replay(case: Case) -> None:
    for report in await check(case, case.id):
        found = outcome(report, case.id)
        assert found.verdict is case.verdict, found.answer
        assert case.cause in found.answer.cause
        assert case.evidence in found.answer.evidence
        if found.verdict in {Verdict.FAILED, Verdict.WARNING}:
            assert found.answer.cause
            assert pastes(found.answer.fix)
            assert at_home(found.answer.fix, "alibaba")
            assert found.answer.fix


async def test_where_all_is_well_everything_passes() -> None:
    report, _ = await check(Case("", "all is well"))
    asked = {one.check.id: one.verdict for one in report.outcomes if one.check.category == "alibaba"}
    assert set(asked.values()) == {Verdict.PASSED}, report.document()
