"""`vnodectl lint` as a user runs it."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from support.fake_api import FakeApi, status, threaded_cluster

from vnodectl.cli.app import run_program

BAD = """\
# Source: web/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      hostNetwork: true
      nodeSelector: {type: virtual-kubelet}
      tolerations: [{key: virtual-kubelet.io/provider, operator: Exists}]
      containers: [{name: a, image: b}]
"""
LOOSE = BAD.replace("      hostNetwork: true\n", "").replace("{type: virtual-kubelet}", "{}")
GOOD = BAD.replace("      hostNetwork: true\n", "")


def lint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_program(["lint", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(BAD)
    code, out, err = lint(capsys, str(path), "-o", "json")
    assert code == 1
    document = json.loads(out)
    assert set(document) == {"schemaVersion", "findings"}
    (finding,) = document["findings"]
    assert (finding["file"], finding["line"], finding["code"]) == (str(path), 8, "VN-L-020")
    assert finding["path"] == "spec.template.spec.hostNetwork"
    assert "skipped VN-L-055: nobody is signed in to the cloud" in err


def test_standard_input_and_directories(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(BAD))
    code, out, _ = lint(capsys, "-")
    assert (code, out.splitlines()[0]) == (1, "-")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yml").write_text(BAD)
    (tmp_path / "README.md").write_text("no manifest")
    code, out, _ = lint(capsys, str(tmp_path), "-o", "json")
    assert [one["file"] for one in json.loads(out)["findings"]] == [str(tmp_path / "deep" / "a.yml")]


def test_exit_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(LOOSE)
    assert lint(capsys, str(path))[0] == 0
    assert lint(capsys, str(path), "--strict")[0] == 3
    assert lint(capsys, str(path), "--strict", "--ignore", "missing-selector")[0] == 0
    path.write_text(GOOD)
    assert lint(capsys, str(path), "--strict")[:2] == (0, "nothing found (1 object, 1 for virtual nodes)\n")
    path.write_text("a: [")
    code, out, _ = lint(capsys, str(path), "-o", "json")
    assert code == 1
    assert json.loads(out)["findings"][0]["code"] == "VN-L-001"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.yaml", "-A"],
        ["-n", "web", "-A"],
        ["-n", ""],
        ["not-there.yaml"],
        ["-", "--cloud", "gcp"],
        ["-", "--cloud", "alibaba", "--subnet-id", "/s"],
        ["-", "--cloud", "alibaba", "--gpu-sku", "V100"],
        ["-", "-o", "yaml"],
        ["-", "--os-type", "Plan9"],
        ["-", "--cloud", "alibaba", "--os-type", "Windows"],
        ["-", "--os-type", "Windows", "--subnet-id", "/s"],
        ["-", "--ignore", "VN-L-777"],
        ["--list", "-o", "sarif"],
    ],
)
def test_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = lint(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


def test_sarif_and_junit_are_one_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(BAD + "---\n" + LOOSE)
    code, out, _ = lint(capsys, str(path), "-o", "sarif")
    assert code == 1
    assert [one["level"] for one in json.loads(out)["runs"][0]["results"]] == ["error", "warning"]
    _, out, _ = lint(capsys, str(path), "-o", "junit")
    suite = ElementTree.fromstring(out)  # noqa: S314 - our own output
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    path.write_text(GOOD)
    _, out, _ = lint(capsys, str(path), "-o", "junit")
    assert ElementTree.fromstring(out).get("tests") == "1"  # noqa: S314 - our own output


def test_the_list_of_rules(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = lint(capsys, "--list", "-o", "json")
    rules = {one["code"]: one for one in json.loads(out)["rules"]}
    assert code == 0
    assert rules["VN-L-020"]["name"] == "host-namespaces"
    assert "VN-L-020" in lint(capsys, "--list")[1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[FakeApi, str]]:
    with threaded_cluster() as (api, url):
        path = tmp_path / "config"
        config = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(config))
        yield api, str(path)


def connector(api: FakeApi, name: str, **variables: str) -> None:
    """A connector's Deployment with these settings."""
    env = [{"name": key, "value": value} for key, value in variables.items()]
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    env.append({"name": "VNODECTL_ACI_LOG_ANALYTICS_KEY", "valueFrom": secret})
    spec = {"containers": [{"name": "connector", "image": "vnodectl", "env": env}]}
    labels = {"app.kubernetes.io/name": "vnode-connector"}
    body = {"metadata": {"name": name, "labels": labels}, "spec": {"template": {"spec": spec}}}
    api.put("deployments", body, namespace="vnode-system")


