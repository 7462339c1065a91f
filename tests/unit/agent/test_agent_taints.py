"""What the webhook sends pods to is what the nodes are tainted with."""

from __future__ import annotations

from vnodectl.agent import TAINTS, ProviderName
from vnodectl.providers.aci.provider import AciProvider
from vnodectl.providers.eci import EciProvider
from vnodectl.providers.local.provider import LocalProvider


def test_each_provider_s_taint_is_its_name() -> None:
    assert {
        ProviderName.ACI: AciProvider.name,
        ProviderName.ECI: EciProvider.name,
        ProviderName.LOCAL: LocalProvider.name,
    } == TAINTS
