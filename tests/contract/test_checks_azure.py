"""Azure's checks through the real SDK's pipeline against the emulator, recorded and replayed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.check_cases.azure import ADMIN, ADMIN_SECRET, ALL_WELL, CASES, TARGET
from support.check_cases.case import Case, at_home, pastes, told
from support.scripted_engine import ScriptedEngine

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.model import Outcome, Report, Verdict
from vnodectl.checks.recording import Recorder, replay
from vnodectl.checks.runner import Selection, run
from vnodectl.clouds.azure import AzureSession, AzureSettings
from vnodectl.emulator.azure.seed import config_of
from vnodectl.emulator.azure.service import AzureEmulator


async def check(case: Case, *only: str) -> tuple[Report, Report]:
    """The report, and that of its replay."""
    config = config_of({**ALL_WELL, **case.seed})
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator:
        settings = AzureSettings(
            subscription_id=config.subscription,
            tenant_id=config.tenant,
            client_id=ADMIN,
            client_secret=case.options.get("secret", ADMIN_SECRET),
            authority_host=emulator.authority_host,
            arm_endpoint=emulator.arm_endpoint,
            graph_host=emulator.graph_endpoint,
            ca_bundle=str(emulator.ca_file),
        )
        await told(emulator.control_url, case)
        async with AzureSession(settings) as azure:
            recorder = Recorder()
            context = recorder.wrap(Context(target=replace(TARGET, **case.target), azure=azure))
            selection = Selection(only=only or ("azure",))
            first = await run(all_checks(), context, selection=selection)
    document = json.loads(json.dumps(recorder.document()))
    assert settings.client_secret not in json.dumps(document)
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
            assert at_home(found.answer.fix, "azure")
            assert found.answer.fix


async def test_where_all_is_well_everything_passes() -> None:
    report, _ = await check(Case("", "all is well"))
    asked = {one.check.id: one.verdict for one in report.outcomes if one.check.category == "azure"}
    assert asked.pop("VN-AZ-025") is Verdict.SKIPPED  # the identity of this world has no secret
    assert set(asked.values()) == {Verdict.PASSED}, report.document()


async def test_a_wrong_secret_is_told_once_and_without_the_secret() -> None:
    wrong = "wrong-s3cr3t-marker"
    report, _ = await check(Case("", "a wrong secret", options={"secret": wrong}))
    assert [one.check.id for one in report.failures] == ["VN-AZ-001"]
    assert report.exit_code() == 5
    assert wrong not in str(report.document())
