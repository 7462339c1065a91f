"""Golden files show whole bodies; the cases below show each rule and each refusal.

Run with GOLDEN=write to write the golden files anew, then read the difference.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.aci_pods import make_pod

from vnodectl.providers.aci.registries import credentials
from vnodectl.providers.aci.settings import AciSettings, NodeIdentity
from vnodectl.providers.aci.translate import translate
from vnodectl.providers.registries import registry_of
from vnodectl.runtime.provider import (
    EmptyDir,
    EnvVar,
    External,
    File,
    Files,
    RegistryCredential,
    Rejected,
    ResolvedPod,
)

GOLDEN = Path(__file__).parent / "golden"
SUBNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/aci"
LINUX = NodeIdentity("virtual-kubelet-aci-connector-linux-eastus", "aci-connector-linux-eastus")
WINDOWS = NodeIdentity(
    "virtual-kubelet-aci-connector-windows-eastus", "aci-connector-windows-eastus", "Windows"
)
PLAIN = AciSettings("rg", "eastus")
IN_SUBNET = AciSettings("rg", "westeurope", subnet_id=SUBNET, cluster_dns="10.0.0.10")


def _everything() -> ResolvedPod:
    return make_pod(
        {
            "restartPolicy": "OnFailure",
            "initContainers": [
                {
                    "name": "prepare",
                    "image": "registry.example:5000/team/prepare:1",
                    "command": ["/bin/prepare"],
                    "args": ["--token=$(TOKEN)", "$$(TOKEN)", "$(UNKNOWN)"],
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                }
            ],
            "containers": [
                {
                    "name": "web",
                    "image": "registry.example:5000/team/web@sha256:" + "0" * 64,
                    "ports": [
                        {"name": "http", "containerPort": 8080},
                        {"containerPort": 53, "protocol": "UDP"},
                    ],
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "512Mi"},
                        "limits": {"cpu": "4", "memory": "1Gi", "nvidia.com/gpu": "1"},
                    },
                    "startupProbe": {
                        "exec": {"command": ["true"]},
                        "periodSeconds": 5,
                        "failureThreshold": 30,
                    },
                    "livenessProbe": {
                        "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTPS"},
                        "initialDelaySeconds": 3,
                        "periodSeconds": 10,
                    },
                    "readinessProbe": {
                        "httpGet": {"port": 8080, "httpHeaders": [{"name": "X-Probe", "value": "1"}]},
                        "timeoutSeconds": 2,
                    },
                    "volumeMounts": [
                        {"name": "config", "mountPath": "/etc/web", "readOnly": True},
                        {"name": "share", "mountPath": "/share"},
                    ],
                },
                {
                    "name": "side",
                    "image": "busybox",
                    "command": ["sleep", "1000"],
                    "ports": [{"containerPort": 8080}, {"containerPort": 9090}],
                    "livenessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}},
                    "volumeMounts": [
                        {"name": "scratch", "mountPath": "/scratch"},
                        {"name": "code", "mountPath": "/code"},
                    ],
                },
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": "web"}},
                {"name": "scratch", "emptyDir": {}},
                {
                    "name": "share",
                    "azureFile": {"secretName": "files", "shareName": "data", "readOnly": True},
                },
                {"name": "code", "gitRepo": {"repository": "https://git.example/x.git", "revision": "main"}},
                {"name": "unused", "hostPath": {"path": "/"}},
            ],
        },
        annotations={"virtual-kubelet.io/gpu-type": "V100", "virtualkubelet.io/dnsnamelabel": "web-label"},
        env={
            "prepare": (EnvVar("TOKEN", "s3cr3t", secret=True),),
            "web": (
                EnvVar("MODE", "first"),
                EnvVar("PASSWORD", "s3cr3t", secret=True),
                EnvVar("MODE", "last"),
                EnvVar("EMPTY", ""),
            ),
        },
        volumes={
            "config": Files((File("web.conf", b"listen 8080\n"), File("empty", b"", 0o400))),
            "scratch": EmptyDir(medium="Memory", size_limit=1024),
            "share": External(
                {
                    "name": "share",
                    "azureFile": {"secretName": "files", "shareName": "data", "readOnly": True},
                },
                {"files": {"azurestorageaccountname": b"account\n", "azurestorageaccountkey": b"a2V5"}},
            ),
            "code": External(
                {"name": "code", "gitRepo": {"repository": "https://git.example/x.git", "revision": "main"}}
            ),
            "unused": External({"name": "unused", "hostPath": {"path": "/"}}),
        },
        credentials=(
            RegistryCredential("https://index.docker.io/v1/", "hub", "hub-password"),
            RegistryCredential("registry.example:5000", "all", "all-password"),
            RegistryCredential("registry.example:5000/team", "team", "team-password"),
            RegistryCredential("unrelated.example", "no", "no-password"),
        ),
    )


def _in_subnet() -> ResolvedPod:
    return make_pod(
        {
            "containers": [
                {
                    "name": "main",
                    "image": "nginx",
                    "ports": [{"containerPort": port} for port in range(80, 90)],
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "dnsConfig": {
                "nameservers": ["1.1.1.1"],
                "searches": ["corp.example"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            },
        },
        namespace="shop",
    )


def _windows() -> ResolvedPod:
    return make_pod(
        {
            "containers": [
                {
                    "name": "iis",
                    "image": "mcr.microsoft.com/windows/servercore/iis",
                    "ports": [{"containerPort": 80}],
                    "volumeMounts": [
                        {
                            "name": "kube-api-access-x7k2p",
                            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        }
                    ],
                }
            ],
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {}}],
        },
        volumes={"kube-api-access-x7k2p": Files((File("token", b"t"),), secret=True)},
    )


@pytest.mark.parametrize(
    ("name", "pod", "settings", "node"),
    [
        ("smallest", make_pod(), PLAIN, LINUX),
        ("everything", _everything(), PLAIN, LINUX),
        ("subnet", _in_subnet(), IN_SUBNET, LINUX),
        ("windows", _windows(), PLAIN, WINDOWS),
    ],
)
def test_golden(name: str, pod: ResolvedPod, settings: AciSettings, node: NodeIdentity) -> None:
    before = copy.deepcopy(pod.pod)
    body = translate(pod, settings, node)
    assert pod.pod == before
    path = GOLDEN / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(json.dumps(body, indent=2) + "\n")
    assert body == json.loads(path.read_text())


@pytest.mark.parametrize("name", ["everything", "subnet", "windows"])
def test_the_vendor_s_models_know_every_field_of_the_golden_bodies(name: str) -> None:
    from azure.mgmt.containerinstance.models import ContainerGroup

    body = json.loads((GOLDEN / f"{name}.json").read_text())
    assert ContainerGroup.deserialize(body).serialize() == body


def _container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "nginx", **fields}]}


def test_a_container_s_own_word_on_its_user_wins() -> None:
    spec = {
        **_container(securityContext={"runAsUser": 5}),
        "securityContext": {"runAsNonRoot": True, "runAsUser": 0},
    }
    assert (
        "securityContext"
        not in translate(make_pod(spec), PLAIN, LINUX)["properties"]["containers"][0]["properties"]
    )
    spec = {
        **_container(securityContext={"runAsNonRoot": False}),
        "securityContext": {"runAsNonRoot": True, "runAsUser": 0},
    }
    assert (
        "securityContext"
        not in translate(make_pod(spec), PLAIN, LINUX)["properties"]["containers"][0]["properties"]
    )


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (_container(args=["x"]), "spec.containers[0].args"),
        (_container(workingDir="/x"), "spec.containers[0].workingDir"),
        (_container(lifecycle={"postStart": {"exec": {}}}), "spec.containers[0].lifecycle.postStart"),
        (
            _container(lifecycle={"preStop": {"httpGet": {"port": 1}}}),
            "spec.containers[0].lifecycle.preStop.httpGet",
        ),
        (_container(securityContext={"privileged": True}), "spec.containers[0].securityContext.privileged"),
        (
            _container(securityContext={"runAsNonRoot": True, "runAsUser": 0}),
            "spec.containers[0].securityContext.runAsUser",
        ),
        (
            {
                **_container(securityContext={"runAsNonRoot": True}),
                "securityContext": {"runAsNonRoot": False, "runAsUser": 0},
            },
            "spec.securityContext.runAsUser",
        ),
        (_container(livenessProbe={"tcpSocket": {"port": 1}}), "spec.containers[0].livenessProbe.tcpSocket"),
        (_container(readinessProbe={"grpc": {"port": 1}}), "spec.containers[0].readinessProbe.grpc"),
        (_container(livenessProbe={"periodSeconds": 1}), "spec.containers[0].livenessProbe"),
        (_container(startupProbe={"exec": {"command": ["x"]}}), "spec.containers[0].startupProbe"),
        (
            _container(livenessProbe={"httpGet": {"port": 1, "host": "other"}}),
            "spec.containers[0].livenessProbe.httpGet.host",
        ),
        (
            _container(livenessProbe={"httpGet": {"port": "nope"}}),
            "spec.containers[0].livenessProbe.httpGet.port",
        ),
        (
            _container(ports=[{"containerPort": 1, "protocol": "SCTP"}]),
            "spec.containers[0].ports[0].protocol",
        ),
        (_container(ports=[{"containerPort": 1, "hostPort": 1}]), "spec.containers[0].ports[0].hostPort"),
        (
            _container(ports=[{"containerPort": port} for port in range(1, 7)]),
            "spec.containers[*].ports",
        ),
        (_container(volumeDevices=[{"name": "x"}]), "spec.containers[0].volumeDevices"),
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        ({"hostAliases": [{"ip": "1.2.3.4"}]}, "spec.hostAliases"),
        ({"securityContext": {"sysctls": [{}]}}, "spec.securityContext.sysctls"),
        ({"dnsPolicy": "None"}, "spec.dnsConfig"),
        (
            {"initContainers": [{"name": "i", "image": "x", "restartPolicy": "Always"}]},
            "spec.initContainers[0].restartPolicy",
        ),
        (
            {"initContainers": [{"name": "i", "image": "x", "restartPolicy": "Never"}]},
            "spec.initContainers[0].restartPolicy",
        ),
        (_container(restartPolicy="OnFailure"), "spec.containers[0].restartPolicy"),
        (
            _container(restartPolicy="Always", restartPolicyRules=[{"action": "Restart"}]),
            "spec.containers[0].restartPolicyRules",
        ),
        ({"containers": [{"name": f"c{n}", "image": "x"} for n in range(61)]}, "spec.containers"),
    ],
)
def test_what_aci_cannot_do_is_rejected_with_the_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        translate(make_pod(spec), PLAIN, LINUX)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("volume", "mount", "field"),
    [
        (Files((File("a b", b""),)), {}, "spec.volumes[0]"),
        (Files((File("run.sh", b"", 0o755),)), {}, "spec.volumes[0]"),
        (Files((File("a", b""), File("a/b", b""))), {}, "spec.volumes[0]"),
        (Files((File("a", b""),)), {"subPath": "a"}, "spec.containers[0].volumeMounts[0].subPath"),
        (Files((File("a", b""),)), {"subPath": "b"}, "spec.containers[0].volumeMounts[0].subPath"),
        (
            External({"name": "v", "azureFile": {"secretName": "s", "shareName": "x"}}),
            {"subPath": "x"},
            "spec.containers[0].volumeMounts[0].subPath",
        ),
        (
            EmptyDir(),
            {"mountPropagation": "Bidirectional"},
            "spec.containers[0].volumeMounts[0].mountPropagation",
        ),
        (External({"name": "v", "hostPath": {"path": "/"}}), {}, "spec.volumes[0].hostPath"),
        (
            External({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}),
            {},
            "spec.volumes[0].persistentVolumeClaim",
        ),
        (External({"name": "v", "azureFile": {"secretName": "s"}}), {}, "spec.volumes[0].azureFile"),
        (
            External({"name": "v", "azureFile": {"secretName": "s", "shareName": "x"}}),
            {},
            "spec.volumes[0].azureFile",
        ),
    ],
)
def test_volumes_that_aci_does_not_have(volume: Any, mount: dict[str, Any], field: str) -> None:
    spec = _container(volumeMounts=[{"name": "v", "mountPath": "/v", **mount}])
    spec["volumes"] = [{"name": "v"}]
    with pytest.raises(Rejected) as caught:
        translate(make_pod(spec, volumes={"v": volume}), PLAIN, LINUX)
    assert caught.value.field == field


def test_more_volumes_than_a_group_can_have() -> None:
    names = [f"v{index}" for index in range(21)]
    spec = _container(volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in names])
    spec["volumes"] = [{"name": name} for name in names]
    with pytest.raises(Rejected, match="20 volumes"):
        translate(make_pod(spec, volumes=dict.fromkeys(names, EmptyDir())), PLAIN, LINUX)


def test_an_inline_csi_file_share_is_an_azure_file() -> None:
    spec = _container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    spec["volumes"] = [{"name": "v"}]
    source = {
        "name": "v",
        "csi": {"driver": "file.csi.azure.com", "volumeAttributes": {"secretName": "s", "shareName": "x"}},
    }
    secrets = {"s": {"azurestorageaccountname": b"account", "azurestorageaccountkey": b"key"}}
    pod = make_pod(spec, volumes={"v": External(source, secrets)})
    assert translate(pod, PLAIN, LINUX)["properties"]["volumes"][0]["azureFile"] == {
        "shareName": "x",
        "storageAccountName": "account",
        "storageAccountKey": "key",
    }


def test_a_volume_of_no_files_is_an_empty_directory() -> None:
    spec = _container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    spec["volumes"] = [{"name": "v"}]
    body = translate(make_pod(spec, volumes={"v": Files(())}), PLAIN, LINUX)
    assert body["properties"]["volumes"] == [{"name": "v00-v", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}, "spec.containers"),
        ({"initContainers": [{"name": "i", "image": "x"}]}, "spec.initContainers"),
        (
            {
                **_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
            "spec.volumes[0]",
        ),
    ],
)
def test_windows_limits(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        translate(make_pod(spec, volumes={"v": EmptyDir()}), PLAIN, WINDOWS)
    assert caught.value.field == field


def test_no_public_address_where_it_is_not_wanted() -> None:
    pod = make_pod(_container(ports=[{"containerPort": 80}]))
    assert "ipAddress" in translate(pod, PLAIN, LINUX)["properties"]
    private = AciSettings("rg", "eastus", public_ip=False)
    assert "ipAddress" not in translate(pod, private, LINUX)["properties"]


@pytest.mark.parametrize(
    ("spec", "config"),
    [
        ({"dnsPolicy": "Default"}, None),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}},
            {"nameServers": ["9.9.9.9"]},
        ),
        (
            {},
            {
                "nameServers": ["10.0.0.10"],
                "searchDomains": "default.svc.cluster.local svc.cluster.local cluster.local",
                "options": "ndots:5",
            },
        ),
    ],
)
def test_dns_in_a_subnet(spec: dict[str, Any], config: dict[str, Any] | None) -> None:
    assert translate(make_pod(spec), IN_SUBNET, LINUX)["properties"].get("dnsConfig") == config


def test_dns_settings_without_name_servers() -> None:
    with pytest.raises(Rejected) as caught:
        translate(make_pod({"dnsPolicy": "Default", "dnsConfig": {"searches": ["x"]}}), IN_SUBNET, LINUX)
    assert caught.value.field == "spec.dnsConfig.nameservers"


def test_no_secret_value_is_sent_in_the_open() -> None:
    text = json.dumps(translate(_everything(), PLAIN, LINUX)["properties"]["containers"])
    assert '"value": "s3cr3t"' not in text
    assert '"secureValue": "s3cr3t"' in text


@pytest.mark.parametrize(
    ("image", "host", "repository"),
    [
        ("nginx", "index.docker.io", "library/nginx"),
        ("nginx:1.27", "index.docker.io", "library/nginx"),
        ("team/app", "index.docker.io", "team/app"),
        ("docker.io/team/app:1", "index.docker.io", "team/app"),
        ("localhost/app", "localhost", "app"),
        ("localhost:5000/app:1", "localhost:5000", "app"),
        ("Registry.Example/a/b@sha256:00", "registry.example", "a/b"),
    ],
)
def test_where_an_image_comes_from(image: str, host: str, repository: str) -> None:
    assert registry_of(image) == (host, repository)


def test_a_credential_for_another_path_does_not_fit() -> None:
    given = [RegistryCredential("registry.example/team", "u", "p")]
    assert credentials(["registry.example/teams/app"], given) == []
    assert len(credentials(["registry.example/team/app"], given)) == 1


names = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
texts = st.text(max_size=30)


@given(
    env=st.lists(st.tuples(names, texts, st.booleans()), max_size=6),
    command=st.lists(texts, min_size=1, max_size=4),
    ports=st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["TCP", "UDP"])), max_size=8),
)
def test_any_pod_gives_one_plain_json_body(
    env: list[tuple[str, str, bool]], command: list[str], ports: list[tuple[int, str]]
) -> None:
    container = {
        "name": "main",
        "image": "nginx",
        "command": command,
        "ports": [{"containerPort": port, "protocol": protocol} for port, protocol in ports],
    }
    pod = make_pod(
        {"containers": [container]},
        env={"main": tuple(EnvVar(name, value, secret) for name, value, secret in env)},
    )
    body = translate(pod, IN_SUBNET, LINUX)
    assert json.loads(json.dumps(body)) == body == translate(pod, IN_SUBNET, LINUX)
    main = body["properties"]["containers"][0]["properties"]
    variables = main.get("environmentVariables", [])
    assert len({one["name"] for one in variables}) == len(variables)
    last = {name: (value, secret) for name, value, secret in env}
    for one in variables:
        value, secret = last[one["name"]]
        assert one == {"name": one["name"], "secureValue" if secret else "value": value}
    pairs = [(one["port"], one["protocol"]) for one in main.get("ports", [])]
    assert sorted(pairs) == sorted(set(ports))
    if not any("$" in part for part in command):
        assert main["command"] == command
