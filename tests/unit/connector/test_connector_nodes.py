"""Connectors of several nodes: their names, their Leases, and growing and shrinking."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vnodectl.connector import names, retirement, shares
from vnodectl.connector.helm import Helm
from vnodectl.connector.names import Connector
from vnodectl.connector.node import wait_connector
from vnodectl.connector.plan import Facts, Plan, make_plan
from vnodectl.connector.redact import redactor
from vnodectl.connector.release import Installed, install
from vnodectl.connector.settings import Settings, layered
from vnodectl.connector.values import values
from vnodectl.errors import EXIT_TIMEOUT, TimedOut, UsageError, VnodectlError
from vnodectl.runtime import sharing

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
CONNECTOR = Connector("aci", "Linux", "eastus", nodes=2)
SYSTEM = "vnode-system"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{CONNECTOR.release}"


def own(nodes: int = 2) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "vnode-connector",
        "app.kubernetes.io/instance": CONNECTOR.release,
        "vnodectl.io/nodes": str(nodes),
    }


def stamp(age: float) -> str:
    return (NOW - timedelta(seconds=age)).isoformat()


def put_node(kube: Any, name: str, *, ready: str = "True", renewed: float = 1) -> str:
    path = f"/api/v1/nodes/{name}"
    kube.put(
        path,
        metadata={"labels": {"type": "virtual-kubelet"}},
        spec={},
        status={"conditions": [{"type": "Ready", "status": ready}]},
    )
    kube.put(LEASES.format("kube-node-lease", name), spec={"renewTime": stamp(renewed)})
    return path


def put_share(kube: Any, name: str, holder: str | None, *, since: float = 60) -> str:
    path = LEASES.format(SYSTEM, f"node-{name}")
    kube.put(
        path,
        metadata={"labels": {"vnodectl.io/connector": CONNECTOR.release, "vnodectl.io/lease": "node"}},
        spec={"holderIdentity": holder, "acquireTime": stamp(since)},
    )
    return path


def put_connector_pod(kube: Any, name: str, nodes: int = 2, **metadata: Any) -> str:
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{name}"
    kube.put(path, metadata={"labels": own(nodes), **metadata}, spec={}, status={"phase": "Running"})
    return path


def put_pod(kube: Any, name: str, node: str, phase: str = "Running") -> str:
    path = f"/api/v1/namespaces/default/pods/{name}"
    kube.put(path, spec={"nodeName": node}, status={"phase": phase})
    return path


def put_deployment(kube: Any, **status: int) -> None:
    shown = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, **status}
    kube.put(DEPLOYMENT, spec={"replicas": 1}, status=shown)


# --- names ----------------------------------------------------------------------------------------


def test_further_nodes_are_called_as_the_agent_calls_them() -> None:
    from vnodectl.agent import AgentSettings, ProviderName

    agent = AgentSettings(ProviderName.ACI, node_name=CONNECTOR.node, nodes=12)
    assert replace(CONNECTOR, nodes=12).node_names == agent.node_names


@pytest.mark.parametrize(
    ("node", "release"),
    [
        ("virtual-kubelet-aci-linux-eastus", "aci-linux-eastus"),
        ("virtual-kubelet-aci-linux-eastus-2", "aci-linux-eastus"),
        ("virtual-kubelet-aci-linux-eastus-50", "aci-linux-eastus"),
        ("virtual-kubelet-aci-linux-eastus2", "aci-linux-eastus2"),
        ("virtual-kubelet-aci-linux-eastus-1", "aci-linux-eastus-1"),
        ("virtual-kubelet-aci-linux-eastus-02", "aci-linux-eastus-02"),
        ("sandbox-2", ""),
    ],
)
def test_a_nodes_name_tells_its_release(node: str, release: str) -> None:
    assert names.release_of(node) == release
    assert CONNECTOR.owns(node) == (release == CONNECTOR.release)


def test_the_longest_name_of_a_node_has_to_fit() -> None:
    room = 63 - len("virtual-kubelet--linux-eastus")
    names.connector("a" * (room - 2), "Linux", "eastus", 9)
    with pytest.raises(UsageError, match=r"node name '.*-10' has 64 characters"):
        names.connector("a" * (room - 2), "Linux", "eastus", 10)


def test_leases_are_read_by_the_names_that_the_runtime_gives_them() -> None:
    place = sharing.Place(SYSTEM, CONNECTOR.release, "pod-1")
    nodes = sharing.NodeShares(
        None,  # type: ignore[arg-type]  # nobody is asked
        place,
        CONNECTOR.node_names,
        lambda name: pytest.fail(name),
        clock=lambda: 0.0,
    )
    assert nodes._lease(CONNECTOR.node) == f"node-{CONNECTOR.node}"
    assert nodes._labels("node") == {"vnodectl.io/connector": CONNECTOR.release, "vnodectl.io/lease": "node"}


# --- the plan -------------------------------------------------------------------------------------


def plan(**said: Any) -> Plan:
    settings = Settings(
        connector_name="aci",
        subscription="sub",
        aci_resource_group="rg",
        location="eastus",
        managed_identity="system",
    )
    return make_plan(replace(settings, **said), Facts())


def test_numbers_come_from_flags_environment_and_file() -> None:
    environ = {"VNODECTL_NODES": "3", "VNODECTL_REPLICAS": "2"}
    settings = layered({"nodes": 4}, environ, {"nodes": 5, "replicas": 6})
    made = plan(nodes=settings.nodes, replicas=settings.replicas)
    assert (made.connectors[0].nodes, made.replicas) == (4, 2)
    given = values(made, made.connectors[0])
    assert (given["nodes"], given["replicas"]) == (4, 2)
    assert (plan().connectors[0].nodes, plan().replicas) == (1, 1)


@pytest.mark.parametrize("flag", ["nodes", "replicas"])
@pytest.mark.parametrize("text", ["0", "51", "-1", "two", "1.5", "²"])
def test_bad_numbers(flag: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"bad --{flag}"):
        plan(**{flag: text})


# --- waiting --------------------------------------------------------------------------------------


async def wait(kube: Any, said: list[str], timeout: float = 5, interval: float = 0) -> int:
    states = await wait_connector(
        kube,
        CONNECTOR,
        namespace=SYSTEM,
        timeout=timeout,
        say=said.append,
        interval=interval,
        now=lambda: NOW,
    )
    return len(states)


async def test_every_node_is_waited_for(kube: Any) -> None:
    put_deployment(kube)
    put_node(kube, CONNECTOR.node)
    second = f"{CONNECTOR.node}-2"
    looks = 0

    def register(method: str, path: str) -> None:
        nonlocal looks
        looks += path == f"/api/v1/nodes/{second}"
        if looks == 3:
            put_node(kube, second)

    kube.hooks.append(register)
    said: list[str] = []
    assert await wait(kube, said) == 2
    assert said == [f"node {second} is not registered", "2 nodes are Ready"]


async def test_old_pods_end_before_a_connector_counts_as_upgraded(kube: Any) -> None:
    put_deployment(kube, replicas=2)
    for node in CONNECTOR.node_names:
        put_node(kube, node)
    with pytest.raises(TimedOut, match="has 1 old pods to end"):
        await wait(kube, [], timeout=0.01, interval=1)


@pytest.mark.parametrize(
    ("holder", "since", "met"),
    [
        ("new", 60, True),
        ("new", 0.5, False),  # the node's Lease was renewed by somebody before
        ("old", 60, False),
        ("gone", 60, False),
        (None, 60, False),
    ],
)
async def test_a_node_counts_once_a_pod_that_stays_is_the_node(
    holder: str | None, since: float, met: bool, kube: Any
) -> None:
    put_deployment(kube)
    put_connector_pod(kube, "new")
    put_connector_pod(kube, "old", deletionTimestamp=stamp(0))
    for node in CONNECTOR.node_names:
        put_node(kube, node)
        put_share(kube, node, "new")
    put_share(kube, CONNECTOR.node_names[1], holder, since=since)
    if met:
        assert await wait(kube, []) == 2
        return
    with pytest.raises(TimedOut, match=f"node {CONNECTOR.node}-2 is not taken over yet"):
        await wait(kube, [], timeout=0.01, interval=1)


# --- fewer nodes ----------------------------------------------------------------------------------


@pytest.fixture
def four(kube: Any, helm_program: Any) -> Any:
    """A connector that was four nodes; Helm's upgrade ends its old pod."""
    put_deployment(kube)
    helm_program.put(CONNECTOR.release, "deployed")
    for node in replace(CONNECTOR, nodes=4).node_names:
        put_node(kube, node)
        put_share(kube, node, "new", since=60)
    put_connector_pod(kube, "new")
    now = datetime.now(tz=UTC).isoformat()
    for path, one in kube.objects.items():
        if "kube-node-lease" in path:
            one["spec"]["renewTime"] = now
    return kube


