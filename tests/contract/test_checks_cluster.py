"""The cluster's checks against an API server over a socket, recorded and replayed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate

import pytest
from support.canned_helm import CannedHelm, CannedRegistry
from support.check_cases.case import Case, at_home, bad, pastes
from support.check_cases.cluster import CASES, TARGET, placed
from support.fake_api import client, fake_cluster, status

from vnodectl.checks.catalog import all_checks, checks_for
from vnodectl.checks.context import Context
from vnodectl.checks.helm import HelmProgram
from vnodectl.checks.model import Verdict
from vnodectl.checks.recording import Recorder, replay
from vnodectl.checks.runner import Selection, run
from vnodectl.checks.target import Target

MINE = [one for one in CASES if not one.options.get("real")]


@asynccontextmanager
async def a_run(case: Case, target: Target) -> AsyncIterator[Context]:
    """What the case says, to be asked; nothing is changed meanwhile."""
    given = case.options.get("helm")
    helm = HelmProgram(given) if isinstance(given, str) else given or CannedHelm()
    async with fake_cluster() as (api, kube):
        for kind, namespace, body in placed(case):
            api.put(kind.plural, json.loads(json.dumps(body)), namespace=namespace or "")
        fake = dict(case.options.get("fake") or {})
        if "ahead" in fake:
            api.date = formatdate(time.time() + fake.pop("ahead"), usegmt=True)
        for name, value in fake.items():
            setattr(api, name, value)
        if case.options.get("refused"):
            api.refuse = lambda *_: status(401, "Unauthorized")
        if case.options.get("somebody"):
            api.allowed = lambda _: False
        async with client(kube.server) as mine:
            registry = case.options.get("registry") or CannedRegistry()
            yield Context(target=target, kube=mine, helm=helm, registry=registry)
        assert not [line for line in api.requests if line.startswith(("PUT", "PATCH", "DELETE"))]


@pytest.mark.parametrize("case", [one for one in MINE if bad(one.verdict)], ids=str)
async def test_no_fix_names_the_other_clouds_tools(case: Case) -> None:
    for cloud in ("azure", "alibaba"):
        async with a_run(case, replace(TARGET, cloud=cloud, **case.target)) as context:
            report = await run(checks_for(cloud), context, selection=Selection(only=(case.id,)))
        found = next(one for one in report.outcomes if one.check.id == case.id)
        assert at_home(found.answer.fix, cloud), (cloud, found.answer.fix)


@pytest.mark.parametrize("case", MINE, ids=str)
async def test_each_case_is_told_and_told_again_by_a_replay(case: Case) -> None:
    selection = Selection(only=(case.id,))
    recorder = Recorder()
    async with a_run(case, replace(TARGET, **case.target)) as context:
        first = await run(all_checks(), recorder.wrap(context), selection=selection)
    again = await run(all_checks(), replay(json.loads(json.dumps(recorder.document()))), selection=selection)
    for report in (first, again):
        found = next(one for one in report.outcomes if one.check.id == case.id)
        assert found.verdict is case.verdict, found.answer
        assert case.cause in found.answer.cause
        assert case.evidence in found.answer.evidence
        if found.verdict in {Verdict.FAILED, Verdict.WARNING}:
            assert found.answer.cause
            assert pastes(found.answer.fix)
            assert found.answer.fix
