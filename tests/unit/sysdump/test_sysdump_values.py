"""The chart's values, as the history of a release keeps them."""

from __future__ import annotations

from pathlib import Path

import yaml

from vnodectl.sysdump.cluster import revision, values


def test_every_value_of_the_chart_is_kept_but_the_certificates(repository: Path) -> None:
    """A new one has to be thought about: is it on the list, or does only its name belong there?"""
    chart = yaml.safe_load((repository / "charts" / "vnode-connector" / "values.yaml").read_text())
    assert values(chart)["others"] == ["caBundle"]


def test_a_record_that_cannot_be_read_still_says_what_its_labels_do() -> None:
    labels = {"name": "r", "version": "2", "status": "failed", "owner": "helm"}
    found = revision({}, {"metadata": {"labels": labels}})
    assert (found["name"], found["revision"], found["status"], found["values"]) == ("r", "2", "failed", {})
