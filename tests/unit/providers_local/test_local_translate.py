"""Pods to groups, groups to statuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vnodectl.engines.api import (
    ContainerStatus,
    GroupPhase,
    GroupStatus,
    Hook,
    Mount,
    Probe,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
    Running,
    Terminated,
    VolumeSpec,
    Waiting,
)
from vnodectl.providers.local.names import group_name, pod_of
from vnodectl.providers.local.probes import direct
from vnodectl.providers.local.status import pod_status
from vnodectl.providers.local.translate import Options, translate
from vnodectl.runtime.provider import (
    EmptyDir,
    EnvVar,
    External,
    File,
    Files,
    PodKey,
    ProbeKind,
    RegistryCredential,
    Rejected,
    ResolvedPod,
)

KEY = PodKey("default", "web-0", "2f6c4d0e-1111-2222-3333-444455556666")


def pod(container: dict | None = None, *, env=(), volumes=None, credentials=(), **spec) -> ResolvedPod:
    whole = {"containers": [{"name": "web", "image": "app:1"} | (container or {})]} | spec
    whole["volumes"] = [{"name": name} for name in volumes or {}]
    return ResolvedPod(
        KEY, {"metadata": {}, "spec": whole}, {"web": tuple(env)}, volumes or {}, tuple(credentials)
    )


def translated(*args, options: Options | None = None, **more):
    return translate(pod(*args, **more), "node-1", options or Options())


def container(*args, **more):
    return translated(*args, **more).containers[0]


def test_names_are_readable_unique_and_short():
    name = group_name(KEY)
    assert name.startswith("default-web-0-")
    assert group_name(PodKey("default", "web-0", "another")) != name
    assert group_name(PodKey("a-b", "c", "1")) != group_name(PodKey("a", "b-c", "2"))
    long = group_name(PodKey("n" * 63, "p" * 253, "u"))
    assert len(long) <= 63
    assert group_name(PodKey("x", "Some.Dotted.Name", "u")).startswith("x-some-dotted-name-")


def test_labels_lead_back_to_the_pod():
    spec = translated()
    assert pod_of(spec.labels, "node-1") == KEY
    assert pod_of(spec.labels, "node-2") is None
    assert pod_of({}, "node-1") is None


def test_a_plain_pod():
    spec = translated()
    assert spec.restart_policy is RestartPolicy.ALWAYS
    assert spec.termination_grace == 30
    assert spec.hostname == "web-0"
    one = spec.containers[0]
    assert (one.command, one.args, one.user, one.cpu, one.memory) == (None, None, None, None, None)
    assert one.pull_policy is PullPolicy.IF_NOT_PRESENT


def test_zero_grace_is_not_the_default():
    assert translated(terminationGracePeriodSeconds=0).termination_grace == 0


def test_variables_are_expanded_in_commands_and_arguments():
    env = [EnvVar("A", "1"), EnvVar("IP", "", late="status.podIP")]
    one = container(
        {"command": ["run", "$(A)", "$$(A)"], "args": ["--x=$(A)$(MISSING)", "$(IP)"], "workingDir": "/w"},
        env=env,
    )
    assert one.command == ("run", "1", "$(A)")
    assert one.args == ("--x=1$(MISSING)", "$(IP)")
    assert one.env == {"A": "1", "IP": ""}
    assert one.address_env == ("IP",)
    assert one.working_dir == "/w"


def test_an_empty_command_is_the_images_own():
    assert container({"command": [], "args": []}).command is None


@pytest.mark.parametrize(
    ("image", "named", "policy"),
    [
        ("app", None, PullPolicy.ALWAYS),
        ("app:latest", None, PullPolicy.ALWAYS),
        ("app:1", None, PullPolicy.IF_NOT_PRESENT),
        ("reg:5000/app", None, PullPolicy.ALWAYS),
        ("app@sha256:0", None, PullPolicy.IF_NOT_PRESENT),
        ("app:1", "Never", PullPolicy.NEVER),
    ],
)
def test_pull_policies(image, named, policy):
    more = {"imagePullPolicy": named} if named else {}
    assert container({"image": image, **more}).pull_policy is policy


def test_last_words():
    one = container({})
    assert (one.last_words, one.log_speaks) == ("/dev/termination-log", False)
    named = {"terminationMessagePath": "/end", "terminationMessagePolicy": "FallbackToLogsOnError"}
    assert (container(named).last_words, container(named).log_speaks) == ("/end", True)


def test_security():
    one = container(
        {
            "securityContext": {
                "runAsUser": 5,
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL", "NET_RAW"], "add": ["NET_BIND_SERVICE"]},
            }
        },
        securityContext={"runAsUser": 9, "runAsGroup": 6, "fsGroup": 7, "supplementalGroups": [8, 7]},
    )
    assert (one.user, one.groups, one.require_non_root) == ("5:6", (8, 7), True)
    assert (one.read_only_root, one.no_new_privileges) == (True, True)
    assert (one.drop_all_capabilities, one.drop_capabilities) == (True, ("NET_RAW",))
    assert one.add_capabilities == ("NET_BIND_SERVICE",)


def test_a_containers_own_choice_wins_even_if_it_is_false():
    one = container(
        {"securityContext": {"runAsNonRoot": False, "runAsUser": 0}},
        securityContext={"runAsNonRoot": True, "runAsUser": 5},
    )
    assert (one.require_non_root, one.user) == (False, "0")


def test_limits():
    one = container({"resources": {"limits": {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": "1Gi"}}})
    assert (one.cpu, one.memory) == (0.25, 64 << 20)


def test_volumes_and_mounts():
    spec = translated(
        {
            "volumeMounts": [
                {"name": "conf", "mountPath": "/conf"},
                {"name": "conf", "mountPath": "/one", "subPath": "a/b"},
                {"name": "data", "mountPath": "/data", "subPathExpr": "of/$(WHO)"},
                {"name": "ram", "mountPath": "/ram", "readOnly": True},
            ]
        },
        env=[EnvVar("WHO", "me")],
        volumes={
            "conf": Files((File("a/b", b"x", 0o600),)),
            "data": EmptyDir(),
            "ram": EmptyDir("Memory", 1024),
        },
        securityContext={"fsGroup": 7},
    )
    assert spec.volumes["data"] == VolumeSpec(group=7)
    assert spec.volumes["ram"] == VolumeSpec(memory=True, size_limit=1024, group=7)
    [file] = spec.volumes["conf"].files
    assert (file.path, file.content, file.mode) == ("a/b", b"x", 0o600)
    assert spec.containers[0].mounts == (
        Mount("conf", "/conf", read_only=True),
        Mount("conf", "/one", read_only=True, sub_path="a/b"),
        Mount("data", "/data", sub_path="of/me"),
        Mount("ram", "/ram", read_only=True),
    )


def test_host_paths_only_where_they_are_allowed():
    volumes = {"h": External({"name": "h", "hostPath": {"path": "/srv"}})}
    mounting = {"volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    with pytest.raises(Rejected) as refused:
        translated(mounting, volumes=volumes)
    assert refused.value.field == "spec.volumes[0].hostPath"
    spec = translated(mounting, volumes=volumes, options=Options(host_paths=True))
    assert spec.volumes["h"].host_path == "/srv"


def test_other_volumes_are_rejected_by_their_kind():
    with pytest.raises(Rejected) as refused:
        translated(
            {"volumeMounts": [{"name": "n", "mountPath": "/n"}]},
            volumes={"n": External({"name": "n", "nfs": {}})},
        )
    assert refused.value.field == "spec.volumes[0].nfs"


def test_probes():
    one = container(
        {
            "ports": [{"name": "http", "containerPort": 8080}],
            "livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 3},
            "readinessProbe": {
                "httpGet": {
                    "port": "http",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "A", "value": "b"}],
                },
                "failureThreshold": 9,
            },
            "startupProbe": {"tcpSocket": {"port": 5, "host": "h"}, "initialDelaySeconds": 2},
        }
    )
    assert one.liveness == Probe(command=("x",), period=3)
    assert one.readiness == Probe(
        http_path="/", http_scheme="https", http_headers=(("A", "b"),), port=8080, failure_threshold=9
    )
    assert one.startup == Probe(port=5, host="h", initial_delay=2)


def test_names_and_resolvers():
    spec = translated(
        hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}],
        hostname="me",
        dnsConfig={
            "nameservers": ["9.9.9.9"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        },
        options=Options(cluster_dns=("10.0.0.10",)),
    )
    assert spec.hosts == (("1.2.3.4", "a"), ("1.2.3.4", "b"))
    assert spec.hostname == "me"
    assert spec.dns_servers == ("10.0.0.10", "9.9.9.9")
    assert spec.dns_search == ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert spec.dns_options == ("ndots:5", "ndots:2", "edns0")


def test_a_volume_that_nobody_mounts_is_no_matter():
    resolved = pod(volumes={"n": External({"name": "n", "nfs": {}})})
    assert translate(replace(resolved, volumes={}), "node-1", Options()).volumes == {}


@pytest.mark.parametrize("policy", ["Default", "None"])
def test_other_dns_policies_do_not_ask_the_cluster(policy):
    assert translated(dnsPolicy=policy, options=Options(cluster_dns=("10.0.0.10",))).dns_servers == ()


def test_registry_credentials():
    spec = translated(credentials=[RegistryCredential("reg", "u", "p")])
    assert spec.registry_auth == (RegistryAuth("reg", "u", "p"),)


@pytest.mark.parametrize(
    ("one", "spec", "field"),
    [
        ({}, {"hostNetwork": True}, "spec.hostNetwork"),
        ({}, {"hostPID": True}, "spec.hostPID"),
        ({}, {"shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        ({}, {"securityContext": {"sysctls": [{}]}}, "spec.securityContext.sysctls"),
        ({"securityContext": {"privileged": True}}, {}, "spec.containers[0].securityContext.privileged"),
        ({"lifecycle": {"preStop": {}}}, {}, "spec.containers[0].lifecycle.preStop"),
        (
            {"lifecycle": {"postStart": {"tcpSocket": {"port": 1}}}},
            {},
            "spec.containers[0].lifecycle.postStart",
        ),
        ({"lifecycle": {"stopSignal": "SIGUSR1"}}, {}, "spec.containers[0].lifecycle.stopSignal"),
        ({"volumeDevices": [{}]}, {}, "spec.containers[0].volumeDevices"),
        ({"restartPolicy": "Never"}, {}, "spec.containers[0].restartPolicy"),
        (
            {},
            {"initContainers": [{"name": "i", "image": "i", "restartPolicyRules": [{}]}]},
            "spec.initContainers[0].restartPolicyRules",
        ),
        ({"ports": [{"hostPort": 1}]}, {}, "spec.containers[0].ports[0].hostPort"),
        ({"livenessProbe": {}, "readinessProbe": {"odd": {}}}, {}, "spec.containers[0].readinessProbe"),
        (
            {"startupProbe": {"grpc": {"port": 1}}, "livenessProbe": {"exec": {"command": ["a"]}}},
            {},
            "spec.containers[0].livenessProbe",
        ),
        (
            {"readinessProbe": {"tcpSocket": {"port": "x"}}},
            {},
            "spec.containers[0].readinessProbe.tcpSocket.port",
        ),
        (
            {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
            {},
            "spec.containers[0].resources.limits[nvidia.com/gpu]",
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]},
            {},
            "spec.containers[0].volumeMounts[0].mountPropagation",
        ),
    ],
)
def test_what_cannot_run_is_rejected_with_its_field(one, spec, field):
    with pytest.raises(Rejected) as refused:
        translated(one, **spec)
    assert refused.value.field == field


def test_hooks_sidecars_and_the_grace_of_a_probe():
    http = {"port": "web", "path": "/bye", "scheme": "HTTPS", "httpHeaders": [{"name": "A", "value": "b"}]}
    one = container(
        {
            "ports": [{"name": "web", "containerPort": 8443}],
            "lifecycle": {"postStart": {"exec": {"command": ["hi"]}}, "preStop": {"httpGet": http}},
            "livenessProbe": {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 0},
        }
    )
    assert one.post_start == Hook(command=("hi",))
    assert one.pre_stop == Hook(http_path="/bye", http_scheme="https", http_headers=(("A", "b"),), port=8443)
    assert one.liveness is not None
    assert one.liveness.grace == 0
    assert container({"lifecycle": {"preStop": {"sleep": {"seconds": 4}}}}).pre_stop == Hook(sleep=4)
    inits = [{"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "init", "image": "i"}]
    assert [init.sidecar for init in translated(initContainers=inits).init_containers] == [True, False]


@pytest.mark.parametrize(
    ("policy", "kind", "one", "refused"),
    [
        ("Always", "containers", {"restartPolicy": "Always"}, ""),
        ("OnFailure", "containers", {"restartPolicy": "OnFailure", "restartPolicyRules": []}, ""),
        ("Never", "containers", {"restartPolicy": "Always"}, "restartPolicy"),
        ("Never", "containers", {"restartPolicy": "Never", "restartPolicyRules": [{}]}, "restartPolicyRules"),
        ("Always", "initContainers", {"restartPolicy": "OnFailure"}, ""),
        ("OnFailure", "initContainers", {"restartPolicy": "OnFailure"}, ""),
        ("Never", "initContainers", {"restartPolicy": "Never"}, ""),
        ("Never", "initContainers", {"restartPolicy": "OnFailure"}, "restartPolicy"),
        ("Always", "initContainers", {"restartPolicy": "Never"}, "restartPolicy"),
        (
            "Never",
            "initContainers",
            {"restartPolicy": "Always", "restartPolicyRules": [{}]},
            "restartPolicyRules",
        ),
    ],
)
def test_a_restart_policy_that_says_what_the_pods_does_is_taken(policy, kind, one, refused):
    spec = {"restartPolicy": policy, kind: [{"name": "c", "image": "i", **one}]}
    if not refused:
        group = translated(**spec)
        assert not any(one.sidecar for one in group.init_containers + group.containers)
        return
    with pytest.raises(Rejected) as error:
        translated(**spec)
    assert error.value.field == f"spec.{kind}[0].{refused}"


def test_grpc_probes_are_the_runtimes_and_so_are_the_others_over_the_network():
    given = {
        "startupProbe": {"httpGet": {"port": 1}},
        "livenessProbe": {"grpc": {"port": 1}},
        "readinessProbe": {"exec": {"command": ["x"]}},
    }
    assert direct(given) == {ProbeKind.STARTUP, ProbeKind.LIVENESS}
    assert direct({"livenessProbe": {"httpGet": {"port": 1}}}) == frozenset()
    one = container({"livenessProbe": {"grpc": {"port": 1}}, "readinessProbe": {"exec": {"command": ["x"]}}})
    assert one.liveness is None
    assert one.readiness == Probe(command=("x",))


def test_a_status_in_full():
    ended = Terminated(3, "Error", 100.0, 101.5, "boom", 9, "podman://old")
    group = GroupStatus(
        "g",
        {},
        GroupPhase.RUNNING,
        90.0,
        "10.0.0.1",
        (
            ContainerStatus("web", "app:1", Running(102.0), ended, 1, True, True, "sha256:1", "podman://new"),
            ContainerStatus("slow", "app:2", Waiting("ImagePullBackOff", "no answer")),
        ),
        (ContainerStatus("init", "app:1", ended),),
    )
    terminated = {
        "exitCode": 3,
        "reason": "Error",
        "startedAt": "1970-01-01T00:01:40Z",
        "finishedAt": "1970-01-01T00:01:41Z",
        "message": "boom",
        "signal": 9,
        "containerID": "podman://old",
    }
    assert pod_status(group) == {
        "startTime": "1970-01-01T00:01:30Z",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "containerStatuses": [
            {
                "name": "web",
                "image": "app:1",
                "imageID": "sha256:1",
                "containerID": "podman://new",
                "ready": True,
                "started": True,
                "restartCount": 1,
                "state": {"running": {"startedAt": "1970-01-01T00:01:42Z"}},
                "lastState": {"terminated": terminated},
            },
            {
                "name": "slow",
                "image": "app:2",
                "imageID": "",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no answer"}},
                "lastState": {},
            },
        ],
        "initContainerStatuses": [
            {
                "name": "init",
                "image": "app:1",
                "imageID": "",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {"terminated": terminated},
                "lastState": {},
            }
        ],
    }
