"""The page about pods on ECI is the one that the provider's own tables make."""

from __future__ import annotations

from pathlib import Path

import vnodectl
from vnodectl.providers.eci.annotations import TABLE
from vnodectl.providers.eci.document import page
from vnodectl.providers.eci.limits import PER_MINUTE

PAGE = Path(vnodectl.__file__).parents[1] / "docs" / "eci.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale; run: make docs"


def test_every_annotation_and_every_limit_is_on_it() -> None:
    text = page()
    assert [one.name for one in TABLE if f"| `{one.name}` |" not in text] == []
    assert [action for action in PER_MINUTE if f"| {action} |" not in text] == []
