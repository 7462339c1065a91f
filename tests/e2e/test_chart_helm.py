"""What the chart makes of its values, by the real Helm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

pytestmark = pytest.mark.e2e

JSON = dict[str, Any]
NODE = "virtual-kubelet-aci-linux-eastus"


class Shell(Protocol):
    """A sandbox's `run`."""

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> Any: ...


def values(identity: JSON | None = None, **more: Any) -> JSON:
    return {
        "azure": {
            "subscriptionId": "sub",
            "tenantId": "ten",
            "resourceGroup": "rg",
            "region": "eastus",
            "identity": identity or {"clientId": "app", "existingSecret": "its-secret"},
        },
        **more,
    }


def render(shell: Shell, repository: Path, given: JSON) -> list[JSON]:
    done = shell.run(
        "helm",
        "template",
        "aci-linux-eastus",
        str(repository / "charts" / "vnode-connector"),
        "--namespace",
        "vnode-system",
        "--values",
        "-",
        stdin=json.dumps(given),
    )
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def one(manifests: list[JSON], kind: str, name: str = "aci-linux-eastus") -> JSON:
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}"
    return found[0]


def environment(manifests: list[JSON]) -> dict[str, Any]:
    container = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.fixture
def manifests(control_plane: Shell, repository: Path) -> list[JSON]:
    return render(control_plane, repository, values())


def test_lint(control_plane: Shell, repository: Path) -> None:
    chart = str(repository / "charts" / "vnode-connector")
    control_plane.run("helm", "lint", "--strict", chart, "--values", "-", stdin=json.dumps(values()))


