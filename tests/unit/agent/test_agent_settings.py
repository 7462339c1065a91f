"""Flags over environment over file over defaults, from one table that everything else is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.agent import AgentSettings
from vnodectl.agent_settings import azure_aci, document
from vnodectl.agent_settings.layers import layered
from vnodectl.agent_settings.model import Kind
from vnodectl.agent_settings.table import CONFIG_VARIABLE, SETTINGS
from vnodectl.cli.app import run_program
from vnodectl.engines.select import KINDS
from vnodectl.errors import UsageError

NAMED = {"node-name": "vn"}
TEXTS = [one for one in SETTINGS if one.kind is Kind.TEXT and not one.choices]


def test_the_page_is_what_the_table_says(repository: Path):
    assert (repository / "docs" / "settings.md").read_text() == document.text(), "make docs"


def test_nodes_offer_every_resource_that_the_scheduler_counts():
    """One that a node does not list counts as none: a pod that asks for some would wait for ever."""
    told = {**NAMED, "node-ephemeral-storage": "3Gi"}
    assert AgentSettings.of(layered(NAMED, {}, {})).capacity == {
        "cpu": "800",
        "memory": "4Ti",
        "ephemeral-storage": "40Ti",
        "pods": "800",
    }
    assert AgentSettings.of(layered(told, {}, {})).capacity["ephemeral-storage"] == "3Gi"


def test_names_and_variables_are_each_settings_own():
    names = [one.name for one in SETTINGS]
    variables = [name for one in SETTINGS for name in (one.variable, *one.formerly)]
    assert len(set(names)) == len(names)
    assert len(set(variables)) == len(variables)
    assert not set(variables) & {*azure_aci.COMPOSED, *azure_aci.IGNORED}


def test_defaults_are_values_that_may_be_said():
    for one in SETTINGS:
        if one.default and one.name != "node-name":
            assert layered({**NAMED, one.name: one.default}, {}, {}).text(one.name) == one.default


def test_every_variable_that_the_agents_code_reads_is_in_the_table(repository: Path):
    """Else it would be missing from flags, file and page."""
    not_settings = {
        "AZURE_CONFIG_DIR",  # the Azure CLI's own
        "VNODECTL_GRAPH_ENDPOINT",  # of checks, which the agent makes none of
        "VNODECTL_SERVICE_ACCOUNT_DIR",  # where tests and process pods find a service account
        "VNODECTL_SIMULATE",  # of a simulated container
    }
    known = {name for one in SETTINGS for name in (one.variable, *one.formerly)} | not_settings
    pattern = re.compile(r'"((?:VNODECTL|AZURE|ALIBABA_CLOUD|ECI|ACI|OTEL)_[A-Z_]+)"')
    read = {}
    for room in ("clouds", "providers", "runtime", "kube", "engines"):
        for file in (repository / "vnodectl" / room).rglob("*.py"):
            read |= dict.fromkeys(pattern.findall(file.read_text()), file.name)
    read |= dict.fromkeys(pattern.findall((repository / "vnodectl" / "agent.py").read_text()), "agent.py")
    assert "VNODECTL_ACI_REGION" in read
    assert {name: file for name, file in read.items() if name not in known} == {}


def test_the_engines_of_the_table_are_those_there_are():
    (engine,) = (one for one in SETTINGS if one.name == "local-engine")
    assert engine.choices == KINDS


@given(st.sampled_from(TEXTS), st.sets(st.sampled_from(["flag", "variable", "file"]), min_size=1))
def test_flags_win_over_the_environment_and_that_over_the_file(setting, sources):
    flags = {setting.name: "flag"} if "flag" in sources else {}
    environ = {setting.variable: "variable"} if "variable" in sources else {}
    file = {setting.name: "file"} if "file" in sources else {}
    if setting.name != "node-name":
        flags |= NAMED
    if setting.name.startswith("serving-"):
        flags |= {"serving-cert-file": "c", "serving-key-file": "k"} | flags
    values = layered(flags, environ, file)
    expected = flags.get(setting.name) or environ.get(setting.variable) or "file"
    found = values.text(setting.name)
    assert found.removeprefix("https://") == expected
    assert setting.name in values.said
    assert values.environment({})[setting.variable] == found


def test_our_own_variable_wins_over_an_older_one():
    environ = {"VNODECTL_NODE_NAME": "vn", "KUBELET_PORT": "1", "VNODECTL_KUBELET_PORT": "2"}
    assert layered({}, environ, {}).number("kubelet-port") == 2
    assert layered({}, {**environ, "VNODECTL_KUBELET_PORT": ""}, {}).number("kubelet-port") == 1


@pytest.mark.parametrize(
    ("flags", "environ", "file", "said"),
    [
        ({"nodes": "0"}, {}, {}, "--nodes: '0' is not a whole number from 1 to 50"),
        ({}, {"VNODECTL_KUBELET_PORT": "http"}, {}, "VNODECTL_KUBELET_PORT: 'http' is not a whole number"),
        ({}, {}, {"taint": "perhaps"}, "taint in the settings file: 'perhaps' is not true or false"),
        ({"node-cpu": "many"}, {}, {}, "--node-cpu: "),
        ({"provider": "gke"}, {}, {}, "'gke' is not one of aci, eci, local"),
        ({}, {}, {"kubelet_port": 1}, "unknown key 'kubelet_port'"),
        ({}, {}, {"client-secret": "x"}, "client-secret does not belong in a settings file"),
        ({"serving-cert-file": "c"}, {}, {}, "need each other"),
    ],
)
def test_what_cannot_be_is_refused_with_its_source(flags, environ, file, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        layered({**NAMED, **flags}, environ, file)


def test_a_node_without_a_name_is_refused_on_the_command_line(capsys):
    assert run_program(["agent"]) == 2
    assert "--node-name or VNODECTL_NODE_NAME" in capsys.readouterr().err


def test_secrets_have_no_flag(capsys):
    run_program(["agent", "--help"])
    shown = capsys.readouterr().out
    assert "--client-secret-file" in shown
    assert re.search(r"--client-secret\s", shown) is None


def test_a_settings_file_and_choices_in_any_case(tmp_path: Path, monkeypatch, capsys):
    file = tmp_path / "agent.yaml"
    file.write_text("node-name: vn\nkubelet-port: 0\ntaint: false\nos-type: linux\nlog-level: loud\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    assert run_program(["agent"]) == 2
    assert "log-level in the settings file: 'loud'" in capsys.readouterr().err
    settings = AgentSettings.of(layered({}, {}, {"node-name": "vn", "taint": False, "os-type": "linux"}))
    assert (settings.taint, settings.os_type, settings.kubelet_port) == (False, "Linux", 10250)


# --- in place of azure-aci --------------------------------------------------------------------------

CHART = {
    "KUBELET_PORT": "10260",
    "VKUBELET_POD_IP": "10.1.2.3",
    "VKUBELET_TAINT_KEY": "virtual-kubelet.io/provider",
    "VKUBELET_TAINT_VALUE": "azure",
    "VKUBELET_TAINT_EFFECT": "NoSchedule",
    "AZURE_TENANT_ID": "t",
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_CLIENT_ID": "c",
    "AZURE_CLIENT_SECRET": "p",
    "ACI_RESOURCE_GROUP": "groups",
    "ACI_REGION": "westeurope",
    "ACI_VNET_RESOURCE_GROUP": "nets",
    "ACI_VNET_NAME": "net",
    "ACI_SUBNET_NAME": "pods",
    "ACI_SUBNET_CIDR": "10.2.0.0/16",
    "MASTER_URI": "https://api.example:443",
    "KUBE_DNS_IP": "10.0.0.10",
    "APISERVER_CERT_LOCATION": "/etc/virtual-kubelet/cert.pem",
    "APISERVER_KEY_LOCATION": "/etc/virtual-kubelet/key.pem",
}


def test_the_environment_of_azure_acis_chart():
    from vnodectl.clouds.azure import AzureSettings
    from vnodectl.providers.aci import AciSettings

    values = layered(NAMED, CHART, {})
    settings = AgentSettings.of(values)
    assert (settings.kubelet_port, settings.node_ip) == (10260, "10.1.2.3")
    assert (settings.api_server, settings.certificate_files) == ("https://api.example:443", None)
    environ = values.environment(CHART)
    aci, azure = AciSettings.from_environment(environ), AzureSettings.from_environment(environ)
    assert (aci.resource_group, aci.region, aci.cluster_dns) == ("groups", "westeurope", "10.0.0.10")
    assert aci.subnet_id == (
        "/subscriptions/s/resourceGroups/nets/providers/Microsoft.Network/virtualNetworks/net/subnets/pods"
    )
    assert (azure.client_id, azure.client_secret, azure.subscription_id) == ("c", "p", "s")
    assert azure_aci.notes(CHART) == [
        f"ACI_SUBNET_CIDR has no effect: {azure_aci.IGNORED['ACI_SUBNET_CIDR']}"
    ]


def test_azure_acis_certificate_is_used_where_it_is_there(tmp_path: Path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    environ = {"APISERVER_CERT_LOCATION": str(cert), "APISERVER_KEY_LOCATION": str(key)}
    cert.write_text("x")
    key.write_text("")
    assert AgentSettings.of(layered(NAMED, environ, {})).certificate_files is None
    key.write_text("x")
    assert AgentSettings.of(layered(NAMED, environ, {})).certificate_files == (cert, key)


def test_a_subnet_needs_its_network():
    with pytest.raises(UsageError, match="ACI_VNET_NAME"):
        layered(NAMED, {"ACI_SUBNET_NAME": "pods", "AZURE_SUBSCRIPTION_ID": "s"}, {})


def test_credentials_of_an_auth_file_and_the_environment_over_them(tmp_path: Path):
    file = tmp_path / "credentials.json"
    content = {"clientId": "c", "clientSecret": "p", "subscriptionId": "s", "tenantId": "t"}
    file.write_text(json.dumps(content))
    values = layered(NAMED, {"AZURE_AUTH_LOCATION": str(file), "AZURE_CLIENT_ID": "other"}, {})
    environ = values.environment({})
    assert {name: environ[name] for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")} == {
        "AZURE_CLIENT_ID": "other",
        "AZURE_CLIENT_SECRET": "p",
    }
    assert (environ["AZURE_SUBSCRIPTION_ID"], environ["AZURE_TENANT_ID"]) == ("s", "t")


@pytest.mark.parametrize("content", ["{", "[]", None])
def test_an_auth_file_that_cannot_be_read_is_said_without_its_content(tmp_path: Path, content):
    file = tmp_path / "credentials.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match="AZURE_AUTH_LOCATION"):
        layered(NAMED, {"AZURE_AUTH_LOCATION": str(file)}, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {
                "aadClientId": "msi",
                "userAssignedIdentityID": "u",
                "aadClientSecret": "msi",
                "subscriptionId": "s",
            },
            {"AZURE_CLIENT_ID": "u", "AZURE_SUBSCRIPTION_ID": "s"},
        ),
        (
            {"aadClientId": "c", "aadClientSecret": "p", "tenantId": "t", "cloud": "AzureChinaCloud"},
            {
                "AZURE_CLIENT_ID": "c",
                "AZURE_CLIENT_SECRET": "p",
                "AZURE_TENANT_ID": "t",
                "AZURE_AUTHORITY_HOST": "https://login.chinacloudapi.cn",
            },
        ),
    ],
)
def test_credentials_of_an_aks_node(tmp_path: Path, content, expected):
    file = tmp_path / "azure.json"
    file.write_text(json.dumps(content))
    environ = layered(NAMED, {"AKS_CREDENTIAL_LOCATION": str(file)}, {}).environment({})
    del environ["VNODECTL_NODE_NAME"]
    assert environ == expected


def test_a_workspace_of_azure_aci(tmp_path: Path):
    from vnodectl.providers.aci import AciSettings

    file = tmp_path / "loganalytics.json"
    file.write_text(json.dumps({"workspaceId": "w", "workspaceKey": "k"}))
    environ = {**CHART, "LOG_ANALYTICS_AUTH_LOCATION": str(file), "CLUSTER_CIDR": "10.9.0.0/16"}
    told = AciSettings.from_environment(layered(NAMED, environ, {}).environment(environ))
    assert told.log_analytics is not None
    assert (told.log_analytics.workspace_id, told.log_analytics.workspace_key) == ("w", "k")
    assert told.cluster_cidr == "10.9.0.0/16"


def test_a_managed_identity_of_azure_aci():
    environ = {"VIRTUALNODE_USER_IDENTITY_CLIENTID": "u", "AZURE_CLIENT_SECRET": "left over"}
    told = layered(NAMED, environ, {}).environment(environ)
    assert (told["AZURE_CLIENT_ID"], told["AZURE_CLIENT_SECRET"]) == ("u", "")
