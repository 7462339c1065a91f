from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.eci_pods import UID, labelled, make_pod, place

from vnodectl.providers.eci import annotations as notes
from vnodectl.providers.eci import specs
from vnodectl.providers.eci.profile import Profile, Selector
from vnodectl.providers.eci.translate import fails_fast, secrets, translate
from vnodectl.providers.eci.volumes import volume_secrets
from vnodectl.runtime.provider import (
    EmptyDir,
    EnvVar,
    External,
    File,
    Files,
    RegistryCredential,
    Rejected,
    ResolvedPod,
    Volume,
)

P = notes.PREFIX
MOUNT = {"name": "v", "mountPath": "/v"}


def _one(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "nginx", **container}]}


def _container(pod: ResolvedPod) -> dict[str, Any]:
    body: dict[str, Any] = translate(pod, place())["Container"][0]
    return body


def _rejected(pod: ResolvedPod, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        translate(pod, place(**options))
    return caught.value


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(
    ("policy", "container", "field"),
    [
        ("Always", {"restartPolicy": "Never"}, "restartPolicy"),
        ("Never", {"restartPolicy": "OnFailure"}, "restartPolicy"),
        (
            "Never",
            {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]},
            "restartPolicyRules",
        ),
        ("OnFailure", {"restartPolicy": "OnFailure", "restartPolicyRules": []}, ""),
    ],
)
def test_no_container_restarts_by_rules_of_its_own(
    kind: str, policy: str, container: dict[str, Any], field: str
) -> None:
    pod = make_pod({"restartPolicy": policy, **_one(), kind: [{"name": "c", "image": "nginx", **container}]})
    if not field:
        translate(pod, place())
        return
    error = _rejected(pod)
    assert (error.reason, error.field) == ("UnsupportedRestartPolicy", f"spec.{kind}[0].{field}")


# --- whole pods -----------------------------------------------------------------------------------


def test_the_smallest_pod() -> None:
    assert translate(make_pod(), place()) == {
        "ContainerGroupName": f"default-web-0-{UID}",
        "ClientToken": UID,
        "RestartPolicy": "Always",
        "HostName": "web-0",
        "TerminationGracePeriodSeconds": 30,
        "VSwitchId": "vsw-1,vsw-2",
        "SecurityGroupId": "sg-1",
        "Cpu": "2",
        "Memory": "4",
        "Container": [{"Name": "main", "Image": "nginx"}],
        "Tag": [
            {"Key": "vnodectl-namespace", "Value": "default"},
            {"Key": "vnodectl-pod", "Value": "web-0"},
            {"Key": "vnodectl-uid", "Value": UID},
            {"Key": "vnodectl-node", "Value": "virtual-kubelet"},
            {"Key": "vnodectl-connector", "Value": "ack-virtual-node"},
            {"Key": "vnodectl-created", "Value": "2026-01-02T03:04:05Z"},
        ],
    }


