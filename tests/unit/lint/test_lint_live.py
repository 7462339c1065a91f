from __future__ import annotations

from typing import Any

from support.fake_api import FakeApi, fake_cluster, status
from support.linting import SELECTED, codes

from vnodectl.kube.client import KubeClient
from vnodectl.lint import engine, live
from vnodectl.lint.clouds import Placement, cloud
from vnodectl.lint.engine import Input
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.model import Report

THERE = cloud(Placement())


def seed(api: FakeApi) -> None:
    """A Deployment with its ReplicaSet and pod, in two namespaces, and the node."""
    taints = [{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}]
    api.put("nodes", {"metadata": {"name": "own-name"}, "spec": {"taints": taints}})
    for namespace in ("web", "other"):
        api.put("namespaces", {"metadata": {"name": namespace}})
        spec: dict[str, Any] = {
            **SELECTED,
            "hostNetwork": True,
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [
                {
                    "name": "main",
                    "image": "nginx",
                    "volumeMounts": [{"name": "c", "mountPath": "/c"}],
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                }
            ],
            "volumes": [{"name": "c", "configMap": {"name": "conf"}}],
        }
        template = {"metadata": {"labels": {"app": "api"}}, "spec": spec}
        owner = [{"kind": "Deployment", "name": "api", "controller": True}]
        api.put(
            "deployments", {"metadata": {"name": "api"}, "spec": {"template": template}}, namespace=namespace
        )
        child = {"metadata": {"name": "api-1", "ownerReferences": owner}, "spec": {"template": template}}
        api.put("replicasets", child, namespace=namespace)
        pod = {"metadata": {"name": "api-1-x", "ownerReferences": owner}, "spec": spec}
        api.put("pods", pod, namespace=namespace)
        api.put("configmaps", {"metadata": {"name": "conf"}, "data": {"k": "v"}}, namespace=namespace)
        secret = {"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson", "data": {}}
        api.put("secrets", secret, namespace=namespace)


async def linted(kube: KubeClient, namespace: str | None, *, pull_secrets: bool = False) -> Report:
    found = await live.read(kube, namespace)
    node = virtual_node(THERE.taint, THERE.os, found.nodes)
    spaces = engine.namespaces(found.sources)
    known = await live.at_hand(kube, found.sources, node, spaces, pull_secrets=pull_secrets)
    given = Input(found.sources, THERE, node, known=known)
    return engine.report(given, engine.judge(given))


async def test_a_namespace_and_all_of_them() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        one = await linted(kube, "web")
        everything = await linted(kube, None)
    (finding,) = one.findings
    assert (finding.file, finding.line) == ("web/Deployment/api", 0)
    assert codes(one) == {("VN-L-020", "spec.template.spec.hostNetwork")}
    assert finding.suggestion == (
        "kubectl patch -n web deployment/api --type=json "
        """-p '[{"op": "remove", "path": "/spec/template/spec/hostNetwork"}]'"""
    )
    assert [found.file for found in everything.findings] == ["other/Deployment/api", "web/Deployment/api"]


async def test_secrets_are_read_only_to_pull_images() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        await linted(kube, "web")
        assert not [one for one in api.requests if "/secrets" in one]
        await linted(kube, "web", pull_secrets=True)
        assert [one for one in api.requests if "/secrets" in one] == [
            "GET /api/v1/namespaces/web/secrets/pull"
        ]


async def test_what_may_not_be_listed_is_said_and_the_rest_is_looked_at() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        refused = {"nodes", "networkpolicies", "configmaps"}
        api.refuse = lambda _, plural, __: status(403, "Forbidden", "no") if plural in refused else None
        found = await live.read(kube, "web")
        assert found.unread == (("NetworkPolicy", "no"), ("Node", "no"))
        assert codes(await linted(kube, "web")) == {("VN-L-020", "spec.template.spec.hostNetwork")}


async def test_what_pods_name_and_may_not_be_read_is_said() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        refused = {"configmaps", "secrets"}
        api.refuse = lambda _, plural, __: (
            status(403, "Forbidden", f"no {plural}") if plural in refused else None
        )
        read = await live.read(kube, "web")
        node = virtual_node(THERE.taint, THERE.os, read.nodes)
        known = await live.at_hand(kube, read.sources, node, {}, pull_secrets=True)
        assert known.unread == (("ConfigMap", "no configmaps"), ("Secret", "no secrets"))
        assert known.withheld == {("web", "pull")}
        api.refuse = lambda *_: None
        api.remove("configmaps", "conf", "web")
        known = await live.at_hand(kube, read.sources, node, {}, pull_secrets=False)
    # What is not there is no secret.
    assert (known.unread, known.withheld) == ((), frozenset())


