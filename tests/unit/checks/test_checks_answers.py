"""Each check with what makes it pass and what makes it fail: a cluster over a socket, a cloud in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.canned_azure import ACI, SUBSCRIPTION, CannedAzure
from support.fake_api import client, fake_cluster, status

from vnodectl.checks.catalog import all_checks, run_install_checks
from vnodectl.checks.context import Context
from vnodectl.checks.helm import HelmProgram
from vnodectl.checks.model import Verdict
from vnodectl.checks.runner import Selection, run, validate
from vnodectl.checks.target import AlibabaTarget, IdentityRef, Target
from vnodectl.clouds.azure import AzureForbidden, AzureNotFound, AzureUnauthorized
from vnodectl.connector.identity import ServicePrincipal
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import AksCluster, AzureTarget, Plan
from vnodectl.errors import CloudUnreachable
from vnodectl.sandbox.versions import SUPPORTED

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONNECTOR = Connector("aci-connector", "Linux", "eastus")
PLAN = Plan(
    cloud="azure",
    connector_name="aci-connector",
    namespace="vnode-system",
    connectors=(CONNECTOR,),
    azure=AzureTarget("sub-1", "tenant-1", "groups", "eastus"),
    identity=ServicePrincipal("client", "s3cr3t-marker"),
    cluster=AksCluster("aks-group", "aks"),
)
TARGET = Target.from_plan(PLAN)


class Cloud(CannedAzure):
    """What these checks look at, by name. Set a field to an exception to have it raised."""

    def __init__(self):
        super().__init__()
        self.account = {"subscriptionId": "sub-1", "displayName": "Test", "state": "Enabled"}
        self.provider = {
            "registrationState": "Registered",
            "resourceTypes": [{"resourceType": "containerGroups", "locations": ["East US", "West Europe"]}],
        }
        self.properties = {
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            "networkProfile": {"networkPlugin": "azure"},
            "addonProfiles": {},
        }
        self.group = {"location": "eastus", "properties": {"provisioningState": "Succeeded"}}
        registered = {"registrationState": "Registered"}
        place = f"{SUBSCRIPTION}/providers/{ACI}/locations/eastus"
        size = {"maxCpu": 4, "maxMemoryInGB": 16}
        usage = {"name": {"value": "ContainerGroups"}, "currentValue": 1, "limit": 100}
        self.put(f"{SUBSCRIPTION}/providers/Microsoft.ContainerService", registered)
        self.put(
            f"{place}/capabilities", {"value": [{"osType": "Linux", "gpu": "None", "capabilities": size}]}
        )
        self.put(f"{place}/usages", {"value": [usage]})
        self.put("graph:/v1.0/servicePrincipals", {"value": [{"id": "object-1", "displayName": "app"}]})
        secret = {"endDateTime": "2030-01-01T00:00:00Z"}
        self.put("graph:/v1.0/applications", {"value": [{"id": "app-1", "passwordCredentials": [secret]}]})
        scope = f"{SUBSCRIPTION}/resourceGroups/groups"
        role = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/contributor"
        assignment = {"properties": {"scope": SUBSCRIPTION, "roleDefinitionId": role}}
        self.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments", {"value": [assignment]})
        permission = {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}
        self.put(role, {"properties": {"roleName": "Contributor", "permissions": [permission]}})

    def _say(self, path):
        cluster = self.properties
        if not isinstance(cluster, Exception):
            cluster = {"properties": cluster}
        managed = "/providers/Microsoft.ContainerService/managedClusters/aks"
        self.put(SUBSCRIPTION, self.account)
        self.put(f"{SUBSCRIPTION}/providers/{ACI}", self.provider)
        self.put(f"{SUBSCRIPTION}/resourceGroups/aks-group{managed}", cluster)
        self.put(f"{SUBSCRIPTION}/resourceGroups/groups", self.group)
        return super()._say(path)


@pytest.fixture
def cloud():
    return Cloud()


class Charts:
    """Helm as checks read it, with one Deployment."""

    def __init__(self, image="registry.example/connector:1.0"):
        container = {"name": "connector", "image": image}
        spec = {
            "containers": [container],
            "serviceAccountName": "own",
            "imagePullSecrets": [{"name": "pull"}],
        }
        self.deployment = {"kind": "Deployment", "spec": {"template": {"spec": spec}}}

    async def found(self):
        return "/usr/bin/helm"

    async def version(self):
        return "v4.3.1"

    async def manifests(self):
        return [{"kind": "Namespace"}, self.deployment]


@pytest.fixture
def helm(tmp_path):
    """A helm that says which version it is."""

    def make(version="v4.3.1", code=0):
        path = tmp_path / "helm"
        path.write_text(f"#!/bin/sh\nprintf '%s' '{version}'\nexit {code}\n")
        path.chmod(0o755)
        return str(path)

    return make


async def outcome(id_, *, kube=None, azure=None, target=TARGET, helm="helm"):
    """What one check says, with what it needs."""
    context = Context(target=target, kube=kube, azure=azure, helm=HelmProgram(helm), now=lambda: NOW)
    report = await run(all_checks(), context, selection=Selection(only=(id_,)))
    return next(one for one in report.outcomes if one.check.id == id_)


@asynccontextmanager
async def a_cluster():
    async with fake_cluster() as (api, kube):
        yield api, kube


# --- all of them ----------------------------------------------------------------------------------


def test_the_catalogue_is_sound():
    validate(all_checks())
    for check in all_checks():
        assert check.title.endswith("?")
        assert check.id.startswith("VN-")
        assert check.doc == f"checks.md#{check.id.lower()}"


async def test_before_an_installation_everything_is_asked_and_little_is_read(cloud):
    async with a_cluster() as (api, kube):
        api.put("namespaces", {"metadata": {"name": "vnode-system"}})
        context = Context(target=TARGET, kube=kube, azure=cloud, helm=Charts(), now=lambda: NOW)
        report = await run(all_checks(), context)
    skipped = {one.check.id: one.answer.cause for one in report.outcomes if one.verdict is Verdict.SKIPPED}
    assert {one.verdict for one in report.outcomes} == {Verdict.PASSED, Verdict.SKIPPED}, report.document()
    subnet = {f"VN-AZ-{number:03}" for number in (10, 16, 17, 18, 19, 20, 21)}
    assert {id_ for id_ in skipped if not id_.startswith("VN-ALI")} == {*subnet, "VN-AZ-024", "VN-REL-005"}
    # Facts that several checks want are read once.
    assert len(cloud.calls) == len(set(cloud.calls))
    assert api.requests.count("GET /version") == 2  # its version, and its clock
    assert api.requests.count("GET /api/v1/namespaces/vnode-system/secrets") == 1
    assert not [line for line in api.requests if line.startswith(("PUT", "PATCH", "DELETE"))]


async def test_without_sessions_their_checks_are_skipped(helm):
    report = await run_install_checks(PLAN, kube=None, azure=None, helm_path=helm())
    asked = {one.check.id for one in report.outcomes if one.attempts}
    assert asked == {"VN-TOOL-001", "VN-TOOL-002", "VN-REL-001", "VN-REL-004"}


async def test_an_unreachable_cluster_is_one_failure(cloud, helm):
    async with client("http://127.0.0.1:1") as kube:
        report = await run_install_checks(PLAN, kube=kube, azure=cloud, helm_path=helm())
    assert [one.check.id for one in report.failures] == ["VN-KUBE-001"]
    assert report.exit_code() == 5


async def test_nothing_secret_is_in_a_report(cloud, helm):
    report = await run_install_checks(PLAN, kube=None, azure=cloud, helm_path=helm())
    assert "s3cr3t-marker" not in str(report.document())


# --- tools ----------------------------------------------------------------------------------------


async def test_helm_is_not_there():
    found = await outcome("VN-TOOL-001", helm="/nowhere/helm")
    assert found.verdict is Verdict.FAILED
    assert "helm.sh" in found.answer.fix


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("v4.3.1", Verdict.PASSED),
        ("v3.16.0", Verdict.PASSED),
        ("v3.17.0-rc.1+g1234", Verdict.PASSED),
        ("v3.15.4", Verdict.FAILED),
        ("v3.7.9", Verdict.FAILED),
        ("v2.17.0", Verdict.FAILED),
        ("v4.3", Verdict.FAILED),
        ("", Verdict.FAILED),
    ],
)
async def test_helms_version(helm, version, verdict):
    found = await outcome("VN-TOOL-002", helm=helm(version))
    assert found.verdict is verdict
    assert version in found.answer.evidence


async def test_helm_that_fails(helm):
    found = await outcome("VN-TOOL-002", helm=helm("v3.0", code=7))
    assert found.verdict is Verdict.FAILED
    assert "code 7" in found.answer.cause


# --- cluster --------------------------------------------------------------------------------------


async def test_refused_credentials_are_no_answer():
    async with a_cluster() as (api, kube):
        api.refuse = lambda *_: status(401, "Unauthorized")
        found = await outcome("VN-KUBE-001", kube=kube)
    assert found.verdict is Verdict.FAILED
    assert "credentials" in found.answer.cause
    assert found.exit_code == 5


@pytest.mark.parametrize(
    ("major", "minor", "verdict"),
    [
        ("1", str(SUPPORTED[0].minor - 1), Verdict.FAILED),
        ("1", str(SUPPORTED[0].minor), Verdict.PASSED),
        ("1", f"{SUPPORTED[0].minor}+", Verdict.PASSED),
        ("1", str(SUPPORTED[-1].minor), Verdict.PASSED),
        ("1", str(SUPPORTED[-1].minor + 1), Verdict.WARNING),
        ("", "", Verdict.FAILED),
    ],
)
async def test_the_clusters_version(major, minor, verdict):
    """Supported is what `make test-compat` runs the scenarios on, from the oldest to the newest."""
    async with a_cluster() as (api, kube):
        api.version = {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.1"}
        found = await outcome("VN-KUBE-002", kube=kube)
    assert found.verdict is verdict
    assert found.answer.evidence


@pytest.mark.parametrize(
    ("target", "fix"),
    [
        (
            replace(TARGET, cluster_resource_group="", cluster=""),
            "az aks upgrade -g <group> -n <cluster> --kubernetes-version 1.31",
        ),
        (
            replace(TARGET, cluster_resource_group="mine", cluster="aks-1"),
            "az aks upgrade -g mine -n aks-1 --kubernetes-version 1.31",
        ),
        (replace(TARGET, cloud="alibaba"), "aliyun cs POST /api/v2/clusters/<cluster>/upgrade "),
        (
            replace(TARGET, cloud="alibaba", alibaba=AlibabaTarget(cluster="c-1")),
            'aliyun cs POST /api/v2/clusters/c-1/upgrade --body \'{"next_version":"<version>"}\'',
        ),
    ],
)
async def test_an_old_cluster_is_upgraded_by_its_own_cloud(target, fix):
    async with a_cluster() as (api, kube):
        api.version = {"major": "1", "minor": "30"}
        found = await outcome("VN-KUBE-002", kube=kube, target=target)
    assert found.answer.fix.startswith(fix)


def grants(*refused):
    """Access reviews that refuse these `verb resource[.group]`, and that nobody is an administrator."""

    def allowed(attributes):
        group = f".{attributes['group']}" if attributes.get("group") else ""
        sub = f"/{attributes['subresource']}" if attributes.get("subresource") else ""
        asked = f"{attributes['verb']} {attributes['resource']}{sub}{group}"
        return asked not in (*refused, "* *.*")

    return allowed


async def test_rights_that_are_missing_are_named():
    async with a_cluster() as (api, kube):
        api.allowed = grants("create deployments.apps", "create secrets")
        found = await outcome("VN-KUBE-003", kube=kube)
    assert found.verdict is Verdict.FAILED
    assert "create deployments.apps in vnode-system" in found.answer.evidence
    assert "create secrets in vnode-system" in found.answer.evidence
    assert found.answer.fix.startswith("kubectl create clusterrolebinding")


async def test_a_webhook_wants_rights_of_its_own():
    right = "create mutatingwebhookconfigurations.admissionregistration.k8s.io"
    async with a_cluster() as (api, kube):
        api.allowed = grants(right)
        assert (await outcome("VN-KUBE-003", kube=kube)).verdict is Verdict.PASSED
        found = await outcome("VN-KUBE-003", kube=kube, target=replace(TARGET, webhook=True))
    assert found.verdict is Verdict.FAILED
    assert right in found.answer.evidence


@pytest.mark.parametrize(
    ("refused", "verdict"),
    [
        (("list configmaps",), Verdict.PASSED),  # may escalate
        (("create roles.rbac.authorization.k8s.io",), Verdict.FAILED),
        (("list configmaps", "escalate roles.rbac.authorization.k8s.io"), Verdict.FAILED),
    ],
)
async def test_the_followed_config_map_wants_rights_on_alibaba_cloud_alone(refused, verdict):
    async with a_cluster() as (api, kube):
        outside = grants(*refused)

        def allowed(attributes):
            return attributes.get("namespace") != "kube-system" or outside(attributes)

        api.allowed = lambda attributes: allowed(attributes) and grants()(attributes)
        assert (await outcome("VN-KUBE-003", kube=kube)).verdict is Verdict.PASSED
        found = await outcome("VN-KUBE-003", kube=kube, target=replace(TARGET, cloud="alibaba"))
    assert found.verdict is verdict
    assert verdict is Verdict.PASSED or refused[0] in found.answer.evidence


@pytest.mark.parametrize(
    ("refused", "verdict"),
    [
        ((), Verdict.PASSED),
        (("update nodes/status",), Verdict.PASSED),  # may escalate
        (("update nodes/status", "escalate clusterroles.rbac.authorization.k8s.io"), Verdict.FAILED),
    ],
)
async def test_rights_to_give_away_are_held_or_may_be_escalated(refused, verdict):
    async with a_cluster() as (api, kube):
        api.allowed = grants(*refused)
        found = await outcome("VN-KUBE-003", kube=kube)
    assert found.verdict is verdict


async def test_an_administrator_is_asked_one_question():
    async with a_cluster() as (api, kube):
        await outcome("VN-KUBE-003", kube=kube)
    assert len([line for line in api.requests if line.startswith("POST")]) == 1


# --- azure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "verdict"),
    [("Enabled", Verdict.PASSED), ("PastDue", Verdict.WARNING), ("Disabled", Verdict.FAILED)],
)
async def test_the_subscriptions_state(cloud, state, verdict):
    cloud.account["state"] = state
    assert (await outcome("VN-AZ-001", azure=cloud)).verdict is verdict


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AzureUnauthorized(401, "InvalidAuthenticationToken", "expired", hint="az login"), 5),
        (CloudUnreachable("Azure did not answer"), 5),
        (AzureForbidden(403, "AuthorizationFailed", "no right"), 1),
        (AzureNotFound(404, "SubscriptionNotFound", "no such subscription"), 1),
    ],
)
async def test_azure_says_no(cloud, error, code):
    cloud.account = error
    found = await outcome("VN-AZ-001", azure=cloud)
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, code)
    assert error.message in found.answer.cause


@pytest.mark.parametrize("state", ["NotRegistered", "Unregistered", "Registering", None])
async def test_the_provider_is_not_registered(cloud, state):
    cloud.provider["registrationState"] = state
    found = await outcome("VN-AZ-002", azure=cloud)
    assert found.verdict is Verdict.FAILED
    assert "az provider register --namespace Microsoft.ContainerInstance" in found.answer.fix


@pytest.mark.parametrize(
    ("properties", "verdict", "fix"),
    [
        ({"powerState": {"code": "Stopped"}}, Verdict.FAILED, "az aks start -g aks-group -n aks"),
        ({"provisioningState": "Creating"}, Verdict.FAILED, "az aks wait -g aks-group -n aks"),
        ({"provisioningState": "Failed"}, Verdict.WARNING, "az aks update -g aks-group -n aks"),
        ({"provisioningState": "Updating"}, Verdict.PASSED, ""),
    ],
)
async def test_the_aks_clusters_state(cloud, properties, verdict, fix):
    cloud.properties |= properties
    found = await outcome("VN-AZ-003", azure=cloud)
    assert found.verdict is verdict
    assert found.answer.fix.startswith(fix)


async def test_the_aks_cluster_does_not_exist(cloud):
    cloud.properties = AzureNotFound(404, "ResourceNotFound", "was not found")
    found = await outcome("VN-AZ-003", azure=cloud)
    assert found.answer.cause == "there is no AKS cluster aks in resource group aks-group"
    assert "az aks list" in found.answer.fix


@pytest.mark.parametrize("id_", ["VN-AZ-003", "VN-AZ-004", "VN-AZ-005"])
async def test_without_an_aks_cluster_these_do_not_arise(cloud, id_):
    found = await outcome(id_, azure=cloud, target=replace(TARGET, cluster=""))
    assert found.verdict is Verdict.SKIPPED
    assert "no AKS cluster is named" in found.answer.cause


@pytest.mark.parametrize(
    ("profile", "verdict", "cause"),
    [
        ({"networkPlugin": "azure"}, Verdict.PASSED, ""),
        ({"networkPlugin": "azure", "networkPluginMode": None}, Verdict.PASSED, ""),
        ({"networkPlugin": "kubenet"}, Verdict.FAILED, "kubenet gives pods addresses"),
        ({"networkPlugin": "azure", "networkPluginMode": "overlay"}, Verdict.FAILED, "overlay mode"),
        ({"networkPlugin": "none"}, Verdict.WARNING, "its own network plug-in"),
        ({}, Verdict.FAILED, "need Azure CNI"),
    ],
)
async def test_the_clusters_network(cloud, profile, verdict, cause):
    cloud.properties["networkProfile"] = profile
    found = await outcome("VN-AZ-004", azure=cloud)
    assert found.verdict is verdict
    assert cause in found.answer.cause
    assert profile.get("networkPlugin", "unknown") in found.answer.evidence


@pytest.mark.parametrize(
    ("profiles", "verdict"),
    [
        ({}, Verdict.PASSED),
        (None, Verdict.PASSED),
        ({"aciConnectorLinux": {"enabled": False}}, Verdict.PASSED),
        ({"aciConnectorLinux": {"enabled": True}}, Verdict.FAILED),
        ({"ACIConnectorLinux": {"enabled": True}}, Verdict.FAILED),
    ],
)
async def test_the_virtual_node_add_on(cloud, profiles, verdict):
    cloud.properties["addonProfiles"] = profiles
    assert (await outcome("VN-AZ-005", azure=cloud)).verdict is verdict


async def test_the_resource_group(cloud):
    assert (await outcome("VN-AZ-006", azure=cloud)).answer.evidence == "groups in eastus"
    cloud.group = AzureNotFound(404, "ResourceGroupNotFound", "could not be found")
    found = await outcome("VN-AZ-006", azure=cloud)
    assert found.answer.fix == "az group create -n groups -l eastus"
    cloud.group = {"location": "eastus", "properties": {"provisioningState": "Deleting"}}
    assert (await outcome("VN-AZ-006", azure=cloud)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("region", "verdict"),
    [
        ("eastus", Verdict.PASSED),
        ("westeurope", Verdict.PASSED),
        ("moon", Verdict.FAILED),
        ("", Verdict.SKIPPED),
    ],
)
async def test_the_region(cloud, region, verdict):
    found = await outcome("VN-AZ-007", azure=cloud, target=replace(TARGET, region=region))
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("ends", "verdict", "said"),
    [
        ([NOW + timedelta(days=400)], Verdict.PASSED, "1 certificate, the last one ends"),
        ([NOW - timedelta(days=1), NOW + timedelta(days=400)], Verdict.PASSED, "2 certificates"),
        (
            [NOW + timedelta(days=5)],
            Verdict.WARNING,
            "client certificate of the application expires in 5 days",
        ),
        (
            [NOW - timedelta(days=1)],
            Verdict.FAILED,
            "every client certificate of the application has expired",
        ),
        ([], Verdict.FAILED, "the application has no client certificate"),
    ],
)
async def test_a_connector_with_a_certificate_is_asked_for_its_end(cloud, ends, verdict, said):
    """Secrets of the same application do not matter then, whatever their end."""
    keys = [{"endDateTime": end.isoformat()} for end in ends]
    app = {"id": "app-1", "passwordCredentials": [{"endDateTime": "2000-01-01T00:00:00Z"}]}
    cloud.put("graph:/v1.0/applications", {"value": [{**app, "keyCredentials": keys}]})
    target = replace(TARGET, identity=replace(TARGET.identity, certificate=True))
    found = await outcome("VN-AZ-025", azure=cloud, target=target)
    assert found.verdict is verdict
    assert said in found.answer.cause + found.answer.evidence
    assert verdict is Verdict.PASSED or "--create-cert" in found.answer.fix


# --- releases and names ---------------------------------------------------------------------------


def record(release, revision, state):
    name = f"sh.helm.release.v1.{release}.v{revision}"
    labels = {"owner": "helm", "name": release, "version": str(revision), "status": state}
    return {"metadata": {"name": name, "labels": labels}, "data": {"release": "s3cr3t-marker"}}


async def test_names_that_are_too_long():
    target = replace(TARGET, connectors=(Connector("a" * 50, "Linux", "eastus"),))
    found = await outcome("VN-REL-001", target=target)
    assert found.verdict is Verdict.FAILED
    assert "--connector-name" in found.answer.fix


async def test_names_that_are_not_known_yet():
    found = await outcome("VN-REL-001", target=replace(TARGET, connectors=()))
    assert found.verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("records", "verdict", "fix"),
    [
        ([], Verdict.PASSED, ""),
        ([(1, "deployed")], Verdict.PASSED, ""),
        ([(9, "superseded"), (10, "deployed")], Verdict.PASSED, ""),
        (
            [(1, "pending-install")],
            Verdict.FAILED,
            "helm uninstall aci-connector-linux-eastus -n vnode-system",
        ),
        (
            [(10, "pending-upgrade"), (9, "deployed")],
            Verdict.FAILED,
            "helm rollback aci-connector-linux-eastus",
        ),
        ([(1, "uninstalling")], Verdict.FAILED, "helm uninstall"),
    ],
)
async def test_releases_that_are_stuck(records, verdict, fix):
    async with a_cluster() as (api, kube):
        for revision, state in records:
            api.put("secrets", record(CONNECTOR.release, revision, state), namespace="vnode-system")
        api.put("secrets", record("another", 1, "pending-install"), namespace="vnode-system")
        found = await outcome("VN-REL-002", kube=kube)
    assert found.verdict is verdict
    assert found.answer.fix.startswith(fix)


def node(labels):
    return {"metadata": {"name": CONNECTOR.node, "labels": labels}}


def lease(age):
    renewed = (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")
    return {"metadata": {"name": CONNECTOR.node}, "spec": {"renewTime": renewed}}


@pytest.mark.parametrize(
    ("labels", "age", "verdict"),
    [
        ({}, 1, Verdict.FAILED),  # somebody's real node
        ({"type": "virtual-kubelet"}, 5, Verdict.FAILED),  # another connector's, alive
        ({"type": "virtual-kubelet"}, 500, Verdict.WARNING),  # a dead connector's
        ({"type": "virtual-kubelet"}, None, Verdict.WARNING),
    ],
)
async def test_a_node_of_that_name_exists(labels, age, verdict):
    async with a_cluster() as (api, kube):
        api.put("nodes", node(labels))
        if age is not None:
            api.put("leases", lease(age), namespace="kube-node-lease")
        found = await outcome("VN-REL-003", kube=kube)
    assert found.verdict is verdict
    assert found.answer.fix


@pytest.mark.parametrize(("named", "flag"), [("", "--connector-name"), ("mine", "--node-name")])
async def test_a_node_that_was_named_gets_another_name(named, flag):
    """Where the node has a name of its own, as on Alibaba Cloud, the connector's name does not change it."""
    connector = replace(CONNECTOR, node_name=named)
    async with a_cluster() as (api, kube):
        api.put("nodes", {"metadata": {"name": connector.node}})
        found = await outcome("VN-REL-003", kube=kube, target=replace(TARGET, connectors=(connector,)))
    assert found.answer.fix == f"choose another name with {flag}"


