"""What lint asks Azure, through the real SDK's pipeline against the emulated Resource Manager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.azure_clients import CLIENT, SECRET, seed
from support.linting import lint
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.azure import AzureSession, AzureSettings
from vnodectl.clouds.azure.offers import Offers
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.errors import VnodectlError
from vnodectl.lint.clouds import Placement, cloud
from vnodectl.lint.documents import read
from vnodectl.lint.engine import Input, judge
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.online import ask

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeSelector: {type: virtual-kubelet}
  tolerations: [{key: virtual-kubelet.io/provider, operator: Exists}]
  containers: [{name: a, image: b, resources: {requests: {cpu: CPU}}}]
"""


@asynccontextmanager
async def offers(**changes: Any) -> AsyncIterator[tuple[Offers, AzureSession]]:
    config = AzureConfig.from_json(seed(**changes))
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator:
        settings = AzureSettings(
            subscription_id=config.subscription,
            tenant_id=config.tenant,
            client_id=CLIENT,
            client_secret=SECRET,
            authority_host=emulator.authority_host,
            arm_endpoint=emulator.arm_endpoint,
            ca_bundle=str(emulator.ca_file),
        )
        async with AzureSession(settings) as session:
            yield Offers(session), session


async def test_the_largest_group_of_a_region() -> None:
    async with offers() as (says, session):
        size = await says.largest("eastus", "linux", gpu="", private=False)
        assert size is not None
        assert size.cpu >= 4
        assert size.memory >= 16
        before = session.meter.reads
        assert await says.largest("eastus", "linux", gpu="", private=True) is not None
        assert await says.largest("eastus", "windows", gpu="", private=True) is None
        assert await says.largest("eastus", "linux", gpu="V100", private=False) is None
        assert session.meter.reads == before


async def test_a_pod_larger_than_its_region_s_groups() -> None:
    there = cloud(Placement(region="eastus"))
    async with offers() as (says, _):
        for cpu, codes in (("1000", ["VN-L-055"]), ("1", [])):
            text = POD.replace("CPU", cpu)
            assert lint(text).findings == ()
            judged = judge(Input(read(text, "a.yaml").sources, there, virtual_node(there.taint, there.os)))
            asked = await ask(judged, there, says=says, registry=None)
            assert [note.rule.code for _, note in asked.notes] == codes


async def test_a_region_that_nobody_knows_is_an_error_each_time_but_one_request() -> None:
    async with offers() as (says, session):
        for _ in range(2):
            with pytest.raises(VnodectlError):
                await says.largest("nowhere", "linux", gpu="", private=False)
        assert session.meter.reads == 1
