"""The commands, for Alibaba Cloud, in a world of fakes: what they ask, change, print, and never show."""

from __future__ import annotations

import base64
import io
import json
import logging
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from vnodectl.cli.app import run_program
from vnodectl.clouds.alibaba import AlibabaNotFound

JSON = dict[str, Any]
MARKER, TOKEN = "planted-marker-9f3c", "planted-token-77aa"
RELEASE = "eci-connector-linux-cn-hangzhou"
PLACE = ["--cloud", "alibaba", "--region", "cn-hangzhou", "--vswitch", "vsw-1", "--security-group", "sg-1"]
ROLE = ["--ram-role", "acs:ram::1:role/v", "--oidc-provider", "acs:ram::1:oidc-provider/p"]
SYSTEM = "/api/v1/namespaces/kube-system"


class FakeSession:
    """The part of AlibabaSession that the commands use. `groups` by connector tag."""

    opened: list[Any]
    groups: dict[str, list[JSON]]

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.region = settings.region
        self.opened.append(settings)

    async def __aenter__(self) -> FakeSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def regions(self) -> list[JSON]:
        return [{"RegionId": "cn-hangzhou"}]

    async def cluster(self, cluster_id: str) -> JSON:
        if cluster_id != "c1":
            raise AlibabaNotFound(404, "ErrorClusterNotFound", "no such cluster")
        return {
            "region_id": "cn-hangzhou",
            "vswitch_ids": ["vsw-c"],
            "security_group_id": "sg-c",
            "rrsa_config": {"oidc_arn": "acs:ram::1:oidc-provider/ack"},
        }

    async def cluster_kubeconfig(self, cluster_id: str, *, minutes: int) -> bytes:
        assert minutes <= 60
        return b"apiVersion: v1\n"

    async def tagged_groups(self, wanted: Mapping[str, str]) -> list[JSON]:
        return list(self.groups.get(wanted["vnodectl-connector"], ()))

    async def call(self, product: str, action: str, version: str, params: JSON, **_: Any) -> JSON:
        assert action == "DeleteContainerGroup"
        for found in self.groups.values():
            found[:] = [one for one in found if one["ContainerGroupId"] != params["ContainerGroupId"]]
        return {}


