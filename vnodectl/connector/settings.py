"""What the user asked for: flags win over the environment, the environment over a settings file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vnodectl.errors import UsageError

SECRET_HINT = (
    "use --client-secret-file, --client-secret-stdin, "  # noqa: S105 - advice
    "AZURE_CLIENT_SECRET or --client-certificate-file"
)

SECRET_KEY_HINT = "use --secret-key-file, --secret-key-stdin or ALIBABA_CLOUD_ACCESS_KEY_SECRET"  # noqa: S105

ENVIRONMENT: Mapping[str, str | tuple[str, ...]] = {
    "cloud": "VNODECTL_CLOUD",
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
    "release_name": "VNODECTL_RELEASE_NAME",
    "webhook": "VNODECTL_WEBHOOK",
    "cluster_id": "VNODECTL_CLUSTER_ID",
    "vswitch": "ECI_VSWITCH",
    "security_group": "ECI_SECURITY_GROUP",
    "resource_group_id": "ECI_RESOURCE_GROUP_ID",
    "oidc_provider": "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "alibaba_endpoint": "VNODECTL_ALIBABA_ENDPOINT",
    "vpc_endpoints": "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
    "environment_client_id": "AZURE_CLIENT_ID",
    "environment_access_key": ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ECI_ACCESS_KEY"),
    "environment_ram_role": "ALIBABA_CLOUD_ROLE_ARN",
    "environment_region": ("ALIBABA_CLOUD_REGION_ID", "ECI_REGION"),
}
"""Settings and the variables that name them; the first that says something counts. Credentials have rules
of their own: `identity`."""

_NOT_IN_FILE = frozenset({"client_secret", "client_certificate", "secret_key", "security_token"})

_FLAGS_OF_OTHER_NAMES = {"name": "cluster_name"}

_YES_NO = frozenset({"webhook", "vpc_endpoints"})
_LISTS = frozenset({"vswitch"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for, after layering; None where nobody said anything.

    `client_secret` is the secret that belongs to `service_principal`, `client_certificate` (PEM, with its
    private key) what it may have instead; the `environment_*` pair is the
    service principal of AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or its file). `secret_key` and
    `security_token` belong to `access_key`, and the environment has the like. `vswitch` is a list with
    commas, `ram_role` and `oidc_provider` are ARNs. `environment_region` is where Alibaba Cloud's own tools
    are: a connector may be elsewhere.
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
    client_certificate: str | None = field(default=None, repr=False)
    client_certificate_file: str | None = None
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
    release_name: str | None = None
    node_name: str | None = None
    webhook: str | None = None
    cluster_id: str | None = None
    region: str | None = None
    vswitch: str | None = None
    security_group: str | None = None
    resource_group_id: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    secret_key_file: str | None = None
    security_token: str | None = field(default=None, repr=False)
    security_token_file: str | None = None
    ram_role: str | None = None
    oidc_provider: str | None = None
    ecs_role: str | None = None
    alibaba_endpoint: str | None = None
    vpc_endpoints: str | None = None
    environment_access_key: str | None = None
    environment_secret_key: str | None = field(default=None, repr=False)
    environment_security_token: str | None = field(default=None, repr=False)
    environment_ram_role: str | None = None
    environment_region: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        named = (
            self.client_secret,
            self.client_certificate,
            self.environment_secret,
            self.secret_key,
            self.security_token,
            self.environment_secret_key,
            self.environment_security_token,
        )
        return tuple(one for one in named if one)


def layered(flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]) -> Settings:
    """The settings as said by flags, else the environment, else the file. An empty text says nothing.

    The file's keys are the flags' long names, with '-' or '_'. UsageError for a key that is not known, and
    for a value of another kind than its key wants.
    """
    said = _from_file(file)
    named = {key: _first(environ, variables) for key, variables in ENVIRONMENT.items()}
    merged: dict[str, str] = {}
    for layer in (said, named, flags):
        merged.update({key: _text(value) for key, value in layer.items() if value not in (None, "", [])})
    return Settings(**merged)


def _from_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says, by setting."""
    known = {entry.name for entry in fields(Settings) if not entry.name.startswith("environment_")}
    said: dict[str, Any] = {}
    for key, value in file.items():
        name = key.replace("-", "_")
        name = _FLAGS_OF_OTHER_NAMES.get(name, name)
        if name in _NOT_IN_FILE:
            hint = SECRET_HINT if name.startswith("client_") else SECRET_KEY_HINT
            raise UsageError(f"{key} does not belong in a settings file", hint=hint)
        if name not in known:
            usual = [one.replace("_", "-") for one in known - _NOT_IN_FILE]
            close = difflib.get_close_matches(name.replace("_", "-"), usual, n=1)
            hint = f"did you mean {close[0]}?" if close else "keys are options, as in connector-name: my-aci"
            raise UsageError(f"the settings file has an unknown key {key!r}", hint=hint)
        if name in said:
            raise UsageError(f"the settings file has {key} twice", hint=f"as {name.replace('_', '-')}, too")
        if wrong := _wrong(name, value):
            raise UsageError(f"{key} in the settings file: {wrong}")
        said[name] = value
    return said


def _wrong(name: str, value: Any) -> str:
    """What is wrong with a value of a file, "" where nothing is. None says nothing, as an empty text does."""
    if value is None:
        return ""
    if name in _YES_NO:
        return "" if str(value).lower() in ("", "true", "false") else f"{value!r} is not true or false"
    if name in _LISTS and isinstance(value, list):
        return "" if all(isinstance(one, str) for one in value) else "not a list of texts"
    if isinstance(value, bool):
        return f"YAML takes this for {str(value).lower()}: put it in quotes"
    if isinstance(value, (list, dict)):
        kind = "a list" if isinstance(value, list) else "a mapping"
        return f"{kind} instead of {'texts' if name in _LISTS else 'a text'}"
    return ""


def _first(environ: Mapping[str, str], variables: str | tuple[str, ...]) -> str | None:
    names = (variables,) if isinstance(variables, str) else variables
    return next((environ[name] for name in names if environ.get(name)), None)


def _text(value: Any) -> str:
    """Lists as the add-on writes them, with commas; truth as YAML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
