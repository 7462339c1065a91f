"""What `--fix` changes, carried out on the emulator and asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.check_cases.azure import (
    ACI,
    ADMIN,
    ADMIN_SECRET,
    ALL_WELL,
    SUBNET,
    TARGET,
    VNET,
    managed,
    network,
)
from support.scripted_engine import ScriptedEngine

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.mending import mend
from vnodectl.checks.model import Outcome, Report
from vnodectl.checks.runner import Selection, run
from vnodectl.checks.target import Target
from vnodectl.clouds.azure import AzureForbidden, AzureSession, AzureSettings
from vnodectl.connector import fixes
from vnodectl.emulator.azure.seed import config_of
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.errors import TimedOut, VnodectlError

QUICK = {"registration": 0, "resource": 0, "roleAssignment": 0}


@asynccontextmanager
async def azure(**changes: Any) -> AsyncIterator[AzureSession]:
    config = config_of({**ALL_WELL, "timings": QUICK, **changes})
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator:
        settings = AzureSettings(
            subscription_id=config.subscription,
            tenant_id=config.tenant,
            client_id=ADMIN,
            client_secret=ADMIN_SECRET,
            authority_host=emulator.authority_host,
            arm_endpoint=emulator.arm_endpoint,
            graph_host=emulator.graph_endpoint,
            ca_bundle=str(emulator.ca_file),
        )
        async with AzureSession(settings) as session:
            yield session


async def mended(session: AzureSession, target: Target = TARGET, *, agree: bool = True) -> Any:
    shown: list[Outcome] = []

    async def ask() -> Report:
        return await run(
            all_checks(), Context(target=target, azure=session), selection=Selection(only=("azure",))
        )

    async def agreed(outcomes: Any) -> bool:
        shown.extend(outcomes)
        return agree

    async def apply(repair: Any) -> None:
        await fixes.apply(session, repair.kind, repair.parameters, timeout=5, say=lambda _: None)

    report, done = await mend(ask, agreed, apply, patience=0)
    return report, done, shown


@pytest.mark.parametrize(
    ("id_", "changes", "target", "change"),
    [
        ("VN-AZ-002", {"providers": {ACI: "NotRegistered"}}, {}, f"register the resource provider {ACI}"),
        (
            "VN-AZ-008",
            {"providers": {"Microsoft.ContainerService": "NotRegistered"}},
            {},
            "register the resource provider Microsoft.ContainerService",
        ),
        ("VN-AZ-017", network(delegations=[]), {}, "delegate the subnet aci"),
        ("VN-AZ-016", {}, {"subnet_id": f"{VNET}/subnets/new"}, "create the subnet new (10.0.0.0/24)"),
        ("VN-AZ-023", managed(roles=[]), {}, "assign to the principal"),
        ("VN-AZ-024", managed(federatedCredentials=[]), {}, "let the identity vnode trust tokens of"),
    ],
)
async def test_each_safe_repair_is_offered_carried_out_and_asked_for_again(
    id_: str, changes: dict[str, Any], target: dict[str, Any], change: str
) -> None:
    async with azure(**changes) as session:
        report, done, shown = await mended(session, replace(TARGET, **target))
    assert shown[0].check.id == id_
    assert change in shown[0].answer.repair.change  # type: ignore[union-attr]
    assert (done[0].id, done[0].problem, done[0].passes) == (id_, "", True)
    assert report.ok, [(one.check.id, one.answer) for one in report.failures]


async def test_a_new_subnet_lacks_its_role_and_gets_it_in_the_next_round() -> None:
    async with azure() as session:
        _, done, _ = await mended(session, replace(TARGET, subnet_id=f"{VNET}/subnets/new"))
    assert [one.id for one in done] == ["VN-AZ-016", "VN-AZ-023"]


async def test_every_kind_that_a_check_may_offer_can_be_carried_out() -> None:
    offered = {kind for check in all_checks() for kind in check.repairs}
    assert offered == set(fixes.fixes())


async def test_delegating_keeps_all_else_of_the_subnet() -> None:
    nsg = {"networkSecurityGroups": [{"name": "nsg", "resourceGroup": "connectors"}]}
    seed = network(delegations=[], networkSecurityGroup="nsg")
    async with azure(**nsg, **seed) as session:
        before = (await session.arm("GET", SUBNET, "2024-05-01"))["properties"]
        await mended(session)
        after = (await session.arm("GET", SUBNET, "2024-05-01"))["properties"]
    assert not before["delegations"]
    assert [one["properties"]["serviceName"] for one in after["delegations"]] == [f"{ACI}/containerGroups"]
    for name in ("addressPrefix", "networkSecurityGroup"):
        assert after[name] == before[name]


async def test_carried_out_twice_is_as_good_as_once() -> None:
    async with azure(**managed(roles=[], federatedCredentials=[])) as session:
        _, first, _ = await mended(session)
        for one in first:
            await fixes.apply(session, one.repair.kind, one.repair.parameters, timeout=5, say=lambda _: None)
        scope = f"{session.subscription}/providers/Microsoft.Authorization/roleAssignments"
        assignments = await session.pages(scope, "2022-04-01")
    ours = [one for one in assignments if "connectors" in one["properties"]["scope"]]
    assert len(ours) == 2


async def test_the_trust_of_another_cluster_is_never_replaced() -> None:
    other = {"name": "aci-connector-linux-eastus", "issuer": "https://other.example/", "jwks": {"keys": []}}
    other["subject"] = "system:serviceaccount:vnode-system:aci-connector-linux-eastus"
    async with azure(**managed(federatedCredentials=[other])) as session:
        _, done, _ = await mended(session)
        path = done[0].repair.parameters["identityId"]
        kept = await session.pages(f"{path}/federatedIdentityCredentials", "2023-01-31")
    assert {one["properties"]["issuer"] for one in kept} >= {"https://other.example/"}
    assert len(kept) == 2


async def test_who_does_not_agree_gets_nothing_changed() -> None:
    async with azure(providers={ACI: "NotRegistered"}) as session:
        report, done, shown = await mended(session, agree=False)
        assert await session.provider_state(ACI) == "NotRegistered"
    assert done == []
    assert [one.check.id for one in shown] == ["VN-AZ-002"]
    assert not report.ok


async def test_a_repair_that_is_refused_is_told_and_the_others_go_on() -> None:
    changes = {"providers": {ACI: "NotRegistered"}, **network(delegations=[])}
    async with azure(**changes) as session:
        real = session.register_provider

        async def refused(namespace: str) -> None:
            raise AzureForbidden(403, "AuthorizationFailed", "no right to register", hint="ask for it")

        session.register_provider = refused  # type: ignore[method-assign]
        report, done, _ = await mended(session)
        session.register_provider = real  # type: ignore[method-assign]
    said = {one.id: one for one in done}
    assert "no right to register" in said["VN-AZ-002"].problem
    assert not said["VN-AZ-002"].passes
    assert "VN-AZ-002" in [one.check.id for one in report.failures]


async def test_a_registration_that_does_not_end_times_out() -> None:
    async with azure(providers={ACI: "NotRegistered"}, timings={"registration": 3600}) as session:
        with pytest.raises(TimedOut, match="still Registering"):
            await fixes.apply(
                session, "register-provider", {"namespace": ACI}, timeout=0.01, say=lambda _: None
            )


async def test_a_kind_that_nobody_knows() -> None:
    async with azure() as session:
        with pytest.raises(VnodectlError, match="cannot carry out"):
            await fixes.apply(session, "format-disk", {}, timeout=1, say=lambda _: None)