def test_a_pod_with_everything() -> None:
    pod = make_pod(
        {
            "restartPolicy": "OnFailure",
            "hostname": "front",
            "terminationGracePeriodSeconds": 5,
            "activeDeadlineSeconds": 600,
            "shareProcessNamespace": True,
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}],
            "dnsPolicy": "ClusterFirst",
            "dnsConfig": {"options": [{"name": "edns0"}]},
            "securityContext": {
                "runAsUser": 1000,
                "sysctls": [
                    {"name": "net.ipv4.ping_group_range", "value": "0 1"},
                    {"name": "net.core.somaxconn", "value": "1024"},
                ],
            },
            "initContainers": [
                {"name": "init", "image": "busybox", "command": ["true"], "volumeMounts": [MOUNT]}
            ],
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/team/app:1",
                    "imagePullPolicy": "Always",
                    "command": ["run", "$(MODE)"],
                    "args": ["--port", "80"],
                    "workingDir": "/app",
                    "ports": [{"name": "web", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
                    "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
                    "livenessProbe": {"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 3},
                    "readinessProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 2},
                    "lifecycle": {"preStop": {"exec": {"command": ["bye"]}}},
                    "securityContext": {
                        "readOnlyRootFilesystem": True,
                        "runAsGroup": 7,
                        "runAsNonRoot": True,
                        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                    },
                    "volumeMounts": [{**MOUNT, "readOnly": True, "subPathExpr": "logs/$(MODE)"}],
                    "stdin": True,
                    "tty": True,
                    "terminationMessagePath": "/end",
                }
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
        env={"main": (EnvVar("MODE", "fast"), EnvVar("KEY", "planted", secret=True))},
        volumes={"v": EmptyDir("Memory", 300 * 2**20 + 1)},
        credentials=(RegistryCredential("registry.example", "me", "planted-password"),),
        annotations={
            f"{P}eci-schedule-strategy": "VSwitchOrdered",
            f"{P}eci-with-eip": "true",
            f"{P}eip-bandwidth": "10",
            f"{P}eci-custom-hosts": '[{"host":"c","ip":"10.0.0.2"}]',
            f"{P}eci-custom-tags": "env:test",
            f"{P}eci-ntp-server": "100.100.5.1",
            f"{P}eci-ram-role-name": "Role",
            f"{P}acr-instance-ids": "cri-1,cn-beijing:cri-2",
            f"{P}acr-service-arns": "acs:ram::1:role/a",
        },
    )
    body = translate(pod, place(cluster_dns="172.21.0.10", resource_group="rg-1"), attempt=3)
    tags = body.pop("Tag")
    assert tags[0] == {"Key": "env", "Value": "test"}
    assert body == {
        "ContainerGroupName": f"default-web-0-{UID}",
        "ClientToken": f"{UID}-3",
        "RestartPolicy": "OnFailure",
        "HostName": "front",
        "TerminationGracePeriodSeconds": 5,
        "ActiveDeadlineSeconds": 600,
        "ShareProcessNamespace": True,
        "VSwitchId": "vsw-1,vsw-2",
        "SecurityGroupId": "sg-1",
        "ResourceGroupId": "rg-1",
        "ScheduleStrategy": "VSwitchOrdered",
        "AutoCreateEip": True,
        "EipBandwidth": 10,
        "NtpServer": ["100.100.5.1"],
        "RamRoleName": "Role",
        "Cpu": "1",
        "Memory": "2",
        "AcrRegistryInfo": [
            {"InstanceId": "cri-1", "ArnService": "acs:ram::1:role/a"},
            {"InstanceId": "cri-2", "RegionId": "cn-beijing", "ArnService": "acs:ram::1:role/a"},
        ],
        "ImageRegistryCredential": [
            {"Server": "registry.example", "UserName": "me", "Password": "planted-password"}
        ],
        "HostAliase": [
            {"Ip": "10.0.0.1", "Hostname": ["a", "b"]},
            {"Ip": "10.0.0.2", "Hostname": ["c"]},
        ],
        "DnsPolicy": "None",
        "DnsConfig": {
            "NameServer": ["172.21.0.10"],
            "Search": ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
            "Option": [{"Name": "ndots", "Value": "5"}, {"Name": "edns0"}],
        },
        "SecurityContext": {"Sysctl": [{"Name": "net.ipv4.ping_group_range", "Value": "0 1"}]},
        "HostSecurityContext": {"Sysctl": [{"Name": "net.core.somaxconn", "Value": "1024"}]},
        "InitContainer": [
            {
                "Name": "init",
                "Image": "busybox",
                "Command": ["true"],
                "VolumeMount": [{"Name": "v", "MountPath": "/v"}],
                "SecurityContext": {"RunAsUser": 1000},
            }
        ],
        "Container": [
            {
                "Name": "main",
                "Image": "registry.example/team/app:1",
                "ImagePullPolicy": "Always",
                "Command": ["run", "fast"],
                "Arg": ["--port", "80"],
                "WorkingDir": "/app",
                "EnvironmentVar": [
                    {"Key": "MODE", "Value": "fast"},
                    {"Key": "KEY", "Value": "planted"},
                ],
                "EnvironmentVarHide": True,
                "Port": [{"Port": 80, "Protocol": "TCP"}, {"Port": 53, "Protocol": "UDP"}],
                "VolumeMount": [{"Name": "v", "MountPath": "/v", "SubPath": "logs/fast", "ReadOnly": True}],
                "SecurityContext": {
                    "RunAsUser": 1000,
                    "ReadOnlyRootFilesystem": True,
                    "Capability": {"Add": ["NET_ADMIN"]},
                },
                "SecurityContextRunAsGroup": 7,
                "SecurityContextRunAsNonRoot": True,
                "TerminationMessagePath": "/end",
                "Cpu": "1",
                "Memory": "2",
                "Stdin": True,
                "Tty": True,
                "LivenessProbe": {
                    "HttpGet": {"Path": "/ok", "Port": 80, "Scheme": "HTTP"},
                    "PeriodSeconds": 3,
                },
                "ReadinessProbe": {"TcpSocket": {"Port": 80}, "TimeoutSeconds": 2},
                "LifecyclePreStopHandlerExec": ["bye"],
            }
        ],
        "Volume": [
            {
                "Name": "v",
                "Type": "EmptyDirVolume",
                "EmptyDirVolume": {"Medium": "Memory", "SizeLimit": "301Mi"},
            }
        ],
    }
    assert set(secrets(pod, body)) == {"planted", "planted-password"}


# --- place, size, price ---------------------------------------------------------------------------


def test_the_profile_comes_before_the_settings_and_annotations_before_both() -> None:
    profile = Profile(vswitches=("vsw-p",), security_group="sg-p")
    body = translate(make_pod(), place(profile=profile))
    assert (body["VSwitchId"], body["SecurityGroupId"]) == ("vsw-p", "sg-p")
    pod = make_pod(annotations={f"{P}eci-vswitch": "vsw-a", f"{P}eci-security-group": "sg-a,sg-b"})
    body = translate(pod, place(profile=profile))
    assert (body["VSwitchId"], body["SecurityGroupId"]) == ("vsw-a", "sg-a,sg-b")


def test_a_profile_s_effect_reaches_pods_that_match_and_their_own_word_is_last() -> None:
    effect = {f"{P}eci-use-specs": "ecs.c6.large", f"{P}eci-auto-imc": "true"}
    profile = Profile(selectors=(Selector("s", {"app": "web"}, annotations=effect),))
    pod = make_pod(annotations={f"{P}eci-auto-imc": "false"})
    assert "InstanceType" not in translate(pod, place(profile=profile))
    body = translate(labelled(pod, {"app": "web"}), place(profile=profile))
    assert (body["InstanceType"], body["AutoMatchImageCache"]) == ("ecs.c6.large", False)


def test_named_specifications_come_before_what_containers_ask_for() -> None:
    pod = make_pod(
        _one(resources={"limits": {"cpu": "60", "memory": "1Ti"}}),
        annotations={f"{P}eci-use-specs": "2-4Gi,ecs.c6.large"},
    )
    body = translate(pod, place())
    assert body["InstanceType"] == "2-4Gi,ecs.c6.large"
    assert "Cpu" not in body


def test_gpus_need_a_type_that_has_them() -> None:
    spec = _one(resources={"limits": {"nvidia.com/gpu": "1"}})
    error = _rejected(make_pod(spec))
    assert error.field == "spec.containers[0].resources.limits"
    body = translate(make_pod(spec, annotations={f"{P}eci-use-specs": "ecs.gn6i-c4g1.xlarge"}), place())
    assert body["Container"][0]["Gpu"] == 1


def test_preemptible_instances() -> None:
    given_ = {f"{P}eci-spot-strategy": "SpotAsPriceGo"}
    body = translate(make_pod(_one(resources={"limits": {"cpu": "1"}}), annotations=given_), place())
    assert (body["SpotStrategy"], body["StrictSpot"], body["Cpu"], body["Memory"]) == (
        "SpotAsPriceGo",
        True,
        "2",
        "2",
    )
    body = translate(make_pod(annotations={**given_, f"{P}eci-spot-fallback": "true"}), place())
    assert body["StrictSpot"] is False
    limited = {f"{P}eci-spot-strategy": "SpotWithPriceLimit"}
    assert _rejected(make_pod(annotations=limited)).field.endswith("eci-spot-price-limit]")
    body = translate(make_pod(annotations={**limited, f"{P}eci-spot-price-limit": "0.5"}), place())
    assert body["SpotPriceLimit"] == "0.5"


def test_one_eip_is_enough() -> None:
    error = _rejected(make_pod(annotations={f"{P}eci-with-eip": "true", f"{P}eci-eip-instanceid": "eip-1"}))
    assert error.field == "metadata.annotations[k8s.aliyun.com/eci-with-eip]"


def test_tags_of_one_s_own() -> None:
    for wrong in ("a", ":b", "a:1,b:2,c:3,d:4", "vnodectl-uid:1"):
        error = _rejected(make_pod(annotations={f"{P}eci-custom-tags": wrong}))
        assert error.field.endswith("eci-custom-tags]")
    body = translate(make_pod(annotations={f"{P}eci-custom-tags": "a:1,b:x:y"}), place())
    assert body["Tag"][:2] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x:y"}]


def test_fail_fast() -> None:
    assert not fails_fast(make_pod(), Profile())
    assert fails_fast(make_pod(annotations={f"{P}eci-fail-strategy": "fail-fast"}), Profile())
    assert fails_fast(make_pod(annotations={f"{P}pod-fail-on-create-err": "true"}), Profile())
    both = {f"{P}pod-fail-on-create-err": "true", f"{P}eci-fail-strategy": "fail-back"}
    assert not fails_fast(make_pod(annotations=both), Profile())
    assert "FailStrategy" not in translate(
        make_pod(annotations={f"{P}eci-fail-strategy": "fail-fast"}), place()
    )


# --- what a group does not have -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"hostPID": True}, "spec.hostPID"),
        ({"hostIPC": True}, "spec.hostIPC"),
        ({"os": {"name": "windows"}}, "spec.os.name"),
        ({"containers": [{"name": f"c{n}", "image": "i"} for n in range(21)]}, "spec.containers"),
        ({"initContainers": [{"name": f"c{n}", "image": "i"} for n in range(21)]}, "spec.initContainers"),
        ({"dnsPolicy": "None"}, "spec.dnsConfig.nameservers"),
        (_one(ports=[{"containerPort": 1, "protocol": "SCTP"}]), "spec.containers[0].ports[0].protocol"),
        (_one(ports=[{"containerPort": 1, "hostPort": 1}]), "spec.containers[0].ports[0].hostPort"),
        (_one(volumeDevices=[{}]), "spec.containers[0].volumeDevices"),
        (
            {**_one(livenessProbe={"grpc": {"port": 1}}), "restartPolicy": "Never"},
            "spec.containers[0].livenessProbe.grpc",
        ),
        (
            {**_one(startupProbe={"httpGet": {"port": 1}}), "restartPolicy": "Never"},
            "spec.containers[0].startupProbe",
        ),
        (_one(livenessProbe={}, readinessProbe={"x": 1}), "spec.containers[0].readinessProbe"),
        (_one(startupProbe={"exec": {"command": ["x"]}}), "spec.containers[0].startupProbe"),
        (
            {**_one(livenessProbe={"httpGet": {"port": 1, "host": "x"}}), "restartPolicy": "Never"},
            "spec.containers[0].livenessProbe.httpGet.host",
        ),
        (
            {**_one(livenessProbe={"tcpSocket": {"port": 1, "host": "x"}}), "restartPolicy": "Never"},
            "spec.containers[0].livenessProbe.tcpSocket.host",
        ),
        (
            {
                **_one(livenessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "b"}]}}),
                "restartPolicy": "Never",
            },
            "spec.containers[0].livenessProbe.httpGet.httpHeaders",
        ),
        (
            _one(livenessProbe={"httpGet": {"port": "web"}}),
            "spec.containers[0].livenessProbe.httpGet.port",
        ),
        (
            _one(lifecycle={"postStart": {"sleep": {"seconds": 1}}}),
            "spec.containers[0].lifecycle.postStart.sleep",
        ),
        (_one(lifecycle={"stopSignal": "SIGUSR1"}), "spec.containers[0].lifecycle.stopSignal"),
        (
            {"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}]},
            "spec.initContainers[0].restartPolicy",
        ),
        (
            {"initContainers": [{"name": "i", "image": "i", "lifecycle": {"preStop": {}}}]},
            "spec.initContainers[0].lifecycle",
        ),
        (
            {"initContainers": [{"name": "i", "image": "i", "resources": {"limits": {"x/y": 1}}}]},
            "spec.initContainers[0].resources.limits[x/y]",
        ),
    ],
)
def test_what_eci_cannot_do_is_rejected_by_field(spec: dict[str, Any], field: str) -> None:
    assert _rejected(make_pod(spec)).field == field


