"""Environment variables as a kubelet resolves them."""

from __future__ import annotations

import base64

import pytest

from vnodectl.runtime.env import field_value, resolve
from vnodectl.runtime.facts import Facts, NodeFacts, Unresolved
from vnodectl.runtime.provider import EnvVar, Rejected

NODE = NodeFacts("vn-1", ("10.0.0.7", "fd00::7"), {"cpu": "800", "memory": "4Ti"}, "api.example", "6443")


def pod(container: dict, **spec) -> dict:
    return {
        "metadata": {
            "name": "web-0",
            "namespace": "shop",
            "uid": "u-1",
            "labels": {"app": "web"},
            "annotations": {"team/owner": "a"},
        },
        "spec": {"containers": [{"name": "c", "image": "i", **container}], **spec},
        "status": {},
    }


def env(container: dict, facts: Facts | None = None, **spec) -> dict[str, str]:
    found, _ = variables(container, facts, **spec)
    return {name: one.value for name, one in found.items()}


def variables(container: dict, facts: Facts | None = None, **spec):
    subject = pod(container, **spec)
    found, notices = resolve(subject, subject["spec"]["containers"][0], facts or Facts(node=NODE))
    return {one.name: one for one in found if not one.name.startswith("KUBERNETES_")}, notices


def secret(**data: str) -> dict:
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


def test_env_overrides_env_from_and_a_later_source_overrides_an_earlier_one():
    facts = Facts(
        NODE, config_maps={"a": {"data": {"X": "1", "Y": "1"}}, "b": {"data": {"Y": "2", "Z": "2"}}}
    )
    container = {
        "envFrom": [
            {"configMapRef": {"name": "a"}},
            {"prefix": "P_", "configMapRef": {"name": "b"}},
            {"configMapRef": {"name": "b"}},
        ],
        "env": [{"name": "Z", "value": "3"}],
    }
    assert env(container, facts) == {"X": "1", "Y": "2", "P_Y": "2", "P_Z": "2", "Z": "3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(", "$A ${A} $("),
        ("$(A", "$(A"),
        ("100$", "100$"),
    ],
)
def test_references_follow_the_rules_of_the_api(text, expected):
    entries = [{"name": "A", "value": "1"}, {"name": "T", "value": text}, {"name": "B", "value": "2"}]
    assert env({"env": entries})["T"] == expected


def test_what_was_expanded_is_not_expanded_again():
    entries = [{"name": "A", "value": "$$(B)"}, {"name": "B", "value": "2"}, {"name": "C", "value": "$(A)"}]
    assert env({"env": entries})["C"] == "$(B)"


def test_a_value_that_refers_to_a_secret_is_a_secret_and_is_not_shown():
    facts = Facts(NODE, secrets={"s": secret(password="hunter2")})
    container = {
        "env": [
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "URL", "value": "db://u:$(PASSWORD)@h"},
            {"name": "PLAIN", "value": "x"},
        ]
    }
    found, _ = variables(container, facts)
    assert found["URL"] == EnvVar("URL", "db://u:hunter2@h", secret=True)
    assert not found["PLAIN"].secret
    assert "hunter2" not in repr(found)


def test_fields_and_resources():
    def field(path):
        return {"valueFrom": {"fieldRef": {"fieldPath": path}}}

    def resource(name, **more):
        return {"valueFrom": {"resourceFieldRef": {"resource": name, **more}}}

    container = {
        "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "100Mi"}},
        "env": [
            {"name": "NAME", **field("metadata.name")},
            {"name": "LABEL", **field("metadata.labels['app']")},
            {"name": "NOTE", **field("metadata.annotations['team/owner']")},
            {"name": "NODE", **field("spec.nodeName")},
            {"name": "HOST", **field("status.hostIP")},
            {"name": "HOSTS", **field("status.hostIPs")},
            {"name": "CPU", **resource("requests.cpu")},
            {"name": "CPU_M", **resource("requests.cpu", divisor="1m")},
            {"name": "MEM", **resource("limits.memory", divisor="1Mi")},
            {"name": "ALL_CPU", **resource("limits.cpu")},
        ],
    }
    assert env(container) == {
        "NAME": "web-0",
        "LABEL": "web",
        "NOTE": "a",
        "NODE": "vn-1",
        "HOST": "10.0.0.7",
        "HOSTS": "10.0.0.7,fd00::7",
        "CPU": "1",
        "CPU_M": "250",
        "MEM": "100",
        "ALL_CPU": "800",
    }


