from __future__ import annotations

from typing import Any

import pytest

from vnodectl.sysdump import allow
from vnodectl.sysdump.allow import KEEP, pick


def test_only_what_is_named_is_kept() -> None:
    spec = {"a": KEEP, "b": {"c": KEEP}, "d": lambda value: len(value)}
    value = {"a": {"x": 1}, "b": [{"c": 1, "e": 2}, {"e": 3}], "d": "four", "f": "gone"}
    assert pick(value, spec) == {"a": {"x": 1}, "b": [{"c": 1}, {}], "d": 4}
    assert pick("of another shape", spec["b"]) is None


def test_annotations_keep_their_names_and_ours_their_values() -> None:
    given = {
        "kubectl.kubernetes.io/last-applied-configuration": "everything again",
        "vnodectl.io/node": "n",
        "aci.vnodectl.io/sku": "Standard",
        "example.com/note": "anything",
        "vnodectl.io.example.com/x": "not ours",
    }
    assert allow.notes(given) == {
        "vnodectl.io/node": "n",
        "aci.vnodectl.io/sku": "Standard",
        "example.com/note": "***",
        "vnodectl.io.example.com/x": "***",
    }


@pytest.mark.parametrize(
    "key",
    [
        *(
            "clientSecret",
            "client_secret",
            "password",
            "token",
            "accessKey",
            "accessKeyId",
            "accessKeySecret",
        ),
        *("secret_key", "workspaceKey", "privateKey", "connectionString", "security_token"),
    ],
)
def test_values_of_keys_that_sound_secret_are_masked(key: str) -> None:
    assert allow.masked({"a": [{key: "x"}]}) == {"a": [{key: "***"}]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("existingSecret", "name"),
        ("secretRevision", "1"),
        ("clientSecret", ""),
        ("token", None),
        ("keyName", "k"),
    ],
)
def test_what_is_no_secret_stays(key: str, value: Any) -> None:
    assert allow.masked({key: value})[key] == value


def test_annotations_within_values_are_masked() -> None:
    given = {"podAnnotations": {"a": "b"}, "serviceAccount": {"annotations": {"eks": "c"}}}
    assert allow.masked(given) == {
        "podAnnotations": {"a": "***"},
        "serviceAccount": {"annotations": {"eks": "***"}},
    }