async def test_settings_that_may_not_be_read_are_said() -> None:
    async with fake_cluster() as (api, kube):
        body = {
            "metadata": {"name": "eci", "labels": {"app.kubernetes.io/name": "vnode-connector"}},
            "spec": {
                "template": {
                    "spec": {"containers": [{"env": [{"name": "VNODECTL_PROVIDER", "value": "eci"}]}]}
                }
            },
        }
        api.put("deployments", body, namespace="kube-system")
        said = await live.settings(kube, "alibaba", "Linux")
        assert ([one.name for one in said.connectors], said.profile, said.unread) == (["eci"], None, ())
        api.refuse = lambda _, plural, __: status(403, "Forbidden", "no") if plural == "configmaps" else None
        said = await live.settings(kube, "alibaba", "Linux")
        assert said.unread == (("ConfigMap kube-system/eci-profile", "no"),)
        assert len(said.connectors) == 1
        api.refuse = lambda *_: status(403, "Forbidden", "no")
        assert await live.settings(kube, "azure", "Linux") == live.Settings(
            unread=(("Deployments of connectors", "no"),)
        )


async def test_the_contents_of_config_maps_count() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        large = {"metadata": {"name": "conf"}, "data": {"k": "x" * 40_000}}
        api.put("configmaps", large, namespace="web")
        there = cloud(Placement("alibaba"))
        found = await live.read(kube, "web")
        node = virtual_node(there.taint, there.os)
        known = await live.at_hand(kube, found.sources, node, {}, pull_secrets=False)
        given = Input(found.sources, there, node, known=known)
        report = engine.report(given, engine.judge(given))
    assert ("VN-L-047", "spec.template.spec.volumes[0]") in codes(report)


async def test_what_a_kind_made_that_nobody_knows_here_is_looked_at() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        body = api.objects[("deployments", "web", "api")]
        owner = [{"kind": "Rollout", "name": "r", "controller": True}]
        own = {"metadata": {"name": "r-1", "ownerReferences": owner}, "spec": body["spec"]}
        api.put("replicasets", own, namespace="web")
        found = await linted(kube, "web")
    assert [one.file for one in found.findings] == ["web/Deployment/api", "web/ReplicaSet/r-1"]


async def test_the_volumes_of_claims_are_read() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        api.put(
            "persistentvolumeclaims",
            {"metadata": {"name": "a"}, "spec": {"volumeName": "v"}},
            namespace="web",
        )
        api.put(
            "persistentvolumes",
            {"metadata": {"name": "v"}, "spec": {"csi": {"driver": "disk.csi.azure.com"}}},
        )
        mount = {"name": "d", "mountPath": "/d"}
        spec = {
            "nodeName": "own-name",
            "containers": [{"name": "a", "image": "b", "volumeMounts": [mount, {**mount, "name": "e"}]}],
            "volumes": [
                {"name": "d", "persistentVolumeClaim": {"claimName": "a"}},
                {"name": "e", "persistentVolumeClaim": {"claimName": "not-there"}},
            ],
        }
        api.put("pods", {"metadata": {"name": "alone"}, "spec": spec}, namespace="web")
        found = await linted(kube, "web")
    assert {one.code for one in found.findings if one.file == "web/Pod/alone"} == {"VN-L-041", "VN-L-057"}


async def test_a_pod_by_its_node_s_own_name() -> None:
    async with fake_cluster() as (api, kube):
        seed(api)
        spec = {"nodeName": "own-name", "hostPID": True, "containers": [{"name": "a", "image": "b"}]}
        api.put("pods", {"metadata": {"name": "alone"}, "spec": spec}, namespace="web")
        found = await linted(kube, "web")
    assert ("VN-L-020", "spec.hostPID") in codes(found)
    # A pod that runs cannot be changed so: no command is offered.
    assert all("kubectl" not in one.suggestion for one in found.findings if one.file == "web/Pod/alone")
