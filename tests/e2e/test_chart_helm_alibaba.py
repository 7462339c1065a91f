"""What the chart makes of Alibaba Cloud's values, and of the webhook's for both clouds, by the real Helm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

pytestmark = pytest.mark.e2e

JSON = dict[str, Any]
RELEASE = "ack-virtual-node"
KEY = {"type": "accessKey", "accessKeyId": "LTAI", "existingSecret": "its-secret"}
ROLE = {
    "type": "ramRole",
    "roleArn": "acs:ram::1:role/r",
    "oidcProviderArn": "acs:ram::1:oidc-provider/p",
}
AZURE = {
    "subscriptionId": "s",
    "resourceGroup": "g",
    "region": "eastus",
    "identity": {"type": "managedIdentity"},
}


class Shell(Protocol):
    """A sandbox's `run`."""

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> Any: ...


@pytest.fixture
def rendered(control_plane: Shell, repository: Path) -> Any:
    def render(given: JSON, check: bool = True) -> Any:
        chart = str(repository / "charts" / "vnode-connector")
        command = ("helm", "template", RELEASE, chart, "--namespace", "kube-system", "--values", "-")
        done = control_plane.run(*command, check=check, stdin=json.dumps(given))
        return [each for each in yaml.safe_load_all(done.stdout) if each] if check else done

    return render


def values(identity: JSON, **more: Any) -> JSON:
    place = {"region": "cn-hangzhou", "vswitches": ["vsw-1", "vsw-2"], "securityGroup": "sg-1"}
    return {"cloud": "alibaba", "alibaba": {**place, "owner": "c0ffee", "identity": identity}, **more}


def one(manifests: list[JSON], kind: str, name: str = RELEASE) -> JSON:
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(manifests: list[JSON]) -> JSON:
    spec: JSON = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[JSON]) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in pod(manifests)["containers"][0]["env"]
    }


def test_the_agent_is_told_by_the_add_on_s_names(rendered: Any) -> None:
    made = rendered(values(KEY))
    found = environment(made)
    assert (found["VNODECTL_PROVIDER"], found["VNODECTL_NODE_NAME"]) == ("eci", "virtual-kubelet")
    assert (found["ECI_VSWITCH"], found["ECI_SECURITY_GROUP"]) == ("vsw-1,vsw-2", "sg-1")
    assert (found["ALIBABA_CLOUD_REGION_ID"], found["VNODECTL_CLUSTER"]) == ("cn-hangzhou", "c0ffee")
    assert not [name for name in found if name.startswith(("AZURE_", "VNODECTL_ACI"))]
    labels = one(made, "Deployment")["metadata"]["labels"]
    assert (labels["vnodectl.io/cloud"], labels["vnodectl.io/region"]) == ("alibaba", "cn-hangzhou")


def test_an_access_key_is_a_file_of_an_existing_secret(rendered: Any) -> None:
    made = rendered(values(KEY))
    assert environment(made)["VNODECTL_ALIBABA_SECRET_FILE"] == "/etc/vnodectl/alibaba/accessKeySecret"
    assert "ALIBABA_CLOUD_SECURITY_TOKEN" not in environment(made)
    assert [each["secret"]["secretName"] for each in pod(made)["volumes"] if "secret" in each] == [
        "its-secret"
    ]
    assert not [each for each in made if each["kind"] == "Secret"]
    temporary = environment(rendered(values({**KEY, "temporary": True})))["ALIBABA_CLOUD_SECURITY_TOKEN"]
    assert temporary == {"secretKeyRef": {"name": "its-secret", "key": "securityToken"}}


