"""A connector's life on a real API server, with the real Helm and the real chart."""

from __future__ import annotations

import base64
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

pytestmark = pytest.mark.e2e

JSON = dict[str, Any]
RELEASE = "aci-connector-linux-eastus"
WINDOWS = "aci-connector-windows-eastus"
NODE = f"virtual-kubelet-{RELEASE}"
NAMESPACE = "vnode-system"
PLACE = ("--subscription", "sub", "--tenant", "ten", "--aci-resource-group", "rg", "-l", "eastus")
MANAGED = (*PLACE, "--managed-identity", "system")


class Shell(Protocol):
    """A sandbox's `run`."""

    environment: dict[str, str]
    kubeconfig: str

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> Any: ...


def everything(shell: Shell) -> list[str]:
    """Names of all that a connector could leave behind."""
    kinds = (
        "namespaces,nodes,pods,deployments,secrets,configmaps,serviceaccounts,"
        "clusterroles,clusterrolebindings,roles,rolebindings,leases"
    )
    done = shell.run("kubectl", "get", kinds, "-A", "-o", "json")
    found = []
    for item in json.loads(done.stdout)["items"]:
        meta = item["metadata"]
        if "aci-connector" in meta["name"] or NAMESPACE in (meta["name"], meta.get("namespace")):
            found.append(f"{item['kind']} {meta.get('namespace', '')}/{meta['name']}")
    return found


@pytest.fixture
def cluster(control_plane: Shell) -> Iterator[Shell]:
    """A control plane without nodes; whatever a test installs is taken away, and nothing may be left."""
    yield control_plane
    done = control_plane.run("vnodectl", "remove-connector", "--os-type", "Both", "--force", check=False)
    assert done.returncode == 0, done.stderr
    assert everything(control_plane) == []


def install(shell: Shell, *arguments: str) -> Any:
    return shell.run("vnodectl", "install-connector", *arguments, check=False)


def test_both_are_installed_at_once_and_again_and_removed(cluster: Shell) -> None:
    for revision in (1, 2):
        done = install(cluster, *MANAGED, "--os-type", "Both", "--no-wait", "-o", "json")
        assert done.returncode == 0, done.stderr
        connectors = json.loads(done.stdout)["connectors"]
        assert [(one["release"], one["status"], one["revision"]) for one in connectors] == [
            (RELEASE, "installed", revision),
            (WINDOWS, "installed", revision),
        ]
    releases = json.loads(cluster.run("helm", "list", "-n", NAMESPACE, "-o", "json").stdout)
    assert {one["name"]: one["status"] for one in releases} == {RELEASE: "deployed", WINDOWS: "deployed"}
    for first_then_second in ("removed", "nothing"):
        done = cluster.run("vnodectl", "remove-connector", "--os-type", "Both", "-o", "json")
        statuses = {one["status"] for one in json.loads(done.stdout)["connectors"]}
        assert statuses == ({"removed"} if first_then_second == "removed" else set())
    assert everything(cluster) == []


def test_a_connector_that_never_runs_is_a_timeout_that_says_why(cluster: Shell) -> None:
    done = install(cluster, *MANAGED, "--timeout", "3s")
    assert done.returncode == 4, done.stderr
    assert f"Deployment {RELEASE} has 0 of 1 pods available" in done.stderr
    assert "not scheduled: no nodes available" in done.stderr
    assert "hint: see more: kubectl -n vnode-system describe pod" in done.stderr
    assert "timed-out" in done.stdout


@pytest.fixture
def strict_chart(repository: Path, tmp_path: Path) -> Path:
    """A copy of the chart whose schema wants another value."""
    chart = tmp_path / "chart"
    subprocess.run(["cp", "-r", str(repository / "charts" / "vnode-connector"), str(chart)], check=True)
    schema = json.loads((chart / "values.schema.json").read_text())
    schema["properties"]["osType"]["enum"] = ["Plan9"]
    (chart / "values.schema.json").write_text(json.dumps(schema))
    return chart


def test_a_chart_that_refuses_the_values_changes_nothing(cluster: Shell, strict_chart: Path) -> None:
    done = install(cluster, *MANAGED, "--chart-url", str(strict_chart))
    assert done.returncode == 2, done.stderr
    assert "/osType" in done.stderr
    assert done.stdout == ""
    assert everything(cluster) == []


