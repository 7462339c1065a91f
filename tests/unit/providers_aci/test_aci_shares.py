"""Azure file shares through PersistentVolumes."""

from __future__ import annotations

from typing import Any

import pytest
from support.aci_pods import make_pod

from vnodectl.providers.aci.settings import AciSettings, NodeIdentity
from vnodectl.providers.aci.shares import volume_secrets
from vnodectl.providers.aci.translate import translate
from vnodectl.runtime.provider import External, Rejected

ACCOUNT = {"azurestorageaccountname": b"account", "azurestorageaccountkey": b"key"}


def _csi(*, handle: str = "", driver: str = "file.csi.azure.com", **spec: Any) -> dict[str, Any]:
    attributes = spec.pop("attributes", {})
    reference = spec.pop("reference", None)
    csi = {"driver": driver, "volumeHandle": handle, "volumeAttributes": attributes}
    if reference:
        csi["nodeStageSecretRef"] = reference
    return {"metadata": {"name": "pv-1"}, "spec": {"csi": csi, **spec}}


STATIC = _csi(
    handle="any", attributes={"shareName": "data"}, reference={"name": "azure-secret", "namespace": "infra"}
)
DYNAMIC = _csi(
    handle="mc_group#f1234#pvc-77##uuid#shop",
    attributes={"csi.storage.k8s.io/pvc/namespace": "shop", "skuName": "Standard_LRS"},
)
NAMED = _csi(attributes={"shareName": "d", "secretName": "s", "secretNamespace": "vault"})
OTHER_CASE = _csi(attributes={"sharename": "d", "storageAccount": "acc", "secretnamespace": "vault"})
IN_TREE = {
    "metadata": {"name": "pv-2"},
    "spec": {"azureFile": {"secretName": "s", "secretNamespace": "old", "shareName": "d", "readOnly": True}},
}


@pytest.mark.parametrize(
    ("volume", "secret", "share"),
    [
        (STATIC, ("infra", "azure-secret"), "data"),
        (DYNAMIC, ("shop", "azure-storage-account-f1234-secret"), "pvc-77"),
        (NAMED, ("vault", "s"), "d"),
        (OTHER_CASE, ("vault", "azure-storage-account-acc-secret"), "d"),
        (IN_TREE, ("old", "s"), "d"),
    ],
)
def test_where_the_key_of_a_share_is(volume: dict[str, Any], secret: tuple[str, str], share: str) -> None:
    assert volume_secrets(volume, "shop") == (secret,)
    body = _translate(volume, {"/".join(secret): ACCOUNT})
    expected = {"shareName": share, "storageAccountName": "account", "storageAccountKey": "key"}
    assert body == expected | ({"readOnly": True} if volume is IN_TREE else {})


def _translate(volume: dict[str, Any], secrets: dict[str, Any], **claim: Any) -> Any:
    source = {"name": "v", "persistentVolumeClaim": {"claimName": "c", **claim}}
    spec = {
        "containers": [{"name": "main", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [source],
    }
    pod = make_pod(spec, namespace="shop", volumes={"v": External(source, secrets, volume)})
    body = translate(pod, AciSettings("rg", "eastus"), NodeIdentity("n", "r"))
    return body["properties"]["volumes"][0]["azureFile"]


def test_a_share_is_read_only_where_claim_or_volume_says_so() -> None:
    secrets = {"infra/azure-secret": ACCOUNT}
    assert "readOnly" not in _translate(STATIC, secrets)
    assert _translate(STATIC, secrets, readOnly=True)["readOnly"]
    once = {**STATIC, "spec": {**STATIC["spec"], "accessModes": ["ReadOnlyMany"]}}
    assert _translate(once, secrets)["readOnly"]


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (_csi(driver="disk.csi.azure.com"), "disk.csi.azure.com"),
        ({"metadata": {"name": "pv"}, "spec": {"nfs": {"server": "x"}}}, "nfs"),
        (_csi(attributes={"shareName": "d", "protocol": "nfs"}), "NFS"),
        (_csi(handle="x", attributes={"secretName": "s"}), "which share"),
        (_csi(attributes={"shareName": "d", "secretName": "s"}), "Secret shop/s"),
    ],
)
def test_volumes_that_aci_cannot_mount(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message) as caught:
        _translate(volume, {})
    assert caught.value.field == "spec.volumes[0].persistentVolumeClaim"


def test_other_volumes_need_no_secrets() -> None:
    assert volume_secrets(_csi(driver="disk.csi.azure.com"), "shop") == ()
