"""Alibaba Cloud on a whole sandbox: the real chart, image, API server and Helm; an emulated account.

One installation, by a RAM role (no key at all) and with two replicas, serves most tests here. The documented
ways to the node are tested with the documented manifests, of which only the image is another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.sandboxes import Sandbox

from vnodectl.sandbox.layout import Layout, Record

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

JSON = dict[str, Any]
RELEASE = "eci-connector-linux-cn-hangzhou"
ROLE = "acs:ram::1000000000000001:role/vnodectl-demo"
ALIBABA = ("--cloud", "alibaba")
INJECTION = "virtual-node-affinity-injection"

NODE_SELECTOR = """
apiVersion: v1
kind: Pod
metadata: {name: by-selector}
spec:
  containers: [{name: nginx, image: IMAGE}]
  nodeSelector: {type: virtual-kubelet}
  tolerations: [{key: virtual-kubelet.io/provider, operator: Exists}]
"""
NODE_NAME = """
apiVersion: v1
kind: Pod
metadata: {name: by-node-name}
spec:
  containers: [{name: nginx, image: IMAGE}]
  nodeName: virtual-kubelet
"""
BY_LABEL = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: by-label, namespace: vk}
spec:
  replicas: 2
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers: [{name: nginx, image: IMAGE}]
"""


def objects(shell: Sandbox, *what: str) -> list[JSON]:
    found: list[JSON] = json.loads(shell.run("kubectl", "get", *what, "-o", "json").stdout)["items"]
    return found


def everything(shell: Sandbox) -> list[str]:
    """Names of all that a connector here could leave behind."""
    kinds = (
        "nodes,pods,deployments,secrets,configmaps,services,serviceaccounts,clusterroles,clusterrolebindings,"
        "roles,rolebindings,leases,mutatingwebhookconfigurations"
    )
    return [
        f"{item['kind']} {item['metadata']['name']}"
        for item in objects(shell, kinds, "-A")
        if any(word in item["metadata"]["name"] for word in (RELEASE, "ack-virtual", "virtual-kubelet"))
    ]


def create(shell: Sandbox, manifest: str) -> None:
    text = manifest.replace("IMAGE", shell.environment["VNODECTL_SMOKE_IMAGE"])
    shell.run("kubectl", "create", "-f", "-", stdin=text)