def probed(api: FakeApi) -> None:
    """A pod that asks for what ACI has in a subnet only."""
    body = yaml.safe_load(GOOD)
    body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 80}}
    api.put("deployments", body, namespace="web")


ACI = {
    "VNODECTL_PROVIDER": "aci",
    "VNODECTL_OS_TYPE": "Linux",
    "VNODECTL_ACI_RESOURCE_GROUP": "g",
    "VNODECTL_ACI_REGION": "westus",
}


def test_the_connector_that_is_there_decides(
    cluster: tuple[FakeApi, str], capsys: pytest.CaptureFixture[str]
) -> None:
    api, config = cluster
    probed(api)
    assert lint(capsys, "-A", "--kubeconfig", config)[0] == 1
    windows = {**ACI, "VNODECTL_OS_TYPE": "Windows", "VNODECTL_ACI_SUBNET_ID": "/s"}
    connector(api, "aci-connector-windows-westus", **windows)
    assert lint(capsys, "-A", "--kubeconfig", config)[0] == 1
    settings = {"VNODECTL_ACI_SUBNET_ID": "/s", "VNODECTL_ACI_LOG_ANALYTICS_ID": "id"}
    connector(api, "aci-connector-linux-westus", **ACI, **settings)
    code, out, err = lint(capsys, "-A", "--kubeconfig", config)
    assert code == 0, out + err
    connector(api, "a-second-one", **ACI)
    code, _, err = lint(capsys, "-A", "--kubeconfig", config)
    assert code == 1
    assert "a-second-one decides about pods here; not looked at: aci-connector-linux-westus" in err


def test_settings_of_a_connector_that_cannot_be(
    cluster: tuple[FakeApi, str], capsys: pytest.CaptureFixture[str]
) -> None:
    api, config = cluster
    probed(api)
    connector(api, "aci-connector-linux-westus", **{**ACI, "VNODECTL_ACI_PUBLIC_IP": "perhaps"})
    code, _, err = lint(capsys, "-A", "--kubeconfig", config)
    assert code == 1
    assert "the settings of aci-connector-linux-westus are not used" in err