# --- containers -----------------------------------------------------------------------------------


def test_an_address_that_only_the_group_knows() -> None:
    late = (EnvVar("A", "", late="status.podIP"), EnvVar("B", "", late="status.podIPs"), EnvVar("C", ""))
    assert _container(make_pod(env={"main": late}))["EnvironmentVar"] == [
        {"Key": "A", "FieldRef": {"FieldPath": "status.podIP"}},
        {"Key": "B", "FieldRef": {"FieldPath": "status.podIP"}},
        {"Key": "C", "Value": ""},
    ]


def test_collected_logs_go_through_the_profile_s_machine_group() -> None:
    env = (
        EnvVar("aliyun_logs_a", "stdout"),
        EnvVar("aliyun_logs_b", "/log/*.log"),
        EnvVar("aliyun_logs_b_machinegroup", "mine"),
        EnvVar("OTHER", "x"),
    )
    pod = make_pod(env={"main": env})
    body = translate(pod, place(profile=Profile(sls_machine_group="group")))
    found = {one["Key"]: one["Value"] for one in body["Container"][0]["EnvironmentVar"]}
    assert found == {
        **{one.name: one.value for one in env},
        "aliyun_logs_a_machinegroup": "group",
    }
    assert len(_container(pod)["EnvironmentVar"]) == len(env)


