"""The page of the checks is what the checks say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vnodectl
from vnodectl.checks.catalog import all_checks
from vnodectl.checks.page import page

PAGE = Path(vnodectl.__file__).parents[1] / "docs" / "checks.md"


def anchors(markdown: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_page_is_fresh():
    wanted = "python -m vnodectl.checks.page > docs/checks.md"
    assert PAGE.read_text(encoding="utf-8") == page(all_checks()), f"stale: {wanted}"


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
def test_the_doc_of_a_check_leads_somewhere(check):
    file, _, anchor = check.doc.partition("#")
    assert file == PAGE.name
    assert anchor in anchors(PAGE.read_text(encoding="utf-8"))


def test_links_inside_the_page_resolve():
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors(text)
