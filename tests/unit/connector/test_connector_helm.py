from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vnodectl.connector import chart as charts
from vnodectl.connector.helm import Helm, HelmError
from vnodectl.connector.redact import redactor
from vnodectl.errors import ClusterUnreachable, ToolMissing, UsageError

NAMESPACE = "vnode-system"


async def opened() -> Helm:
    return await Helm.open(kubeconfig="/the/config", context="the-context", redact=redactor(["hush"]))


async def test_every_call_names_kubeconfig_and_context_and_values_go_by_stdin(helm_program: Any) -> None:
    helm = await opened()
    chart = await helm.chart(charts.bundled())
    await helm.install("x", chart, {"a": "value-of-a"}, namespace=NAMESPACE, timeout=90)
    call = helm_program.calls("upgrade")[0]
    assert call["argv"][-4:] == ["--kubeconfig", "/the/config", "--kube-context", "the-context"]
    assert "value-of-a" not in " ".join(call["argv"])
    assert call["stdin"] == '{"a": "value-of-a"}'
    assert call["argv"][call["argv"].index("--timeout") + 1] == "90s"
    assert "--create-namespace" not in call["argv"]


async def test_no_helm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="not on PATH"):
        await opened()


@pytest.mark.parametrize("version", ["v4.3", "", "what?"])
async def test_a_helm_without_a_usable_version(helm_program: Any, version: str) -> None:
    (helm_program.home / "version").write_text(version)
    with pytest.raises(ToolMissing, match="version"):
        await opened()


async def test_helm_that_cannot_run(helm_program: Any) -> None:
    helm_program.fail("version", "broken")
    with pytest.raises(ToolMissing, match="cannot be run"):
        await opened()


@pytest.mark.parametrize(
    ("stderr", "kind", "shown"),
    [
        ("Error: INSTALLATION FAILED: it broke with hush", HelmError, "it broke with ***"),
        (
            'level=INFO msg="x"\nError: values don\'t meet the specifications of the schema(s)\n- at /osType',
            UsageError,
            "/osType",
        ),
        ("Error: Kubernetes cluster unreachable: dial tcp", ClusterUnreachable, "dial tcp"),
        (
            "Error: kubernetes cluster unreachable: the server has asked the client to provide credentials",
            ClusterUnreachable,
            "does not accept these credentials",
        ),
        ("", HelmError, "no message"),
    ],
)
async def test_a_failure_is_told_in_helms_words_without_secrets(
    helm_program: Any, stderr: str, kind: type[Exception], shown: str
) -> None:
    helm = await opened()
    chart = await helm.chart(charts.bundled())
    helm_program.fail("upgrade", stderr)
    with pytest.raises(kind) as caught:
        await helm.install("x", chart, {}, namespace=NAMESPACE, timeout=1)
    assert shown in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "level=INFO" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "afterwards"),
    [
        ("pending-install", None),
        ("uninstalling", None),
        ("pending-upgrade", "deployed"),
        ("pending-rollback", "deployed"),
    ],
)
async def test_a_stuck_release_is_repaired(helm_program: Any, status: str, afterwards: str | None) -> None:
    helm_program.put("x", status)
    helm = await opened()
    assert await helm.recover("x", namespace=NAMESPACE, timeout=5) == status
    assert helm_program.releases().get("x", {}).get("status") == afterwards


@pytest.mark.parametrize("status", ["deployed", "failed"])
async def test_a_release_that_is_not_stuck_is_left_alone(helm_program: Any, status: str) -> None:
    helm_program.put("x", status)
    helm = await opened()
    assert await helm.recover("x", namespace=NAMESPACE, timeout=5) == ""
    assert await helm.recover("other", namespace=NAMESPACE, timeout=5) == ""
    assert helm_program.releases()["x"]["status"] == status


async def test_uninstalling_what_is_not_there_is_fine(helm_program: Any) -> None:
    helm = await opened()
    await helm.uninstall("nothing", namespace=NAMESPACE, timeout=5)
    assert helm_program.calls("uninstall")


def test_chart_references(tmp_path: Path) -> None:
    assert (charts.bundled() / "Chart.yaml").is_file()
    assert charts.reference("oci://somewhere/chart") == "oci://somewhere/chart"
    with pytest.raises(UsageError, match=r"no Chart\.yaml"):
        charts.reference(str(tmp_path))
    (tmp_path / "Chart.yaml").touch()
    assert charts.reference(str(tmp_path)) == tmp_path
    with pytest.raises(UsageError, match="no chart"):
        charts.reference("stable/vnode-connector")


async def test_a_chart_whose_server_does_not_answer_is_not_the_cluster_s_fault(helm_program: Any) -> None:
    helm_program.fail("show", "Error: Get https://charts.example/x.tgz: dial tcp: connection refused")
    with pytest.raises(HelmError, match="connection refused") as caught:
        await (await opened()).chart("https://charts.example/x.tgz")
    assert "charts.example" in caught.value.hint