def test_rights_are_the_least(manifests: list[JSON]) -> None:
    roles = [each for each in manifests if each["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles for rule in role["rules"]]
    assert rules
    for rule in rules:
        for field in ("apiGroups", "resources", "verbs"):
            assert "*" not in rule[field]
    verbs: dict[str, set[str]] = {}
    for rule in rules:
        for resource in rule["resources"]:
            verbs.setdefault(resource, set()).update(rule["verbs"])
    assert verbs["secrets"] == {"get"}
    assert verbs["configmaps"] == {"get"}
    assert "nodes/proxy" not in verbs
    bound = [each["roleRef"]["name"] for each in manifests if each["kind"].endswith("RoleBinding")]
    assert "cluster-admin" not in bound


@pytest.mark.parametrize("count", [1, 3])
def test_nodes_and_leases_are_its_own(count: int, control_plane: Shell, repository: Path) -> None:
    manifests = render(control_plane, repository, values(nodes=count))
    nodes = [NODE, f"{NODE}-2", f"{NODE}-3"][:count]
    named = 0
    for role in manifests:
        if role["kind"] not in {"ClusterRole", "Role"} or role["metadata"].get("namespace") == "vnode-system":
            continue
        for rule in role["rules"]:
            if set(rule["resources"]) & {"nodes", "nodes/status", "leases"} and rule["verbs"] != ["create"]:
                assert rule["resourceNames"] == nodes
                named += 1
    assert named == 5, "two for Nodes and one for Leases of the connector, two of the test"


def test_the_leases_of_replicas_are_in_its_own_namespace_only(manifests: list[JSON]) -> None:
    (role,) = [
        each
        for each in manifests
        if each["kind"] == "Role" and each["metadata"]["namespace"] == "vnode-system"
    ]
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["coordination.k8s.io"], ["leases"])
    assert "resourceNames" not in rule


def test_replicas_share_nodes(control_plane: Shell, repository: Path) -> None:
    manifests = render(control_plane, repository, values(nodes=3, replicas=2))
    found = environment(manifests)
    assert found["VNODECTL_NODES"] == "3"
    assert found["VNODECTL_LEASE_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert found["VNODECTL_REPLICA"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    spec = one(manifests, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert spec["template"]["metadata"]["labels"]["vnodectl.io/nodes"] == "3"
    ports = spec["template"]["spec"]["containers"][0]["ports"]
    assert {port["name"]: port["containerPort"] for port in ports} == {
        "kubelet": 10250,
        "kubelet-2": 10251,
        "kubelet-3": 10252,
        "health": 8081,
    }
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    test = one(manifests, "Pod", "aci-linux-eastus-test")["spec"]["containers"][0]
    assert test["args"] == ["wait-node", NODE, f"{NODE}-2", f"{NODE}-3", "--timeout", "60s"]


def test_a_single_replica_has_nothing_to_spread(manifests: list[JSON]) -> None:
    assert "topologySpreadConstraints" not in one(manifests, "Deployment")["spec"]["template"]["spec"]
    assert not [each for each in manifests if each["kind"] == "PodDisruptionBudget"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"nodes": 2, "ports": {"kubelet": 65535}}, "2 nodes need the ports 65535 to 65536"),
        ({"nodes": 2, "ports": {"health": 10251}}, "10251 is one of the kubelet ports 10250 to 10251"),
        ({"nodes": 2, "node": {"name": "a" * 62}}, "has 64 characters; Kubernetes allows 63"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    said: JSON, message: str, control_plane: Shell, repository: Path
) -> None:
    chart = str(repository / "charts" / "vnode-connector")
    done = control_plane.run(
        "helm", "template", "x", chart, "-f", "-", check=False, stdin=json.dumps(values(**said))
    )
    assert done.returncode != 0
    assert message in done.stderr


def test_the_pod_meets_the_restricted_profile(manifests: list[JSON]) -> None:
    pods = [
        one(manifests, "Deployment")["spec"]["template"]["spec"],
        one(manifests, "Pod", "aci-linux-eastus-test")["spec"],
    ]
    for spec in pods:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_probes_are_on_the_health_port(manifests: list[JSON]) -> None:
    container = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"kubelet": 10250, "health": 8081}
    paths = {
        probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {get["port"] for get in paths.values()} == {"health"}
    assert paths["readinessProbe"]["path"] == "/readyz"
    assert paths["livenessProbe"]["path"] == "/livez"


def test_the_environment_of_the_agent(control_plane: Shell, repository: Path) -> None:
    given = values(osType="Windows", apiServer="https://10.0.0.1:6443", node={"pods": "50", "taint": False})
    given["node"]["ephemeralStorage"] = "1Ti"
    found = environment(render(control_plane, repository, given))
    assert found["VNODECTL_PROVIDER"] == "aci"
    assert found["VNODECTL_NODE_NAME"] == NODE
    assert found["VNODECTL_CONNECTOR"] == "aci-linux-eastus"
    assert found["VNODECTL_OS_TYPE"] == "Windows"
    assert found["VNODECTL_API_SERVER"] == "https://10.0.0.1:6443"
    assert found["VNODECTL_NODE_PODS"] == "50"
    assert found["VNODECTL_NODE_EPHEMERAL_STORAGE"] == "1Ti"
    assert found["VNODECTL_TAINT"] == "false"
    assert found["VNODECTL_NODE_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert "VNODECTL_NODE_CPU" not in found


def test_a_service_principals_secret_is_a_file_of_an_existing_secret(manifests: list[JSON]) -> None:
    assert environment(manifests)["VNODECTL_AZURE_CLIENT_SECRET_FILE"] == "/etc/vnodectl/azure/clientSecret"
    assert "AZURE_CLIENT_SECRET" not in environment(manifests)
    volumes = one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert [each["secret"]["secretName"] for each in volumes if "secret" in each] == ["its-secret"]
    assert not [each for each in manifests if each["kind"] == "Secret"]


def test_a_service_principals_certificate_is_a_file_of_an_existing_secret(
    control_plane: Shell, repository: Path
) -> None:
    who = {"clientId": "app", "credential": "certificate", "existingSecret": "its-secret"}
    manifests = render(control_plane, repository, values(who))
    found = environment(manifests)
    assert found["AZURE_CLIENT_CERTIFICATE_PATH"] == "/etc/vnodectl/azure/clientCertificate"
    assert "VNODECTL_AZURE_CLIENT_SECRET_FILE" not in found
    volumes = one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (secret,) = [each["secret"] for each in volumes if "secret" in each]
    assert (secret["secretName"], secret["items"][0]["key"]) == ("its-secret", "clientCertificate")


def test_a_secret_in_the_values_becomes_a_secret(control_plane: Shell, repository: Path) -> None:
    def made(secret: str) -> list[JSON]:
        return render(control_plane, repository, values({"clientId": "app", "clientSecret": secret}))

    first, second = made("one"), made("two")
    assert one(first, "Secret", "aci-linux-eastus-azure")["data"] == {"clientSecret": "b25l"}
    revisions = [
        one(each, "Deployment")["spec"]["template"]["metadata"]["annotations"]["vnodectl.io/secret-revision"]
        for each in (first, second)
    ]
    assert revisions[0] != revisions[1], "a changed secret restarts the pod"


def test_workload_identity(control_plane: Shell, repository: Path) -> None:
    found = render(control_plane, repository, values({"type": "workloadIdentity", "clientId": "wid"}))
    annotations = one(found, "ServiceAccount")["metadata"]["annotations"]
    assert annotations["azure.workload.identity/client-id"] == "wid"
    template = one(found, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert environment(found)["AZURE_FEDERATED_TOKEN_FILE"].startswith("/var/run/secrets/azure/tokens/")
    sources = [each["projected"]["sources"] for each in template["spec"]["volumes"] if "projected" in each]
    assert sources[0][0]["serviceAccountToken"]["audience"] == "api://AzureADTokenExchange"


def test_managed_identity_has_nothing_to_mount(control_plane: Shell, repository: Path) -> None:
    found = render(control_plane, repository, values({"type": "managedIdentity"}))
    assert "AZURE_CLIENT_ID" not in environment(found)
    volumes = one(found, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert [each["name"] for each in volumes] == ["tmp"]


def test_a_private_ca(control_plane: Shell, repository: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    found = render(control_plane, repository, values(caBundle=pem))
    assert one(found, "ConfigMap", "aci-linux-eastus-ca")["data"] == {"ca.pem": pem}
    assert environment(found)["VNODECTL_CA_BUNDLE"] == "/etc/vnodectl/ca/ca.pem"


def test_the_connector_is_kept_off_virtual_nodes(manifests: list[JSON]) -> None:
    for spec in (
        one(manifests, "Deployment")["spec"]["template"]["spec"],
        one(manifests, "Pod", "aci-linux-eastus-test")["spec"],
    ):
        required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (term,) = required["nodeSelectorTerms"]
        assert term["matchExpressions"] == [
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]},
        ]
        assert "tolerations" not in spec


def test_images(control_plane: Shell, repository: Path) -> None:
    def image(**said: str) -> str:
        found = render(control_plane, repository, values(image={"repository": "r/v", **said}))
        return str(one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"])

    digest = f"sha256:{'a' * 64}"
    assert image() == "r/v:0.1.0"
    assert image(tag="2") == "r/v:2"
    assert image(tag="2", digest=digest) == f"r/v@{digest}"


def test_a_value_outside_the_schema_is_refused(control_plane: Shell, repository: Path) -> None:
    chart = str(repository / "charts" / "vnode-connector")
    done = control_plane.run(
        "helm", "template", "x", chart, "-f", "-", check=False, stdin=json.dumps(values(surprise=1))
    )
    assert done.returncode != 0
    assert "surprise" in done.stderr


def test_a_disruption_budget_is_left_out_when_asked(control_plane: Shell, repository: Path) -> None:
    found = render(control_plane, repository, values(replicas=2, podDisruptionBudget={"enabled": False}))
    assert not [each for each in found if each["kind"] == "PodDisruptionBudget"]


def test_a_disruption_budget_is_made_when_asked(control_plane: Shell, repository: Path) -> None:
    found = render(control_plane, repository, values(podDisruptionBudget={"enabled": True}))
    budget = one(found, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1
    labels = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def _requests_certificates(manifests: list[JSON]) -> bool:
    rules = one(manifests, "ClusterRole")["rules"]
    return any("certificatesigningrequests" in rule["resources"] for rule in rules)


@pytest.mark.parametrize(("mode", "asks"), [("auto", True), ("csr", True), ("self-signed", False)])
def test_only_a_node_that_asks_for_certificates_may(
    mode: str, asks: bool, control_plane: Shell, repository: Path
) -> None:
    manifests = render(control_plane, repository, values(kubeletApi={"servingCertificate": mode}))
    assert environment(manifests)["VNODECTL_SERVING_CERTIFICATE"] == mode
    assert _requests_certificates(manifests) is asks


def test_a_certificate_of_the_users_own(control_plane: Shell, repository: Path) -> None:
    manifests = render(control_plane, repository, values(kubeletApi={"certificateSecret": "mine"}))
    told = environment(manifests)
    assert "VNODECTL_SERVING_CERTIFICATE" not in told
    assert told["VNODECTL_SERVING_CERT_FILE"] == "/etc/vnodectl/serving/tls.crt"
    spec = one(manifests, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "serving"]
    assert volume["secret"]["secretName"] == "mine"
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "serving"]
    assert mount == {"name": "serving", "mountPath": "/etc/vnodectl/serving", "readOnly": True}
    assert not _requests_certificates(manifests)


@pytest.mark.parametrize("name", ["true", "007"])
def test_names_that_yaml_takes_for_something_else_stay_text(
    control_plane: Shell, repository: Path, name: str
) -> None:
    chart = str(repository / "charts" / "vnode-connector")
    given = json.dumps(
        values(
            connector={"name": name},
            osType="Linux",
            node={"name": name},
            priorityClassName=name,
            clusterDns={"domain": name},
        )
    )
    done = control_plane.run("helm", "template", "123", chart, "--values", "-", stdin=given)
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    assert one(manifests, "Deployment", "123")["metadata"]["labels"]["vnodectl.io/connector"] == name
    assert {type(manifest["metadata"]["name"]) for manifest in manifests} == {str}
    labels = [manifest["metadata"]["labels"] for manifest in manifests]
    assert {type(value) for each in labels for value in each.values()} == {str}
    assert one(manifests, "Deployment", "123")["metadata"]["annotations"]["vnodectl.io/node"] == name
    spec = one(manifests, "Deployment", "123")["spec"]["template"]["spec"]
    told = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    assert (told["VNODECTL_NODE_NAME"], told["VNODECTL_CLUSTER_DOMAIN"]) == (name, name)
    assert spec["priorityClassName"] == name
