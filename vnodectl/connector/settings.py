"""What the user asked for: flags win over the environment, the environment over a settings file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vnodectl.errors import UsageError

SECRET_HINT = "use --client-secret-file, --client-secret-stdin or AZURE_CLIENT_SECRET"  # noqa: S105 - advice

ENVIRONMENT: Mapping[str, str] = {
    "subscription": "AZURE_SUBSCRIPTION_ID",
    "tenant": "AZURE_TENANT_ID",
    "resource_group": "VNODECTL_RESOURCE_GROUP",
    "cluster_name": "VNODECTL_CLUSTER_NAME",
    "connector_name": "VNODECTL_CONNECTOR_NAME",
    "namespace": "VNODECTL_NAMESPACE",
    "aci_resource_group": "VNODECTL_ACI_RESOURCE_GROUP",
    "location": "VNODECTL_ACI_REGION",
    "subnet_id": "VNODECTL_ACI_SUBNET_ID",
    "nodes": "VNODECTL_NODES",
    "replicas": "VNODECTL_REPLICAS",
    "image": "VNODECTL_IMAGE",
    "image_repository": "VNODECTL_IMAGE_REPOSITORY",
    "image_tag": "VNODECTL_IMAGE_TAG",
    "chart_url": "VNODECTL_CHART_URL",
    "arm_endpoint": "VNODECTL_ARM_ENDPOINT",
    "authority_host": "AZURE_AUTHORITY_HOST",
    "ca_bundle": "VNODECTL_CA_BUNDLE",
}
"""Settings and the variables that name them. The service principal has rules of its own: `_identity`."""

_NOT_IN_FILE = frozenset({"client_secret", "environment_secret", "environment_client_id"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for, after layering; None where nobody said anything.

    `client_secret` is the secret that belongs to `service_principal`; the `environment_*` pair is the
    service principal of AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or its file).
    """

    cloud: str | None = None
    subscription: str | None = None
    tenant: str | None = None
    resource_group: str | None = None
    cluster_name: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    connector_name: str | None = None
    os_type: str | None = None
    aci_resource_group: str | None = None
    location: str | None = None
    subnet_id: str | None = None
    nodes: str | None = None
    replicas: str | None = None
    service_principal: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_secret_file: str | None = None
    workload_identity: str | None = None
    managed_identity: str | None = None
    environment_client_id: str | None = None
    environment_secret: str | None = field(default=None, repr=False)
    image: str | None = None
    image_repository: str | None = None
    image_tag: str | None = None
    chart_url: str | None = None
    arm_endpoint: str | None = None
    authority_host: str | None = None
    ca_bundle: str | None = None
    timeout: str | None = None


def layered(flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]) -> Settings:
    """The settings as said by flags, else the environment, else the file. An empty text says nothing.

    The file's keys are the flags' long names, with '-' or '_'. UsageError for a key that is not known.
    """
    known = {entry.name for entry in fields(Settings)}
    said = {key.replace("-", "_"): value for key, value in file.items()}
    for key in said:
        if key in _NOT_IN_FILE:
            raise UsageError(f"{key.replace('_', '-')} does not belong in a settings file", hint=SECRET_HINT)
        if key not in known:
            close = difflib.get_close_matches(key, known - _NOT_IN_FILE, n=1)
            hint = f"did you mean {close[0].replace('_', '-')}?" if close else ""
            raise UsageError(f"the settings file has an unknown key {key!r}", hint=hint)
    named = {key: environ.get(variable) for key, variable in ENVIRONMENT.items()}
    merged: dict[str, str] = {}
    for layer in (said, named, flags):
        merged.update({key: str(value) for key, value in layer.items() if value not in (None, "")})
    return Settings(**merged)
