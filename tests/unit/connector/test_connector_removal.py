from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vnodectl.clouds.ownership import scoped
from vnodectl.connector.clouds.azure_account import AzureAccount
from vnodectl.connector.helm import Helm
from vnodectl.connector.names import Connector
from vnodectl.connector.redact import redactor
from vnodectl.connector.removal import (
    RemovalPlan,
    Removed,
    find,
    make_removal_plan,
    orphans,
    refuse_if_used,
    remove,
)
from vnodectl.connector.settings import Settings
from vnodectl.errors import EXIT_FAILED, CloudUnreachable, UsageError, VnodectlError
from vnodectl.kube.errors import Forbidden

LINUX = Connector("aci-connector", "Linux", "eastus")
WINDOWS = Connector("aci-connector", "Windows", "eastus")
NAMESPACE = "/api/v1/namespaces/vnode-system"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class FakeAzure:
    def __init__(self) -> None:
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.broken = False

    def put(self, name: str, connector: Connector, group: str = "rg", cluster: str = "") -> None:
        tags = {"vnodectl-node": connector.node, "vnodectl-connector": scoped(connector.release, cluster)}
        self.groups.setdefault(group, []).append({"id": f"/{group}/{name}", "name": name, "tags": tags})

    async def container_groups(self, resource_group: str) -> list[dict[str, Any]]:
        if self.broken:
            raise CloudUnreachable("Azure did not answer")
        return list(self.groups.get(resource_group, ()))

    async def arm(self, method: str, path: str, api_version: str) -> dict[str, Any]:
        assert method == "DELETE"
        _, group, name = path.split("/")
        self.groups[group] = [one for one in self.groups[group] if one["name"] != name]
        return {}


def labels(connector: Connector) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "vnode-connector",
        "app.kubernetes.io/instance": connector.release,
        "app.kubernetes.io/part-of": "vnodectl",
        "vnodectl.io/connector": connector.name,
    }


@pytest.fixture
def azure() -> FakeAzure:
    return FakeAzure()