def test_the_cluster_s_eci_profile(cluster: tuple[FakeApi, str], capsys: pytest.CaptureFixture[str]) -> None:
    """What its selectors add to pods is judged as if the pods said it."""
    api, config = cluster
    body = yaml.safe_load(GOOD)
    body["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
    api.put("deployments", body, namespace="web")
    arguments = ("-A", "--cloud", "alibaba", "--kubeconfig", config)
    connector(api, "eci-connector-linux-cn-hangzhou", VNODECTL_PROVIDER="eci")
    assert lint(capsys, *arguments)[0] == 0
    effect = {"annotations": {"k8s.aliyun.com/eci-spot-strategy": "SpotWithPriceLimit"}}
    selector = {"name": "s", "objectSelector": {"matchLabels": {"app": "web"}}, "effect": effect}
    profile = {"metadata": {"name": "eci-profile"}, "data": {"selectors": json.dumps([selector])}}
    api.put("configmaps", profile, namespace="kube-system")
    code, out, _ = lint(capsys, *arguments, "-o", "json")
    assert code == 1
    assert [one["code"] for one in json.loads(out)["findings"]] == ["VN-L-092"]


def test_a_cluster(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with threaded_cluster() as (api, url):
        config = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        api.put("deployments", yaml.safe_load(BAD), namespace="web")
        for where in (["-n", "web"], ["-A"]):
            code, out, _ = lint(capsys, *where, "--kubeconfig", str(path), "-o", "json")
            assert code == 1
            (finding,) = json.loads(out)["findings"]
            assert (finding["file"], finding["line"]) == ("web/Deployment/web", 0)
        assert lint(capsys, "-n", "other", "--kubeconfig", str(path))[0] == 0
        config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"  # type: ignore[index]
        path.write_text(yaml.safe_dump(config))
        assert lint(capsys, "-A", "--kubeconfig", str(path))[0] == 5


def test_a_cluster_of_which_nothing_may_be_read_is_not_clean(
    capsys: pytest.CaptureFixture[str], cluster: tuple[FakeApi, str]
) -> None:
    api, config = cluster
    message = 'pods is forbidden: User "nobody" cannot list resource "pods"'
    api.refuse = lambda *_: status(403, "Forbidden", message)
    code, out, err = lint(capsys, "-A", "--kubeconfig", config)
    assert (code, out) == (1, "")
    assert err == f"error: {message}\nhint: ask an administrator for the right that is named\n"


VALUES = "image: {repository: nginx}\nreplicas: 2\n"


def told(out: str) -> list[tuple[str, int, str]]:
    return [(Path(one["file"]).name, one["line"], one["code"]) for one in json.loads(out)["findings"]]


@pytest.mark.parametrize("text", ["hello\n", "[1, 2]\n", "42\n", "kind: Pod\n"])
@pytest.mark.parametrize("stdin", [True, False])
def test_a_document_that_is_no_object_is_a_finding(
    text: str,
    stdin: bool,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"# a comment\n{text}")
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))
    code, out, err = lint(capsys, "-" if stdin else str(path), "-o", "json")
    assert (code, told(out)) == (1, [("-" if stdin else "a.yaml", 2, "VN-L-001")])
    assert "nothing to look at" not in err