async def carry_out(kube: Any, *, wait: bool = False, **said: Any) -> Installed:
    made = replace(plan(nodes="2", replicas="2"), timeout=5.0)
    redact = redactor(())
    helm = await Helm.open(kubeconfig=None, context="here", redact=redact)
    (result,) = await install(
        replace(made, **said), kube, helm, wait=wait, say=lambda *_: None, redact=redact
    )
    return result


def is_there(kube: Any, node: str) -> list[bool]:
    paths = (
        f"/api/v1/nodes/{node}",
        LEASES.format("kube-node-lease", node),
        LEASES.format(SYSTEM, f"node-{node}"),
    )
    return [path in kube.objects for path in paths]


async def test_nodes_that_go_are_taken_away_with_their_leases(four: Any) -> None:
    result = await carry_out(four, wait=True)
    assert result.ok
    assert result.retired == (f"{CONNECTOR.node}-3", f"{CONNECTOR.node}-4")
    for node in CONNECTOR.node_names:
        assert is_there(four, node) == [True] * 3
    for node in result.retired:
        assert is_there(four, node) == [False] * 3


async def test_pods_on_a_node_that_goes_stop_it_before_anything_changes(four: Any, helm_program: Any) -> None:
    put_pod(four, "stays", CONNECTOR.node)
    put_pod(four, "web", f"{CONNECTOR.node}-4")
    with pytest.raises(VnodectlError, match=r"1 pod still on node .*-4: default/web") as caught:
        await carry_out(four)
    assert "--drain" in caught.value.hint
    assert not helm_program.calls("upgrade")
    assert {method for method, _ in four.calls} <= {"GET", "LIST"}