@pytest.mark.parametrize(
    ("asked", "init", "annotation", "extra"),
    [
        ("1Gi", "", "", None),
        ("30Gi", "", "", None),
        ("30721Mi", "", "", 1),
        ("50Gi", "", "", 20),
        ("1Gi", "45Gi", "", 15),
        ("50Gi", "", "5Gi", 5),
    ],
)
def test_ephemeral_storage_beyond_what_is_free(
    asked: str, init: str, annotation: str, extra: int | None
) -> None:
    spec = _one(resources={"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": asked}})
    if init:
        limits = {"limits": {"ephemeral-storage": init}}
        spec["initContainers"] = [{"name": "i", "image": "i", "resources": limits}]
    notes_ = {f"{P}eci-extra-ephemeral-storage": annotation} if annotation else {}
    assert translate(make_pod(spec, annotations=notes_), place()).get("EphemeralStorage") == extra


def test_older_names_of_annotations() -> None:
    older = {f"{P}eci-instance-type": "ecs.gn5i-c2g1.large", f"{P}acr-instance-id": "cri-1"}
    spec = _one(resources={"limits": {"nvidia.com/gpu": 1}})
    body = translate(make_pod(spec, annotations=older), place())
    assert body["InstanceType"] == "ecs.gn5i-c2g1.large"
    assert body["Container"][0]["Gpu"] == 1
    assert body["AcrRegistryInfo"] == [{"InstanceId": "cri-1"}]


