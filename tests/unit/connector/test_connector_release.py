from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from vnodectl.connector.drain import cordon
from vnodectl.connector.helm import Helm
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import Facts, Plan, make_plan
from vnodectl.connector.redact import redactor
from vnodectl.connector.release import Installed, install, render
from vnodectl.connector.settings import Settings
from vnodectl.errors import EXIT_FAILED, EXIT_TIMEOUT, UsageError, VnodectlError
from vnodectl.kube.errors import Forbidden

SECRET = "planted-secret"
SECRETS = "/api/v1/namespaces/vnode-system/secrets"
NAMESPACE = "/api/v1/namespaces/vnode-system"
SCHEMA_ERROR = "Error: values don't meet the specifications of the schema(s) in the following chart(s)"


def plan(**said: Any) -> Plan:
    settings = Settings(
        subscription="sub",
        tenant="ten",
        aci_resource_group="rg",
        location="eastus",
        service_principal="app",
        client_secret=SECRET,
    )
    return make_plan(replace(settings, **said), Facts())


def deployment(kube: Any, release: str) -> None:
    """What Helm's chart would make, and then the cluster of it."""
    node = f"virtual-kubelet-{release}"
    kube.put(
        f"/apis/apps/v1/namespaces/vnode-system/deployments/{release}",
        spec={"replicas": 1},
        status={"availableReplicas": 1, "updatedReplicas": 1},
    )
    kube.put(f"/api/v1/nodes/{node}", status={"conditions": [{"type": "Ready", "status": "True"}]})
    kube.put(
        f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}",
        spec={"renewTime": datetime.now(tz=UTC).isoformat()},
    )


async def carry_out(
    kube: Any, made: Plan, *, wait: bool = True, said: list[str] | None = None
) -> tuple[Installed, ...]:
    redact = redactor(made.secrets)
    helm = await Helm.open(kubeconfig=None, context="here", redact=redact)

    def say(connector: Connector, text: str) -> None:
        if said is not None:
            said.append(f"{connector.os_type}: {text}")

    return await install(made, kube, helm, wait=wait, say=say, redact=redact)


async def test_both_are_installed_and_their_nodes_waited_for(kube: Any, helm_program: Any) -> None:
    made = plan(os_type="Both")
    for connector in made.connectors:
        deployment(kube, connector.release)
    results = await carry_out(kube, made)
    assert [result.ok for result in results] == [True, True]
    assert all(result.node.endswith("is Ready") for result in results)
    assert set(helm_program.releases()) == {connector.release for connector in made.connectors}


async def test_the_secret_goes_to_the_api_server_and_nowhere_else(kube: Any, helm_program: Any) -> None:
    made = plan()
    release = made.connectors[0].release
    deployment(kube, release)
    await carry_out(kube, made)
    secret = kube.objects[f"{SECRETS}/{release}-azure"]
    assert base64.b64decode(secret["data"]["clientSecret"]).decode() == SECRET
    owner = secret["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Deployment", release)
    for call in helm_program.calls():
        assert SECRET not in json.dumps(call)
        assert base64.b64encode(SECRET.encode()).decode() not in json.dumps(call)


async def test_the_pod_restarts_only_when_the_secret_has_changed(kube: Any, helm_program: Any) -> None:
    async def revision(made: Plan) -> str:
        await carry_out(kube, made)
        release = helm_program.releases()[made.connectors[0].release]
        return str(release["values"]["azure"]["identity"]["secretRevision"])

    deployment(kube, plan().connectors[0].release)
    first = await revision(plan())
    assert await revision(plan()) == first
    assert await revision(plan(client_secret="another")) != first


async def test_the_namespace_is_made_with_restricted_pod_security(kube: Any, helm_program: Any) -> None:
    made = plan()
    deployment(kube, made.connectors[0].release)
    await carry_out(kube, made)
    labels = kube.objects[NAMESPACE]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


