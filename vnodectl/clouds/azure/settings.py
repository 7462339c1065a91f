"""Which Azure cloud, which identity, which subscription."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from vnodectl.errors import UsageError
from vnodectl.settings import expanded


@dataclass(frozen=True, slots=True)
class Cloud:
    """One of Microsoft's clouds. `audience` is the resource that ARM's tokens are issued for.

    `graph` is Microsoft Graph's endpoint and audience (learn.microsoft.com/graph/deployments), `metrics` the
    audience of Azure Monitor's metrics; a region's endpoint is a host below it.
    """

    name: str
    authority_host: str
    arm_endpoint: str
    audience: str
    graph: str
    metrics: str


# Names as in `az cloud list`; audiences as in azure.mgmt.core.tools.get_arm_endpoints.
PUBLIC = Cloud(
    "AzureCloud",
    "https://login.microsoftonline.com",
    "https://management.azure.com",
    "https://management.azure.com",
    "https://graph.microsoft.com",
    "https://metrics.monitor.azure.com",
)
CHINA = Cloud(
    "AzureChinaCloud",
    "https://login.chinacloudapi.cn",
    "https://management.chinacloudapi.cn",
    "https://management.chinacloudapi.cn",
    "https://microsoftgraph.chinacloudapi.cn",
    "https://metrics.monitor.azure.cn",
)
US_GOVERNMENT = Cloud(
    "AzureUSGovernment",
    "https://login.microsoftonline.us",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net",
    "https://graph.microsoft.us",
    "https://metrics.monitor.azure.us",
)
CLOUDS = (PUBLIC, CHINA, US_GOVERNMENT)


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """Identity and place of every call. Empty strings mean "not given".

    Credentials, first match wins: `client_secret_file` (read again whenever it changes), `client_secret` or
    `client_certificate_file` (PEM or PKCS #12 with the private key; read again, too) with `tenant_id` and
    `client_id`; `federated_token_file` with both (workload identity); `client_id` alone (a user-assigned
    managed identity); else whoever is logged in with the Azure CLI, or azure-identity's default chain.

    `arm_endpoint` and `authority_host` are https URLs; each is derived from the other where only one
    is given and it is one of Microsoft's. `ca_bundle` is a PEM file trusted besides the system roots.
    `graph_host` is Microsoft Graph's https URL, for a private cloud that has it elsewhere than ARM;
    `metrics_host` Azure Monitor's for metrics in batches, for one that has it at all.
    """

    subscription_id: str = ""
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_secret_file: str = ""
    client_certificate_file: str = ""
    client_certificate_password: str = field(default="", repr=False)
    federated_token_file: str = ""
    authority_host: str = PUBLIC.authority_host
    arm_endpoint: str = PUBLIC.arm_endpoint
    ca_bundle: str = ""
    graph_host: str = ""
    metrics_host: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> AzureSettings:
        """From AZURE_* and VNODECTL_* variables; subscription and cloud else from the Azure CLI's profile.

        Raises `UsageError` where an endpoint is not an https URL.
        """
        env = os.environ if environ is None else environ
        authority = _https("AZURE_AUTHORITY_HOST", env.get("AZURE_AUTHORITY_HOST", ""))
        endpoint = _https("VNODECTL_ARM_ENDPOINT", env.get("VNODECTL_ARM_ENDPOINT", ""))
        settings = cls(
            subscription_id=env.get("AZURE_SUBSCRIPTION_ID", ""),
            tenant_id=env.get("AZURE_TENANT_ID", ""),
            client_id=env.get("AZURE_CLIENT_ID", ""),
            client_secret=env.get("AZURE_CLIENT_SECRET", ""),
            client_secret_file=env.get("VNODECTL_AZURE_CLIENT_SECRET_FILE", ""),
            client_certificate_file=env.get("AZURE_CLIENT_CERTIFICATE_PATH", ""),
            client_certificate_password=env.get("AZURE_CLIENT_CERTIFICATE_PASSWORD", ""),
            federated_token_file=env.get("AZURE_FEDERATED_TOKEN_FILE", ""),
            ca_bundle=env.get("VNODECTL_CA_BUNDLE", ""),
            graph_host=_https("VNODECTL_GRAPH_ENDPOINT", env.get("VNODECTL_GRAPH_ENDPOINT", "")),
            metrics_host=_https("VNODECTL_METRICS_ENDPOINT", env.get("VNODECTL_METRICS_ENDPOINT", "")),
        )
        cloud = _cloud_of(authority, endpoint)
        if not settings.subscription_id:
            profile = _cli_default(env)
            settings = replace(settings, subscription_id=profile.get("id", ""))
            named = profile.get("environmentName", "")
            if not authority and not endpoint:
                cloud = next((one for one in CLOUDS if one.name == named), cloud)
        return replace(
            settings,
            authority_host=authority or cloud.authority_host,
            arm_endpoint=endpoint or cloud.arm_endpoint,
        )

    @property
    def scope(self) -> str:
        """The OAuth scope of ARM's tokens; a custom endpoint takes those of the cloud of its authority."""
        return f"{_cloud_of(self.authority_host, self.arm_endpoint).audience}/.default"

    @property
    def registry_scope(self) -> str:
        """The OAuth scope of tokens that Azure Container Registry exchanges; other clouds take ARM's."""
        cloud = _cloud_of(self.authority_host, self.arm_endpoint)
        return "https://containerregistry.azure.net/.default" if cloud is PUBLIC else self.scope

    @property
    def graph_endpoint(self) -> str:
        """Of the cloud; a private one (the sandbox) has everything at one address."""
        known = next((one for one in CLOUDS if _host(one.arm_endpoint) == _host(self.arm_endpoint)), None)
        return self.graph_host or (known.graph if known else self.arm_endpoint)

    @property
    def graph_scope(self) -> str:
        return f"{_cloud_of(self.authority_host, self.arm_endpoint).graph}/.default"

    def metrics_endpoint(self, region: str) -> str:
        """Where Azure Monitor gives metrics of a region in batches; "" where nobody knows."""
        known = next((one for one in CLOUDS if _host(one.arm_endpoint) == _host(self.arm_endpoint)), None)
        return self.metrics_host or (f"https://{region}.{_host(known.metrics)}" if known else "")

    @property
    def metrics_scope(self) -> str:
        return f"{_cloud_of(self.authority_host, self.arm_endpoint).metrics}/.default"

    @property
    def known_authority(self) -> bool:
        """Whether the authority is one of Microsoft's; else instance discovery cannot know it."""
        return any(_host(self.authority_host) == _host(cloud.authority_host) for cloud in CLOUDS)


def _cloud_of(authority: str, endpoint: str) -> Cloud:
    for cloud in CLOUDS:
        if _host(endpoint) == _host(cloud.arm_endpoint):
            return cloud
    for cloud in CLOUDS:
        if _host(authority) == _host(cloud.authority_host):
            return cloud
    return PUBLIC


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _https(name: str, value: str) -> str:
    """The URL without a trailing slash; a bare host is taken as https, as azure-identity does."""
    if not value:
        return ""
    url = value if "://" in value else f"https://{value}"
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError(
            f"{name} must be an https URL, not {value!r}",
            hint="tokens are never sent over plain HTTP; trust a private CA with VNODECTL_CA_BUNDLE",
        )
    return url.rstrip("/")


def _cli_default(env: Mapping[str, str]) -> dict[str, str]:
    """The default subscription of `az account list`, or {} where the CLI was never logged in."""
    home = env.get("AZURE_CONFIG_DIR") or (Path(env["HOME"]) if env.get("HOME") else expanded("~")) / ".azure"
    try:
        # The Azure CLI writes the file with a byte order mark.
        profile = json.loads(Path(home, "azureProfile.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    subscriptions = profile.get("subscriptions") if isinstance(profile, dict) else None
    for entry in subscriptions if isinstance(subscriptions, list) else ():
        if isinstance(entry, dict) and entry.get("isDefault"):
            return {key: value for key, value in entry.items() if isinstance(value, str)}
    return {}
