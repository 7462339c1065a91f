"""`vnodectl remove-connector` from its arguments to its exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vnodectl.cli.app import run_program

RELEASE = "aci-connector-linux-eastus"
NODE = f"virtual-kubelet-{RELEASE}"


def remove(*arguments: str) -> int:
    return run_program(["remove-connector", *arguments])


@pytest.fixture
def installed(world: Any, kube: Any, helm_program: Any) -> Any:
    helm_program.put(RELEASE, "deployed")
    kube.put(f"/api/v1/nodes/{NODE}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
    return world


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUBSCRIPTION_ID", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_{name}", name)


def test_a_removal(installed: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert remove() == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].split()[:5] == ["Linux", NODE, RELEASE, "removed", "?"]
    assert "nobody is signed in to Azure" in shown.err
    assert not helm_program.releases()
    assert not installed.kube.objects


@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_to_remove_is_fine(output: str, world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert remove("--os-type", "Both", "-o", output) == 0
    shown = capsys.readouterr()
    if output == "json":
        assert json.loads(shown.out)["connectors"] == []
    else:
        assert shown.out == ""
        assert "nothing to remove" in shown.err


def test_it_refuses_while_pods_run(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    installed.kube.put(
        "/api/v1/namespaces/default/pods/web", spec={"nodeName": NODE}, status={"phase": "Running"}
    )
    assert remove() == 1
    shown = capsys.readouterr()
    assert f"error: 1 pod still on node {NODE}: default/web" in shown.err
    assert "hint: move them first with --drain" in shown.err
    assert remove("--drain") == 0


def test_groups_left_are_reported_and_deleted_when_asked(
    installed: Any, signed_in: None, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = {"vnodectl-node": NODE, "vnodectl-connector": RELEASE}
    installed.azure.containers["aci"] = [{"id": "/aci/lost", "name": "lost", "tags": tags}]
    assert remove("--aci-resource-group", "aci", "-o", "json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["connectors"][0]["containerGroupsLeft"] == ["lost"]
    assert "warning: 1 container group still in Azure: lost" in shown.err
    # The connector is gone by now: its group is known by its tags alone.
    assert remove("--aci-resource-group", "aci") == 0
    assert "lost" in capsys.readouterr().err
    assert remove("--aci-resource-group", "aci", "--delete-groups") == 0
    assert installed.azure.containers["aci"] == []


def test_a_failure_is_told_and_is_not_code_0(
    installed: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    helm_program.fail("uninstall", "Error: it broke")
    assert remove() == 1
    assert f"error: Linux: helm could not uninstall {RELEASE}: it broke" in capsys.readouterr().err


def test_every_node_is_listed(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def second() -> None:
        installed.kube.put(
            f"/api/v1/nodes/{NODE}-2", metadata={"labels": {"type": "virtual-kubelet"}}, spec={}
        )

    second()
    assert remove() == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[1:4] for row in rows] == [
        [NODE, RELEASE, "removed"],
        [f"{NODE}-2", RELEASE, "removed"],
    ]
    second()
    assert remove("-o", "json") == 0
    (connector,) = json.loads(capsys.readouterr().out)["connectors"]
    assert (connector["node"], connector["nodes"]) == (NODE, [f"{NODE}-2"])


def test_the_old_name_of_drain_still_works(installed: Any) -> None:
    assert remove("--graceful") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--os-type", "Mac"], "bad OS type"),
        (["--connector-name", "_"], "bad connector name"),
        (["-n", "aks"], "-n without -g"),
        (["--drain", "--force"], "exclude each other"),
        (["-l", "nowhere-at-all"], "bad region"),
    ],
)
def test_bad_input_is_code_2_and_nobody_is_asked(
    arguments: list[str], message: str, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remove(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not world.kube.calls