def test_a_startup_probe_delays_the_liveness_probe() -> None:
    body = _container(
        make_pod(
            _one(
                livenessProbe={"exec": {"command": ["alive"]}, "initialDelaySeconds": 5},
                startupProbe={"exec": {"command": ["up"]}, "periodSeconds": 2, "failureThreshold": 30},
            )
        )
    )
    assert body["LivenessProbe"] == {"Exec": {"Command": ["alive"]}, "InitialDelaySeconds": 60}


def test_a_hook_that_only_waits_is_the_runtime_s() -> None:
    body = _container(make_pod(_one(lifecycle={"preStop": {"sleep": {"seconds": 1}}})))
    assert not [name for name in body if name.startswith("Lifecycle")]


def test_hooks() -> None:
    body = _container(
        make_pod(
            _one(
                lifecycle={
                    "postStart": {
                        "httpGet": {
                            "port": 80,
                            "host": "h",
                            "scheme": "HTTPS",
                            "httpHeaders": [{"name": "a", "value": "b"}],
                        }
                    },
                    "preStop": {"tcpSocket": {"port": 81, "host": "h"}},
                }
            )
        )
    )
    body.pop("Name")
    body.pop("Image")
    assert body == {
        "LifecyclePostStartHandlerHttpGetPath": "/",
        "LifecyclePostStartHandlerHttpGetPort": 80,
        "LifecyclePostStartHandlerHttpGetScheme": "HTTPS",
        "LifecyclePostStartHandlerHttpGetHost": "h",
        "LifecyclePostStartHandlerHttpGetHttpHeader": [{"Name": "a", "Value": "b"}],
        "LifecyclePreStopHandlerTcpSocketPort": 81,
        "LifecyclePreStopHandlerTcpSocketHost": "h",
    }


def test_a_container_s_own_security_comes_before_the_pod_s() -> None:
    spec = _one(securityContext={"runAsUser": 0, "privileged": True})
    spec["securityContext"] = {"runAsUser": 5, "runAsGroup": 6, "runAsNonRoot": False}
    body = _container(make_pod(spec))
    assert body["SecurityContext"] == {"RunAsUser": 0}
    assert body["SecurityContextRunAsGroup"] == 6
    assert body["SecurityContextPrivileged"] is True
    assert "SecurityContextRunAsNonRoot" not in body


# --- DNS ------------------------------------------------------------------------------------------


def test_dns_of_one_s_own_without_the_cluster_s() -> None:
    spec = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"]}}
    body = translate(make_pod(spec), place(cluster_dns="10.0.0.10"))
    assert (body["DnsPolicy"], body["DnsConfig"]) == ("None", {"NameServer": ["1.1.1.1"], "Search": ["x"]})


def test_the_custom_dns_comes_first() -> None:
    value = '{"nameservers":"20.1.0.1,20.1.0.2","searches":"a.example","options":"ndots:2,edns0"}'
    body = translate(
        make_pod({"dnsPolicy": "Default"}, annotations={f"{P}eci-custom-dnsconfig": value}),
        place(cluster_dns="10.0.0.10"),
    )
    assert body["DnsConfig"] == {
        "NameServer": ["20.1.0.1", "20.1.0.2"],
        "Search": ["a.example"],
        "Option": [{"Name": "ndots", "Value": "2"}, {"Name": "edns0"}],
    }