def test_one_bad_document_loses_no_other_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{BAD}---\nhello\n---\na: [\n---\n{BAD}")
    code, out, _ = lint(capsys, str(path), "--ignore", "unreadable")
    assert (code, out.splitlines()[-1]) == (1, "2 errors, 2 suppressed (2 objects, 2 for virtual nodes)")
    code, out, _ = lint(capsys, str(path), "-o", "json")
    assert code == 1
    assert told(out) == [
        ("a.yaml", 8, "VN-L-020"),
        ("a.yaml", 13, "VN-L-001"),
        ("a.yaml", 15, "VN-L-001"),
        ("a.yaml", 24, "VN-L-020"),
    ]


def test_what_is_in_a_directory_by_chance_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    (tmp_path / "playbook.yml").write_text("- hosts: all\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "kind.yaml").write_text("kind: Cluster\n")
    code, out, err = lint(capsys, str(tmp_path))
    assert (code, out) == (0, "nothing found (0 objects, 0 for virtual nodes)\n")
    assert err == f"nothing to look at in {tmp_path}: no object of Kubernetes\n"
    (tmp_path / "web.yaml").write_text(f"{GOOD}---\nhello\n")  # a manifest, for all its mistakes
    code, out, err = lint(capsys, str(tmp_path), "-o", "json")
    assert (code, told(out)) == (1, [("web.yaml", 12, "VN-L-001")])
    assert "nothing to look at" not in err


def test_what_cannot_be_read_in_a_directory_loses_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("web.yaml", "closed.yaml", "blind.yaml"):
        (tmp_path / name).write_text(BAD)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "locked").mkdir()
    whole, listed, looked = Path.read_bytes, os.scandir, os.stat

    def read(path: Path) -> bytes:
        if path.name == "closed.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    def scan(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    def stat(path: str, **options: bool) -> object:
        if str(path).endswith("blind.yaml"):
            raise PermissionError(13, "Permission denied", path)
        return looked(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(Path, "read_bytes", read)
    monkeypatch.setattr(os, "scandir", scan)
    code, out, _ = lint(capsys, str(tmp_path), "-o", "json")
    expected = [("blind.yaml", 1), ("closed.yaml", 1), ("latin.yaml", 2), ("locked", 1)]
    assert code == 1
    assert told(out) == [*((name, line, "VN-L-001") for name, line in expected), ("web.yaml", 8, "VN-L-020")]
    # What is named itself has to be there.
    for name in ("closed.yaml", "blind.yaml"):
        code, out, err = lint(capsys, str(tmp_path / name))
        assert (code, out, err) == (2, "", f"error: {tmp_path / name}: Permission denied\n")


def test_links_that_lead_nowhere_or_in_circles(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "circle").symlink_to(tmp_path)
    (tmp_path / "self.yaml").symlink_to(tmp_path / "self.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "not-there")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "a.yaml").write_text(BAD)
    code, out, _ = lint(capsys, str(tmp_path), "-o", "json")
    assert (code, told(out)) == (1, [("a.yaml", 8, "VN-L-020")])
    code, out, err = lint(capsys, str(tmp_path / "self.yaml"))
    assert (code, out) == (2, "")
    assert "self.yaml: Too many levels of symbolic links" in err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" \n\n", "it is empty"),
        ("---\n# no\n", "no object of Kubernetes"),
        (VALUES, "no object of Kubernetes"),
    ],
)
def test_nothing_to_look_at_is_said(
    text: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A template that failed must not look like a chart that is fine."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD)
    code, out, err = lint(capsys, "-")
    assert (code, out) == (0, "nothing found (0 objects, 0 for virtual nodes)\n")
    assert err == f"nothing to look at in standard input: {reason}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert lint(capsys, "-", "--strict")[0] == 3
    code, _, err = lint(capsys, str(tmp_path / "empty"), str(tmp_path / "a.yaml"), "--strict")
    assert code == 0
    assert f"nothing to look at in {tmp_path / 'empty'}: no .yaml, .yml or .json file\n" in err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_files_as_windows_writes_them(
    encoding: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = BAD.replace("\n", "\r\n").encode(encoding)
    (tmp_path / "a.yaml").write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))
    code, out, _ = lint(capsys, "-", str(tmp_path / "a.yaml"), "-o", "json")
    assert (code, told(out)) == (1, [("-", 8, "VN-L-020"), ("a.yaml", 8, "VN-L-020")])


def test_with_part_of_the_rights_the_report_is_partial(
    capsys: pytest.CaptureFixture[str], cluster: tuple[FakeApi, str]
) -> None:
    api, config = cluster
    api.put("deployments", yaml.safe_load(GOOD), namespace="web")
    api.put("namespaces", {"metadata": {"name": "web"}})
    arguments = ("-n", "web", "--kubeconfig", config)
    assert lint(capsys, *arguments, "--strict")[0] == 0
    message = 'networkpolicies is forbidden: User "dev" cannot list it'
    api.refuse = lambda _, plural, __: (
        status(403, "Forbidden", message) if plural == "networkpolicies" else None
    )
    said = f"not looked at: NetworkPolicy: {message}\n"
    for strict, expected in (((), 0), (("--strict",), 3)):
        code, out, err = lint(capsys, *arguments, *strict)
        assert (code, said in out, said in err) == (expected, True, False)
    code, out, err = lint(capsys, *arguments, "-o", "json")
    assert json.loads(out)["unread"] == [{"what": "NetworkPolicy", "reason": message}]
    assert (code, said in err) == (0, True)
    _, out, _ = lint(capsys, *arguments, "-o", "junit")
    suite = ElementTree.fromstring(out)  # noqa: S314 - our own output
    assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("1", "1", "0")
    api.put("deployments", yaml.safe_load(BAD), namespace="web")
    assert lint(capsys, *arguments, "--strict")[0] == 1


