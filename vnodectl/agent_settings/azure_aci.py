"""The environment of the azure-aci virtual kubelet (1.6), understood so that it can be replaced in place.

What means the same here has its place in the table of settings (`formerly`). This module knows the rest: what
is put together from several variables or read from the files they name, and what has no meaning here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vnodectl.errors import UsageError

COMPOSED: Mapping[str, str] = {
    "ACI_SUBNET_NAME": "aci-subnet-id, together with the three below",
    "ACI_VNET_NAME": "aci-subnet-id",
    "ACI_VNET_RESOURCE_GROUP": "aci-subnet-id",
    "ACI_VNET_SUBSCRIPTION_ID": "aci-subnet-id; without it, the subscription",
    "AZURE_AUTH_LOCATION": "a file with the subscription, tenant, client-id and client secret",
    "AKS_CREDENTIAL_LOCATION": "a node's azure.json with the same, or with a managed identity",
    "LOG_ANALYTICS_AUTH_LOCATION": "a file with aci-log-analytics-id and its key",
}
"""What is made of several variables, or of files: variable to settings."""

IGNORED: Mapping[str, str] = {
    "ACI_SUBNET_CIDR": "subnets are not created; the one that is named must exist and be delegated",
    "ACI_EXTRA_USER_AGENT": "requests carry vnodectl's own user agent",
    "ENABLE_REAL_TIME_METRICS": "usage is measured through Azure's API",
    "CLUSTER_RESOURCE_ID": "output is not marked for Container Insights",
    "OCAGENT_ENDPOINT": "traces go by OpenTelemetry, see traces",
    "OCAGENT_INSECURE": "traces go by OpenTelemetry, see traces",
}
"""What has no meaning here, and why."""

_CLOUDS = {
    "azurechinacloud": "https://login.chinacloudapi.cn",
    "azureusgovernmentcloud": "https://login.microsoftonline.us",
    "azureusgovernment": "https://login.microsoftonline.us",
}


_CERTIFICATE = ("APISERVER_CERT_LOCATION", "APISERVER_KEY_LOCATION")


def usable(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ` without the certificate's files where they are not both there and filled: azure-aci's chart
    names them whether or not its Secret holds any."""
    if all(_filled(environ.get(name)) for name in _CERTIFICATE):
        return environ
    return {name: value for name, value in environ.items() if name not in _CERTIFICATE}


def _filled(path: str | None) -> bool:
    try:
        return bool(path) and Path(path or "").stat().st_size > 0
    except OSError:
        return False


def composed(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings by name, from the variables in `COMPOSED`. Raises UsageError for an unreadable file."""
    found = {**_auth_file(environ), **_node_file(environ), **_workspace_file(environ)}
    names = (
        environ.get("ACI_VNET_RESOURCE_GROUP"),
        environ.get("ACI_VNET_NAME"),
        environ.get("ACI_SUBNET_NAME"),
    )
    if names[2]:
        subscription = (
            environ.get("ACI_VNET_SUBSCRIPTION_ID")
            or environ.get("AZURE_SUBSCRIPTION_ID")
            or found.get("subscription")
        )
        if not all(names) or not subscription:
            raise UsageError(
                "ACI_SUBNET_NAME needs ACI_VNET_NAME, ACI_VNET_RESOURCE_GROUP and a subscription",
                hint="or name the subnet with VNODECTL_ACI_SUBNET_ID",
            )
        found["aci-subnet-id"] = (
            f"/subscriptions/{subscription}/resourceGroups/{names[0]}/providers/Microsoft.Network"
            f"/virtualNetworks/{names[1]}/subnets/{names[2]}"
        )
    return found


def notes(environ: Mapping[str, str]) -> list[str]:
    """What is set but has no effect, each a line for the log."""
    return [f"{name} has no effect: {why}" for name, why in IGNORED.items() if environ.get(name)]


def _auth_file(environ: Mapping[str, str]) -> dict[str, str]:
    """The file that `az ad sp create-for-rbac --sdk-auth` wrote."""
    content = _json("AZURE_AUTH_LOCATION", environ)
    return _kept(
        {
            "subscription": content.get("subscriptionId"),
            "tenant": content.get("tenantId"),
            "client-id": content.get("clientId"),
            "client-secret": content.get("clientSecret"),
            "authority-host": content.get("activeDirectoryEndpointUrl"),
            "arm-endpoint": content.get("resourceManagerEndpointUrl"),
        }
    )


def _node_file(environ: Mapping[str, str]) -> dict[str, str]:
    """/etc/kubernetes/azure.json of an AKS node. A client named "msi" is a managed identity."""
    content = _json("AKS_CREDENTIAL_LOCATION", environ)
    client = str(content.get("aadClientId") or "")
    managed = client.lower() in ("", "msi")
    cloud = str(content.get("cloud") or "").lower()
    return _kept(
        {
            "subscription": content.get("subscriptionId"),
            "tenant": None if managed else content.get("tenantId"),
            "client-id": content.get("userAssignedIdentityID") if managed else client,
            "client-secret": None if managed else content.get("aadClientSecret"),
            "authority-host": _CLOUDS.get(cloud),
        }
    )


def _workspace_file(environ: Mapping[str, str]) -> dict[str, str]:
    content = _json("LOG_ANALYTICS_AUTH_LOCATION", environ)
    known = {name.lower(): value for name, value in content.items()}
    return _kept(
        {
            "aci-log-analytics-id": known.get("workspaceid"),
            "aci-log-analytics-key": known.get("workspacekey"),
        }
    )


def _json(variable: str, environ: Mapping[str, str]) -> dict[str, Any]:
    path = environ.get(variable)
    if not path:
        return {}
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{variable} {path}: {error.strerror}") from error
    except ValueError as error:  # its text may show a part of the secret
        raise UsageError(f"{variable} {path} is not JSON") from error
    if not isinstance(content, dict):
        raise UsageError(f"{variable} {path} is not a JSON object")
    return content


def _kept(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in found.items() if value}
