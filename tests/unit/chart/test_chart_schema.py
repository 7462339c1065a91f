"""The chart's schema and metadata, without Helm."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from vnodectl import __version__
from vnodectl.agent_settings.table import SETTINGS
from vnodectl.connector import names

JSON = dict[str, Any]


@pytest.fixture(scope="module")
def chart(repository: Path) -> Path:
    return repository / "charts" / "vnode-connector"


@pytest.fixture(scope="module")
def validator(chart: Path) -> jsonschema.Draft202012Validator:
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def values(chart: Path) -> JSON:
    """The defaults with what every installation must say."""
    found: JSON = yaml.safe_load((chart / "values.yaml").read_text())
    found["azure"] |= {"subscriptionId": "s", "tenantId": "t", "resourceGroup": "g", "region": "eastus"}
    found["azure"]["identity"] |= {"clientId": "c", "existingSecret": "x"}
    return found


def test_the_chart_is_of_this_version(chart: Path) -> None:
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert metadata["appVersion"] == __version__
    assert metadata["version"] == __version__


def test_the_defaults_are_complete_but_for_place_and_identity(
    values: JSON, validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(values)
    values["azure"]["subscriptionId"] = ""
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(values)


def objects(schema: JSON, where: str = "") -> list[tuple[str, JSON]]:
    """Every schema that describes an object by its properties."""
    found = [(where, schema)] if "properties" in schema and schema.get("type") == "object" else []
    for name, inner in schema.get("properties", {}).items():
        found += objects(inner, f"{where}.{name}")
    return found


def test_no_object_takes_a_key_that_it_does_not_know(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    described = objects(schema)
    for name, inner in schema["$defs"].items():
        described += objects(inner, f"$defs.{name}")
    # What belongs to the cloud that is not meant is looked at by nobody.
    described = [(where, one) for where, one in described if where not in (".azure", ".alibaba")]
    assert len(described) > 10
    assert [where for where, one in described if one.get("additionalProperties") is not False] == []


def test_every_default_is_described(chart: Path, values: JSON) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())

    def missing(given: JSON, described: JSON, where: str) -> list[str]:
        found = []
        for name, value in given.items():
            inner = described.get("properties", {}).get(name)
            if inner is None:
                found.append(f"{where}.{name}")
            elif isinstance(value, dict) and "properties" in inner:
                found += missing(value, inner, f"{where}.{name}")
        return found

    clouds = {name: schema["$defs"][name] for name in ("azure", "alibaba")}
    schema["properties"] |= clouds
    assert missing(values, schema, "") == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("osType", "linux"),
        ("osType", "Plan9"),
        ("cloud", "moon"),
        ("surprise", 1),
        ("azure.surprise", 1),
        ("azure.region", "East US"),
        ("azure.tenantId", ""),
        ("azure.armEndpoint", "http://plain"),
        ("azure.subnetId", "my-subnet"),
        ("azure.identity.type", "password"),
        ("azure.identity.clientId", ""),
        ("azure.identity.existingSecret", ""),
        ("azure.identity.type", "workloadIdentity"),  # has no use for a secret
        ("nodes", 0),
        ("nodes", 51),
        ("nodes", "2"),
        ("replicas", 0),
        ("replicas", 11),
        ("podDisruptionBudget.enabled", "yes"),
        ("topologySpreadConstraints", {}),
        ("node.cpu", "many"),
        ("node.name", "Bad_Name"),
        ("ports.health", 80),
        ("apiServer", "10.0.0.1:6443"),
        ("caBundle", "not a certificate"),
        ("image.repository", ""),
        ("image.digest", "latest"),
        ("log.level", "loud"),
    ],
)
def test_bad_values_are_refused(
    path: str, value: Any, values: JSON, validator: jsonschema.Draft202012Validator
) -> None:
    changed = copy.deepcopy(values)
    *parents, last = path.split(".")
    target = changed
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(changed)


@pytest.fixture
def alibaba(values: JSON) -> JSON:
    """What an installation on Alibaba Cloud must say; of Azure nothing."""
    identity = {
        "type": "ramRole",
        "roleArn": "acs:ram::1:role/r",
        "oidcProviderArn": "acs:ram::1:oidc-provider/p",
    }
    values |= {"cloud": "alibaba", "azure": {}}
    values["alibaba"] |= {"region": "cn-hangzhou", "vswitches": ["vsw-1"], "securityGroup": "sg-1"}
    values["alibaba"]["identity"] |= identity
    return values


def test_one_cloud_needs_nothing_of_the_other(
    alibaba: JSON, validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(alibaba)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**alibaba, "cloud": "azure"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("osType", "Windows"),
        ("alibaba.surprise", 1),
        ("alibaba.region", "hangzhou"),
        ("alibaba.vswitches", []),
        ("alibaba.vswitches", ["vsw-1", "vsw-1"]),
        ("alibaba.vswitches", [f"vsw-{n}" for n in range(11)]),
        ("alibaba.vswitches", "vsw-1"),
        ("alibaba.securityGroup", ""),
        ("alibaba.owner", "UPPER"),
        ("alibaba.identity.type", "accessKey"),
        ("alibaba.identity.type", "ecsRole"),
        ("alibaba.identity.roleArn", "vnode"),
        ("alibaba.identity.oidcProviderArn", ""),
        ("alibaba.identity.existingSecret", "x"),
        ("alibaba.identity.accessKeySecret", "a key in Helm's history"),
        ("webhook.port", 443),
        ("webhook.timeoutSeconds", 30),
        ("webhook.surprise", 1),
    ],
)
def test_bad_values_of_alibaba_cloud_are_refused(
    path: str, value: Any, alibaba: JSON, validator: jsonschema.Draft202012Validator
) -> None:
    *parents, last = path.split(".")
    target = alibaba
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(alibaba)


def test_the_limits_are_those_of_the_command_and_the_agent(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())["properties"]
    assert schema["nodes"]["maximum"] == names.NODES_MAX
    assert schema["replicas"]["maximum"] == names.REPLICAS_MAX
    by_name = {setting.name: setting for setting in SETTINGS}
    assert by_name["nodes"].most == names.NODES_MAX
    modes = schema["kubeletApi"]["properties"]["servingCertificate"]["enum"]
    assert tuple(modes) == by_name["serving-certificate"].choices


def test_the_deployment_sets_only_variables_that_the_agent_knows(chart: Path) -> None:
    text = (chart / "templates" / "deployment.yaml").read_text()
    named = set(re.findall(r"- name: ([A-Z][A-Z_]+)$", text, re.MULTILINE))
    assert "VNODECTL_NODE_NAME" in named
    assert named <= {setting.variable for setting in SETTINGS}


def put(values: JSON, path: str, value: object) -> None:
    *way, last = path.split(".")
    for step in way:
        values = values.setdefault(step, {})
    values[last] = value


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("resources.limits.cpu", [2, 0.5, "500m"], ["x", -1, ""]),
        ("resources.requests.memory", ["1Gi", 134217728], ["1 Gi", "much"]),
        ("node.cpu", ["", "8", 8, "500m"], ["abc", 0, -1]),
        ("node.pods", [100, "100"], [-5]),
        ("azure.tags", ["", "a=b", "a=b;c=d", "a=b;", "a="], ["a", "=b", "a=b;c"]),
    ],
)
def test_amounts_and_tags(
    path: str, good: list[object], bad: list[object], values: JSON, validator: jsonschema.Draft202012Validator
) -> None:
    """What is wrong here would only be met by the API server, or by an agent that does not start."""
    for value in good:
        put(values, path, value)
        validator.validate(values)
    for value in bad:
        put(values, path, value)
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(values)
