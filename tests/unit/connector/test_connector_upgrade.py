"""What an upgrade makes of a release's values, and what it says would change."""

from __future__ import annotations

from typing import Any

import pytest

from vnodectl.connector.image import Image
from vnodectl.connector.names import Connector
from vnodectl.connector.upgrade import Step, Upgrade

STORED = {
    "cloud": "azure",
    "replicas": 1,
    "azure": {"identity": {"type": "servicePrincipal", "existingSecret": "x-azure", "secretRevision": "7"}},
    "image": {"repository": "registry.example/vnodectl", "tag": "0.0.9", "pullPolicy": "Always"},
}


def test_all_is_kept_but_the_image_s_tag() -> None:
    made = Upgrade().values(STORED)
    assert made["image"] == {"repository": "registry.example/vnodectl", "pullPolicy": "Always"}
    assert {**made, "image": STORED["image"]} == STORED
    assert STORED["image"]["tag"] == "0.0.9"  # nothing is changed in place


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image(tag="0.2.0"), {"repository": "registry.example/vnodectl", "tag": "0.2.0"}),
        (Image("other.example/v", "1"), {"repository": "other.example/v", "tag": "1"}),
        (
            Image("other.example/v", digest="sha256:1"),
            {"repository": "other.example/v", "digest": "sha256:1"},
        ),
    ],
)
def test_the_image_that_was_asked_for(image: Image, expected: dict[str, str]) -> None:
    assert Upgrade(image=image).values(STORED)["image"] == {**expected, "pullPolicy": "Always"}


def test_a_release_that_takes_everything_from_the_chart() -> None:
    assert Upgrade().values({}) == {}
    assert Upgrade(replicas=2).values({}) == {"replicas": 2}


def step(before: list[Any], after: list[Any]) -> Step:
    connector = Connector("a", "Linux", "eastus")
    return Step(connector, "vnode-system", "0.1.0", "0.2.0", 3, {}, tuple(before), tuple(after))


def test_the_difference_names_each_object() -> None:
    def config(value: str, name: str = "c") -> dict[str, Any]:
        return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": {"key": value}}

    text = step([config("1"), config("x", "gone")], [config("2"), config("y", "new")]).diff()
    assert "--- ConfigMap n/c (now)\n+++ ConfigMap n/c (then)\n" in text
    assert "-  key: '1'\n+  key: '2'\n" in text
    assert "--- ConfigMap n/gone (now)" in text
    assert "+++ ConfigMap n/new (then)" in text
    assert step([config("1")], [config("1")]).diff() == ""


def test_the_difference_holds_no_secret() -> None:
    def secret(value: str) -> dict[str, Any]:
        return {"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": value}, "stringData": {"m": value}}

    text = step([secret("bWFya2VyLTE=")], [secret("bWFya2VyLTI=")]).diff()
    assert "bWFya2Vy" not in text