def test_the_cluster_s_dns_unless_the_pod_has_another_policy() -> None:
    assert "DnsConfig" not in translate(make_pod({"dnsPolicy": "Default"}), place(cluster_dns="10.0.0.10"))
    assert "DnsConfig" not in translate(make_pod(), place())


# --- volumes --------------------------------------------------------------------------------------


def _with_volume(volume: Volume, source: dict[str, Any] | None = None, **spec: Any) -> ResolvedPod:
    entry = {"name": "v", **(source or {})}
    return make_pod({**_one(volumeMounts=[MOUNT]), "volumes": [entry], **spec}, volumes={"v": volume})


def _volume(volume: Volume, source: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    (body,) = translate(_with_volume(volume, source, **spec), place())["Volume"]
    assert body.pop("Name") == "v"
    found: dict[str, Any] = body
    return found


def _external(source: dict[str, Any], **secrets_: dict[str, bytes]) -> dict[str, Any]:
    return _volume(External({"name": "v", **source}, secrets_), source)


def test_empty_directories() -> None:
    assert _volume(EmptyDir()) == {"Type": "EmptyDirVolume"}
    assert _volume(EmptyDir(size_limit=2**30))["EmptyDirVolume"] == {"SizeLimit": "1024Mi"}
    error = _rejected(_with_volume(EmptyDir("HugePages")))
    assert error.field == "spec.volumes[0].emptyDir.medium"


def test_files_keep_paths_modes_and_contents() -> None:
    files = Files((File("dir/a", b"\x00\xff", 0o400), File("b", b"", 0o755)))
    assert _volume(files) == {
        "Type": "ConfigFileVolume",
        "ConfigFileVolume": {
            "ConfigFileToPath": [
                {"Path": "dir/a", "Content": base64.b64encode(b"\x00\xff").decode(), "Mode": "0400"},
                {"Path": "b", "Content": "", "Mode": "0755"},
            ]
        },
    }
    assert _volume(Files(())) == {"Type": "EmptyDirVolume"}


def test_files_of_a_pod_with_a_group_can_be_read_by_all_of_it() -> None:
    body = _volume(Files((File("token", b"x", 0o640),)), securityContext={"fsGroup": 1000})
    assert body["ConfigFileVolume"]["ConfigFileToPath"][0]["Mode"] == "0644"


def test_files_have_limits() -> None:
    big = Files((File("a", b"x" * (32 * 1024 + 1)),))
    assert _rejected(_with_volume(big)).field == "spec.volumes[0]"
    many = Files(tuple(File(f"f{n}", b"x" * 31_000) for n in range(2)))
    assert "60 KiB" in _rejected(_with_volume(many)).message
    _volume(Files(tuple(File(f"f{n}", b"x" * 30_000) for n in range(2))))


def test_nfs() -> None:
    assert _external({"nfs": {"server": "s", "path": "/p", "readOnly": True}}) == {
        "Type": "NFSVolume",
        "NFSVolume": {"Server": "s", "Path": "/p", "ReadOnly": True},
    }


def _options(body: dict[str, Any]) -> Any:
    return json.loads(body["FlexVolume"]["Options"])


def test_disks_nas_and_oss_as_flex_volumes() -> None:
    disk = _external(
        {"flexVolume": {"driver": "alicloud/disk", "fsType": "ext4", "options": {"volumeId": "d-1"}}}
    )
    assert disk["FlexVolume"]["Driver"] == "alicloud/disk"
    assert disk["FlexVolume"]["FsType"] == "ext4"
    assert _options(disk) == {"volumeId": "d-1"}
    oss = _external(
        {
            "flexVolume": {
                "driver": "alicloud/oss",
                "options": {"bucket": "b", "url": "u"},
                "secretRef": {"name": "keys"},
            }
        },
        keys={"akId": b"id", "akSecret": b"planted\n"},
    )
    assert _options(oss) == {"bucket": "b", "url": "u", "akId": "id", "akSecret": "planted"}


def test_disks_nas_and_oss_through_csi_inline_or_of_a_persistent_volume() -> None:
    disk = _external(
        {"csi": {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-1", "fsType": "xfs"}}
    )
    assert _options(disk) == {"volumeId": "d-1"}
    assert disk["FlexVolume"]["FsType"] == "xfs"
    nas = _external(
        {
            "csi": {
                "driver": "nasplugin.csi.alibabacloud.com",
                "volumeHandle": "pv",
                "volumeAttributes": {"server": "s", "path": "/p", "other": "x"},
            }
        }
    )
    assert _options(nas) == {"server": "s", "path": "/p"}
    oss = _external(
        {
            "csi": {
                "driver": "ossplugin.csi.alibabacloud.com",
                "volumeAttributes": {"bucket": "b", "url": "u"},
                "nodePublishSecretRef": {"name": "keys"},
            }
        },
        keys={"akId": b"id", "akSecret": b"planted"},
    )
    assert _options(oss)["akSecret"] == "planted"


CLAIM = {"persistentVolumeClaim": {"claimName": "data"}}
DISK = {
    "csi": {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-1", "fsType": "ext4"},
    "nodeAffinity": {
        "required": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {
                            "key": "topology.diskplugin.csi.alibabacloud.com/zone",
                            "operator": "In",
                            "values": ["cn-hangzhou-i"],
                        }
                    ]
                }
            ]
        }
    },
}
NAS = {
    "csi": {
        "driver": "nasplugin.csi.alibabacloud.com",
        "volumeHandle": "pv",
        "volumeAttributes": {"server": "s", "path": "/p"},
    },
    "mountOptions": ["nolock,tcp", "noresvport", "vers=3"],
}
OSS = {
    "csi": {
        "driver": "ossplugin.csi.alibabacloud.com",
        "volumeAttributes": {"bucket": "b", "url": "u"},
        "nodePublishSecretRef": {"name": "keys", "namespace": "kube-system"},
        "readOnly": True,
    }
}


