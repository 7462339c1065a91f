"""Makes the golden report of tests/unit/checks: a recording of a broken world, and what is said of it.

PYTHONPATH=tests:tests/support python -m support.make_check_report
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.alibaba_clients import KEY, SECRET, emulated
from support.canned_helm import CannedHelm, CannedRegistry
from support.check_cases import alibaba, azure
from support.check_cases.cluster import DAEMON_SETS, EVERYTHING, namespace, node, workload
from support.fake_api import fake_cluster
from support.scripted_engine import ScriptedEngine

from vnodectl.checks import render
from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.readers import JSON, ImageFound
from vnodectl.checks.recording import Recorder, replay
from vnodectl.checks.runner import run
from vnodectl.clouds.alibaba import AlibabaSession, AlibabaSettings
from vnodectl.clouds.azure import AzureSession, AzureSettings
from vnodectl.emulator.azure.seed import config_of
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.kube.resources import DEPLOYMENTS

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HERE = Path(__file__).parents[1] / "unit" / "checks" / "golden"
NO_INTERNET = azure.rule("no-internet", 100, "Deny", "Internet")
BROKEN: dict[str, Any] = {
    **azure.ALL_WELL,
    **azure.nsg(NO_INTERNET),
    **azure.managed(roles=[{"role": "Reader"}], federatedCredentials=[]),
    **azure.ranges("198.51.100.0/24"),
    "quotas": {"eastus": {"ContainerGroups": 0}},
}


class Hanging:
    """A cluster that never answers for its Deployments."""

    server, context = "https://cluster.example:6443", "here"

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def list(self, path: str, params: Any = None, **options: Any) -> Any:
        if path == DEPLOYMENTS.path():
            await asyncio.sleep(3600)
        return await self._real.list(path, params, **options)


async def recorded() -> JSON:
    """What checks are told of a world where much is wrong."""
    image = CannedRegistry(ImageFound(404, "registry.example/connector has no 1.0 (HTTP 404)"))
    recorder = Recorder()
    seed = {**alibaba.ALL_WELL, **alibaba.role("AliyunECIReadOnlyAccess"), "natGateways": []}
    async with (
        AzureEmulator(config_of(BROKEN), engine=ScriptedEngine()) as one,
        emulated(**seed) as other,
        fake_cluster() as (api, kube),
    ):
        agent = workload(DAEMON_SETS, "agent", tolerations=EVERYTHING)
        for kind, place, body in (namespace("privileged"), agent, node("old-vnode")):
            api.put(kind.plural, body, namespace=place or "")
        somebody = AzureSettings(
            subscription_id=azure.SUBSCRIPTION,
            tenant_id=one.world.tenant,
            client_id=azure.ADMIN,
            client_secret=azure.ADMIN_SECRET,
            authority_host=one.authority_host,
            arm_endpoint=one.arm_endpoint,
            graph_host=one.graph_endpoint,
            ca_bundle=str(one.ca_file),
        )
        keys = AlibabaSettings(
            access_key_id=KEY,
            access_key_secret=SECRET,
            region=alibaba.PLACE.region,
            endpoint=other.host,
            ca_bundle=str(other.ca_file),
        )
        async with AzureSession(somebody) as session, AlibabaSession(keys) as account:
            context = Context(
                target=replace(azure.TARGET, namespace="checks-here", alibaba=alibaba.PLACE),
                kube=Hanging(kube),
                azure=session,
                alibaba=account,
                helm=CannedHelm(version="v4.3.1"),
                registry=image,
                now=lambda: NOW,
            )
            hurried = tuple(replace(check, deadline=5.0) for check in all_checks())
            await run(hurried, recorder.wrap(context))
    return recorder.document()


def steady(document: JSON) -> JSON:
    """Without what differs from run to run."""
    for tape in document["readers"].values():
        for call in tape["calls"]:
            if call["request"] == ["clockSkew"]:
                call["answer"] = 0.2
    return document


async def main() -> None:
    document = steady(await recorded())
    HERE.mkdir(exist_ok=True)
    report = await run(all_checks(), replay(json.loads(json.dumps(document))), clock=lambda: 0.0)
    texts = {
        "recording.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        "report.txt": render.table(report),
        "report-short.txt": render.short(report),
        "report.json": json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n",
        "report.xml": render.junit_xml(report),
    }
    for name, text in texts.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
