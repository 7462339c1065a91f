"""The page about the emulated Azure is the one that the emulator writes."""

from __future__ import annotations

from pathlib import Path

import pytest

import vnodectl
from vnodectl.emulator.azure.document import page
from vnodectl.emulator.azure.service import routes_table

PAGE = Path(vnodectl.__file__).parents[1] / "docs" / "emulator-azure.md"


@pytest.mark.skipif(not PAGE.parent.is_dir(), reason="the documentation is not part of a wheel")
def test_the_page_is_fresh() -> None:
    wanted = "python -m vnodectl.emulator.azure.document > docs/emulator-azure.md"
    assert PAGE.read_text(encoding="utf-8") == page(), f"stale; run: {wanted}"


def test_it_tells_operations_seed_roles_and_defaults() -> None:
    text = page()
    assert routes_table() in text
    for part in (
        '"networkSecurityGroups"',
        "| groupPending | 0.5 |",
        "| groupCreatesPerHour | 300 |",
        "Azure Container Instances Contributor Role",
        "management.azure.com",
        "CONTRACT_AZURE_SUBSCRIPTION",
    ):
        assert part in text
