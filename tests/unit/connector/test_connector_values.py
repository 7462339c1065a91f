from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vnodectl.connector.identity import Identity, ManagedIdentity, ServicePrincipal, WorkloadIdentity
from vnodectl.connector.image import Image
from vnodectl.connector.plan import Facts, Plan, make_plan
from vnodectl.connector.settings import Settings
from vnodectl.connector.values import values

PEM = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"


def plan(**said: Any) -> Plan:
    settings = Settings(
        subscription="sub",
        tenant="ten",
        aci_resource_group="rg",
        location="eastus",
        service_principal="app",
        client_secret="hush",
    )
    return replace(make_plan(settings, Facts()), **said)


@pytest.mark.parametrize(
    "identity",
    [
        ServicePrincipal("app", "hush"),
        ServicePrincipal("app", certificate="hush"),
        WorkloadIdentity("w"),
        ManagedIdentity("m"),
        ManagedIdentity(),
    ],
)
def test_the_chart_accepts_the_values_of_every_identity(identity: Identity, repository: Path) -> None:
    schema = json.loads((repository / "charts/vnode-connector/values.schema.json").read_text())
    made = plan(identity=identity, image=Image("r", "t"), api_server="https://10.0.0.1:6443")
    made = replace(made, azure=replace(made.azure, ca_bundle=PEM, arm_endpoint="https://10.0.0.1:1"))
    given = values(made, made.connectors[0], secret_revision="1")
    # The image's repository has a default in the chart.
    jsonschema.Draft202012Validator(schema).validate({"image": {"repository": "vnodectl"}, **given})
    assert given["image"] == {"repository": "r", "tag": "t"}


def test_values_hold_no_secret_but_the_name_of_one() -> None:
    made = plan()
    given = values(made, made.connectors[0], secret_revision="rev")
    assert "hush" not in json.dumps(given)
    assert given["azure"]["identity"] == {
        "type": "servicePrincipal",
        "clientId": "app",
        "existingSecret": "aci-connector-linux-eastus-azure",
        "secretRevision": "rev",
    }


def test_a_certificate_is_a_kind_of_credential() -> None:
    made = plan(identity=ServicePrincipal("app", certificate="hush"))
    given = values(made, made.connectors[0])
    assert given["azure"]["identity"]["credential"] == "certificate"
    assert "hush" not in json.dumps(given)
    assert made.secrets == ("hush",)


def test_what_is_not_said_is_left_to_the_chart() -> None:
    made = plan()
    given = values(made, made.connectors[0])
    assert {"image", "apiServer", "caBundle"}.isdisjoint(given)
    assert "subnetId" not in given["azure"]