def _claimed(spec: dict[str, Any], read_only: bool = False, **secrets_: Any) -> External:
    claim = {"persistentVolumeClaim": {"claimName": "data", **({"readOnly": True} if read_only else {})}}
    volume = {"metadata": {"name": "pv-1"}, "spec": spec}
    return External({"name": "v", **claim}, secrets_.get("secrets") or {}, volume)


def test_a_claim_is_what_its_volume_is() -> None:
    disk = _volume(_claimed(DISK), CLAIM)
    assert (disk["FlexVolume"]["Driver"], _options(disk)) == ("alicloud/disk", {"volumeId": "d-1"})
    nas = _volume(_claimed(NAS), CLAIM)
    assert _options(nas) == {
        "server": "s",
        "path": "/p",
        "vers": "3",
        "options": "nolock,tcp,noresvport",
    }
    keys = {"kube-system/keys": {"akId": b"id", "akSecret": b"planted"}}
    oss = _volume(_claimed(OSS, secrets=keys), CLAIM)
    assert _options(oss) == {"bucket": "b", "url": "u", "akId": "id", "akSecret": "planted"}
    nfs = _volume(_claimed({"nfs": {"server": "s", "path": "/p"}}), CLAIM)
    assert nfs == {"Type": "NFSVolume", "NFSVolume": {"Server": "s", "Path": "/p"}}
    flex = {"driver": "alicloud/disk", "options": {"volumeId": "d-2"}}
    assert _options(_volume(_claimed({"flexVolume": flex}), CLAIM)) == {"volumeId": "d-2"}


def test_the_secrets_of_a_claim_may_be_in_another_namespace() -> None:
    assert volume_secrets({"spec": OSS}, "default") == [("kube-system", "keys")]
    flex = {"flexVolume": {"driver": "alicloud/oss", "secretRef": {"name": "keys"}}}
    assert volume_secrets({"spec": flex}, "default") == [("default", "keys")]
    assert volume_secrets({"spec": DISK}, "default") == []


@pytest.mark.parametrize(
    ("volume", "locked"),
    [
        (_claimed(DISK), False),
        (_claimed(DISK, read_only=True), True),
        (_claimed(OSS), True),
        (
            External({"name": "v", "flexVolume": {"driver": "alicloud/nas", "options": {"server": "s"}}}),
            False,
        ),
        (
            External(
                {
                    "name": "v",
                    "flexVolume": {"driver": "alicloud/nas", "options": {"server": "s"}, "readOnly": True},
                }
            ),
            True,
        ),
    ],
)
def test_a_volume_that_is_read_only_is_mounted_so(volume: External, locked: bool) -> None:
    (mount,) = _container(_with_volume(volume))["VolumeMount"]
    assert mount.get("ReadOnly", False) is locked


def test_a_disk_of_a_claim_decides_the_zone() -> None:
    assert translate(_with_volume(_claimed(DISK), CLAIM), place())["ZoneId"] == "cn-hangzhou-i"
    assert "ZoneId" not in translate(_with_volume(_claimed(NAS), CLAIM), place())
    other = json.loads(json.dumps(DISK).replace("hangzhou-i", "hangzhou-h"))
    pod = make_pod(
        {
            **_one(volumeMounts=[{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}]),
            "volumes": [{"name": "a", **CLAIM}, {"name": "b", **CLAIM}],
        },
        volumes={"a": _claimed(DISK), "b": _claimed(other)},
    )
    error = _rejected(pod)
    assert error.field == "spec.volumes[1].persistentVolumeClaim"
    assert "cn-hangzhou-h" in error.message