@pytest.mark.parametrize(("named", "flag"), [("", "--connector-name"), ("mine", "--release-name")])
async def test_a_deployment_of_somebody_else_s(named, flag):
    connector = replace(CONNECTOR, release_name=named)
    meta = {"name": connector.release, "labels": {"app.kubernetes.io/managed-by": "Terraform"}}
    async with a_cluster() as (api, kube):
        api.put("deployments", {"metadata": meta}, namespace="vnode-system")
        found = await outcome("VN-KUBE-009", kube=kube, target=replace(TARGET, connectors=(connector,)))
    assert found.answer.fix == f"remove it there, or choose another name with {flag}"


async def test_our_own_node_is_fine():
    async with a_cluster() as (api, kube):
        api.put("secrets", record(CONNECTOR.release, 1, "deployed"), namespace="vnode-system")
        api.put("nodes", node({"type": "virtual-kubelet"}))
        found = await outcome("VN-REL-003", kube=kube)
    assert (found.verdict, found.answer.evidence) == (Verdict.PASSED, "0 free, 1 our own")


@pytest.mark.parametrize(
    ("namespace", "release", "verdict"),
    [
        ("vnode-system", CONNECTOR.release, Verdict.PASSED),
        ("elsewhere", CONNECTOR.release, Verdict.FAILED),
        ("vnode-system", "another", Verdict.FAILED),
    ],
)
async def test_our_own_node_of_a_release_that_helm_has_forgotten(namespace, release, verdict):
    meta = {"name": CONNECTOR.release, "labels": {"app.kubernetes.io/part-of": "vnodectl"}}
    async with a_cluster() as (api, kube):
        api.put("deployments", {"metadata": meta}, namespace=namespace)
        api.put("nodes", node({"type": "virtual-kubelet", "vnodectl.io/release": release}))
        api.put("leases", lease(5), namespace="kube-node-lease")
        found = await outcome("VN-REL-003", kube=kube)
    assert found.verdict is verdict


