"""`vnodectl check` as a user runs it, in front of an emulated Azure: sessions, plan, mending, archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.check_cases.azure import ACI, ADMIN, ADMIN_SECRET, ALL_WELL, GROUP, MANAGED, SUBNET, network
from support.fake_api import threaded_cluster
from support.scripted_engine import ScriptedEngine
from support.threads import in_thread

from vnodectl.cli.app import run_program
from vnodectl.emulator.azure.seed import config_of
from vnodectl.emulator.azure.service import AzureEmulator

QUICK = {"registration": 0, "resource": 0, "roleAssignment": 0}
WHOLE = ("-g", GROUP, "-n", "aks", "--aci-resource-group", GROUP, "-l", "eastus", "--subnet-id", SUBNET)
MINE = (*WHOLE, "--workload-identity", MANAGED)


class World:
    """A cluster that AKS knows, and the subscription; `check` runs the command."""

    def __init__(self, capsys: Any, seed: dict[str, Any]) -> None:
        self._capsys = capsys
        self.seed = seed

    def check(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        # There is no helm here, nor what is asked of it.
        code = run_program(["check", *arguments, "-o", "json", "--skip", "tools,VN-KUBE-005,VN-REL-005"])
        said = self._capsys.readouterr()
        assert ADMIN_SECRET not in said.out + said.err
        return code, json.loads(said.out) if said.out else {}, said.err


@pytest.fixture
def seed() -> dict[str, Any]:
    return {}


@pytest.fixture
def world(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: dict[str, Any]
) -> Iterator[World]:
    with threaded_cluster() as (api, url):
        api.put("namespaces", {"metadata": {"name": "vnode-system"}})
        path = tmp_path / "config"
        body = {
            "current-context": "aks",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "aks", "context": {"cluster": "c"}}],
        }
        path.write_text(yaml.safe_dump(body))
        clusters = [{**ALL_WELL["clusters"][0], "kubeconfig": str(path)}]
        config = config_of({**ALL_WELL, "clusters": clusters, "timings": QUICK, **seed})
        with in_thread(lambda: AzureEmulator(config, engine=ScriptedEngine())) as emulator:
            for name, value in {
                "AZURE_SUBSCRIPTION_ID": config.subscription,
                "AZURE_TENANT_ID": config.tenant,
                "AZURE_CLIENT_ID": ADMIN,
                "AZURE_CLIENT_SECRET": ADMIN_SECRET,
                "AZURE_AUTHORITY_HOST": emulator.authority_host,
                "VNODECTL_ARM_ENDPOINT": emulator.arm_endpoint,
                "VNODECTL_GRAPH_ENDPOINT": emulator.graph_endpoint,
                "VNODECTL_CA_BUNDLE": str(emulator.ca_file),
            }.items():
                monkeypatch.setenv(name, value)
            yield World(capsys, seed)


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in report["checks"]}


def test_a_cluster_of_aks_and_all_that_is_named(world: World) -> None:
    code, report, stderr = world.check(*MINE)
    said = verdicts(report)
    azure = {name: verdict for name, verdict in said.items() if name.startswith("VN-AZ-")}
    assert azure.pop("VN-AZ-025") == "skipped"
    assert set(azure.values()) == {"passed"}, (report, stderr)
    assert said["VN-REL-003"] == "passed"
    assert code == 0


def test_without_a_named_identity_that_of_the_environment_is_meant(world: World) -> None:
    _, report, _ = world.check(*WHOLE)
    found = {one["id"]: one for one in report["checks"]}
    assert found["VN-AZ-023"]["evidence"].startswith("its roles")
    assert found["VN-AZ-024"]["verdict"] == "skipped"


@pytest.mark.parametrize(
    "seed", [{"providers": {ACI: "NotRegistered"}, **network(delegations=[])}], ids=["broken"]
)
def test_fix_mends_what_it_may_and_asks_again(world: World) -> None:
    code, report, _ = world.check(*MINE)
    assert code == 1
    assert {one["id"] for one in report["checks"] if one["fixable"]} == {"VN-AZ-002", "VN-AZ-017"}
    code, report, stderr = world.check(*MINE, "--fix", "--yes")
    assert code == 0, stderr
    assert [(one["id"], one["passes"]) for one in report["fixes"]] == [
        ("VN-AZ-002", True),
        ("VN-AZ-017", True),
    ]
    assert "will register the resource provider" in stderr
    assert "VN-AZ-017: mended" in stderr


@pytest.mark.parametrize("seed", [{"providers": {ACI: "NotRegistered"}}], ids=["unregistered"])
@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 1)])
def test_on_a_terminal_it_asks_first(world: World, mocker: Any, answer: bool, code: int) -> None:
    stdin = mocker.patch("vnodectl.cli.check.sys.stdin")
    stdin.isatty.return_value = True
    asked = mocker.patch("vnodectl.cli.check.confirm", return_value=answer)
    found, report, _ = world.check(*MINE, "--fix")
    assert asked.call_count == 1
    assert (found, len(report["fixes"])) == (code, int(answer))


def test_a_named_size_and_zone_are_asked_for(world: World) -> None:
    code, report, _ = world.check(*MINE, "--size", "500:4")
    assert code == 1
    assert verdicts(report)["VN-AZ-014"] == "failed"
    assert verdicts(world.check(*MINE, "--zone", "1", "--size", "2:4")[1])["VN-AZ-014"] == "passed"


def test_only_what_fails_decides_the_code_and_warnings_when_strict(world: World) -> None:
    chart = ("--only", "VN-REL-004", "--chart-url", "oci://charts.example/v:1.2.3")
    assert world.check(*MINE, *chart)[0] == 0
    assert world.check(*MINE, *chart, "--strict")[0] == 3
