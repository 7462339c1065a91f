"""Pods that settings of the cluster choose, instead of labels that the API server knows."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from vnodectl.webhook.patch import Rule, Wish, wished
from vnodectl.webhook.server import application

RULE = Rule(provider="alibabacloud")
WISH = Wish(True, {"k8s.aliyun.com/eci-ntp-server": "100.100.5.1"}, {"team": "a/b"})
CHOSEN = {"metadata": {"labels": {"app": "batch"}}, "spec": {}}


def applied(pod: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Additions only, as RFC 6902 has them."""
    made = json.loads(json.dumps(pod))
    for one in operations:
        assert one["op"] == "add"
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]]
        place = made
        for part in way:
            place = place[part]
        if isinstance(place, list):
            place.append(one["value"])
        else:
            place[last] = one["value"]
    return made


def test_a_chosen_pod_is_sent_and_given_what_the_settings_say() -> None:
    made = applied(CHOSEN, wished(CHOSEN, RULE, WISH))
    assert made["spec"]["nodeSelector"]["type"] == "virtual-kubelet"
    assert made["spec"]["tolerations"][0]["value"] == "alibabacloud"
    assert made["metadata"]["annotations"] == dict(WISH.annotations)
    assert made["metadata"]["labels"] == {"app": "batch", "team": "a/b"}
    assert wished(made, RULE, WISH) == [], "a second call adds nothing"


def test_what_the_pod_says_itself_wins() -> None:
    own = {"k8s.aliyun.com/eci-ntp-server": "mine"}
    pod = {"metadata": {"annotations": own, "labels": {"team": "mine"}}, "spec": {}}
    made = applied(pod, wished(pod, RULE, WISH))
    assert (made["metadata"]["annotations"], made["metadata"]["labels"]) == (own, {"team": "mine"})


@pytest.mark.parametrize(
    ("pod", "wish"),
    [
        (CHOSEN, Wish(selected=False, annotations={"a": "b"})),
        ({"metadata": {"labels": {"alibabacloud.com/eci": "false"}}, "spec": {}}, WISH),
        ({"metadata": {}, "spec": {"nodeName": "real"}}, WISH),
        (
            {"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}, "spec": {}},
            WISH,
        ),
        ({"metadata": {}, "spec": {"os": {"name": "windows"}}}, WISH),
    ],
)
def test_a_pod_that_is_not_chosen_or_cannot_come_is_left_alone(pod: dict[str, Any], wish: Wish) -> None:
    assert wished(pod, RULE, wish) == []


async def test_the_two_paths_of_the_server() -> None:
    asked: list[tuple[dict[str, Any], str]] = []

    async def wishes(pod: dict[str, Any], namespace: str) -> Wish:
        asked.append((pod, namespace))
        return WISH if namespace == "chosen" else Wish(selected=False)

    def review(namespace: str) -> dict[str, Any]:
        request = {
            "uid": "u",
            "kind": {"kind": "Pod"},
            "operation": "CREATE",
            "namespace": namespace,
            "object": CHOSEN,
        }
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    async with TestClient(TestServer(application(RULE, wishes))) as client:

        async def patched(path: str, namespace: str) -> list[str]:
            answer = await (await client.post(path, json=review(namespace))).json()
            patch = base64.b64decode(answer["response"].get("patch") or "W10=")
            return [one["path"] for one in json.loads(patch)]

        assert "/metadata/annotations" in await patched("/select", "chosen")
        assert await patched("/select", "other") == []
        assert [namespace for _, namespace in asked] == ["chosen", "other"]
        assert await patched("/mutate", "other") == ["/spec/nodeSelector", "/spec/tolerations"]
        assert len(asked) == 2, "the API server itself chose"
        assert (await client.post("/select", data=b"no")).status == 400
    async with TestClient(TestServer(application(RULE))) as client:
        assert (await client.post("/select", json=review("chosen"))).status == 404