async def test_a_chart_on_this_machine(tmp_path):
    chart = tmp_path / "chart.tgz"
    chart.write_bytes(b"chart")
    target = replace(TARGET, chart=str(chart))
    found = await outcome("VN-REL-004", target=target)
    assert (found.verdict, "not verified" in found.answer.evidence) == (Verdict.PASSED, True)
    chart.with_name("chart.tgz.prov").write_text("provenance")
    found = await outcome("VN-REL-004", target=target, helm="/nowhere/helm")
    assert (found.verdict, "no signature was looked for" in found.answer.evidence) == (Verdict.PASSED, True)
    chart.unlink()
    found = await outcome("VN-REL-004", target=target)
    assert (found.verdict, found.exit_code) == (Verdict.FAILED, 2)


# --- callers who may not see everything -----------------------------------------------------------


@pytest.mark.parametrize(
    ("id_", "plural", "verdict"),
    [
        ("VN-KUBE-006", "leases", Verdict.SKIPPED),
        ("VN-KUBE-007", "daemonsets", Verdict.SKIPPED),
        ("VN-KUBE-009", "deployments", Verdict.PASSED),
    ],
)
async def test_who_may_not_list_the_whole_cluster_may_still_install(id_, plural, verdict):
    async with a_cluster() as (api, kube):
        api.put("nodes", {"metadata": {"name": "old", "labels": {"type": "virtual-kubelet"}}})

        def refuse(method, kind, _):
            # The deployments of one namespace may be listed, those of the cluster not.
            everywhere = kind == "leases" or "/namespaces/" not in api.requests[-1]
            return status(403, "Forbidden") if kind == plural and everywhere else None

        api.refuse = refuse
        found = await outcome(id_, kube=kube)
    assert found.verdict is verdict, found.answer


