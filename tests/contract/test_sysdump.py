"""A whole archive of an emulated cloud and a cluster with secrets planted everywhere: none may be in it."""

from __future__ import annotations

import json
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.aci_cloud import CONNECTOR as RELEASE
from support.aci_cloud import NODE, aci_cloud
from support.aci_pods import make_pod
from support.azure_clients import CLIENT, GROUP
from support.azure_clients import SECRET as CLIENT_SECRET
from support.eci_cloud import KEY, REGION, eci_cloud
from support.eci_cloud import SECRET as KEY_SECRET
from support.eci_pods import CONNECTOR as ECI_RELEASE
from support.eci_pods import NODE as ECI_NODE
from support.eci_pods import make_pod as make_eci_pod
from support.fake_api import fake_cluster
from support.planted import Plants, kubeconfig, members, plant

from vnodectl.checks import archive as recordings
from vnodectl.checks.catalog import checks_for
from vnodectl.checks.recording import replay
from vnodectl.checks.runner import run
from vnodectl.cli import sysdump
from vnodectl.clouds.ownership import scoped
from vnodectl.connector.clouds.facts import owner
from vnodectl.connector.cluster import cluster_uid
from vnodectl.connector.settings import Settings
from vnodectl.runtime.provider import EnvVar, RegistryCredential

OTHER_UID = "1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def plants() -> Plants:
    return Plants()


def documents(archive: Path) -> dict[str, Any]:
    return {name: json.loads(body) for name, body in members(archive).items() if name.endswith(".json")}


async def test_azure(tmp_path: Path, plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plants.all["client-secret"] = CLIENT_SECRET
    pod = make_pod(
        {
            "containers": [
                {
                    "name": "main",
                    "image": "private.example.com/app",
                    "command": ["a", plants.at("group-command")],
                }
            ]
        },
        env={
            "main": (
                EnvVar("S", plants.at("secure-value"), secret=True),
                EnvVar("P", plants.at("plain-value")),
            )
        },
        credentials=(RegistryCredential("private.example.com", "user", plants.at("group-registry")),),
    )
    async with aci_cloud() as cloud, fake_cluster() as (api, kube):
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        for name, value in {
            "AZURE_SUBSCRIPTION_ID": cloud.emulator.world.subscription,
            "AZURE_TENANT_ID": cloud.emulator.world.tenant,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_AUTHORITY_HOST": cloud.emulator.authority_host,
            "VNODECTL_ARM_ENDPOINT": cloud.emulator.arm_endpoint,
            "VNODECTL_CA_BUNDLE": str(cloud.emulator.ca_file),
        }.items():
            monkeypatch.setenv(name, value)
        plant(api, plants, namespace="vnode-system", release=RELEASE, node=NODE)
        config = kubeconfig(tmp_path / "config", kube.server, plants)
        settings = Settings(
            kubeconfig=config,
            service_principal=CLIENT,
            client_secret=CLIENT_SECRET,
            subscription=cloud.emulator.world.subscription,
            tenant=cloud.emulator.world.tenant,
            location="eastus",
            aci_resource_group=GROUP,
            ca_bundle=str(cloud.emulator.ca_file),
            arm_endpoint=cloud.emulator.arm_endpoint,
            authority_host=cloud.emulator.authority_host,
        )
        made = await sysdump._make(settings, tmp_path / "dump.tar.gz", NOW, force=False)
    assert made.bundle.failed == ()
    assert plants.found(made.path) == []
    assert len(plants.all) > 25
    found = documents(made.path)
    assert {section["outcome"] for section in found["manifest.json"]["sections"]} == {"collected"}
    _connector(found, members(made.path), RELEASE)
    (group,) = found["cloud/azure/container-groups.json"]
    container = group["properties"]["containers"][0]["properties"]
    assert container["environmentVariables"] == [{"name": "S"}, {"name": "P"}]
    assert container["command"] == "2 given"
    assert container["instanceView"]["currentState"]["state"] == "Running"
    assert group["properties"]["imageRegistryCredentials"] == [{"server": "private.example.com"}]
    assert found["plan.json"]["identity"]["client_secret"] == "***"
    assert found[f"values/{RELEASE}.json"]["azure"]["region"] == "eastus"


async def test_alibaba(tmp_path: Path, plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plants.all["key-secret"] = KEY_SECRET
    pod = make_eci_pod(
        {"containers": [{"name": name, "image": "app"} for name in ("main", "side")]},
        env={
            "main": (EnvVar("S", plants.at("secure-value"), secret=True),),
            "side": (EnvVar("P", plants.at("plain-value")),),
        },
        credentials=(RegistryCredential("private.example.com", "user", plants.at("group-registry")),),
    )
    async with eci_cloud() as cloud, fake_cluster() as (api, kube):
        plant(api, plants, namespace="kube-system", release=ECI_RELEASE, node=ECI_NODE)
        ours = scoped(ECI_RELEASE, owner(await cluster_uid(kube)))
        async with aclosing(cloud.another(connector=ours)) as provider:
            await provider.create(pod)
        await cloud.provider.create(make_eci_pod(name="foreign", uid=OTHER_UID))
        for name, value in {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY_SECRET,
            "ALIBABA_CLOUD_REGION_ID": REGION,
            "VNODECTL_ALIBABA_ENDPOINT": cloud.emulator.host,
            "VNODECTL_CA_BUNDLE": str(cloud.emulator.ca_file),
        }.items():
            monkeypatch.setenv(name, value)
        config = kubeconfig(tmp_path / "config", kube.server, plants)
        settings = Settings(
            cloud="alibaba",
            kubeconfig=config,
            region=REGION,
            vswitch="vsw-1",
            security_group="sg-1",
            access_key=KEY,
            secret_key=KEY_SECRET,
            alibaba_endpoint=cloud.emulator.host,
            ca_bundle=str(cloud.emulator.ca_file),
        )
        made = await sysdump._make(settings, tmp_path / "dump.tar.gz", NOW, force=False)
    assert made.bundle.failed == ()
    assert plants.found(made.path) == []
    found = documents(made.path)
    _connector(found, members(made.path), ECI_RELEASE)
    (group,) = found["cloud/alibaba/container-groups.json"]
    assert group["Containers"][1]["EnvironmentVars"] == [{"Key": "P"}]
    assert found["cloud/alibaba/place.json"]["region"] == REGION


def _connector(found: dict[str, Any], files: dict[str, bytes], release: str) -> None:
    """What is worth having is there."""
    (deployment,) = found["kube/deployments.json"]
    assert deployment["metadata"]["annotations"]["example.com/anything"] == "***"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "PROXY"}]
    (secret,) = found["kube/secrets.json"]
    assert secret["data"] == ["clientSecret"]
    (pod,) = found["kube/pods.json"]
    variables = pod["spec"]["containers"][0]["env"]
    assert variables[1]["valueFrom"] == {"secretKeyRef": {"name": "db", "key": "password"}}
    assert pod["status"]["containerStatuses"][0]["state"] == {"terminated": {"exitCode": 1}}
    assert {one["reason"] for one in found["kube/events.json"]} == {"Failed", "BackOff"}
    log = files[f"logs/{release}-1/connector.log"].decode()
    assert "login failed with ***" in log
    assert log.endswith("the end of the log\n")
    (revision,) = found[f"helm/{release}.json"]
    assert (revision["status"], revision["values"]["azure"]["identity"]) == (
        "deployed",
        {"clientSecret": "***"},
    )
    assert revision["values"]["others"] == ["unheardOf"]
    assert found["versions.json"]["vnodectl"]


