"""The Azure checks through the real SDK's pipeline against the emulated Resource Manager."""

from __future__ import annotations

from typing import Any

import pytest
from support.azure_clients import CLIENT, GROUP, SECRET, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.model import Report, Verdict
from vnodectl.checks.runner import Selection, run
from vnodectl.checks.target import Target
from vnodectl.clouds.azure import AzureSession, AzureSettings
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

ACI = "Microsoft.ContainerInstance"
TARGET = Target(
    namespace="vnode-system",
    cluster_resource_group=GROUP,
    cluster="aks",
    resource_group=GROUP,
    region="eastus",
)


async def check(*, target: Target = TARGET, secret: str = SECRET, **changes: Any) -> Report:
    cluster = {"name": "aks", "resourceGroup": GROUP, "location": "eastus"}
    cluster["properties"] = changes.pop("properties", {"networkProfile": {"networkPlugin": "azure"}})
    config = AzureConfig.from_json(seed(clusters=[cluster], **changes))
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator:
        settings = AzureSettings(
            subscription_id=config.subscription,
            tenant_id=config.tenant,
            client_id=CLIENT,
            client_secret=secret,
            authority_host=emulator.authority_host,
            arm_endpoint=emulator.arm_endpoint,
            ca_bundle=str(emulator.ca_file),
        )
        async with AzureSession(settings) as azure:
            context = Context(target=target, azure=azure)
            return await run(all_checks(), context, selection=Selection(only=("azure",)))


def failures(report: Report) -> list[str]:
    return [outcome.check.id for outcome in report.failures]


async def test_a_subscription_that_is_ready() -> None:
    report = await check()
    asked = {one.check.id: one.verdict for one in report.outcomes if one.check.category == "azure"}
    assert set(asked.values()) == {Verdict.PASSED}, report.document()


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"providers": {ACI: "NotRegistered"}}, ["VN-AZ-002"]),
        ({"properties": {"powerState": {"code": "Stopped"}}}, ["VN-AZ-003"]),
        ({"properties": {"networkProfile": {"networkPlugin": "kubenet"}}}, ["VN-AZ-004"]),
        (
            {"properties": {"networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"}}},
            ["VN-AZ-004"],
        ),
        ({"properties": {"addonProfiles": {"aciConnectorLinux": {"enabled": True}}}}, ["VN-AZ-005"]),
        ({"target": Target(resource_group="nowhere", region="eastus")}, ["VN-AZ-006"]),
        ({"regions": [{"name": "eastus", "containerInstances": False}, "westus"]}, ["VN-AZ-007"]),
        ({"target": Target(cluster_resource_group=GROUP, cluster="other")}, ["VN-AZ-003"]),
    ],
)
async def test_each_known_cause_is_found_and_only_it(changes: dict[str, Any], failed: list[str]) -> None:
    report = await check(**changes)
    assert failures(report) == failed
    for outcome in report.failures:
        assert outcome.answer.cause
        assert outcome.answer.fix


async def test_a_wrong_secret_is_told_without_the_secret() -> None:
    wrong = "wrong-s3cr3t-marker"
    report = await check(secret=wrong)
    assert failures(report) == ["VN-AZ-001"]
    assert report.exit_code() == 5
    assert wrong not in str(report.document())
