from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.linting import SELECTED, codes, lint

from vnodectl.errors import UsageError
from vnodectl.lint import catalogue
from vnodectl.lint.beyond import Landed, Landings
from vnodectl.lint.clouds import Placement, cloud
from vnodectl.lint.documents import read
from vnodectl.lint.engine import Input, judge, report
from vnodectl.lint.landing import virtual_node
from vnodectl.lint.workloads import TEMPLATES

ALIBABA = Placement("alibaba")


def pod(**spec: Any) -> dict[str, Any]:
    given = {**SELECTED, "containers": [{"name": "main", "image": "nginx"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": given}


def workload(kind: str, version: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod(**spec)["spec"]}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": {"template": template}}


def text(*objects: dict[str, Any]) -> str:
    return "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in objects)


@pytest.mark.parametrize(("group", "kind"), list(TEMPLATES))
def test_every_kind_with_pods_is_looked_into(group: str, kind: str) -> None:
    body: dict[str, Any] = {"spec": pod(hostNetwork=True)["spec"]}
    at = TEMPLATES[(group, kind)]
    for step in reversed(at):
        body = {str(step): body}
    version = f"{group}/v1" if group else "v1"
    found = lint(text({**body, "apiVersion": version, "kind": kind, "metadata": {"name": "web"}}))
    path = ".".join((*map(str, at), "spec", "hostNetwork"))
    assert ("VN-L-020", path) in codes(found)


def test_unknown_kinds_are_left_alone() -> None:
    rollout = workload("Rollout", "argoproj.io/v1alpha1", hostNetwork=True)
    deployment = workload("Deployment", "example.com/v1", hostNetwork=True)
    found = lint(text(rollout, deployment))
    assert found.findings == ()
    assert (found.objects, found.pods) == (2, 0)


def test_what_cannot_land_is_left_alone() -> None:
    away = workload("Deployment", hostNetwork=True, tolerations=[], nodeSelector={})
    assert lint(text(away)).findings == ()


def patched(body: dict[str, Any], suggestion: str) -> dict[str, Any]:
    """The object after the suggested JSON patch: add and remove are all that is used."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    for operation in json.loads(suggestion.partition("JSON patch: ")[2]):
        *steps, last = (one.replace("~1", "/").replace("~0", "~") for one in operation["path"].split("/")[1:])
        target: Any = changed
        for step in steps:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if operation["op"] == "remove":
            assert last in target
            del target[last]
        elif last == "-":
            target.append(operation["value"])
        else:
            target[last] = operation["value"]
    return changed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (workload("Deployment", tolerations=[]), "VN-L-010"),
        (workload("Deployment", tolerations=[{"key": "a", "operator": "Exists"}]), "VN-L-010"),
        (workload("Deployment", nodeSelector={}), "VN-L-011"),
        (workload("Deployment", nodeSelector={"kubernetes.io/os": "linux"}), "VN-L-011"),
        (workload("DaemonSet", nodeSelector={}), "VN-L-012"),
        (workload("Deployment", hostNetwork=True), "VN-L-020"),
        (workload("Deployment", shareProcessNamespace=True), "VN-L-021"),
    ],
)
def test_a_patch_mends_what_it_is_for(body: dict[str, Any], code: str) -> None:
    found = lint(text(body))
    (one,) = found.findings
    assert one.code == code
    assert lint(text(patched(body, one.suggestion))).findings == ()


def test_a_daemon_set_that_runs_everywhere_is_one_finding_whatever_its_pods_ask_for() -> None:
    agent = workload(
        "DaemonSet", hostNetwork=True, nodeSelector={}, tolerations=[{"operator": "Exists"}], hostPID=True
    )
    assert codes(lint(text(agent))) == {("VN-L-012", "spec.template.spec")}
    wanted = workload("DaemonSet", hostNetwork=True)
    assert {code for code, _ in codes(lint(text(wanted)))} == {"VN-L-012", "VN-L-020"}


def test_claims_of_a_stateful_set_are_volumes() -> None:
    body = workload("StatefulSet")
    body["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}, {"metadata": {"name": "unused"}}]
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/d"}]
    assert codes(lint(text(body))) == {("VN-L-057", "spec.volumeClaimTemplates[0]")}


POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny"},
    "spec": {"podSelector": {}},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}


@pytest.mark.parametrize(
    ("selector", "hit"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_network_policies_that_select_such_pods(selector: dict[str, Any], hit: bool) -> None:
    policy = {**POLICY, "spec": {"podSelector": selector}}
    found = codes(lint(text(workload("Deployment"), policy)))
    assert found == ({("VN-L-060", "spec.podSelector")} if hit else set())


def test_network_policies_of_another_namespace_or_for_other_pods_are_left_alone() -> None:
    elsewhere = {**POLICY, "metadata": {"name": "deny", "namespace": "other"}}
    away = workload("Deployment", tolerations=[], nodeSelector={})
    pending = lint(text(workload("Deployment", tolerations=[]), POLICY))
    assert {code for code, _ in codes(pending)} == {"VN-L-010", "VN-L-060"}
    assert lint(text(workload("Deployment"), elsewhere)).findings == ()
    assert lint(text(away, POLICY)).findings == ()


def test_services_with_node_ports_and_ipv6() -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "type": "NodePort", "ipFamilies": ["IPv4", "IPv6"]}}
    expected = {("VN-L-064", "spec.type"), ("VN-L-062", "spec.ipFamilies")}
    assert codes(lint(text(workload("Deployment"), service))) == expected
    dual = {**SERVICE, "spec": {**SERVICE["spec"], "ipFamilyPolicy": "PreferDualStack"}}
    assert codes(lint(text(workload("Deployment"), dual))) == {("VN-L-062", "spec.ipFamilyPolicy")}
    annotated = workload("Deployment")
    annotated["spec"]["template"]["metadata"]["annotations"] = {"k8s.aliyun.com/eci-enable-ipv6": "true"}
    assert codes(lint(text(annotated, dual), ALIBABA)) == set()
    assert codes(lint(text(workload("Deployment"), dual), ALIBABA)) == {("VN-L-062", "spec.ipFamilyPolicy")}


def services(count: int) -> list[dict[str, Any]]:
    return [{**SERVICE, "metadata": {"name": f"service-{number}"}} for number in range(count)]


def test_service_links_over_the_cloud_s_limit() -> None:
    many = services(35)  # seven variables each: 245
    found = lint(text(workload("Deployment"), *many), ALIBABA)
    assert codes(found) == {("VN-L-063", "spec.template.spec.enableServiceLinks")}
    assert "245 variables" in found.findings[0].message
    assert lint(text(workload("Deployment"), *services(34)), ALIBABA).findings == ()
    assert lint(text(workload("Deployment", enableServiceLinks=False), *many), ALIBABA).findings == ()
    assert lint(text(workload("Deployment"), *many)).findings == ()


def test_a_service_that_is_none_is_no_fault_of_the_pods() -> None:
    nameless = {**SERVICE, "metadata": {"labels": {"a": "b"}}}
    odd = {**SERVICE, "spec": {"selector": {"app": "other"}, "ports": [{"port": [80]}, "http"]}}
    assert lint(text(workload("Deployment"), nameless, odd)).findings == ()


def test_an_environment_that_no_program_starts_with() -> None:
    large = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"A": "x" * 2**21}}
    container = {"name": "main", "image": "a", "envFrom": [{"configMapRef": {"name": "c"}}]}
    found = lint(text(workload("Deployment", containers=[container]), large))
    assert {code for code, _ in codes(found)} == {"VN-L-063"}


def test_selectors_do_not_look_at_every_workload() -> None:
    """Ten thousand Services of ten thousand Deployments are not a hundred million questions."""
    landed = [
        Landed(f"web-{number}", f"ns-{number % 2}", {"app": f"web-{number}", "tier": "web"}, {})
        for number in range(10)
    ]
    found = Landings(landed)

    def names(namespace: str, **labels: Any) -> list[str]:
        return [one.name for one in found.candidates(namespace, labels)]

    assert names("ns-0", app="web-4", tier="web") == ["web-4"]
    assert names("ns-1", app="web-4") == []
    assert names("ns-1") == names("ns-1", tier="web") == [f"web-{number}" for number in (1, 3, 5, 7, 9)]
    assert names("ns-1", odd=["a"]) == names("nowhere") == []


@pytest.mark.parametrize("placement", [Placement(), ALIBABA])
def test_what_is_kept_of_a_pod_is_not_its_environment(placement: Placement) -> None:
    """Each has the variables of all Services of its namespace."""
    there = cloud(placement)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "CONTENT"}}
    volumes = [{"name": "c", "configMap": {"name": "c"}}]
    main = {"name": "main", "image": "nginx", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}
    body = workload("Deployment", containers=[main], volumes=volumes)
    sources = read(text(body, config, *services(5)), "a.yaml").sources
    (one,) = judge(Input(sources, there, virtual_node(there.taint, there.os)))
    kept = repr((one.found.pod, one.found.group))
    assert "SERVICE_3" not in kept
    assert "CONTENT" not in kept
    assert "Q09OVEVOVA" not in kept  # the same in base64
    assert "nginx" in kept


# --- suppression ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["VN-L-020", "vn-l-020", "host-namespaces", "VN-L-02*", " VN-L-099 , VN-L-020 ", "*"]
)
@pytest.mark.parametrize("of_the_pod", [True, False])
def test_an_annotation_suppresses(value: str, of_the_pod: bool) -> None:
    body = workload("Deployment", hostNetwork=True)
    metadata = body["spec"]["template"]["metadata"] if of_the_pod else body["metadata"]
    metadata["annotations"] = {"vnodectl.io/lint-ignore": value}
    found = lint(text(body))
    assert found.findings == ()
    assert found.suppressed == 1


def test_an_annotation_that_names_nothing_is_a_finding() -> None:
    body = workload("Deployment", hostNetwork=True)
    body["metadata"]["annotations"] = {"vnodectl.io/lint-ignore": "VN-L-777"}
    found = lint(text(body))
    assert {one.code for one in found.findings} == {"VN-L-003", "VN-L-020"}
    assert found.findings[0].path == "metadata.annotations[vnodectl.io/lint-ignore]"


def test_an_annotation_of_one_object_says_nothing_of_another() -> None:
    policy = {
        **POLICY,
        "metadata": {**POLICY["metadata"], "annotations": {"vnodectl.io/lint-ignore": "VN-L-060"}},
    }
    assert codes(lint(text(workload("Deployment", hostNetwork=True), policy))) == {
        ("VN-L-020", "spec.template.spec.hostNetwork")
    }


def test_ignored_by_flag() -> None:
    body = workload("Deployment", hostNetwork=True)
    found = lint(text(body, POLICY), ignore=catalogue.ignored(("host-namespaces",)))
    assert {one.code for one in found.findings} == {"VN-L-060"}
    assert found.suppressed == 1
    with pytest.raises(UsageError, match="no such rule"):
        catalogue.ignored(("VN-L-777",))


# --- exit codes, order, oddities --------------------------------------------------------------------


def test_exit_codes() -> None:
    error = lint(text(workload("Deployment", hostNetwork=True)))
    warning = lint(text(workload("Deployment", nodeSelector={})))
    nothing = lint(text(workload("Deployment")))
    assert [one.exit_code() for one in (error, warning, nothing)] == [1, 0, 0]
    assert [one.exit_code(strict=True) for one in (error, warning, nothing)] == [1, 3, 0]


def test_findings_are_in_the_order_of_the_file_and_each_is_there_once() -> None:
    twice = text(workload("Deployment", hostNetwork=True, hostPID=True))
    found = lint(twice)
    assert [one.line for one in found.findings] == sorted(one.line for one in found.findings)
    assert len(found.findings) == 2


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"containers": []}, "spec.containers"),
        ({"containers": "none"}, "spec.containers"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image"),
        ({"containers": [{"name": True, "image": "a"}]}, "spec.containers[0].name"),
        (
            {"containers": [{"name": "a", "image": "b", "volumeMounts": [{"name": "x", "mountPath": "/"}]}]},
            "spec.containers[0].volumeMounts[0].name",
        ),
        (
            {"containers": [{"name": "a", "image": "b", "env": [{"name": False}]}]},
            "spec.containers[0].env[0].name",
        ),
        ({"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "much"}}]}, "spec"),
    ],
)
def test_what_the_api_server_would_refuse_is_said_and_nothing_breaks(spec: dict[str, Any], path: str) -> None:
    assert codes(lint(text(pod(**spec)))) == {("VN-L-002", path)}


KEYS = st.sampled_from(
    [
        *("name", "image", "env", "envFrom", "value", "valueFrom", "fieldRef", "fieldPath", "ports"),
        *("containerPort", "hostPort", "livenessProbe", "startupProbe", "httpGet", "port", "resources"),
        *("requests", "limits", "cpu", "volumeMounts", "mountPath", "items", "key", "path", "configMap"),
        *("projected", "sources", "lifecycle", "preStop", "exec", "command", "args", "securityContext"),
        *("capabilities", "add", "resourceFieldRef", "resource", "secretKeyRef", "secret"),
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(["", "a", "1Gi", "$(A)", "Always"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            KEYS,
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    key=st.sampled_from(
        [
            *("containers", "initContainers", "volumes", "securityContext", "dnsConfig", "tolerations"),
            *("affinity", "os", "nodeSelector", "container", "volume"),
        ]
    ),
    junk=JUNK,
    name=st.sampled_from(["azure", "alibaba"]),
)
def test_whatever_is_written_lint_ends_with_a_report(key: str, junk: Any, name: str) -> None:
    more = junk if isinstance(junk, dict) else {}
    if key == "container":
        spec: dict[str, Any] = {"containers": [{**more, "name": "a", "image": "b"}]}
    elif key == "volume":
        mounts = [{"name": "v", "mountPath": "/v"}]
        container = {"name": "a", "image": "b", "volumeMounts": mounts}
        spec = {"containers": [container], "volumes": [{**more, "name": "v"}]}
    else:
        spec = {key: junk}
    body = pod(**spec)
    there = cloud(Placement(name))
    given = Input(read(json.dumps(body), "a.json").sources, there, virtual_node(there.taint, there.os))
    found = report(given, judge(given))
    assert all(one.code and one.message for one in found.findings)