def test_a_first_installation_that_fails_leaves_nothing(
    cluster: Shell, repository: Path, tmp_path: Path
) -> None:
    chart = tmp_path / "chart"
    subprocess.run(["cp", "-r", str(repository / "charts" / "vnode-connector"), str(chart)], check=True)
    (chart / "templates" / "bad.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: Not_A_Name\n"
    )
    done = install(cluster, *MANAGED, "--chart-url", str(chart))
    assert done.returncode == 1, done.stderr
    assert "Not_A_Name" in done.stderr
    # Its namespace is on the way out: the next installation waits for that.
    assert install(cluster, *MANAGED, "--no-wait").returncode == 0


def stick(shell: Shell, revision: int, status: str) -> None:
    """Leave the release as a Helm that was killed leaves it."""
    name = f"sh.helm.release.v1.{RELEASE}.v{revision}"
    secret = json.loads(shell.run("kubectl", "-n", NAMESPACE, "get", "secret", name, "-o", "json").stdout)
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    record["info"]["status"] = status
    packed = gzip.compress(json.dumps(record).encode())
    secret["data"]["release"] = base64.b64encode(base64.b64encode(packed)).decode()
    secret["metadata"]["labels"]["status"] = status
    shell.run("kubectl", "replace", "-f", "-", stdin=json.dumps(secret))


@pytest.mark.parametrize(
    ("revisions", "status"), [(1, "pending-install"), (2, "pending-upgrade"), (1, "uninstalling")]
)
def test_a_release_stuck_by_an_interrupted_run_is_repaired(
    revisions: int, status: str, cluster: Shell
) -> None:
    for _ in range(revisions):
        assert install(cluster, *MANAGED, "--no-wait").returncode == 0
    stick(cluster, revisions, status)
    done = install(cluster, *MANAGED, "--no-wait")
    assert done.returncode == 0, done.stderr
    assert f"{status}: repaired" in done.stderr


def test_a_dry_run_is_accepted_by_the_api_server_and_changes_nothing(cluster: Shell) -> None:
    done = install(cluster, *MANAGED, "--dry-run", "--os-type", "Both")
    assert done.returncode == 0, done.stderr
    manifests = list(yaml.safe_load_all(done.stdout))
    assert everything(cluster) == []
    namespace, *rest = manifests
    cluster.run("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump(namespace))
    cluster.run("kubectl", "apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(rest))
    cluster.run("kubectl", "delete", "namespace", NAMESPACE)


def other_kubeconfig(shell: Shell, path: Path, **changes: Any) -> str:
    config = yaml.safe_load(Path(shell.kubeconfig).read_text())
    if "server" in changes:
        config["clusters"][0]["cluster"]["server"] = changes["server"]
    if "token" in changes:
        config["users"][0]["user"] = {"token": changes["token"]}
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_expired_credentials_and_an_unreachable_cluster_are_code_5(cluster: Shell, tmp_path: Path) -> None:
    expired = other_kubeconfig(cluster, tmp_path / "expired", token="no-longer-good")
    away = other_kubeconfig(cluster, tmp_path / "away", server="https://127.0.0.1:1")
    for kubeconfig in (expired, away):
        for command in (("install-connector", *MANAGED), ("remove-connector",)):
            done = cluster.run("vnodectl", *command, "--kubeconfig", kubeconfig, check=False)
            assert done.returncode == 5, (command, done.stderr)
            assert done.stderr.count("error: ") == 1
            assert "hint: " in done.stderr
            assert "no-longer-good" not in done.stderr


def test_an_unrelated_ambient_context_is_not_touched(cluster: Shell, tmp_path: Path) -> None:
    ambient = tmp_path / "ambient"
    ambient.write_text("apiVersion: v1\nkind: Config\ncurrent-context: unrelated\n")
    before = ambient.read_bytes()
    environment = {**cluster.environment, "KUBECONFIG": str(ambient)}
    command = [sys.executable, "-m", "vnodectl", "install-connector", *MANAGED, "--no-wait"]
    command += ["--kubeconfig", cluster.kubeconfig]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ambient.read_bytes() == before
    assert list(tmp_path.iterdir()) == [ambient]


def test_an_interrupted_wait_ends_at_once_and_can_be_taken_up_again(cluster: Shell) -> None:
    command = [sys.executable, "-m", "vnodectl", "install-connector", *MANAGED]
    with subprocess.Popen(
        command, env=dict(cluster.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "pods available" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read().endswith("interrupted\n")
    assert install(cluster, *MANAGED, "--no-wait").returncode == 0


def test_a_pod_that_needs_the_node_stops_a_removal(cluster: Shell) -> None:
    assert install(cluster, *MANAGED, "--no-wait").returncode == 0
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": {"type": "virtual-kubelet"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [{"name": "web", "image": "none"}]},
    }
    cluster.run("kubectl", "create", "-f", "-", stdin=json.dumps(node))
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default"},
    }
    cluster.run("kubectl", "apply", "-f", "-", stdin=json.dumps(account))
    cluster.run("kubectl", "create", "-f", "-", stdin=json.dumps(pod))
    refused = cluster.run("vnodectl", "remove-connector", check=False)
    assert refused.returncode == 1
    assert "default/web" in refused.stderr
    assert json.loads(cluster.run("helm", "list", "-n", NAMESPACE, "-o", "json").stdout)
    forced = cluster.run("vnodectl", "remove-connector", "--force")
    assert "removed" in forced.stdout
    gone = cluster.run("kubectl", "get", "pod", "web", "--ignore-not-found", "-o", "name")
    assert gone.stdout == ""


def test_nodes_left_over_from_more_go_with_the_connector(cluster: Shell) -> None:
    """Nobody was there to take them away: the number was lowered by Helm alone."""
    done = install(cluster, *MANAGED, "--nodes", "3", "--replicas", "2", "--no-wait", "-o", "json")
    assert done.returncode == 0, done.stderr
    (connector,) = json.loads(done.stdout)["connectors"]
    assert connector["nodes"] == [NODE, f"{NODE}-2", f"{NODE}-3"]
    leases = [
        (f"node-{NODE}-3", NAMESPACE, {"vnodectl.io/connector": RELEASE, "vnodectl.io/lease": "node"}),
        (
            f"replica-{RELEASE}-x",
            NAMESPACE,
            {"vnodectl.io/connector": RELEASE, "vnodectl.io/lease": "replica"},
        ),
        (f"{NODE}-3", "kube-node-lease", {}),
    ]
    items = [
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        }
        for name, namespace, labels in leases
    ]
    items.append(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"{NODE}-3", "labels": {"type": "virtual-kubelet"}},
        }
    )
    for item in items:
        cluster.run("kubectl", "create", "-f", "-", stdin=json.dumps(item))
    chart = str(Path(__file__).parents[2] / "charts" / "vnode-connector")
    numbers = ("--reuse-values", "--set", "nodes=1")
    cluster.run("helm", "upgrade", RELEASE, chart, "-n", NAMESPACE, *numbers)
    removed = cluster.run("vnodectl", "remove-connector", "-o", "json")
    assert json.loads(removed.stdout)["connectors"][0]["nodes"] == [f"{NODE}-3"]
    assert everything(cluster) == []