@pytest.mark.parametrize("id_", ["VN-AZ-008", "VN-AZ-014", "VN-AZ-015"])
async def test_who_may_not_look_at_the_subscription_may_still_install(cloud, id_):
    real = cloud._say

    def say(path):
        if path.endswith(("ContainerService", "capabilities", "usages")):
            raise AzureForbidden(403, "AuthorizationFailed", "no right over the subscription")
        return real(path)

    cloud._say = say
    found = await outcome(id_, azure=cloud)
    assert found.verdict is Verdict.SKIPPED
    assert "may not look" in found.answer.cause


@pytest.mark.parametrize(("cloud", "verdict"), [("azure", Verdict.PASSED), ("alibaba", Verdict.WARNING)])
async def test_daemon_sets_are_looked_at_by_the_cloud_s_own_taint(cloud, verdict):
    toleration = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
    spec = {"tolerations": [toleration], "containers": []}
    async with a_cluster() as (api, kube):
        body = {"metadata": {"name": "agent"}, "spec": {"template": {"spec": spec}}}
        api.put("daemonsets", body, namespace="kube-system")
        found = await outcome("VN-KUBE-007", kube=kube, target=replace(TARGET, cloud=cloud))
    assert found.verdict is verdict


# --- the issuer of a cluster that Azure does not know ----------------------------------------------