async def test_the_checks_can_be_replayed_from_the_archive(tmp_path: Path, plants: Plants) -> None:
    async with fake_cluster() as (api, kube):
        plant(api, plants, namespace="vnode-system", release=RELEASE, node=NODE)
        config = kubeconfig(tmp_path / "config", kube.server, plants)
        settings = Settings(kubeconfig=config, location="eastus")
        made = await sysdump._make(settings, tmp_path / "dump.tar.gz", NOW, force=False)
    before = documents(made.path)["checks/report.json"]
    context = replay(recordings.recording(made.path))
    again = (await run(checks_for(context.target.cloud), context)).document()
    verdicts = [{one["id"]: one["verdict"] for one in report["checks"]} for report in (before, again)]
    assert verdicts[0] == verdicts[1]
    assert "passed" in verdicts[0].values()


async def test_a_cluster_that_does_not_answer_and_nobody_signed_in(tmp_path: Path, plants: Plants) -> None:
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", plants)
    made = await sysdump._make(Settings(kubeconfig=config), tmp_path / "dump.tar.gz", NOW, force=False)
    assert made.bundle.exit_code() == 5
    found = documents(made.path)
    said = {one["name"]: one for one in found["manifest.json"]["sections"]}
    assert said["cluster"]["outcome"] == "failed"
    assert "cannot reach the Kubernetes API" in said["cluster"]["reason"]
    assert said["container groups"]["outcome"] == "skipped"
    assert found["checks/report.json"]["checks"]
    assert plants.found(made.path) == []


async def test_rights_that_are_missing_cost_only_what_they_are_for(tmp_path: Path, plants: Plants) -> None:
    from support.fake_api import status

    async with fake_cluster() as (api, kube):
        plant(api, plants, namespace="vnode-system", release=RELEASE, node=NODE)
        api.refuse = lambda _, plural, __: (
            status(403, "Forbidden", f"no {plural}") if plural == "secrets" else None
        )
        config = kubeconfig(tmp_path / "config", kube.server, plants)
        made = await sysdump._make(Settings(kubeconfig=config), tmp_path / "dump.tar.gz", NOW, force=False)
    failed = {one.name: one.reason for one in made.bundle.failed}
    (plan,) = [one for one in made.bundle.sections if one.name == "plan"]
    assert (plan.outcome, "make no plan" in plan.reason) == ("skipped", True)  # nothing to plan is no failure
    assert failed == {"releases": "no secrets", "secret names": "no secrets"}
    assert made.bundle.exit_code(strict=True) == 3
