"""The page about the emulated Alibaba Cloud is the one that the emulator writes."""

from __future__ import annotations

from pathlib import Path

import vnodectl
from vnodectl.emulator.alibaba.document import page
from vnodectl.emulator.alibaba.service import routes_table

PAGE = Path(vnodectl.__file__).parents[1] / "docs" / "emulator-alibaba.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale; run: make docs"


def test_it_tells_operations_seed_and_defaults() -> None:
    text = page()
    assert routes_table() in text
    for part in (
        '"snatEntries"',
        "| scheduling | 1.0 |",
        "| createContainerGroup | 1000 |",
        "AliyunECIFullAccess",
    ):
        assert part in text