async def test_one_that_fails_is_named_and_the_other_stands(kube: Any, helm_program: Any) -> None:
    made = plan(os_type="Both")
    linux, windows = made.connectors
    for connector in made.connectors:
        deployment(kube, connector.release)
    helm_program.fail("upgrade", f"Error: it broke, {SECRET}", only=windows.release)
    results = {result.connector.os_type: result for result in await carry_out(kube, made)}
    assert results["Linux"].ok
    assert results["Windows"].exit_code == EXIT_FAILED
    assert "it broke, ***" in results["Windows"].message
    assert set(helm_program.releases()) == {linux.release}, "a first installation that failed is taken back"
    assert f"{SECRETS}/{windows.secret}" not in kube.objects
    assert f"{SECRETS}/{linux.secret}" in kube.objects


async def test_a_failed_upgrade_is_not_taken_back(kube: Any, helm_program: Any) -> None:
    made = plan()
    helm_program.put(made.connectors[0].release, "deployed")
    helm_program.fail("upgrade", "Error: it broke")
    (result,) = await carry_out(kube, made)
    assert not result.ok
    assert made.connectors[0].release in helm_program.releases()
    assert not helm_program.calls("uninstall")


async def test_a_chart_that_refuses_the_values_changes_nothing(kube: Any, helm_program: Any) -> None:
    helm_program.fail("template", SCHEMA_ERROR)
    with pytest.raises(UsageError, match="schema"):
        await carry_out(kube, plan())
    assert not kube.objects
    assert not helm_program.calls("upgrade")


async def test_when_everything_fails_the_namespace_goes_again(kube: Any, helm_program: Any) -> None:
    helm_program.fail("upgrade", "Error: it broke")
    await carry_out(kube, plan())
    assert not kube.objects


async def test_a_namespace_that_was_there_stays(kube: Any, helm_program: Any) -> None:
    kube.put(NAMESPACE)
    helm_program.fail("upgrade", "Error: it broke")
    await carry_out(kube, plan())
    assert set(kube.objects) == {NAMESPACE}


async def test_a_node_that_does_not_come_is_a_timeout_and_stays_for_a_look(
    kube: Any, helm_program: Any
) -> None:
    made = replace(plan(), timeout=0.01)
    release = made.connectors[0].release
    kube.put(f"/apis/apps/v1/namespaces/vnode-system/deployments/{release}", spec={"replicas": 1}, status={})
    kube.put(
        f"/api/v1/namespaces/vnode-system/pods/{release}-1",
        metadata={
            "labels": {
                "app.kubernetes.io/name": "vnode-connector",
                "app.kubernetes.io/instance": release,
            }
        },
        status={"phase": "Running"},
    )
    kube.logs[f"/api/v1/namespaces/vnode-system/pods/{release}-1"] = f"invalid secret {SECRET}"
    (result,) = await carry_out(kube, made)
    assert result.exit_code == EXIT_TIMEOUT
    assert "invalid secret ***" in result.message
    assert release in helm_program.releases()


async def test_without_waiting_the_node_is_not_asked_for(kube: Any, helm_program: Any) -> None:
    made = plan()
    kube.put(f"/apis/apps/v1/namespaces/vnode-system/deployments/{made.connectors[0].release}")
    (result,) = await carry_out(kube, made, wait=False)
    assert result.ok
    assert result.node == ""


async def test_a_stuck_release_is_repaired_and_that_is_told(kube: Any, helm_program: Any) -> None:
    made = plan()
    deployment(kube, made.connectors[0].release)
    helm_program.put(made.connectors[0].release, "pending-install")
    said: list[str] = []
    (result,) = await carry_out(kube, made, said=said)
    assert result.ok
    assert any("pending-install: repaired" in line for line in said)


async def test_a_rendering_masks_the_secret_and_asks_nobody(kube: Any, helm_program: Any) -> None:
    made = plan()
    helm = await Helm.open(kubeconfig=None, context="here", redact=redactor(made.secrets))
    manifests = await render(made, helm)
    assert [manifest["kind"] for manifest in manifests] == ["Namespace", "Secret", "Deployment"]
    assert manifests[1]["data"] == {"clientSecret": "***"}
    assert SECRET not in json.dumps(manifests)
    assert not kube.calls