def test_whose_settings_are_not_known_is_told(
    capsys: pytest.CaptureFixture[str], cluster: tuple[FakeApi, str]
) -> None:
    """Somebody of one namespace sees neither the nodes nor the connector."""
    api, config = cluster
    api.put("deployments", yaml.safe_load(GOOD), namespace="web")
    api.put("namespaces", {"metadata": {"name": "web"}})
    cluster_wide = {"GET /apis/apps/v1/deployments", "GET /api/v1/nodes"}
    api.refuse = lambda *_: status(403, "Forbidden", "no") if api.requests[-1] in cluster_wide else None
    code, out, _ = lint(capsys, "-n", "web", "--kubeconfig", config, "-o", "json", "--strict")
    assert code == 3
    assert json.loads(out)["unread"] == [
        {"what": "Deployments of connectors", "reason": "no"},
        {"what": "Node", "reason": "no"},
    ]


def test_what_is_skipped_in_a_cluster_is_said_in_the_words_of_one(
    capsys: pytest.CaptureFixture[str], cluster: tuple[FakeApi, str]
) -> None:
    api, config = cluster
    api.put("deployments", yaml.safe_load(GOOD), namespace="web")
    _, _, err = lint(capsys, "-A", "--kubeconfig", config)
    assert "skipped VN-L-070: registries are asked with --check-images only\n" in err
    _, _, err = lint(capsys, "-n", "empty", "--check-images", "--kubeconfig", config)
    assert "VN-L-070" not in err  # there is no image


def test_garbage_is_searched_for_again_afterwards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    assert lint(capsys, str(tmp_path / "a.yaml"))[0] == 0
    assert gc.isenabled()
    assert lint(capsys, str(tmp_path / "b.yaml"))[0] == 2
    assert gc.isenabled()


def test_the_cloud_of_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD.replace("image: b", "image: b, securityContext: {privileged: true}"))
    assert lint(capsys, str(path))[0] == 1
    monkeypatch.setenv("VNODECTL_CLOUD", "alibaba")
    assert lint(capsys, str(path))[0] == 0
    assert lint(capsys, str(path), "--cloud", "Azure")[0] == 1


@pytest.mark.parametrize("output", ["table", "json", "sarif", "junit"])
def test_a_name_of_a_file_that_is_no_text(output: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/a\xff\x1b[2J\n.yaml"
    with open(path, "w") as file:  # noqa: PTH123 - a Path cannot be made of bytes
        file.write(BAD)
    command = [sys.executable, "-m", "vnodectl", "lint", "--offline", "-o", output, path]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONUTF8": "1"}, check=False)
    assert done.returncode == 1, done.stderr
    assert b"\x1b" not in done.stdout
    assert "VN-L-020" in done.stdout.decode()
    if output == "junit":
        ElementTree.fromstring(done.stdout)  # noqa: S314 - our own output


def test_who_reads_only_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("---\n".join([BAD] * 2000))
    command = [sys.executable, "-m", "vnodectl", "lint", "--offline", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == 1
    assert b"Traceback" not in said
    assert b"Exception" not in said


def test_an_empty_argument_is_not_the_current_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    code, out, err = lint(capsys, "")
    assert (code, out) == (2, "")
    assert err.startswith("error: a file has no name\n")


def test_sigterm_ends_the_wait_for_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    started = subprocess.Popen([sys.executable, "-m", "vnodectl", "lint", str(pipe)])
    try:
        with pipe.open("wb"):  # waits until the command has opened the other end
            started.terminate()
            assert started.wait(timeout=20) == -signal.SIGTERM
    finally:
        started.kill()
        started.wait()
