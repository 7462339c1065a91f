"""The Secret that holds a connector's credentials in its cloud.

It is made here and not by Helm, because Helm keeps values and manifests in its release history,
where `helm get` would show them.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vnodectl.connector.names import Connector
from vnodectl.connector.namespace import MANAGED_BY, MANAGER
from vnodectl.kube.client import MERGE_PATCH
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import DEPLOYMENTS, SECRETS

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

_REVISION = "vnodectl.io/secret-revision"


def secret_manifest(connector: Connector, namespace: str, data: Mapping[str, str], revision: str) -> JSON:
    """The Secret of one connector; `data` is Base64, `revision` changes with it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": connector.secret,
            "namespace": namespace,
            "labels": {
                MANAGED_BY: MANAGER,
                "app.kubernetes.io/name": "vnode-connector",
                "app.kubernetes.io/instance": connector.release,
                "app.kubernetes.io/part-of": "vnodectl",
            },
            "annotations": {_REVISION: revision},
        },
        "type": "Opaque",
        "data": dict(data),
    }


async def put_secret(
    kube: KubeClient, connector: Connector, namespace: str, values: Mapping[str, str]
) -> str:
    """Make or update the connector's Secret; its revision, which is the old one where nothing changed."""
    path = SECRETS.path(namespace, connector.secret)
    revision = secrets.token_hex(4)
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    manifest = secret_manifest(connector, namespace, data, revision)
    try:
        found = await kube.get(path)
    except NotFound:
        await kube.create(SECRETS.path(namespace), manifest)
        return revision
    kept = (found["metadata"].get("annotations") or {}).get(_REVISION)
    if kept and found.get("data") == manifest["data"]:
        return str(kept)
    await kube.patch(
        path,
        {
            "metadata": {"annotations": {_REVISION: revision}},
            "data": data | {key: None for key in found.get("data") or () if key not in data},
        },
        content_type=MERGE_PATCH,
    )
    return revision


async def own_secret(kube: KubeClient, connector: Connector, namespace: str) -> None:
    """Tie the Secret's life to the Deployment's, so that a plain `helm uninstall` removes it too."""
    deployment = await kube.get(DEPLOYMENTS.path(namespace, connector.release))
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": connector.release,
        "uid": deployment["metadata"]["uid"],
    }
    await kube.patch(
        SECRETS.path(namespace, connector.secret),
        {"metadata": {"ownerReferences": [owner]}},
        content_type=MERGE_PATCH,
    )