@pytest.fixture
def installed(kube: Any, helm_program: Any) -> Any:
    """Both connectors, as install leaves them; uninstalling takes away what Helm made."""
    kube.put(NAMESPACE, metadata={"labels": {"app.kubernetes.io/managed-by": "vnodectl"}})
    kube.put(f"{NAMESPACE}/configmaps/kube-root-ca.crt")
    kube.put(f"{NAMESPACE}/serviceaccounts/default")
    for connector in (LINUX, WINDOWS):
        helm_program.put(connector.release, "deployed")
        kube.put(
            f"/apis/apps/v1/namespaces/vnode-system/deployments/{connector.release}",
            metadata={
                "labels": labels(connector),
                "annotations": {"vnodectl.io/aci-resource-group": "rg"},
            },
        )
        kube.put(f"{NAMESPACE}/secrets/{connector.secret}", metadata={"labels": labels(connector)})
        kube.put(f"/api/v1/nodes/{connector.node}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
        kube.put(f"{LEASES}/{connector.node}", spec={})
    return kube


def put_pod(kube: Any, name: str, connector: Connector = LINUX, phase: str = "Running") -> str:
    path = f"/api/v1/namespaces/default/pods/{name}"
    kube.put(path, spec={"nodeName": connector.node}, status={"phase": phase})
    return path


def plan(**said: Any) -> RemovalPlan:
    choices = {key: said.pop(key) for key in ("drain", "force", "delete_groups") if key in said}
    return make_removal_plan(Settings(**said), **choices)


def of_cluster(kube: Any, owner: str) -> None:
    """Say of the Linux connector which cluster its container groups are of."""
    deployment = kube.objects[f"/apis/apps/v1/namespaces/vnode-system/deployments/{LINUX.release}"]
    deployment["metadata"]["annotations"]["vnodectl.io/owner"] = owner


async def carry_out(kube: Any, made: RemovalPlan, azure: Any = None) -> tuple[Removed, ...]:
    redact = redactor([])
    helm = await Helm.open(kubeconfig=None, context="here", redact=redact)
    found = await find(made, kube, helm)
    await refuse_if_used(made, found, kube)
    return await remove(
        made, found, kube, helm, azure and AzureAccount(azure), say=lambda *_: None, redact=redact
    )


async def test_a_removal_leaves_nothing(installed: Any, helm_program: Any, azure: FakeAzure) -> None:
    results = await carry_out(installed, plan(os_type="Both"), azure)
    assert [result.connector for result in results] == [LINUX, WINDOWS]
    assert all(result.ok and result.groups == () for result in results)
    assert not helm_program.releases()
    left = [path for path in installed.objects if not path.startswith(f"{NAMESPACE}/")]
    assert left == [], "the namespace goes too, and with it what Kubernetes put there"


async def test_the_other_os_and_the_shared_namespace_stay(installed: Any, helm_program: Any) -> None:
    await carry_out(installed, plan(os_type="Linux"))
    assert set(helm_program.releases()) == {WINDOWS.release}
    assert NAMESPACE in installed.objects
    assert f"/api/v1/nodes/{WINDOWS.node}" in installed.objects
    assert f"{NAMESPACE}/secrets/{WINDOWS.secret}" in installed.objects
    assert f"{NAMESPACE}/secrets/{LINUX.secret}" not in installed.objects


async def test_a_namespace_that_is_not_ours_stays(installed: Any) -> None:
    installed.objects[NAMESPACE]["metadata"]["labels"] = {}
    await carry_out(installed, plan(os_type="Both"))
    assert NAMESPACE in installed.objects


def several(kube: Any, meant: int, *further: int) -> list[str]:
    """Makes the Linux connector one that is meant to be `meant` nodes; the further ones that are there."""
    deployment = kube.objects[f"/apis/apps/v1/namespaces/vnode-system/deployments/{LINUX.release}"]
    template = {"metadata": {"labels": {"vnodectl.io/nodes": str(meant)}}}
    deployment["spec"] = {"template": template}
    own = "/apis/coordination.k8s.io/v1/namespaces/vnode-system/leases"
    for owner, role in ((LINUX, "node"), (LINUX, "replica"), (WINDOWS, "node")):
        about = {"vnodectl.io/connector": owner.release, "vnodectl.io/lease": role}
        kube.put(f"{own}/{role}-{owner.node}", metadata={"labels": about}, spec={})
    made = [f"{LINUX.node}-{number}" for number in further]
    for node in made:
        kube.put(f"/api/v1/nodes/{node}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
        kube.put(f"{LEASES}/{node}", spec={})
    return made


async def test_every_node_goes_even_those_left_over_from_before(installed: Any, azure: FakeAzure) -> None:
    further = several(installed, 2, 2, 7)
    azure.put("on-seven", LINUX)
    azure.groups["rg"][0]["tags"]["vnodectl-node"] = further[1]
    (result,) = await carry_out(installed, plan(), azure)
    assert result.nodes == (LINUX.node, *further)
    assert result.groups == ("on-seven",)
    left = [path.rpartition("/")[2] for path in installed.objects if "/leases/" in path or "/nodes/" in path]
    assert sorted(left) == sorted([f"node-{WINDOWS.node}", WINDOWS.node, WINDOWS.node])


@pytest.mark.parametrize("registered", [True, False])
async def test_pods_on_any_node_stop_it(installed: Any, registered: bool) -> None:
    several(installed, 2, *([2] if registered else []))
    path = put_pod(installed, "web")
    installed.objects[path]["spec"]["nodeName"] = f"{LINUX.node}-2"
    with pytest.raises(VnodectlError, match=r"1 pod still on node .*-2: default/web"):
        await carry_out(installed, plan())


async def test_all_nodes_are_cordoned_before_the_first_is_drained(installed: Any) -> None:
    (second,) = several(installed, 2, 2)
    put_pod(installed, "one")
    path = put_pod(installed, "two")
    installed.objects[path]["spec"]["nodeName"] = second
    cordoned: list[bool] = []
    installed.hooks.append(
        lambda method, path: (
            cordoned.append(installed.objects[f"/api/v1/nodes/{second}"]["spec"]["unschedulable"])
            if method == "EVICT"
            else None
        )
    )
    (result,) = await carry_out(installed, plan(drain=True))
    assert result.ok
    assert cordoned == [True, True]


async def test_a_second_run_finds_nothing(installed: Any) -> None:
    await carry_out(installed, plan(os_type="Both"))
    assert await carry_out(installed, plan(os_type="Both")) == ()


async def test_it_refuses_while_pods_run_and_changes_nothing(installed: Any, helm_program: Any) -> None:
    put_pod(installed, "web", WINDOWS)
    before = set(installed.objects)
    with pytest.raises(VnodectlError, match=r"1 pod still on node .*windows.*: default/web") as caught:
        await carry_out(installed, plan(os_type="Both"))
    assert caught.value.exit_code == EXIT_FAILED
    assert "--drain" in caught.value.hint
    assert set(installed.objects) == before
    assert "unschedulable" not in installed.objects[f"/api/v1/nodes/{LINUX.node}"]["spec"]
    assert not helm_program.calls("uninstall")


async def test_draining_comes_before_uninstalling(installed: Any, helm_program: Any) -> None:
    web = put_pod(installed, "web")
    seen: list[bool] = []
    installed.hooks.append(
        lambda method, path: seen.append(bool(helm_program.calls("uninstall"))) if method == "EVICT" else None
    )
    await carry_out(installed, plan(drain=True))
    assert seen == [False]
    assert web not in installed.objects


async def test_finished_pods_go_while_the_connector_can_still_clean_up(
    installed: Any, helm_program: Any
) -> None:
    job = put_pod(installed, "job", phase="Succeeded")
    seen: list[bool] = []

    def deleted(method: str, path: str) -> None:
        if method == "DELETE" and path == job:
            seen.append(bool(helm_program.calls("uninstall")))

    installed.hooks.append(deleted)
    await carry_out(installed, plan())
    assert seen == [False]


async def test_by_force_pods_are_given_up_and_their_groups_reported(installed: Any, azure: FakeAzure) -> None:
    web = put_pod(installed, "web")
    azure.put("web-1", LINUX)
    azure.put("foreign", WINDOWS)
    (result,) = await carry_out(installed, plan(force=True), azure)
    assert result.groups == ("web-1",)
    assert web not in installed.objects
    assert len(azure.groups["rg"]) == 2


async def test_groups_left_are_deleted_when_asked(installed: Any, azure: FakeAzure) -> None:
    azure.put("web-1", LINUX)
    azure.put("foreign", WINDOWS)
    (result,) = await carry_out(installed, plan(delete_groups=True), azure)
    assert (result.groups, result.deleted_groups) == ((), ("web-1",))
    assert [group["name"] for group in azure.groups["rg"]] == ["foreign"]


async def test_the_node_goes_after_the_connectors_pod(installed: Any) -> None:
    """A connector that still runs would register its node again."""
    own = f"{NAMESPACE}/pods/{LINUX.release}-1"
    installed.put(own, metadata={"labels": labels(LINUX)}, spec={"nodeName": "host"})
    lists = 0

    def linger(method: str, path: str) -> None:
        nonlocal lists
        if (method, path) == ("DELETE", own):
            installed.put(own, metadata={"labels": labels(LINUX)}, spec={"nodeName": "host"})
        elif (method, path) == ("LIST", f"{NAMESPACE}/pods"):
            lists += 1
            if lists == 3:
                del installed.objects[own]
        elif (method, path) == ("DELETE", f"/api/v1/nodes/{LINUX.node}"):
            assert own not in installed.objects

    installed.hooks.append(linger)
    (result,) = await carry_out(installed, plan())
    assert result.ok
    assert lists >= 3


async def test_without_azure_it_says_that_groups_were_not_looked_at(installed: Any) -> None:
    (result,) = await carry_out(installed, plan())
    assert result.ok
    assert result.groups is None
    assert "nobody is signed in" in result.note


async def test_a_cloud_that_does_not_answer_is_a_failure(installed: Any, azure: FakeAzure) -> None:
    azure.broken = True
    (result,) = await carry_out(installed, plan(), azure)
    assert (result.ok, result.gone, result.exit_code) == (False, True, 5)
    assert result.message == "it is removed; what it left in rg is not known: Azure did not answer"
    assert "--aci-resource-group rg --delete-groups" in result.hint


async def test_the_namespace_goes_although_the_cloud_does_not_answer(
    installed: Any, azure: FakeAzure
) -> None:
    azure.broken = True
    await carry_out(installed, plan(os_type="Both"), azure)
    assert NAMESPACE not in installed.objects


async def test_a_failed_uninstall_is_a_failure(installed: Any, helm_program: Any) -> None:
    helm_program.fail("uninstall", "Error: it broke")
    (result,) = await carry_out(installed, plan())
    assert result.exit_code == EXIT_FAILED
    assert f"/api/v1/nodes/{LINUX.node}" in installed.objects


@pytest.mark.parametrize("remains", ["release", "deployment", "node"])
async def test_any_one_part_is_enough_to_be_found(kube: Any, helm_program: Any, remains: str) -> None:
    if remains == "release":
        helm_program.put(LINUX.release, "failed")
    elif remains == "deployment":
        path = f"/apis/apps/v1/namespaces/elsewhere/deployments/{LINUX.release}"
        kube.put(path, metadata={"labels": labels(LINUX)})
    else:
        kube.put(f"/api/v1/nodes/{LINUX.node}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
    (result,) = await carry_out(kube, plan())
    assert result.connector == LINUX
    assert not helm_program.releases()
    assert not kube.objects


async def test_several_regions_must_be_told_apart(kube: Any, helm_program: Any) -> None:
    helm_program.put("aci-connector-linux-eastus", "deployed")
    helm_program.put("aci-connector-linux-westus", "deployed")
    with pytest.raises(UsageError, match="eastus, westus") as caught:
        await carry_out(kube, plan())
    assert "--location" in caught.value.hint
    (result,) = await carry_out(kube, plan(location="West US"))
    assert result.connector.region == "westus"
    assert set(helm_program.releases()) == {"aci-connector-linux-eastus"}


async def test_a_release_of_another_chart_is_nobodys_connector(kube: Any, helm_program: Any) -> None:
    helm_program.put(LINUX.release, "deployed", chart="postgresql-16.2.0")
    assert await carry_out(kube, plan()) == ()
    node = f"/api/v1/nodes/{LINUX.node}"
    kube.put(node, metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
    with pytest.raises(VnodectlError, match=r"another chart, postgresql-16\.2\.0") as caught:
        await carry_out(kube, plan())
    assert LINUX.node in caught.value.hint
    assert node in kube.objects
    assert set(helm_program.releases()) == {LINUX.release}


async def test_foreign_nodes_and_releases_are_never_touched(kube: Any, helm_program: Any) -> None:
    helm_program.put("aci-connector-linux-linux-eastus", "deployed")  # connector aci-connector-linux
    foreign = "/api/v1/nodes/virtual-kubelet-aci-connector-linux-east-us"
    kube.put(foreign, metadata={"labels": {"type": "virtual-kubelet"}})
    assert await carry_out(kube, plan()) == ()
    assert foreign in kube.objects


async def test_groups_of_connectors_that_are_gone_are_found_by_their_tags(azure: FakeAzure) -> None:
    azure.put("lost", LINUX)
    azure.put("windows", WINDOWS)
    made = plan(aci_resource_group="rg")
    assert await orphans(made, AzureAccount(azure), besides=[]) == ("lost",)
    assert await orphans(made, AzureAccount(azure), besides=[LINUX]) == ()
    assert (
        await orphans(plan(aci_resource_group="rg", location="westus"), AzureAccount(azure), besides=[]) == ()
    )
    again = plan(aci_resource_group="rg", delete_groups=True)
    assert await orphans(again, AzureAccount(azure), besides=[]) == ("lost",)
    assert [group["name"] for group in azure.groups["rg"]] == ["windows"]


async def test_groups_of_another_cluster_in_the_resource_group_are_not_touched(
    installed: Any, azure: FakeAzure
) -> None:
    of_cluster(installed, "a1")
    for name, cluster in (("mine", "a1"), ("theirs", "b2"), ("nobodys", "")):
        azure.put(name, LINUX, cluster=cluster)
    made = replace(plan(force=True, delete_groups=True), owner="a1")
    (result,) = await carry_out(installed, made, azure)
    assert result.deleted_groups == ("mine",)
    gone = replace(plan(aci_resource_group="rg", delete_groups=True), owner="a1")
    assert await orphans(gone, AzureAccount(azure), besides=[]) == ()
    assert [group["name"] for group in azure.groups["rg"]] == ["theirs", "nobodys"]


async def test_groups_that_say_nothing_of_a_cluster_are_those_of_a_connector_that_does_not(
    installed: Any, azure: FakeAzure
) -> None:
    azure.put("mine", LINUX)
    azure.put("theirs", LINUX, cluster="b2")
    (result,) = await carry_out(installed, replace(plan(force=True), owner="a1"), azure)
    assert result.groups == ("mine",)


@pytest.mark.parametrize(
    "said", [{"os_type": "Mac"}, {"connector_name": "_"}, {"drain": True, "force": True}]
)
def test_bad_input(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan(**said)


async def test_who_may_not_look_for_webhooks_has_none_to_remove(
    installed: Any, helm_program: Any, azure: FakeAzure
) -> None:
    def refuse(method: str, path: str) -> None:
        if method == "LIST" and path.rpartition("/")[2] in refused:
            raise Forbidden(403, "Forbidden", path)

    refused = {"mutatingwebhookconfigurations", "services"}
    installed.hooks.append(refuse)
    (result,) = await carry_out(installed, plan(), azure)
    assert result.ok
    installed.put(f"/api/v1/nodes/{LINUX.node}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
    refused = {"secrets"}
    (result,) = await carry_out(installed, plan(), azure)
    assert not result.ok, "what is ours and cannot be looked for is told"


@pytest.mark.parametrize("remains", ["namespace", "lease", "secret"])
async def test_an_installation_that_was_killed_at_its_beginning_leaves_nothing(
    remains: str, kube: Any, helm_program: Any
) -> None:
    kube.put(NAMESPACE, metadata={"labels": {"app.kubernetes.io/managed-by": "vnodectl"}})
    if remains == "lease":
        lock = f"/apis/coordination.k8s.io/v1/namespaces/vnode-system/leases/{LINUX.release}-install"
        kube.put(lock, metadata={"resourceVersion": "1"}, spec={})
    if remains == "secret":
        kube.put(f"{NAMESPACE}/secrets/{LINUX.secret}", metadata={"labels": labels(LINUX)})
    results = await carry_out(kube, plan())
    assert [result.ok for result in results] == ([] if remains == "namespace" else [True])
    assert kube.objects == {}


async def test_a_removal_waits_for_whoever_works_on_the_release(installed: Any, helm_program: Any) -> None:
    lock = f"/apis/coordination.k8s.io/v1/namespaces/vnode-system/leases/{LINUX.release}-install"
    installed.put(lock, spec={"holderIdentity": "somebody", "leaseDurationSeconds": 60})
    installed.objects[lock]["metadata"]["resourceVersion"] = "1"
    redact = redactor([])
    made = plan()
    helm = await Helm.open(kubeconfig=None, context="here", redact=redact)
    found = await find(made, installed, helm)
    waited: list[str] = []

    def tell(_: Connector, text: str) -> None:
        if "works on it" in text:
            waited.append(text)
            assert helm_program.calls("uninstall") == []
            del installed.objects[lock]

    (result,) = await remove(made, found, installed, helm, None, say=tell, redact=redact)
    assert result.ok
    assert waited == ["somebody works on it; waiting"]


async def test_a_namespace_in_which_somebody_installs_stays(installed: Any) -> None:
    lock = f"/apis/coordination.k8s.io/v1/namespaces/vnode-system/leases/{WINDOWS.release}-install"
    await carry_out(installed, plan(os_type="Windows"))
    installed.put(lock, spec={"holderIdentity": "somebody"})
    await carry_out(installed, plan())
    assert NAMESPACE in installed.objects