def spec_of(shell: Sandbox, namespace: str, name: str, **labels: str) -> JSON:
    """What the API server makes of a pod; nothing is stored."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "x", "image": "none"}]},
    }
    command = ("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-")
    made: JSON = json.loads(shell.run(*command, stdin=json.dumps(pod)).stdout)["spec"]
    return made


def injected(spec: JSON, provider: str = "alibabacloud") -> bool:
    selected = (spec.get("nodeSelector") or {}).get("type") == "virtual-kubelet"
    tolerated = any(
        (one.get("key"), one.get("value")) == ("virtual-kubelet.io/provider", provider)
        for one in spec.get("tolerations") or ()
    )
    assert selected == tolerated
    return selected


@pytest.fixture(scope="module")
def sandboxed(sandbox: Sandbox) -> Sandbox:
    record = Record.load(Layout(sandbox.home, sandbox.name).record)
    assert record is not None
    if record.engine not in ("podman", "docker"):
        pytest.skip("no container engine works here")
    return sandbox


@pytest.fixture(scope="module")
def installed(sandboxed: Sandbox) -> Iterator[Sandbox]:
    done = sandboxed.run(
        *("vnodectl", "install-connector", *ALIBABA, "--cluster-id", "demo", "--ram-role", ROLE),
        *("--replicas", "2", "-o", "json"),
    )
    (connector,) = json.loads(done.stdout)["connectors"]
    assert (connector["node"], connector["status"]) == ("virtual-kubelet", "ready")
    sandboxed.run("kubectl", "create", "namespace", "vk")
    sandboxed.run("kubectl", "label", "namespace", "vk", f"{INJECTION}=enabled")
    yield sandboxed
    sandboxed.run("kubectl", "delete", "namespace", "vk", "--timeout=120s")
    left = sandboxed.run("vnodectl", "remove-connector", *ALIBABA, "--force", "--delete-groups", "-o", "json")
    assert json.loads(left.stdout)["connectors"][0]["status"] == "removed"
    assert everything(sandboxed) == []
    listing = sandboxed.run("python", "-m", "vnodectl.sandbox.eci_groups")
    assert listing.stdout == ""


def test_the_node_is_as_the_add_on_s_users_know_it(installed: Sandbox) -> None:
    node = next(one for one in objects(installed, "nodes") if one["metadata"]["name"] == "virtual-kubelet")
    assert node["metadata"]["labels"]["type"] == "virtual-kubelet"
    assert node["spec"]["taints"] == [
        {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
    ]
    secrets = [one["metadata"]["name"] for one in objects(installed, "secrets", "-n", "kube-system")]
    assert [name for name in secrets if name.endswith("-alibaba")] == [], "a role needs no key"


def test_the_three_documented_ways_to_the_node(installed: Sandbox) -> None:
    for manifest in (NODE_SELECTOR, NODE_NAME, BY_LABEL):
        create(installed, manifest)
    installed.run("kubectl", "wait", "pod/by-selector", "--for=condition=Ready", "--timeout=120s")
    installed.run("kubectl", "wait", "pod/by-node-name", "--for=condition=Ready", "--timeout=120s")
    installed.run("kubectl", "-n", "vk", "rollout", "status", "deployment/by-label", "--timeout=120s")
    pods = [*objects(installed, "pods", "-n", "default"), *objects(installed, "pods", "-n", "vk")]
    assert {one["spec"]["nodeName"] for one in pods} == {"virtual-kubelet"}
    assert len(pods) == 4
    groups = installed.run("python", "-m", "vnodectl.sandbox.eci_groups").stdout.split()
    assert len(groups) == 4
    said = installed.run("kubectl", "-n", "vk", "exec", "deployment/by-label", "--", "echo", "here").stdout
    assert said == "here\n"
    refused = installed.run("vnodectl", "remove-connector", *ALIBABA, check=False)
    assert refused.returncode == 1
    assert "4 pods still on node virtual-kubelet" in refused.stderr
    installed.run("kubectl", "delete", "pod", "by-selector", "by-node-name", "--timeout=120s")
    installed.run(
        "kubectl", "-n", "vk", "delete", "deployment", "by-label", "--cascade=foreground", "--timeout=120s"
    )


def test_labels_opt_in_and_out(installed: Sandbox) -> None:
    assert injected(spec_of(installed, "vk", "a"))
    assert not injected(spec_of(installed, "vk", "a", **{INJECTION: "disabled"}))
    assert not injected(spec_of(installed, "vk", "a", **{"alibabacloud.com/eci": "false"}))
    assert not injected(spec_of(installed, "default", "a"))
    assert injected(spec_of(installed, "default", "a", **{INJECTION: "enabled"}))
    assert injected(spec_of(installed, "default", "a", **{"alibabacloud.com/eci": "true"}))
    assert not injected(spec_of(installed, "kube-system", "a", **{INJECTION: "enabled"})), "its own namespace"
    spec = spec_of(installed, "vk", "a", **{INJECTION: "enabled", "alibabacloud.com/eci": "true"})
    keys = [one["key"] for one in spec["tolerations"]]
    assert keys.count("virtual-kubelet.io/provider") == 1, "several webhooks match, and add it once"


def test_both_replicas_serve_one_certificate_that_is_made_anew(installed: Sandbox) -> None:
    def secret() -> JSON:
        got = installed.run(
            "kubectl", "-n", "kube-system", "get", "secret", f"{RELEASE}-webhook", "-o", "json"
        )
        found: JSON = json.loads(got.stdout)["data"]
        return found

    def trusted() -> set[str]:
        got = installed.run("kubectl", "get", "mutatingwebhookconfiguration", RELEASE, "-o", "json")
        return {one["clientConfig"]["caBundle"] for one in json.loads(got.stdout)["webhooks"]}

    first = secret()
    assert trusted() == {first["ca.crt"]}
    pods = objects(installed, "pods", "-n", "kube-system", "-l", f"app.kubernetes.io/instance={RELEASE}")
    assert len([one for one in pods if one["status"]["phase"] == "Running"]) == 2
    # Lost, as by a hand: the pods that come next make another, and all agree on it.
    empty = json.dumps([{"op": "remove", "path": "/data"}])
    installed.run(
        "kubectl", "-n", "kube-system", "patch", "secret", f"{RELEASE}-webhook", "--type=json", "-p", empty
    )
    installed.run("kubectl", "-n", "kube-system", "rollout", "restart", f"deployment/{RELEASE}")
    installed.run(
        *("kubectl", "-n", "kube-system", "rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")
    )
    done = installed.run(
        *("kubectl", "wait", "-n", "kube-system", "secret", f"{RELEASE}-webhook", "--timeout=60s"),
        "--for=jsonpath={.data.tls\\.crt}",
    )
    assert done.returncode == 0
    second = secret()
    assert second["tls.crt"] != first["tls.crt"]
    installed.run(
        *("kubectl", "wait", "mutatingwebhookconfiguration", RELEASE, "--timeout=60s"),
        f"--for=jsonpath={{.webhooks[0].clientConfig.caBundle}}={second['ca.crt']}",
    )
    assert trusted() == {second["ca.crt"]}
    for number in range(6):  # whichever replica is asked
        assert injected(spec_of(installed, "vk", f"again-{number}"))


def test_the_connector_may_touch_its_own_two_objects_alone(installed: Sandbox) -> None:
    def may(verb: str, what: str, *where: str) -> bool:
        account = f"system:serviceaccount:kube-system:{RELEASE}"
        done = installed.run("kubectl", "auth", "can-i", verb, what, *where, f"--as={account}", check=False)
        return done.stdout.strip() == "yes"

    own = f"mutatingwebhookconfigurations/{RELEASE}"
    assert may("patch", own)
    assert not may("delete", own)
    assert not may("patch", "mutatingwebhookconfigurations/other")
    assert not may("create", "mutatingwebhookconfigurations")
    assert may("update", f"secrets/{RELEASE}-webhook", "-n", "kube-system")
    assert not may("update", "secrets/other", "-n", "kube-system")
    assert not may("create", "secrets", "-n", "kube-system")


def test_validate_and_the_chart_s_own_test(installed: Sandbox) -> None:
    done = installed.run("vnodectl", "validate", *ALIBABA, "-o", "json")
    report = json.loads(done.stdout)
    assert (report["ok"], [one["node"] for one in report["nodes"]]) == (True, ["virtual-kubelet"])
    installed.run("helm", "-n", "kube-system", "test", RELEASE)
    missing = installed.run("vnodectl", "validate", *ALIBABA, "--os-type", "Windows", check=False)
    assert missing.returncode == 2


def test_checks_ask_the_account_and_find_nothing_wrong(installed: Sandbox) -> None:
    done = installed.run("vnodectl", "check", *ALIBABA, "--cluster-id", "demo", "-o", "json", check=False)
    report = json.loads(done.stdout)
    mine = {one["id"]: one for one in report["checks"] if one["id"].startswith("VN-ALI-")}
    assert len(mine) > 5
    assert [one for one in mine.values() if one["verdict"] == "failed"] == []
    assert [one["id"] for one in mine.values() if one["verdict"] == "passed"]
    assert [one["id"] for one in report["checks"] if one["id"].startswith("VN-AZ-")] == []


def test_it_is_shown_and_upgraded_with_what_it_was_told(installed: Sandbox) -> None:
    shown = json.loads(installed.run("vnodectl", "show-connector", "-o", "json").stdout)["connectors"]
    assert RELEASE in [one["release"] for one in shown]
    done = installed.run("vnodectl", "upgrade-connector", *ALIBABA, "-o", "json")
    (upgraded,) = json.loads(done.stdout)["connectors"]
    assert (upgraded["release"], upgraded["status"]) == (RELEASE, "ready")
    # Helm's new revision takes neither the certificate nor the trust in it away.
    assert injected(spec_of(installed, "vk", "after-upgrade"))


def test_a_sample_of_each_cloud_keeps_to_its_cloud(installed: Sandbox) -> None:
    for cloud, value in (("azure", "azure"), ("alibaba", "alibabacloud")):
        manifest = installed.run("vnodectl", "sample", "linux", "--cloud", cloud).stdout
        spec = yaml.safe_load(manifest)["spec"]["template"]["spec"]
        assert [one["value"] for one in spec["tolerations"]] == [value]
        installed.run("kubectl", "apply", "--dry-run=server", "-f", "-", stdin=manifest)


def test_a_second_connector_by_the_add_on_s_release_and_a_key(installed: Sandbox) -> None:
    """Beside the first one; the key is nowhere but in its Secret."""
    secret = installed.environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]
    done = installed.run(
        *(
            "vnodectl",
            "install-connector",
            *ALIBABA,
            "--cluster-id",
            "demo",
            "--no-webhook",
            "-vv",
            "-o",
            "json",
        ),
        *("--connector-name", "second", "--release-name", "ack-virtual-node", "--node-name", "vk-second"),
    )
    shown = done.stdout + done.stderr
    shown += installed.run("helm", "-n", "kube-system", "get", "all", "ack-virtual-node").stdout
    shown += installed.run("kubectl", "-n", "kube-system", "logs", "deployment/ack-virtual-node").stdout
    assert secret not in shown
    assert base64.b64encode(secret.encode()).decode() not in shown
    kept = installed.run(
        *("kubectl", "-n", "kube-system", "get", "secret", "ack-virtual-node-alibaba", "-o", "json")
    )
    assert base64.b64decode(json.loads(kept.stdout)["data"]["accessKeySecret"]).decode() == secret
    nodes = {one["metadata"]["name"] for one in objects(installed, "nodes", "-l", "type=virtual-kubelet")}
    assert {"virtual-kubelet", "vk-second"} <= nodes
    done = installed.run(
        "vnodectl", "remove-connector", *ALIBABA, "--release-name", "ack-virtual-node", "-o", "json"
    )
    (removed,) = json.loads(done.stdout)["connectors"]
    assert (removed["node"], removed["containerGroupsLeft"]) == ("vk-second", [])
    left = {one["metadata"]["name"] for one in objects(installed, "nodes", "-l", "type=virtual-kubelet")}
    assert "vk-second" not in left
    assert "virtual-kubelet" in left, "the other connector stays"


def test_the_webhook_serves_azure_alike(installed: Sandbox) -> None:
    at = ("-g", "demo-aks", "-n", "demo")
    installed.run(
        *("vnodectl", "install-connector", *at, "--aci-resource-group", "demo-aci", "--webhook"),
        *("--connector-name", "hooked"),
    )
    try:
        spec = spec_of(installed, "default", "a", **{INJECTION: "enabled"})
        providers = {one.get("value") for one in spec["tolerations"]} & {"azure", "alibabacloud"}
        assert len(providers) == 1, "of two connectors one takes a pod"
    finally:
        installed.run("vnodectl", "remove-connector", *at, "--connector-name", "hooked", "--force")
