from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from vnodectl.webhook.patch import Rule
from vnodectl.webhook.review import BadReview, answer

RULE = Rule(provider="azure")


def review(**said: Any) -> dict[str, Any]:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "object": {"metadata": {}, "spec": {}},
        **said,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_a_patch_is_base64_of_json() -> None:
    response = answer(review(), RULE)["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u-1", True, "JSONPatch")
    operations = json.loads(base64.b64decode(response["patch"]))
    assert [one["path"] for one in operations] == ["/spec/nodeSelector", "/spec/tolerations"]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": {"kind": "Service"}},
        {"operation": "UPDATE"},
        {"subResource": "eviction"},
        {"object": None},
        {"object": {"spec": {"nodeName": "here"}}},
    ],
)
def test_what_is_no_new_pod_without_a_place_passes_as_it_is(other: dict[str, Any]) -> None:
    assert answer(review(**other), RULE)["response"] == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"request": {}},
        {"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u"}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": 7}},
    ],
)
def test_what_is_no_review_is_refused(body: Any) -> None:
    with pytest.raises(BadReview):
        answer(body, RULE)