SUBJECT = f"system:serviceaccount:vnode-system:{CONNECTOR.release}"
TRUSTING = replace(
    TARGET, cluster="", cluster_resource_group="", identity=IdentityRef("workloadIdentity", "client")
)


def trusting(cloud, issuer):
    """The connector's managed identity, which trusts tokens of one issuer."""
    identity = f"{SUBSCRIPTION}/resourceGroups/groups/providers/Microsoft.ManagedIdentity"
    identity += "/userAssignedIdentities/vnode"
    cloud.put(f"{SUBSCRIPTION}/providers/Microsoft.ManagedIdentity", {"registrationState": "Registered"})
    found = {"id": identity, "name": "vnode", "properties": {"clientId": "client", "principalId": "object-1"}}
    cloud.put(
        f"{SUBSCRIPTION}/providers/Microsoft.ManagedIdentity/userAssignedIdentities", {"value": [found]}
    )
    trust = {"issuer": issuer, "subject": SUBJECT, "audiences": ["api://AzureADTokenExchange"]}
    cloud.put(f"{identity}/federatedIdentityCredentials", {"value": [{"properties": trust}]})


@pytest.mark.parametrize(
    ("issuer", "verdict"),
    [("https://issuer.example/", Verdict.PASSED), ("https://issuer.example", Verdict.FAILED)],
)
async def test_the_cluster_itself_tells_its_issuer_and_it_must_match_exactly(cloud, issuer, verdict):
    trusting(cloud, issuer)
    async with a_cluster() as (api, kube):
        api.documents["/.well-known/openid-configuration"] = {"issuer": "https://issuer.example/"}
        found = await outcome("VN-AZ-024", kube=kube, azure=cloud, target=TRUSTING)
    assert found.verdict is verdict, found.answer


async def test_an_issuer_that_nobody_tells(cloud):
    trusting(cloud, "https://issuer.example/")
    found = await outcome("VN-AZ-024", azure=cloud, target=TRUSTING)
    assert found.verdict is Verdict.SKIPPED
    async with a_cluster() as (api, kube):
        api.refuse = lambda method, path, _: status(403, "Forbidden") if "openid" in path else None
        api.documents["/.well-known/openid-configuration"] = {"issuer": "https://issuer.example/"}
        found = await outcome("VN-AZ-024", kube=kube, azure=cloud, target=TRUSTING)
    assert found.verdict is Verdict.SKIPPED
    assert "does not tell its issuer" in found.answer.cause
