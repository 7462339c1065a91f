"""The chart's objects for kube-proxy side-cars, as Helm renders and a real API server takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.sandboxes import Sandbox

pytestmark = pytest.mark.e2e

CHART = Path(__file__).parents[2] / "charts" / "vnode-connector"
VALUES = {
    "azure.subscriptionId": "s",
    "azure.tenantId": "t",
    "azure.resourceGroup": "g",
    "azure.region": "eastus",
    "azure.identity.clientId": "c",
    "azure.identity.existingSecret": "x",
}
PROXY = {"azure.kubeProxyCidr": "10.244.0.0/16", "apiServer": "https://api.example:443"}


def _render(sandbox: Sandbox, values: dict[str, str]) -> list[dict[str, Any]]:
    sets = [part for name, value in values.items() for part in ("--set-string", f"{name}={value}")]
    text = sandbox.run("helm", "template", "proxied", str(CHART), "--namespace", "default", *sets).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def _environment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value") or one.get("valueFrom") for one in container["env"]}


def test_settings_of_aci_reach_the_agent(control_plane: Sandbox) -> None:
    given = {
        "azure.zone": "1",
        "azure.tags": "env=dev;team=web",
        "azure.identities[0]": "system",
        "azure.logAnalytics.workspaceId": "w",
        "azure.logAnalytics.existingSecret": "analytics",
    }
    environment = _environment(_render(control_plane, {**VALUES, **given}))
    assert environment["VNODECTL_ACI_ZONE"] == "1"
    assert environment["VNODECTL_ACI_TAGS"] == "env=dev;team=web"
    assert environment["VNODECTL_ACI_IDENTITIES"] == "system"
    assert environment["VNODECTL_ACI_CREATES_PER_HOUR"] == "300"
    key = environment["VNODECTL_ACI_LOG_ANALYTICS_KEY"]["secretKeyRef"]
    assert key == {"name": "analytics", "key": "workspaceKey"}
    assert "VNODECTL_ACI_KUBE_PROXY_CIDR" not in environment


def test_kube_proxy_s_account_may_read_services_and_no_secrets(control_plane: Sandbox) -> None:
    objects = _render(control_plane, {**VALUES, **PROXY})
    assert _environment(objects)["VNODECTL_ACI_KUBE_PROXY_ACCOUNT"] == "/etc/vnodectl/kube-proxy"
    ours = [one for one in objects if one["metadata"]["name"] == "proxied-kube-proxy"]
    assert sorted(one["kind"] for one in ours) == ["ClusterRoleBinding", "Secret", "ServiceAccount"]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": ours})
    control_plane.run("kubectl", "apply", "-f", "-", stdin=document)
    try:
        wait = "--for=jsonpath={.data.token}"
        control_plane.run("kubectl", "wait", "secret/proxied-kube-proxy", wait, "--timeout=30s")

        def may(*what: str) -> bool:
            account = "--as=system:serviceaccount:default:proxied-kube-proxy"
            return control_plane.run("kubectl", "auth", "can-i", *what, account, check=False).returncode == 0

        assert may("list", "services")
        assert may("watch", "endpointslices.discovery.k8s.io")
        assert not may("get", "secrets")
        assert not may("list", "pods")
    finally:
        control_plane.run("kubectl", "delete", "--ignore-not-found", "-f", "-", stdin=document)


def test_kube_proxy_needs_the_api_server_s_address(control_plane: Sandbox) -> None:
    sets = [
        part
        for name, value in {**VALUES, "azure.kubeProxyCidr": PROXY["azure.kubeProxyCidr"]}.items()
        for part in ("--set-string", f"{name}={value}")
    ]
    done = control_plane.run("helm", "template", "x", str(CHART), *sets, check=False)
    assert done.returncode != 0
    assert "apiServer" in done.stderr
