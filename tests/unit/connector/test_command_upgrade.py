"""`vnodectl upgrade-connector` from its arguments to its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from vnodectl.checks.model import Check, Outcome, Report, failed
from vnodectl.cli.app import run_program
from vnodectl.connector.node import NodeState
from vnodectl.errors import TimedOut

RELEASE = "aci-connector-linux-eastus"
VALUES = {
    "cloud": "azure",
    "azure": {"resourceGroup": "aci", "subnetId": "/subnets/s", "identity": {"type": "managedIdentity"}},
    "image": {"repository": "registry.example/vnodectl", "tag": "0.0.9"},
}


def upgrade(*arguments: str) -> int:
    return run_program(["upgrade-connector", *arguments])


@pytest.fixture
def asked(world: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What checks were asked about; they fail where `world.failures` says so."""
    targets: list[Any] = []

    async def run_upgrade_checks(target: Any, manifests: Any, **_: Any) -> Report:
        targets.append((target, list(manifests)))
        return Report(
            tuple(
                Outcome(Check(check_id, "x", "A question?", never), failed(cause, fix="mend it"), exit_code=1)
                for check_id, cause in world.failures
            ),
            0.1,
        )

    async def never(context: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("vnodectl.checks.catalog.run_upgrade_checks", run_upgrade_checks)
    return targets


@pytest.fixture
def nodes_come(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say how often waiting for the nodes fails before it succeeds."""
    left = [0]

    async def wait_connector(*_: Any, **__: Any) -> tuple[NodeState, ...]:
        if left[0] > 0:
            left[0] -= 1
            raise TimedOut("after 300 s: node is not Ready")
        return (NodeState("n", exists=True, ready=True, fresh=True, lease_age=1.0),)

    monkeypatch.setattr("vnodectl.connector.upgrade.wait_connector", wait_connector)

    def after(failures: int) -> None:
        left[0] = failures

    return after


@pytest.fixture
def installed(world: Any, kube: Any, helm_program: Any, asked: list[Any], nodes_come: Any) -> Any:
    for namespace in ("all", "vnode-system"):
        helm_program.put(RELEASE, "deployed", namespace=namespace, values=VALUES)
    kube.put(
        f"/apis/apps/v1/namespaces/vnode-system/deployments/{RELEASE}",
        metadata={
            "labels": {
                "app.kubernetes.io/part-of": "vnodectl",
                "vnodectl.io/connector": "aci-connector",
                "vnodectl.io/os": "linux",
                "vnodectl.io/region": "eastus",
            },
            "annotations": {"vnodectl.io/node": f"virtual-kubelet-{RELEASE}"},
        },
        spec={"replicas": 1, "template": {"metadata": {}, "spec": {"containers": []}}},
        status={"availableReplicas": 1},
    )
    return helm_program


def test_the_values_of_the_release_are_kept(
    installed: Any, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert upgrade() == 0
    (now,) = installed.releases().values()
    assert now["values"] == {**VALUES, "image": {"repository": "registry.example/vnodectl"}}
    assert now["version"] == 2
    assert capsys.readouterr().out.split()[-5:-1] == [
        "Linux",
        f"virtual-kubelet-{RELEASE}",
        RELEASE,
        "ready",
    ]
    ((target, manifests),) = asked
    assert (target.resource_group, target.subnet_id, target.region) == ("aci", "/subnets/s", "eastus")
    assert manifests[0]["values"] == now["values"]


def test_a_dry_run_shows_the_difference(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert upgrade("--dry-run", "--replicas", "2") == 0
    shown = capsys.readouterr().out
    assert f"+++ Deployment {RELEASE} (then)" in shown
    assert "+  replicas: 2\n" in shown
    assert "-    tag: 0.0.9\n" in shown
    assert installed.calls("upgrade") == []


def test_nothing_to_change(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert upgrade("--dry-run", "--image-tag", "0.0.9") == 0
    assert f"{RELEASE}: nothing would change" in capsys.readouterr().err


def test_a_failed_check_stops_it(installed: Any, world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.failures.append(("VN-X-001", "something is wrong"))
    assert upgrade() == 1
    assert "error: VN-X-001: something is wrong" in capsys.readouterr().err
    assert installed.calls("upgrade") == []


def test_a_newer_release_is_left_alone(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (installed.home / "chart-version").write_text("0.10.0")
    assert upgrade() == 2
    assert "is of chart version 0.10.0, newer than 0.1.0" in capsys.readouterr().err
    assert installed.calls("upgrade") == []


def test_nodes_that_do_not_come(installed: Any, nodes_come: Any, capsys: pytest.CaptureFixture[str]) -> None:
    nodes_come(1)
    assert upgrade("-o", "json") == 4
    shown = capsys.readouterr()
    (one,) = json.loads(shown.out)["connectors"]
    assert (one["status"], one["revision"], one["fromVersion"]) == ("timed-out", 2, "0.1.0")
    assert f"hint: go back with: helm rollback {RELEASE} 1 -n vnode-system" in shown.err
    assert installed.calls("rollback") == []


@pytest.mark.parametrize(
    ("failures", "told"), [(1, "back at revision 1, which works"), (2, "which does not come up either")]
)
def test_going_back(
    failures: int, told: str, installed: Any, nodes_come: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes_come(failures)
    assert upgrade("--rollback-on-failure") != 0
    assert told in capsys.readouterr().err
    (call,) = installed.calls("rollback")
    assert call["argv"][1:3] == [RELEASE, "1"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--os-type", "Windows"), 1, "no Windows connector 'aci-connector' is installed"),
        (("--connector-name", "other"), 1, "no Linux connector 'other' is installed"),
        (("--rollback-on-failure", "--no-wait"), 2, "exclude each other"),
        (("--replicas", "0"), 2, "bad --replicas '0'"),
        (("--chart-url", "nowhere/chart"), 2, "no chart at 'nowhere/chart'"),
    ],
)
def test_what_cannot_be(
    arguments: tuple[str, ...], code: int, message: str, installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upgrade(*arguments) == code
    assert message in capsys.readouterr().err
    assert installed.calls("upgrade") == []


def test_a_release_without_its_deployment(
    installed: Any, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kube.objects.clear()
    assert upgrade() == 1
    shown = capsys.readouterr().err
    assert f"release {RELEASE} cannot be upgraded" in shown
    assert "hint: install-connector makes it whole again" in shown


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_a_release_that_an_interrupted_upgrade_left_is_repaired(status: str, installed: Any) -> None:
    for namespace in ("all", "vnode-system"):
        installed.put(RELEASE, status, namespace=namespace, values=VALUES)
    assert upgrade() == 0
    assert [call["argv"][0] for call in installed.calls() if call["argv"][0] in ("rollback", "upgrade")] == [
        "rollback",
        "upgrade",
    ]
    (now,) = installed.releases().values()
    assert now["status"] == "deployed"


def test_what_another_run_changed_meanwhile_is_kept(installed: Any, kube: Any) -> None:
    lock = f"/apis/coordination.k8s.io/v1/namespaces/vnode-system/leases/{RELEASE}-install"

    def somebody_else(method: str, path: str) -> None:
        if (method, path) == ("POST", lock):
            changed = {**VALUES, "nodes": 3}
            installed.put(RELEASE, "deployed", values=changed, version=7)

    kube.hooks.append(somebody_else)
    assert upgrade() == 0
    (now,) = installed.releases().values()
    assert (now["version"], now["values"]["nodes"]) == (8, 3)


def test_a_failed_check_says_what_was_seen(
    installed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which right is missing, for one."""

    async def never(context: Any) -> Any:
        raise AssertionError

    async def checks(*_: Any, **__: Any) -> Report:
        check = Check("VN-X-001", "x", "A question?", never)
        answer = failed("rights are missing", evidence="refused: create clusterroles", fix="mend it")
        return Report((Outcome(check, answer, exit_code=1),), 0.1)

    monkeypatch.setattr("vnodectl.checks.catalog.run_upgrade_checks", checks)
    assert upgrade() == 1
    told = capsys.readouterr().err
    assert "error: VN-X-001: rights are missing (refused: create clusterroles)\nhint: mend it" in told