@pytest.fixture
def cloud(world: Any, monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    """An account, a cluster whose kube-system has a UID, and a chart that is Ready at once."""
    made: type[FakeSession] = type("Session", (FakeSession,), {"opened": [], "groups": {}})
    monkeypatch.setattr("vnodectl.clouds.alibaba.AlibabaSession", made)
    world.kube.put(SYSTEM, metadata={"uid": "c0ffee00-1"})
    world.kube.put(
        f"/apis/apps/v1/namespaces/kube-system/deployments/{RELEASE}",
        metadata={
            "labels": {
                "app.kubernetes.io/part-of": "vnodectl",
                "app.kubernetes.io/instance": RELEASE,
                "vnodectl.io/connector": "eci-connector",
                "vnodectl.io/os": "linux",
                "vnodectl.io/cloud": "alibaba",
                "vnodectl.io/region": "cn-hangzhou",
            },
            "annotations": {"vnodectl.io/node": "virtual-kubelet"},
        },
        spec={"replicas": 1},
        status={"availableReplicas": 1, "updatedReplicas": 1},
    )
    world.kube.put(
        "/api/v1/nodes/virtual-kubelet",
        metadata={"labels": {"type": "virtual-kubelet", "vnodectl.io/release": RELEASE}},
        spec={},
        status={"conditions": [{"type": "Ready", "status": "True"}]},
    )
    world.kube.put(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/virtual-kubelet",
        spec={"renewTime": datetime.now(tz=UTC).isoformat()},
    )
    return made


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", MARKER)
    monkeypatch.setenv("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou")


def install(*arguments: str) -> int:
    return run_program(["install-connector", *arguments])


def given(helm_program: Any) -> JSON:
    values: JSON = json.loads(helm_program.calls("upgrade")[-1]["stdin"])
    return values


def test_an_installation(
    cloud: Any, world: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(*PLACE, "--vswitch", "vsw-2", *ROLE, "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cloud"], document["namespace"]) == ("alibaba", "kube-system")
    assert document["vSwitches"] == ["vsw-1", "vsw-2"]
    (connector,) = document["connectors"]
    assert (connector["release"], connector["node"], connector["status"]) == (
        RELEASE,
        "virtual-kubelet",
        "ready",
    )
    values = given(helm_program)
    assert values["alibaba"]["owner"] == "c0ffee00", "the cluster's own mark"
    assert values["webhook"] == {"enabled": True}
    assert values["node"] == {"name": "virtual-kubelet"}
    assert not [path for path in world.kube.objects if "/secrets/" in path], "a role needs no Secret"


def test_a_cluster_by_its_id_gives_the_rest(
    cloud: Any, world: Any, signed_in: None, helm_program: Any
) -> None:
    modes: list[int] = []
    world.kube.hooks.append(lambda *_: modes.append(stat.S_IMODE(Path(world.connected[0][0]).stat().st_mode)))
    assert install("--cloud", "alibaba", "--cluster-id", "c1", "--ram-role", "acs:ram::1:role/v") == 0
    assert set(modes) == {0o600}
    assert not Path(world.connected[0][0]).parent.exists()
    values = given(helm_program)["alibaba"]
    assert (values["vswitches"], values["securityGroup"]) == (["vsw-c"], "sg-c")
    assert values["identity"]["oidcProviderArn"] == "acs:ram::1:oidc-provider/ack"
    assert install("--cloud", "alibaba", "--cluster-id", "c2", *ROLE) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*PLACE, *ROLE, "--os-type", "Windows"], "runs no Windows containers"),
        ([*PLACE, *ROLE, "--aci-resource-group", "g"], "--aci-resource-group is for the cloud azure only"),
        ([*PLACE[4:], *ROLE], "--vswitch is for the cloud alibaba only"),
        ([*PLACE, "--access-key", "k"], "--access-key without its secret"),
        ([*PLACE, "--secret-key-file", "/nowhere"], "--secret-key-file /nowhere: No such file"),
        ([*PLACE, "--secret-key-file", "f", "--secret-key-stdin"], "exclude each other"),
        ([*PLACE, *ROLE, "--release-name", "A"], "bad --release-name"),
        (["--cloud", "alibaba", "--cluster-id", "c1", *ROLE], "nobody is signed in to Alibaba Cloud"),
    ],
)
def test_bad_input_is_code_2_and_changes_nothing(
    arguments: list[str], message: str, cloud: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not helm_program.calls("upgrade")


def test_another_s_release_is_never_taken_over(
    cloud: Any, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The add-on itself may be installed under the name that its users expect."""
    helm_program.put("ack-virtual-node", "deployed", "kube-system", chart="ack-virtual-node-2.13.0")
    assert install(*PLACE, *ROLE, "--release-name", "ack-virtual-node") == 1
    assert "is of another chart, ack-virtual-node-2.13.0" in capsys.readouterr().err
    assert not helm_program.calls("upgrade")
    assert not helm_program.calls("uninstall"), "not even to repair it"


def test_a_dry_run_describes_no_namespace_of_the_system(
    cloud: Any, signed_in: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(*PLACE, "--dry-run") == 0
    kinds = {one["kind"]: one for one in yaml.safe_load_all(capsys.readouterr().out)}
    assert list(kinds) == ["Secret", "Deployment"]
    assert kinds["Secret"]["data"] == {"accessKeySecret": "***"}


def secret_flags(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    if way == "environment":
        monkeypatch.setenv("ECI_ACCESS_KEY", "LTAI")
        monkeypatch.setenv("ECI_SECRET_KEY", MARKER)
        monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN)
        return []
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    flags = ["--access-key", "LTAI", "--security-token-file", str(token)]
    if way == "file":
        path = tmp_path / "secret"
        path.write_text(MARKER + "\n")
        return [*flags, "--secret-key-file", str(path)]
    return [*flags, "--secret-key-stdin"]


@pytest.mark.parametrize("way", ["file", "stdin", "environment"])
@pytest.mark.parametrize("trouble", ["", "upgrade", "template"])
def test_a_secret_shows_nowhere(
    way: str,
    trouble: str,
    cloud: Any,
    kube: Any,
    helm_program: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither key nor token: not in Helm's arguments, input or values, nor in output, logs or errors."""
    caplog.set_level(logging.DEBUG)
    forms = [form for one in (MARKER, TOKEN) for form in (one, base64.b64encode(one.encode()).decode())]
    if trouble:
        helm_program.fail(trouble, "Error: cannot decode " + " nor ".join(forms))
    flags = secret_flags(way, tmp_path, monkeypatch)
    for extra in (["--dry-run"], [], ["-o", "json"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(MARKER + "\n"))
        code = install(*PLACE, *flags, "-vv", "--timeout", "5", *extra)
        assert (code == 0) is (not trouble or (extra == ["--dry-run"] and trouble != "template"))
    shown = capsys.readouterr()
    assert "temporary key" in shown.err, "its end is warned of"
    calls = [{**call, "env": {} if way == "environment" else call["env"]} for call in helm_program.calls()]
    everything = {
        "stdout": shown.out,
        "stderr": shown.err,
        "log": caplog.text,
        "helm": json.dumps(calls),
        "releases": json.dumps(helm_program.releases("kube-system")),
    }
    for place, text in everything.items():
        for form in forms:
            assert form not in text, place
    if not trouble:
        secret = kube.objects[f"{SYSTEM}/secrets/{RELEASE}-alibaba"]
        assert {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} == {
            "accessKeySecret": MARKER,
            "securityToken": TOKEN,
        }


def test_a_key_that_is_no_longer_temporary_drops_the_token(
    cloud: Any, kube: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = secret_flags("file", tmp_path, monkeypatch)
    assert install(*PLACE, *flags) == 0
    lasting = [flag for flag in flags if flag not in ("--security-token-file", str(tmp_path / "token"))]
    assert install(*PLACE, *lasting) == 0
    patch = next(body for body in reversed(kube.bodies) if "data" in body)
    assert patch["data"]["securityToken"] is None


def remove(*arguments: str) -> int:
    return run_program(["remove-connector", "--cloud", "alibaba", *arguments])


def test_a_removal_reports_groups_left_and_deletes_them_when_asked(
    cloud: Any, signed_in: None, helm_program: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    helm_program.put(RELEASE, "deployed", "kube-system")
    cloud.groups[f"{RELEASE}.c0ffee00"] = [{"ContainerGroupName": "web", "ContainerGroupId": "eci-1"}]
    cloud.groups[RELEASE] = [{"ContainerGroupName": "another-cluster-s", "ContainerGroupId": "eci-2"}]
    assert remove() == 0
    shown = capsys.readouterr()
    assert "1 container group still in Alibaba Cloud: web" in shown.err
    assert "run this again with --delete-groups --region cn-hangzhou" in shown.err
    assert remove("--delete-groups", "-o", "json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["orphanedContainerGroups"] == {"left": [], "deleted": ["web"]}
    assert cloud.groups[f"{RELEASE}.c0ffee00"] == []
    assert cloud.groups[RELEASE], "another cluster's"


def test_the_other_cloud_s_connector_is_named(cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["remove-connector", "--connector-name", "eci-connector"]) == 2
    shown = capsys.readouterr()
    assert f"connector {RELEASE} is not of the cloud azure" in shown.err
    assert "--cloud alibaba" in shown.err


def test_nobody_signed_in_is_said(cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert remove() == 0
    assert "nobody is signed in to Alibaba Cloud" in capsys.readouterr().err
