from __future__ import annotations

import json
from pathlib import Path

import pytest

from vnodectl.clouds.azure import AzureSettings
from vnodectl.errors import UsageError


def test_everything_comes_from_the_environment() -> None:
    settings = AzureSettings.from_environment(
        {
            "AZURE_SUBSCRIPTION_ID": "sub",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "client",
            "AZURE_CLIENT_SECRET": "hidden",
            "VNODECTL_AZURE_CLIENT_SECRET_FILE": "/secret",
            "AZURE_FEDERATED_TOKEN_FILE": "/token",
            "AZURE_AUTHORITY_HOST": "login.example:8443/",
            "VNODECTL_ARM_ENDPOINT": "https://arm.example/",
            "VNODECTL_CA_BUNDLE": "/ca.pem",
        }
    )
    assert settings == AzureSettings(
        subscription_id="sub",
        tenant_id="tenant",
        client_id="client",
        client_secret="hidden",
        client_secret_file="/secret",
        federated_token_file="/token",
        authority_host="https://login.example:8443",
        arm_endpoint="https://arm.example",
        ca_bundle="/ca.pem",
    )
    assert "hidden" not in repr(settings)
    assert not settings.known_authority


def test_the_public_cloud_is_the_default(tmp_path: Path) -> None:
    settings = AzureSettings.from_environment({"HOME": str(tmp_path)})
    assert settings.arm_endpoint == "https://management.azure.com"
    assert settings.authority_host == "https://login.microsoftonline.com"
    assert settings.scope == "https://management.azure.com/.default"
    assert settings.known_authority


@pytest.mark.parametrize(
    ("given", "endpoint", "authority", "scope"),
    [
        (
            {"AZURE_AUTHORITY_HOST": "https://login.chinacloudapi.cn/"},
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
        ),
        (
            {"VNODECTL_ARM_ENDPOINT": "https://management.usgovcloudapi.net/"},
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net/.default",
        ),
    ],
)
def test_one_half_of_a_cloud_names_the_other(
    given: dict[str, str], endpoint: str, authority: str, scope: str
) -> None:
    settings = AzureSettings.from_environment({"AZURE_SUBSCRIPTION_ID": "sub", **given})
    assert (settings.arm_endpoint, settings.authority_host, settings.scope) == (endpoint, authority, scope)


@pytest.mark.parametrize("url", ["http://arm.example", "https://", "ftp://arm.example"])
def test_tokens_go_over_tls_only(url: str) -> None:
    with pytest.raises(UsageError, match="VNODECTL_ARM_ENDPOINT"):
        AzureSettings.from_environment({"VNODECTL_ARM_ENDPOINT": url})


def _profile(directory: Path, **entry: object) -> None:
    subscriptions = [{"id": "other", "isDefault": False}, {"id": "default", "isDefault": True, **entry}]
    # The Azure CLI writes a byte order mark.
    text = json.dumps({"subscriptions": subscriptions})
    (directory / "azureProfile.json").write_text(text, encoding="utf-8-sig")


def test_the_azure_cli_knows_the_subscription_and_its_cloud(tmp_path: Path) -> None:
    (tmp_path / ".azure").mkdir()
    _profile(tmp_path / ".azure", environmentName="AzureChinaCloud")
    settings = AzureSettings.from_environment({"HOME": str(tmp_path)})
    assert settings.subscription_id == "default"
    assert settings.arm_endpoint == "https://management.chinacloudapi.cn"


def test_the_azure_cli_may_keep_its_files_elsewhere(tmp_path: Path) -> None:
    _profile(tmp_path)
    env = {"HOME": "/nowhere", "AZURE_CONFIG_DIR": str(tmp_path)}
    assert AzureSettings.from_environment(env).subscription_id == "default"
    given = AzureSettings.from_environment({**env, "AZURE_SUBSCRIPTION_ID": "mine"})
    assert given.subscription_id == "mine"


def test_an_endpoint_that_was_given_is_kept_whatever_the_cli_is_logged_in_to(tmp_path: Path) -> None:
    _profile(tmp_path, environmentName="AzureUSGovernment")
    env = {"AZURE_CONFIG_DIR": str(tmp_path), "VNODECTL_ARM_ENDPOINT": "https://127.0.0.1:1"}
    settings = AzureSettings.from_environment(env)
    assert settings.arm_endpoint == "https://127.0.0.1:1"
    assert settings.scope == "https://management.azure.com/.default"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"subscriptions": [1]}'])
def test_a_broken_profile_is_no_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "azureProfile.json").write_text(text)
    settings = AzureSettings.from_environment({"AZURE_CONFIG_DIR": str(tmp_path)})
    assert settings.subscription_id == ""


@pytest.mark.parametrize(
    ("endpoint", "host", "scope"),
    [
        ("https://management.azure.com", "https://eastus.metrics.monitor.azure.com", "monitor.azure.com"),
        (
            "https://management.chinacloudapi.cn",
            "https://eastus.metrics.monitor.azure.cn",
            "monitor.azure.cn",
        ),
        (
            "https://management.usgovcloudapi.net",
            "https://eastus.metrics.monitor.azure.us",
            "monitor.azure.us",
        ),
        ("https://arm.example", "", "monitor.azure.com"),
    ],
)
def test_where_metrics_are_in_each_cloud(endpoint: str, host: str, scope: str) -> None:
    settings = AzureSettings.from_environment({"VNODECTL_ARM_ENDPOINT": endpoint, "HOME": "/nowhere"})
    assert settings.metrics_endpoint("eastus") == host
    assert settings.metrics_scope == f"https://metrics.{scope}/.default"


def test_registries_take_a_token_of_their_own_in_the_public_cloud_only() -> None:
    assert AzureSettings().registry_scope == "https://containerregistry.azure.net/.default"
    china = AzureSettings.from_environment(
        {"VNODECTL_ARM_ENDPOINT": "https://management.chinacloudapi.cn", "HOME": "/nowhere"}
    )
    assert china.registry_scope == china.scope


def test_graph_is_the_cloud_s_own_or_where_everything_is_or_where_it_is_said() -> None:
    public = AzureSettings()
    assert (public.graph_endpoint, public.graph_scope) == (
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/.default",
    )
    china = AzureSettings.from_environment({"VNODECTL_ARM_ENDPOINT": "https://management.chinacloudapi.cn"})
    assert china.graph_endpoint == "https://microsoftgraph.chinacloudapi.cn"
    private = AzureSettings(arm_endpoint="https://127.0.0.1:8443")
    assert private.graph_endpoint == "https://127.0.0.1:8443"
    named = AzureSettings.from_environment(
        {
            "VNODECTL_ARM_ENDPOINT": "https://127.0.0.1:8443",
            "VNODECTL_GRAPH_ENDPOINT": "https://127.0.0.1:9443/",
        }
    )
    assert named.graph_endpoint == "https://127.0.0.1:9443"