def test_the_pods_own_address_is_left_to_the_provider_even_where_an_earlier_one_is_known():
    entry = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    found, _ = variables({"env": [entry]})
    assert found["IP"] == EnvVar("IP", "", late="status.podIP")
    subject = pod({"env": [entry]})
    subject["status"] = {"podIP": "10.1.1.1"}
    resolved, _ = resolve(subject, subject["spec"]["containers"][0], Facts(NODE))
    assert EnvVar("IP", "", late="status.podIP") in resolved


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("Secret", {"secretKeyRef": {"name": "s", "key": "k"}}, "MandatorySecretNotFound"),
        ("ConfigMap", {"configMapKeyRef": {"name": "c", "key": "k"}}, "MandatoryConfigMapNotFound"),
    ],
)
def test_a_mandatory_reference_blocks_and_an_optional_one_is_skipped(kind, source, reason):
    with pytest.raises(Unresolved) as caught:
        env({"env": [{"name": "A", "valueFrom": source}]})
    assert caught.value.notice.reason == reason
    reference = next(iter(source.values()))
    optional = {next(iter(source)): {**reference, "optional": True}}
    found, notices = variables({"env": [{"name": "A", "valueFrom": optional}]})
    assert found == {}
    assert [notice.reason for notice in notices] == [f"Optional{kind}NotFound"]


def test_a_key_that_cannot_name_a_variable_is_skipped_with_an_event():
    facts = Facts(NODE, config_maps={"c": {"data": {"ok": "1", "b=d": "2"}}})
    found, notices = variables({"envFrom": [{"configMapRef": {"name": "c"}}]}, facts)
    assert list(found) == ["ok"]
    assert [notice.reason for notice in notices] == ["InvalidEnvironmentVariableNames"]


def test_service_links_and_the_address_of_the_api_server():
    service = {
        "metadata": {"name": "my-db"},
        "spec": {
            "clusterIP": "10.96.0.9",
            "ports": [{"name": "pg", "port": 5432}, {"port": 53, "protocol": "UDP"}],
        },
    }
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    facts = Facts(NODE, services=(service, headless))
    subject = pod({})
    found = {one.name: one.value for one in resolve(subject, subject["spec"]["containers"][0], facts)[0]}
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.9"
    assert found["MY_DB_SERVICE_PORT"] == found["MY_DB_SERVICE_PORT_PG"] == "5432"
    assert found["MY_DB_PORT"] == found["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.9:5432"
    assert found["MY_DB_PORT_53_UDP_PROTO"] == "udp"
    assert found["KUBERNETES_SERVICE_HOST"] == "api.example"
    assert found["KUBERNETES_SERVICE_PORT"] == "6443"
    assert not any(name.startswith("H_") for name in found)
    without = pod({}, enableServiceLinks=False)
    names = {one.name for one in resolve(without, without["spec"]["containers"][0], facts)[0]}
    assert "MY_DB_SERVICE_HOST" not in names
    assert "KUBERNETES_SERVICE_HOST" in names


def named(subject: dict, *services: dict) -> dict[str, str]:
    found, _ = resolve(subject, subject["spec"]["containers"][0], Facts(NODE, services=services))
    return {one.name: one.value for one in found}


def test_a_service_called_kubernetes_is_the_api_server_in_its_own_namespace_only():
    service = {
        "metadata": {"name": "kubernetes"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]},
    }
    default = pod({})
    default["metadata"]["namespace"] = "default"
    seen = named(default, service)
    assert seen["KUBERNETES_SERVICE_HOST"] == "api.example"
    assert not any("443_" in name and "6443" not in name for name in seen)
    assert named(pod({}), service)["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert named(pod({}, enableServiceLinks=False), service)["KUBERNETES_SERVICE_HOST"] == "api.example"
    headless = {"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    assert named(pod({}), headless)["KUBERNETES_SERVICE_HOST"] == "api.example"


def test_a_command_that_needs_a_late_value_is_told():
    entry = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    _, notices = variables({"env": [entry], "args": ["--listen=$(IP)", "$$(IP)"]})
    assert [notice.reason for notice in notices] == ["FieldNotAvailable"]


@pytest.mark.parametrize(
    ("source", "reason", "at"),
    [
        ({"fieldRef": {"fieldPath": "spec.unknown"}}, "UnsupportedFieldRef", "fieldRef.fieldPath"),
        ({"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}, "UnsupportedEnvSource", "fileKeyRef"),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_source_that_is_not_known_is_refused_where_it_stands(kind, source, reason, at):
    container = {"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": source}]}
    subject = pod({"name": "other"})
    subject["spec"][kind] = [{"name": "first"}, container]
    with pytest.raises(Rejected) as refused:
        resolve(subject, container, Facts(NODE))
    assert (refused.value.reason, refused.value.field) == (reason, f"spec.{kind}[1].env[1].valueFrom.{at}")


def test_labels_are_written_as_go_quotes_them():
    subject = pod({})
    subject["metadata"]["labels"] = {"b": 'tab\tquote"back\\slash\n', "a": "ä\x01\u00a0\U000e0001"}
    text = field_value(subject, "metadata.labels", Facts(NODE))
    assert text == 'a="ä\\x01\\u00a0\\U000e0001"\nb="tab\\tquote\\"back\\\\slash\\n"'
