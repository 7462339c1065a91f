"""Volumes from outside of the cluster: Azure file shares, inline or through a claim, and git clones. Pure.

A PersistentVolume of the Azure Files CSI driver (file.csi.azure.com) names its share in `volumeAttributes`
or in its handle (`resource group#account#share#…`), and the Secret with the account's key in
`nodeStageSecretRef` or in `secretName` and `secretNamespace`; a volume that the driver provisioned itself has
the key in `azure-storage-account-ACCOUNT-secret`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.runtime.provider import JSON, External, Rejected

FILE_CSI = "file.csi.azure.com"
FILE_IN_TREE = "azureFile"
_PVC_NAMESPACE = "csi.storage.k8s.io/pvc/namespace"
_READ_ONLY = "ReadOnlyMany"


@dataclass(frozen=True, slots=True)
class _Share:
    """A share of a persistent volume, and where its account's key is: (namespace, Secret)."""

    account: str
    name: str
    secret: tuple[str, str]
    read_only: bool


def volume_secrets(persistent_volume: JSON, namespace: str) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the Secrets that a volume claimed from `namespace` needs."""
    share = _share(persistent_volume, namespace)
    return (share.secret,) if share is not None and share.secret[1] else ()


def external(volume: External, namespace: str, path: str) -> JSON:
    """The source part of a group's volume. Raises Rejected with the field for what ACI does not have."""
    source = volume.source
    if source.get("azureFile"):
        return _inline(source["azureFile"], volume, f"{path}.azureFile")
    csi = source.get("csi") or {}
    if csi.get("driver") == FILE_CSI:
        attributes = csi.get("volumeAttributes") or {}
        share = {
            "secretName": attributes.get("secretName"),
            "shareName": attributes.get("shareName"),
            "readOnly": csi.get("readOnly"),
        }
        return _inline(share, volume, f"{path}.csi.volumeAttributes")
    if source.get("gitRepo"):
        git = source["gitRepo"]
        body = {
            "repository": git.get("repository"),
            "directory": git.get("directory"),
            "revision": git.get("revision"),
        }
        return {"gitRepo": {key: value for key, value in body.items() if value}}
    if source.get("persistentVolumeClaim") and volume.persistent_volume:
        return _claimed(volume, namespace, f"{path}.persistentVolumeClaim")
    kind = next((key for key in source if key != "name"), "unknown")
    raise Rejected(
        "UnsupportedVolume",
        f"Azure Container Instances has no {kind} volume; it has emptyDir, configMap, secret, projected, "
        "downwardAPI, azureFile, gitRepo, and claims of Azure file shares",
        field=f"{path}.{kind}",
    )


def _claimed(volume: External, namespace: str, path: str) -> JSON:
    persistent = volume.persistent_volume or {}
    name = (persistent.get("metadata") or {}).get("name") or ""
    spec = persistent.get("spec") or {}
    share = _share(persistent, namespace)
    if share is None:
        csi = (spec.get("csi") or {}).get("driver")
        kind = csi or next((key for key in spec if key in {"nfs", "hostPath", "local", "azureDisk"}), "other")
        raise Rejected(
            "UnsupportedVolume",
            f"PersistentVolume {name} is of kind {kind}; Azure Container Instances mounts Azure file shares "
            f"only ({FILE_CSI})",
            field=path,
        )
    protocol = ((spec.get("csi") or {}).get("volumeAttributes") or {}).get("protocol", "smb")
    if protocol.lower() == "nfs":
        raise Rejected(
            "UnsupportedVolume",
            f"PersistentVolume {name} is an NFS share; Azure Container Instances mounts SMB shares only",
            field=path,
        )
    if not share.name:
        raise Rejected("InvalidVolume", f"PersistentVolume {name} does not say which share it is", field=path)
    account, key = _account(volume.secrets.get("/".join(share.secret)), "/".join(share.secret), path)
    claim = volume.source["persistentVolumeClaim"]
    return _body(share.name, account, key, read_only=share.read_only or bool(claim.get("readOnly")))


def _share(persistent: JSON, namespace: str) -> _Share | None:
    spec = persistent.get("spec") or {}
    modes = spec.get("accessModes") or ()
    read_only = list(modes) == [_READ_ONLY]
    if tree := spec.get(FILE_IN_TREE):
        secret = (str(tree.get("secretNamespace") or namespace), str(tree.get("secretName") or ""))
        return _Share("", str(tree.get("shareName") or ""), secret, read_only or bool(tree.get("readOnly")))
    csi = spec.get("csi") or {}
    if csi.get("driver") != FILE_CSI:
        return None
    # Names of attributes do not care about case, as the driver reads them.
    attributes = {key.lower(): str(value) for key, value in (csi.get("volumeAttributes") or {}).items()}
    _group, account, share = (*str(csi.get("volumeHandle") or "").split("#"), "", "", "")[:3]
    account = attributes.get("storageaccount") or account
    reference = csi.get("nodeStageSecretRef") or {}
    secret = (
        str(
            reference.get("namespace")
            or attributes.get("secretnamespace")
            or attributes.get(_PVC_NAMESPACE)
            or namespace
        ),
        str(
            reference.get("name")
            or attributes.get("secretname")
            or (f"azure-storage-account-{account}-secret" if account else "")
        ),
    )
    name = attributes.get("sharename") or share
    return _Share(account, name, secret, read_only or bool(csi.get("readOnly")))


def _inline(source: JSON, volume: External, path: str) -> JSON:
    secret_name, share = source.get("secretName"), source.get("shareName")
    if not secret_name or not share:
        raise Rejected("InvalidVolume", "secretName and shareName are both needed", field=path)
    account, key = _account(volume.secrets.get(secret_name), secret_name, path)
    return _body(share, account, key, read_only=bool(source.get("readOnly")))


def _account(secret: Mapping[str, bytes] | None, name: str, path: str) -> tuple[str, str]:
    try:
        found = secret or {}
        return (
            found["azurestorageaccountname"].decode().strip(),
            found["azurestorageaccountkey"].decode().strip(),
        )
    except (KeyError, UnicodeDecodeError):
        raise Rejected(
            "InvalidVolume",
            f"Secret {name} has no azurestorageaccountname and azurestorageaccountkey",
            field=path,
        ) from None


def _body(share: str, account: str, key: str, *, read_only: bool) -> JSON:
    body: JSON = {"shareName": share, "storageAccountName": account, "storageAccountKey": key}
    if read_only:
        body["readOnly"] = True
    return {"azureFile": body}
