"""Image pull secrets."""

from __future__ import annotations

import base64
import json

from vnodectl.runtime.facts import Facts, NodeFacts
from vnodectl.runtime.provider import RegistryCredential
from vnodectl.runtime.registry import credentials

NODE = NodeFacts("n", (), {})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(kind: str, key: str, document) -> dict:
    text = document if isinstance(document, str) else json.dumps(document)
    return {"type": kind, "data": {key: b64(text)}}


def found(**secrets):
    pod = {"spec": {"imagePullSecrets": [{"name": name} for name in secrets]}}
    result, notices = credentials(pod, Facts(NODE, secrets=secrets))
    return list(result), [notice.reason for notice in notices]


def test_both_formats_and_the_first_for_a_registry_wins():
    modern = secret(
        "kubernetes.io/dockerconfigjson",
        ".dockerconfigjson",
        {
            "auths": {
                "https://r.example/": {"auth": b64("u:p:q")},
                "b.example": {"username": "x", "password": "y"},
            }
        },
    )
    old = secret(
        "kubernetes.io/dockercfg", ".dockercfg", {"r.example": {"username": "other", "password": "o"}}
    )
    assert found(a=modern, b=old) == (
        [RegistryCredential("r.example", "u", "p:q"), RegistryCredential("b.example", "x", "y")],
        [],
    )


def test_what_cannot_be_read_is_an_event_without_its_content():
    broken = secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{hunter2")
    opaque = {"type": "Opaque", "data": {}}
    bad_auth = secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", {"auths": {"r": {"auth": "%"}}})
    pod = {"spec": {"imagePullSecrets": [{"name": name} for name in ("broken", "opaque", "bad", "absent")]}}
    facts = Facts(NODE, secrets={"broken": broken, "opaque": opaque, "bad": bad_auth, "absent": None})
    result, notices = credentials(pod, facts)
    assert result == ()
    assert [notice.reason for notice in notices] == [
        "InvalidImagePullSecret",
        "InvalidImagePullSecret",
        "InvalidImagePullSecret",
        "FailedToRetrieveImagePullSecret",
    ]
    assert "hunter2" not in str(notices)


def test_credentials_are_not_shown():
    assert "hunter2" not in repr(RegistryCredential("r", "hunter2", "hunter2"))