async def test_an_interrupted_installation_leaves_no_task(kube: Any, helm_program: Any) -> None:
    made = plan()  # nothing ever makes its node Ready
    reached = asyncio.Event()
    kube.put(
        f"/apis/apps/v1/namespaces/vnode-system/deployments/{made.connectors[0].release}",
        spec={"replicas": 1},
    )
    kube.hooks.append(lambda method, path: reached.set() if "/nodes" in path else None)
    kube.hooks.append(lambda method, path: reached.set() if method == "PATCH" else None)
    task = asyncio.create_task(carry_out(kube, made), name="install")
    await asyncio.wait_for(reached.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("kept", "now"), [(None, "1f2e"), ({}, ""), ({"vnodectl.io/owner": "older"}, "older")]
)
async def test_container_groups_stay_the_connector_s_own(
    kept: dict[str, str] | None, now: str, kube: Any, helm_program: Any
) -> None:
    settings = Settings(
        subscription="sub",
        tenant="ten",
        aci_resource_group="rg",
        location="eastus",
        managed_identity="system",
    )
    made = make_plan(settings, Facts(cluster_uid="1f2e-33"))
    (connector,) = made.connectors
    if kept is not None:
        kube.put(
            f"/apis/apps/v1/namespaces/vnode-system/deployments/{connector.release}",
            metadata={"annotations": kept},
        )
    (result,) = await carry_out(kube, made, wait=False)
    assert result.ok, result
    (release,) = helm_program.releases().values()
    assert release["values"]["azure"].get("owner", "") == now


async def test_without_its_deployment_the_release_says_whose_its_groups_are(
    kube: Any, helm_program: Any
) -> None:
    made = plan()
    (connector,) = made.connectors
    helm_program.put(connector.release, "deployed", values={"azure": {"owner": "older"}})
    await carry_out(kube, made, wait=False)
    (release,) = helm_program.releases().values()
    assert release["values"]["azure"]["owner"] == "older"


async def test_a_node_that_an_unfinished_removal_cordoned_is_back_in_service(
    kube: Any, helm_program: Any
) -> None:
    made = plan()
    (connector,) = made.connectors
    deployment(kube, connector.release)
    await cordon(kube, connector.node)
    (result,) = await carry_out(kube, made)
    assert result.node.endswith("is Ready")


async def test_a_namespace_that_a_removal_takes_away_meanwhile_is_made_again(
    kube: Any, helm_program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan()
    deployment(kube, made.connectors[0].release)
    kube.put(NAMESPACE)
    create = kube.create
    refused: list[str] = []

    async def refuse_once(path: str, body: Any, params: Any = None, **options: Any) -> Any:
        if path.endswith("/leases") and not refused:
            refused.append(path)
            del kube.objects[NAMESPACE]
            raise Forbidden(403, "Forbidden", "namespace vnode-system is being terminated")
        return await create(path, body, params, **options)

    monkeypatch.setattr(kube, "create", refuse_once)
    (result,) = await carry_out(kube, made, wait=False)
    assert result.ok, result
    assert refused
    assert NAMESPACE in kube.objects


@pytest.mark.parametrize(
    ("group", "pods", "moves"),
    [("rg", True, True), ("RG", True, True), ("old", False, True), ("old", True, False)],
)
async def test_container_groups_are_not_left_behind_in_another_place(
    group: str, pods: bool, moves: bool, kube: Any, helm_program: Any
) -> None:
    made = plan()
    (connector,) = made.connectors
    place = {"AZURE_SUBSCRIPTION_ID": "sub", "VNODECTL_ACI_RESOURCE_GROUP": group}
    env = [{"name": name, "value": value} for name, value in place.items()]
    kube.put(
        f"/apis/apps/v1/namespaces/vnode-system/deployments/{connector.release}",
        metadata={"labels": {"app.kubernetes.io/part-of": "vnodectl"}},
        spec={"template": {"spec": {"containers": [{"env": env}]}}},
    )
    if pods:
        kube.put("/api/v1/namespaces/default/pods/web", spec={"nodeName": connector.node}, status={})
    if moves:
        (result,) = await carry_out(kube, made, wait=False)
        assert result.ok, result
    else:
        with pytest.raises(VnodectlError, match="makes its container groups in sub/old; in sub/rg"):
            await carry_out(kube, made, wait=False)
        assert helm_program.calls("upgrade") == []