@pytest.mark.parametrize(
    ("choice", "phase", "how"),
    [("drain", "Running", "EVICT"), ("force", "Running", "DELETE"), ("", "Succeeded", "DELETE")],
)
async def test_pods_leave_while_the_old_connector_can_still_end_them(
    choice: str, phase: str, how: str, four: Any, helm_program: Any
) -> None:
    web = put_pod(four, "web", f"{CONNECTOR.node}-4", phase)
    seen: list[tuple[str, bool, list[bool]]] = []

    def watch(method: str, path: str) -> None:
        if path == web:
            cordoned = [
                four.objects[f"/api/v1/nodes/{CONNECTOR.node}-{number}"]["spec"].get("unschedulable", False)
                for number in (3, 4)
            ]
            seen.append((method, bool(helm_program.calls("upgrade")), cordoned))

    four.hooks.append(watch)
    result = await carry_out(four, **({choice: True} if choice else {}))
    assert result.ok
    assert seen == [(how, False, [True, True])]
    for node in CONNECTOR.node_names:
        assert "unschedulable" not in four.objects[f"/api/v1/nodes/{node}"]["spec"]


async def test_the_nodes_go_after_the_pods_that_could_register_them_again(four: Any) -> None:
    old = put_connector_pod(four, "old", nodes=4, deletionTimestamp=stamp(0))
    lists = 0

    def end(method: str, path: str) -> None:
        nonlocal lists
        lists += (method, path) == ("LIST", f"/api/v1/namespaces/{SYSTEM}/pods")
        if lists == 2:
            four.objects.pop(old, None)
        if method == "DELETE" and path.startswith("/api/v1/nodes"):
            assert old not in four.objects

    four.hooks.append(end)
    assert (await carry_out(four)).retired
    assert lists >= 2


async def test_an_old_pod_that_does_not_end_keeps_the_nodes(four: Any, mocker: Any) -> None:
    mocker.patch("vnodectl.connector.shares._POLL_SECONDS", 1)
    put_connector_pod(four, "old", nodes=4)
    result = await carry_out(four, timeout=0.5)
    assert result.exit_code == EXIT_TIMEOUT
    assert "do not end: old" in result.message
    assert is_there(four, f"{CONNECTOR.node}-3") == [True] * 3


async def test_by_force_a_pod_that_nobody_ends_does_not_stay(four: Any, mocker: Any) -> None:
    mocker.patch("vnodectl.connector.retirement._FORCE_SECONDS", 0)
    web = put_pod(four, "web", f"{CONNECTOR.node}-4")

    def linger(method: str, path: str) -> None:
        if (method, path) == ("DELETE", web) and len(deletes) < 1:
            deletes.append(path)
            put_pod(four, "web", f"{CONNECTOR.node}-4")

    deletes: list[str] = []
    four.hooks.append(linger)
    assert (await carry_out(four, force=True)).ok
    assert deletes == [web]
    assert web not in four.objects


async def test_nodes_of_others_are_no_surplus(kube: Any) -> None:
    foreign = ("sandbox", "virtual-kubelet-aci-linux-westus-3", "virtual-kubelet-aci-windows-eastus-3")
    for node in foreign:
        put_node(kube, node)
    kube.put("/api/v1/nodes/virtual-kubelet-aci-linux-eastus-9")  # not a virtual one, by its labels
    assert retirement.surplus(CONNECTOR, await retirement.registered(kube)) == []


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("9999", 50), ("many", 1), (None, 1)])
def test_the_number_of_a_pod_is_what_its_label_says(text: str | None, number: int) -> None:
    labels = {"vnodectl.io/nodes": text} if text else None
    assert shares.node_count({"metadata": {"labels": labels}}) == number