def test_a_claim_of_what_eci_does_not_have_names_the_volume() -> None:
    error = _rejected(_with_volume(_claimed({"hostPath": {"path": "/"}}), CLAIM))
    assert error.field == "spec.volumes[0].persistentVolumeClaim"
    assert "pv-1" in error.message


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"hostPath": {"path": "/"}}, "spec.volumes[0].hostPath"),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "spec.volumes[0].persistentVolumeClaim"),
        ({"flexVolume": {"driver": "x"}}, "spec.volumes[0].flexVolume.driver"),
        ({"flexVolume": {"driver": "alicloud/oss"}}, "spec.volumes[0].flexVolume"),
        ({"csi": {"driver": "x"}}, "spec.volumes[0].csi.driver"),
        ({"csi": {"driver": "nasplugin.csi.alibabacloud.com"}}, "spec.volumes[0].csi"),
    ],
)
def test_volumes_that_eci_does_not_have(source: dict[str, Any], field: str) -> None:
    assert _rejected(_with_volume(External({"name": "v", **source}), source)).field == field


def test_only_mounted_volumes_are_made_and_only_so_many() -> None:
    pod = make_pod({**_one(), "volumes": [{"name": "v"}]}, volumes={"v": External({"hostPath": {}})})
    assert "Volume" not in translate(pod, place())
    names = [f"v{n}" for n in range(21)]
    pod = make_pod(
        {
            **_one(volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in names]),
            "volumes": [{"name": name} for name in names],
        },
        volumes={name: EmptyDir() for name in names},
    )
    assert _rejected(pod).field == "spec.volumes"


def test_contents_and_keys_are_secrets_of_the_request() -> None:
    pod = _with_volume(Files((File("a", b"planted-file"),), secret=True))
    found = set(secrets(pod, translate(pod, place())))
    assert {"planted-file", base64.b64encode(b"planted-file").decode()} <= found
    source = {"flexVolume": {"driver": "alicloud/oss", "options": {"bucket": "b", "akSecret": "planted-key"}}}
    pod = _with_volume(External({"name": "v", **source}), source)
    assert "planted-key" in set(secrets(pod, translate(pod, place())))


# --- properties -----------------------------------------------------------------------------------

quantities = st.sampled_from(["0", "1m", "250m", "1", "2.5", "7", "1Gi", "512Mi", "3G", "bad"])
resources = st.fixed_dictionaries(
    {},
    optional={
        kind: st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities, max_size=2)
        for kind in ("requests", "limits")
    },
)
texts = st.text(max_size=12)
containers = st.fixed_dictionaries(
    {"image": st.sampled_from(["nginx", "registry.example/a/b:1", "a@sha256:1"])},
    optional={
        "command": st.lists(texts, max_size=3),
        "args": st.lists(texts, max_size=3),
        "resources": resources,
        "workingDir": texts,
        "tty": st.booleans(),
        "ports": st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 65535)}), max_size=2),
        "livenessProbe": st.fixed_dictionaries(
            {}, optional={"exec": st.just({"command": ["x"]}), "tcpSocket": st.just({"port": 1})}
        ),
    },
)
specifications = st.lists(containers, min_size=1, max_size=4).map(
    lambda made: {"containers": [{"name": f"c{n}", **one} for n, one in enumerate(made)]}
)


@given(
    specifications,
    st.dictionaries(
        st.sampled_from([one.name for one in notes.TABLE]), st.one_of(texts, st.just("true")), max_size=3
    ),
    st.sampled_from(["cn-hangzhou", "eu-central-1"]),
)
def test_any_pod_is_translated_the_same_way_twice_or_rejected_by_field(
    spec: dict[str, Any], annotations: dict[str, str], region: str
) -> None:
    pod = make_pod(spec, annotations=annotations)
    before = json.dumps(pod.pod, sort_keys=True)
    try:
        body = translate(pod, place(region=region))
    except Rejected as error:
        # Either way is fine, but a field there must be.
        assert error.field, error  # noqa: PT017
        return
    assert body == translate(pod, place(region=region))
    assert json.dumps(pod.pod, sort_keys=True) == before
    json.dumps(body)
    assert [one["Name"] for one in body["Container"]] == [one["name"] for one in spec["containers"]]
    if "Cpu" in body:
        preemptible = body.get("SpotStrategy", "NoSpot") != "NoSpot"
        size = f"{body['Cpu']}-{body['Memory']}Gi"
        assert size in {str(one) for one in specs.pairs(region, preemptible=preemptible)} | {
            str(specs.DEFAULT)
        }