def test_the_whole_life_on_a_sandbox(sandbox: Any, tmp_path: Path) -> None:
    """By the names that the emulated Azure knows; the secret is nowhere but in its Secret."""
    at = ("-g", "demo-aks", "-n", "demo")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    sandbox = replace(sandbox, environment={**sandbox.environment, "TMPDIR": str(temporary)})
    secret = sandbox.environment["AZURE_CLIENT_SECRET"]
    done = install(sandbox, *at, "--aci-resource-group", "demo-aci", "--os-type", "Both", "-vv", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert [one["status"] for one in json.loads(done.stdout)["connectors"]] == ["ready", "ready"]
    shown = done.stdout + done.stderr
    for release in (RELEASE, WINDOWS):
        shown += sandbox.run("helm", "-n", NAMESPACE, "get", "all", release).stdout
        shown += sandbox.run("helm", "-n", NAMESPACE, "test", release).stdout
        shown += sandbox.run("kubectl", "-n", NAMESPACE, "logs", f"deployment/{release}").stdout
    assert secret not in shown
    assert base64.b64encode(secret.encode()).decode() not in shown
    sandbox.run("vnodectl", "upgrade-connector", *at, "--replicas", "2", "--rollback-on-failure")
    again = sandbox.run("vnodectl", "upgrade-connector", *at, "--dry-run")
    assert (again.stdout, "nothing would change" in again.stderr) == ("", True)
    listed = json.loads(sandbox.run("vnodectl", "show-connector", "-o", "json").stdout)["connectors"]
    assert [(one["release"], one["replicas"], one["ready"], one["problems"]) for one in listed] == [
        (RELEASE, 2, True, []),
        (WINDOWS, 1, True, []),
    ]
    done = sandbox.run("vnodectl", "remove-connector", *at, "--os-type", "Both", "--drain", "-o", "json")
    for one in json.loads(done.stdout)["connectors"]:
        assert (one["status"], one["containerGroupsLeft"]) == ("removed", [])
    assert everything(sandbox) == []
    assert list(temporary.iterdir()) == []