def test_a_role_is_assumed_with_a_projected_token(rendered: Any) -> None:
    made = rendered(values(ROLE))
    found = environment(made)
    assert found["ALIBABA_CLOUD_ROLE_ARN"] == ROLE["roleArn"]
    assert found["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"] == ROLE["oidcProviderArn"]
    (volume,) = [each for each in pod(made)["volumes"] if "projected" in each]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    (mount,) = [each for each in pod(made)["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert token["audience"] == "sts.aliyuncs.com"
    assert found["ALIBABA_CLOUD_OIDC_TOKEN_FILE"] == f"{mount['mountPath']}/{token['path']}"


def test_a_role_of_the_node_has_nothing_to_mount(rendered: Any) -> None:
    made = rendered(values({"type": "ecsRole", "roleName": "node"}))
    assert environment(made)["ALIBABA_CLOUD_ECS_METADATA"] == "node"
    assert [each["name"] for each in pod(made)["volumes"]] == ["tmp"]


@pytest.mark.parametrize("cloud", ["azure", "alibaba"])
def test_the_webhook_asks_about_few_pods_and_stops_none(cloud: str, rendered: Any) -> None:
    hook = {"enabled": True, "excludedNamespaces": ["mine"]}
    given = values(ROLE, webhook=hook) if cloud == "alibaba" else {"azure": AZURE, "webhook": hook}
    made = rendered(given)
    webhooks = one(made, "MutatingWebhookConfiguration")["webhooks"]
    assert len(webhooks) == (4 if cloud == "alibaba" else 2)
    assert len({each["name"] for each in webhooks}) == len(webhooks)
    for each in webhooks:
        assert (each["failurePolicy"], each["timeoutSeconds"], each["sideEffects"]) == ("Ignore", 2, "None")
        assert each["reinvocationPolicy"] == "IfNeeded"
        assert "caBundle" not in each["clientConfig"], "an upgrade must not take it away"
        (excluded,) = [
            term["values"]
            for term in each["namespaceSelector"]["matchExpressions"]
            if term["operator"] == "NotIn"
        ]
        assert excluded == ["kube-system", "kube-public", "kube-node-lease", "mine"]
        opted_out = {
            (term["key"], *term["values"])
            for term in each["objectSelector"]["matchExpressions"]
            if term["operator"] == "NotIn"
        }
        assert ("virtual-node-affinity-injection", "disabled") in opted_out
        asked = [
            term
            for which in ("namespaceSelector", "objectSelector")
            for term in each[which]["matchExpressions"]
            if term["operator"] == "In"
        ]
        assert len(asked) == 1, "never about every pod of the cluster"
    service = one(made, "Service", f"{RELEASE}-webhook")["spec"]
    assert (
        service["selector"].items()
        <= one(made, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    )
    assert environment(made)["VNODECTL_WEBHOOK_PORT"] == "10249"
    assert "data" not in one(made, "Secret", f"{RELEASE}-webhook"), "an upgrade must not empty it"
    rules = [
        rule for kind in ("Role", "ClusterRole") for rule in one(made, kind, f"{RELEASE}-webhook")["rules"]
    ]
    assert [rule["resourceNames"] for rule in rules] == [[f"{RELEASE}-webhook"], [RELEASE]]


def test_the_selectors_of_eci_profile_take_a_webhook_for_all_pods(rendered: Any) -> None:
    made = rendered(values(ROLE, webhook={"enabled": True, "profileSelectors": True}))
    webhooks = one(made, "MutatingWebhookConfiguration")["webhooks"]
    (every,) = [each for each in webhooks if each["clientConfig"]["service"]["path"] == "/select"]
    assert len(webhooks) == 5
    assert (every["failurePolicy"], every["name"]) == (
        "Ignore",
        f"selectors.eci-profile.{RELEASE}.vnodectl.io",
    )
    terms = every["namespaceSelector"]["matchExpressions"] + every["objectSelector"]["matchExpressions"]
    assert {term["operator"] for term in terms} == {"NotIn"}, "all but who does not want to"
    rules = one(made, "ClusterRole", f"{RELEASE}-webhook")["rules"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules][1:] == [(["namespaces"], ["get"])]


def test_the_connector_follows_one_config_map_of_another_namespace(rendered: Any) -> None:
    made = rendered(values(ROLE))
    role = one(made, "Role", f"{RELEASE}-eci-profile")
    assert role["metadata"]["namespace"] == "kube-system"
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["eci-profile"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    assert not [each for each in rendered({"azure": AZURE}) if "eci-profile" in each["metadata"]["name"]]


def test_without_the_webhook_nothing_of_it_is_there(rendered: Any) -> None:
    made = rendered(values(ROLE))
    assert "VNODECTL_WEBHOOK_PORT" not in environment(made)
    assert not [each for each in made if "webhook" in each["kind"].lower() + each["metadata"]["name"]]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"node": {"taint": False}}, "webhook.enabled needs node.taint"),
        ({"ports": {"health": 10249}}, "webhook.port: 10249 is taken already"),
        ({"nodes": 3, "ports": {"kubelet": 10247}}, "webhook.port: 10249 is taken already"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(said: JSON, message: str, rendered: Any) -> None:
    done = rendered(values(ROLE, webhook={"enabled": True}, **said), check=False)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_notes_say_how_to_get_there(rendered: Any, control_plane: Shell, repository: Path) -> None:
    chart = str(repository / "charts" / "vnode-connector")
    given = json.dumps(values(ROLE, webhook={"enabled": True}))
    install = ("helm", "install", RELEASE, chart, "--namespace", "kube-system", "--values", "-")
    shown = control_plane.run(*install, "--dry-run=client", stdin=given).stdout
    assert "Alibaba Cloud ECI, cn-hangzhou, vsw-1, vsw-2" in shown
    assert "value: alibabacloud" in shown
    assert "virtual-node-affinity-injection=enabled" in shown
    control_plane.run("helm", "lint", "--strict", chart, "--values", "-", stdin=given)
