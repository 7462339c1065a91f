"""`vnodectl install-connector` from its arguments to its exit code."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from vnodectl.cli.app import run_program

MARKER = "planted-marker-9f3c"
RELEASE = "aci-connector-linux-eastus"
WINDOWS = "aci-connector-windows-eastus"
PLACE = ["--subscription", "sub", "--tenant", "ten", "--aci-resource-group", "aci", "-l", "eastus"]
MANAGED = [*PLACE, "--managed-identity", "system"]


def install(*arguments: str) -> int:
    return run_program(["install-connector", *arguments])


@pytest.fixture
def ready(kube: Any) -> None:
    """A cluster where what Helm installs is Ready at once."""
    for release in (RELEASE, WINDOWS):
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


@pytest.fixture
def principal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody signed in to Azure, by the environment."""
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "sub")
    monkeypatch.setenv("AZURE_TENANT_ID", "ten")
    monkeypatch.setenv("AZURE_CLIENT_ID", "env-app")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", MARKER)


def test_both_as_a_table(world: Any, ready: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(*MANAGED, "--os-type", "Both") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["OS", "NODE", "RELEASE", "STATUS", "TIME"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["Linux", f"virtual-kubelet-{RELEASE}", RELEASE, "ready"],
        ["Windows", f"virtual-kubelet-{WINDOWS}", WINDOWS, "ready"],
    ]


def test_json_is_one_document(world: Any, ready: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(*MANAGED, "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schemaVersion"] == 1
    assert document["cluster"] == {"server": "https://10.1.2.3:6443", "context": "here"}
    (connector,) = document["connectors"]
    assert (connector["release"], connector["status"], connector["revision"]) == (RELEASE, "ready", 1)
    assert document["checks"]["ok"] is True


def test_every_node_of_a_release_is_listed(
    world: Any, ready: None, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = f"virtual-kubelet-{RELEASE}"
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    for kind in ("/api/v1/nodes", lease):
        kube.objects[f"{kind}/{first}-2"] = kube.objects[f"{kind}/{first}"]
    numbers = ("--nodes", "2", "--replicas", "2")
    assert install(*MANAGED, *numbers) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in lines[1:]] == [
        [first, RELEASE, "ready"],
        [f"{first}-2", RELEASE, "ready"],
    ]
    assert install(*MANAGED, *numbers, "-o", "json") == 0
    (connector,) = json.loads(capsys.readouterr().out)["connectors"]
    assert connector["node"] == first
    assert (connector["nodes"], connector["replicas"]) == ([first, f"{first}-2"], 2)
    assert connector["removedNodes"] == []


def test_nodes_that_went_are_told(
    world: Any, ready: None, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = f"virtual-kubelet-{RELEASE}-2"
    kube.put(f"/api/v1/nodes/{gone}", metadata={"labels": {"type": "virtual-kubelet"}}, spec={})
    pod = "/api/v1/namespaces/default/pods/web"
    kube.put(pod, spec={"nodeName": gone}, status={"phase": "Running"})
    assert install(*MANAGED) == 1
    assert f"1 pod still on node {gone}: default/web" in capsys.readouterr().err
    assert install(*MANAGED, "--drain", "-o", "json") == 0
    shown = capsys.readouterr()
    assert f"Linux: removed node {gone}" in shown.err
    assert json.loads(shown.out)["connectors"][0]["removedNodes"] == [gone]


@pytest.mark.parametrize("output", ["table", "json"])
def test_one_that_fails_is_named_and_the_code_is_1(
    output: str, world: Any, ready: None, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    helm_program.fail("upgrade", "Error: it broke", only=WINDOWS)
    assert install(*MANAGED, "--os-type", "Both", "-o", output) == 1
    shown = capsys.readouterr()
    assert f"error: Windows: helm could not install {WINDOWS}: it broke" in shown.err
    if output == "json":
        assert [one["status"] for one in json.loads(shown.out)["connectors"]] == ["ready", "failed"]


def test_a_node_that_does_not_come_is_code_4(
    world: Any, ready: None, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    del kube.objects[f"/api/v1/nodes/virtual-kubelet-{RELEASE}"]
    assert install(*MANAGED, "--timeout", "1") == 4
    shown = capsys.readouterr()
    assert "timed-out" in shown.out
    assert "error: Linux: after 1 s" in shown.err
    assert "is not registered" in shown.err


def test_without_waiting(world: Any, kube: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kube.put(f"/apis/apps/v1/namespaces/vnode-system/deployments/{RELEASE}")
    assert install(*MANAGED, "--no-wait") == 0
    assert "installed" in capsys.readouterr().out


def test_a_failed_check_stops_before_anything_changes(
    world: Any, kube: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    world.failures.append(("VN-X-001", "something is missing"))
    assert install(*MANAGED) == 1
    shown = capsys.readouterr()
    assert "error: VN-X-001: something is missing\nhint: mend it\nnothing was changed\n" in shown.err
    assert shown.out == ""
    assert not kube.objects
    assert not helm_program.calls()


def test_a_dry_run_prints_manifests_and_changes_nothing(
    world: Any, kube: Any, helm_program: Any, principal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install("--aci-resource-group", "aci", "--dry-run", "--os-type", "Both") == 0
    manifests = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [one["kind"] for one in manifests] == [
        "Namespace",
        "Secret",
        "Deployment",
        "Secret",
        "Deployment",
    ]
    assert manifests[1]["data"] == {"clientSecret": "***"}
    assert not kube.objects
    assert not helm_program.calls("upgrade")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--os-type", "Mac"], "bad OS type"),
        (["--connector-name", "Bad_Name"], "bad connector name"),
        (["--connector-name", "a" * 60], "Helm allows 53"),
        (["--connector-name", "a" * 40], "Kubernetes allows 63"),
        (["--namespace", "Bad"], "bad namespace"),
        (["--cloud", "moon"], "unknown cloud"),
        (["-g", "rg"], "-g without -n"),
        (["--service-principal", "app"], "exclude each other"),
        (["--client-secret-file", "/nowhere"], "--client-secret-file /nowhere: No such file"),
        (["--client-secret", "a", "--client-secret-stdin"], "exclude each other"),
        (["--timeout", "soon"], "bad timeout"),
        (["--nodes", "51"], "bad --nodes '51'"),
        (["--replicas", "0"], "bad --replicas '0'"),
        (["--nodes", "10", "--connector-name", "a" * 33], "Kubernetes allows 63"),
        (["--drain", "--force"], "exclude each other"),
        (["--chart-url", "stable/chart"], "no chart at"),
        (["--config", "/nowhere"], "settings file /nowhere: No such file"),
        (["--skip", "VN-AZ-002,VN-NOPE"], "--skip VN-NOPE: no such check"),
    ],
)
def test_bad_input_is_code_2_and_nobody_is_asked(
    arguments: list[str],
    message: str,
    world: Any,
    kube: Any,
    helm_program: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert install(*MANAGED, *arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert not world.connected
    assert not kube.calls
    assert not helm_program.calls()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-g", "rg", "-n", "missing"], "no AKS cluster 'missing' in resource group 'rg'"),
        (["--aci-resource-group", "missing"], "no resource group 'missing'"),
        (["--aci-resource-group", "aci", "-l", "eastsu"], "unknown region 'eastsu'"),
    ],
)
def test_what_the_cloud_does_not_know_is_code_2(
    arguments: list[str],
    message: str,
    world: Any,
    principal: None,
    kube: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert install(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not kube.objects


def test_a_cluster_of_aks_is_used_by_a_private_file_that_is_gone_afterwards(
    world: Any, ready: None, principal: None, helm_program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/the/ambient/config")
    modes: list[int] = []
    world.kube.hooks.append(lambda *_: modes.append(stat.S_IMODE(Path(world.connected[0][0]).stat().st_mode)))
    assert install("-g", "rg", "-n", "aks") == 0
    path, _ = world.connected[0]
    assert set(modes) == {0o600}
    assert not Path(path).exists()
    assert not Path(path).parent.exists()
    call = helm_program.calls("upgrade")[0]["argv"]
    assert call[call.index("--kubeconfig") + 1] == path
    assert world.checked[0].azure.resource_group == "MC_rg", "the default is the node resource group"


def test_a_context_is_passed_on_to_every_subprocess(world: Any, ready: None, helm_program: Any) -> None:
    assert install(*MANAGED, "--kubeconfig", "/my/config", "--context", "mine") == 0
    assert world.connected == [("/my/config", "mine")]
    for call in helm_program.calls()[1:]:  # the first asks only for the version
        assert call["argv"][-4:] == ["--kubeconfig", "/my/config", "--kube-context", "here"]


def test_region_and_tenant_are_looked_up(
    world: Any, ready: None, principal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_TENANT_ID")
    install("--aci-resource-group", "aci", "--no-wait")
    assert world.checked[0].azure.region == "westeurope"
    assert world.checked[0].azure.tenant_id == "found-tenant"


def test_the_provider_is_registered_only_when_asked(world: Any, ready: None, principal: None) -> None:
    world.azure.provider = "NotRegistered"
    install("-g", "rg", "-n", "aks")
    assert world.azure.registered == []
    install("-g", "rg", "-n", "aks", "--register-provider", "--dry-run")
    assert world.azure.registered == []
    assert install("-g", "rg", "-n", "aks", "--register-provider") == 0
    assert world.azure.registered == ["Microsoft.ContainerInstance"]


def test_without_a_login_the_connectors_own_principal_asks_azure(
    world: Any, ready: None, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(MARKER + "\n")
    install(*PLACE, "--service-principal", "app", "--client-secret-file", str(secret))
    assert world.azure.settings.client_id == "app"
    assert world.azure.settings.client_secret == MARKER


def test_nobody_signed_in_and_an_aks_cluster(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(*MANAGED, "-g", "rg", "-n", "aks") == 2
    assert "nobody is signed in to Azure" in capsys.readouterr().err


def test_a_settings_file(world: Any, ready: None, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("connector-name: from-file\nlocation: westeurope\nmanaged-identity: system\n")
    install(
        "--subscription",
        "s",
        "--aci-resource-group",
        "g",
        "-l",
        "eastus",
        "--no-wait",
        "--config",
        str(config),
    )
    (connector,) = world.checked[0].connectors
    assert connector.release == "from-file-linux-eastus"


def secret_flags(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three ways to hand over the planted secret."""
    if way == "file":
        path = tmp_path / "secret"
        path.write_text(MARKER + "\n")
        return ["--client-secret-file", str(path)]
    if way == "stdin":
        monkeypatch.setattr("sys.stdin", io.StringIO(MARKER + "\n"))
        return ["--client-secret-stdin"]
    return ["--client-secret", MARKER]


@pytest.mark.parametrize("way", ["file", "stdin", "flag"])
@pytest.mark.parametrize("trouble", ["", "upgrade", "template", "timeout"])
def test_a_secret_shows_nowhere(
    way: str,
    trouble: str,
    world: Any,
    ready: None,
    kube: Any,
    helm_program: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in Helm's arguments, input, environment or values, nor in output, logs or errors: -vv included."""
    encoded = base64.b64encode(MARKER.encode()).decode()
    caplog.set_level(logging.DEBUG)
    if trouble == "timeout":
        kube.objects[f"/apis/apps/v1/namespaces/vnode-system/deployments/{RELEASE}"]["status"] = {}
        pod = f"/api/v1/namespaces/vnode-system/pods/{RELEASE}-1"
        labels = {"app.kubernetes.io/name": "vnode-connector", "app.kubernetes.io/instance": RELEASE}
        kube.put(pod, metadata={"labels": labels}, status={"phase": "Running"})
        kube.logs[pod] = f"cannot sign in with {MARKER}"
    elif trouble:
        helm_program.fail(trouble, f"Error: cannot decode {MARKER} nor {encoded}")
    flags = secret_flags(way, tmp_path, monkeypatch)
    for extra in (["--dry-run"], [], ["-o", "json"]):
        if way == "stdin":
            monkeypatch.setattr("sys.stdin", io.StringIO(MARKER + "\n"))
        code = install(*PLACE, "--service-principal", "app", *flags, "-vv", "--timeout", "1", *extra)
        assert (code == 0) is (not trouble or (extra == ["--dry-run"] and trouble != "template"))
    shown = capsys.readouterr()
    everything = {
        "stdout": shown.out,
        "stderr": shown.err,
        "log": caplog.text,
        "helm": json.dumps(helm_program.calls()),
        "releases": json.dumps(helm_program.releases()),
    }
    for place, text in everything.items():
        assert MARKER not in text, place
        assert encoded not in text, place
    assert ("warning: --client-secret is visible" in shown.err) is (way == "flag")
    if trouble != "template" and trouble != "upgrade":
        secret = kube.objects[f"/api/v1/namespaces/vnode-system/secrets/{RELEASE}-azure"]
        assert secret["data"] == {"clientSecret": encoded}


def test_a_certificate_is_handed_over_as_a_secret_is(
    world: Any,
    ready: None,
    kube: Any,
    helm_program: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    pem = (
        "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n"
        f"-----BEGIN PRIVATE KEY-----\n{MARKER}\n-----END PRIVATE KEY-----"
    )
    path = tmp_path / "app.pem"
    path.write_text(pem + "\n")
    given = ("--service-principal", "app", "--client-certificate-file", str(path))
    assert install(*PLACE, *given, "--timeout", "1") == 0
    secret = kube.objects[f"/api/v1/namespaces/vnode-system/secrets/{RELEASE}-azure"]
    assert secret["data"] == {"clientCertificate": base64.b64encode(pem.encode()).decode()}
    shown = capsys.readouterr()
    helm = json.dumps([helm_program.calls(), helm_program.releases()])
    assert MARKER not in shown.out + shown.err + caplog.text + helm
    assert '"credential": "certificate"' in json.dumps(json.loads(helm))
    assert install(*PLACE, *given, "--client-secret", "x") == 2


def test_who_interrupts_it_is_told_how_to_go_on(
    world: Any, kube: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(method: str, path: str) -> None:
        if path.endswith(f"/deployments/{RELEASE}"):
            kube.hooks.clear()
            os.kill(os.getpid(), signal.SIGTERM)

    kube.hooks.append(interrupt)
    assert install(*MANAGED, "-o", "json") == 130
    shown = capsys.readouterr()
    assert json.loads(shown.out)["message"] == "interrupted"
    assert shown.err.endswith("the same command again goes on from there\ninterrupted\n")
