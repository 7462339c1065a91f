"""PersistentVolumeClaims on their way to a provider: read from an API server over a socket, and resolved."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.fake_api import FakeApi, fake_cluster

from vnodectl.runtime.facts import Facts, NodeFacts, Unresolved
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.provider import External, PodKey
from vnodectl.runtime.volumes import resolve

NODE = NodeFacts("node", ("10.0.0.1",), {})
KEY = PodKey("shop", "web", "uid")
VOLUME = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
POD = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "uid"},
    "spec": {"containers": [{"name": "main"}], "volumes": [VOLUME], "enableServiceLinks": False},
}


def _api(*, bound: bool = True, uid: str = "c1", secret: bool = True) -> FakeApi:
    api = FakeApi()
    claim: dict[str, Any] = {"metadata": {"name": "data", "namespace": "shop", "uid": "c1"}, "spec": {}}
    if bound:
        claim["spec"]["volumeName"] = "pv-1"
    api.objects["persistentvolumeclaims", "shop", "data"] = claim
    reference = {"namespace": "shop", "name": "data", "uid": uid}
    api.objects["persistentvolumes", "", "pv-1"] = {
        "metadata": {"name": "pv-1"},
        "spec": {"claimRef": reference},
    }
    if secret:
        api.objects["secrets", "kube-system", "key"] = {
            "metadata": {"name": "key", "namespace": "kube-system"},
            "data": {"k": base64.b64encode(b"v").decode()},
        }
    return api


async def _resolve(given: FakeApi) -> External:
    async with fake_cluster() as (api, client):
        api.objects.update(given.objects)
        lookups = Lookups(client, lambda: NODE, lambda _volume, _namespace: [("kube-system", "key")])
        try:
            facts = await lookups.facts(KEY, POD)
        finally:
            await lookups.aclose()
    volumes, _ = resolve(POD, facts)
    found = volumes["data"]
    assert isinstance(found, External)
    return found


async def test_the_volume_and_the_provider_s_secrets_are_handed_over() -> None:
    found = await _resolve(_api())
    assert found.persistent_volume is not None
    assert found.persistent_volume["metadata"]["name"] == "pv-1"
    assert found.secrets == {"kube-system/key": {"k": b"v"}}
    assert found.source == VOLUME


@pytest.mark.parametrize(
    ("api", "reason", "text"),
    [
        (FakeApi(), "FailedMount", "not found"),
        (_api(bound=False), "FailedMount", "not bound"),
        (_api(uid="another"), "FailedMount", "not bound"),
        (_api(secret=False), "MandatorySecretNotFound", "kube-system/key"),
    ],
)
async def test_what_is_missing_keeps_the_pod_waiting(api: FakeApi, reason: str, text: str) -> None:
    with pytest.raises(Unresolved) as caught:
        await _resolve(api)
    assert caught.value.notice.reason == reason
    assert text in caught.value.notice.message


def test_a_provider_without_persistent_volumes_gets_the_claim_as_it_stands() -> None:
    volumes, _ = resolve(POD, Facts(NODE))
    assert volumes["data"] == External(VOLUME)
