"""A recorded run and its replay come to the same verdicts, and nothing secret is kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.canned_azure import ACI, SUBSCRIPTION, CannedAzure
from support.fake_api import fake_cluster, status

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.helm import HelmProgram
from vnodectl.checks.model import Check, Resource, Retry, Verdict, passed
from vnodectl.checks.readers import ImageFound, SecretRef
from vnodectl.checks.recording import Recorder, RegistryTape, replay
from vnodectl.checks.runner import run
from vnodectl.checks.target import AlibabaTarget, IdentityRef, Target
from vnodectl.clouds.azure import AzureForbidden, AzureUnauthorized
from vnodectl.connector.names import Connector
from vnodectl.errors import CloudUnreachable, ClusterUnreachable, UsageError
from vnodectl.kube.errors import NotFound

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MARKER = "s3cr3t-marker"
TARGET = Target(
    connectors=(Connector("aci-connector", "Linux", "eastus"),),
    namespace="vnode-system",
    cluster_resource_group="aks-group",
    cluster="aks",
    resource_group="groups",
    region="eastus",
    identity=IdentityRef("workloadIdentity", "client"),
    alibaba=AlibabaTarget(vswitches=("vsw-1",)),
)


def said(report):
    """What a report says, without times and tries."""
    return {
        one["id"]: {key: one[key] for key in ("verdict", "evidence", "cause", "fix", "skipped")}
        for one in report.document()["checks"]
    }


async def recorded(context, redact=lambda text: text, checks=None):
    """The report of a recorded run and of its replay, and the recording as it comes off a disk."""
    recorder = Recorder(redact=redact)
    first = await run(checks or all_checks(), recorder.wrap(context))
    document = json.loads(json.dumps(recorder.document()))
    return first, await run(checks or all_checks(), replay(document)), document


def cloud():
    azure = CannedAzure()
    azure.put(SUBSCRIPTION, {"subscriptionId": "sub-1", "displayName": "Test", "state": "Enabled"})
    azure.put(f"{SUBSCRIPTION}/providers/{ACI}", {"registrationState": "NotRegistered"})
    return azure


async def test_the_same_verdicts():
    async with fake_cluster() as (api, kube):
        api.refuse = lambda method, plural, _: (
            status(403, "Forbidden", "no right to list secrets") if plural == "secrets" else None
        )
        context = Context(
            target=TARGET, kube=kube, azure=cloud(), helm=HelmProgram("/nowhere/helm"), now=lambda: NOW
        )
        first, again, document = await recorded(context)
        assert document["readers"]["kube"]["facts"]["server"] == kube.server
    assert said(first) == said(again)
    assert {one.check.id for one in first.failures} >= {"VN-AZ-002", "VN-REL-002", "VN-TOOL-001"}
    assert first.exit_code() == again.exit_code() == 1
    assert document["takenAt"] == "2026-01-01T12:00:00+00:00"


async def test_a_target_comes_back_whole():
    document = Recorder()
    document.wrap(Context(target=TARGET, now=lambda: NOW))
    assert replay(json.loads(json.dumps({**document.document(), "readers": {}}))).target == TARGET


async def test_absent_and_broken_sessions_come_back():
    error = ClusterUnreachable("no kubeconfig here", hint="write one")
    context = Context(
        target=TARGET,
        helm=HelmProgram("/nowhere/helm"),
        absent={Resource.AZURE: "nobody is signed in"},
        broken={Resource.KUBE: error},
    )
    first, again, _ = await recorded(context)
    assert said(first) == said(again)
    assert said(again)["VN-KUBE-001"]["cause"] == "no kubeconfig here"
    assert said(again)["VN-AZ-001"]["skipped"] == "nobody is signed in"
    assert first.exit_code() == again.exit_code()


@pytest.mark.parametrize(
    "error",
    [
        AzureForbidden(403, "AuthorizationFailed", "no right", hint="ask"),
        AzureUnauthorized(401, "Expired", "too old"),
        CloudUnreachable("no answer", hint="look at the network"),
    ],
)
async def test_errors_come_back_as_they_were(error):
    azure = cloud()
    azure.put(SUBSCRIPTION, error)
    first, again, document = await recorded(Context(target=TARGET, azure=azure))
    assert said(first) == said(again)
    assert first.exit_code() == again.exit_code()
    with pytest.raises(type(error)) as raised:
        await replay(document).azure.arm("GET", SUBSCRIPTION, "2022-12-01")
    assert vars(raised.value) == vars(error)


async def test_kubernetes_errors_keep_their_class_and_status():
    async with fake_cluster() as (_, kube):
        recorder = Recorder()
        context = recorder.wrap(Context(target=TARGET, kube=kube, helm=HelmProgram()))
        with pytest.raises(NotFound):
            await context.kube.get("/api/v1/nodes/nowhere")
    again = replay(recorder.document())
    with pytest.raises(NotFound) as raised:
        await again.kube.get("/api/v1/nodes/nowhere")
    assert (raised.value.status, raised.value.details) == (404, {})


async def test_a_request_that_never_ended_times_out_again():
    async def hang(context):
        return passed(str(await context.azure.clock_skew()))

    check = Check("VN-X-001", "x", "Does it answer?", hang, deadline=0.01, retry=Retry(1))
    azure = cloud()
    azure.clock_skew = lambda: asyncio.sleep(60)
    first, again, _ = await recorded(Context(target=TARGET, azure=azure, helm=HelmProgram()), checks=[check])
    assert first.outcomes[0].verdict is again.outcomes[0].verdict is Verdict.TIMED_OUT
    assert first.exit_code() == again.exit_code() == 4


async def test_what_was_not_recorded_is_skipped_and_said():
    async def ask(context):
        return passed(str(await context.azure.arm("GET", "/new", "2099-01-01")))

    recorder = Recorder()
    recorder.wrap(Context(target=TARGET, azure=cloud(), helm=HelmProgram()))
    check = Check("VN-X-001", "x", "Is there something new?", ask)
    report = await run([check], replay(recorder.document()))
    assert report.outcomes[0].verdict is Verdict.SKIPPED
    assert "recording does not have" in report.outcomes[0].answer.cause


async def test_nothing_secret_is_kept():
    async with fake_cluster() as (api, kube):
        labels = {"owner": "helm", "name": "aci-connector-linux-eastus", "version": "1", "status": "deployed"}
        api.put(
            "secrets",
            {
                "metadata": {"name": "a", "labels": labels, "annotations": {"note": MARKER}},
                "data": {"k": MARKER},
            },
            namespace="vnode-system",
        )
        container = {"name": "c", "env": [{"name": "PASSWORD", "value": MARKER}], "args": [MARKER]}
        template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}
        api.put(
            "daemonsets",
            {"metadata": {"name": "d"}, "spec": {"template": template, "selector": {}}},
            namespace="kube-system",
        )
        azure = cloud()
        azure.put(SUBSCRIPTION, {"displayName": f"of {MARKER}", "adminPassword": MARKER, "state": "Enabled"})
        recorder = Recorder(redact=lambda text: text.replace(MARKER, "***"))
        context = recorder.wrap(Context(target=TARGET, kube=kube, azure=azure, helm=HelmProgram()))
        await run(all_checks(), context)
        await context.kube.list("/apis/apps/v1/daemonsets")
        await context.kube.get("/api/v1/namespaces/vnode-system/secrets/a")
        document = json.dumps(recorder.document())
        unclean = Recorder()
        context = unclean.wrap(Context(target=TARGET, kube=kube, helm=HelmProgram()))
        await run(all_checks(), context)
        await context.kube.list("/apis/apps/v1/daemonsets")
        await context.kube.get("/api/v1/namespaces/vnode-system/secrets/a")
    assert MARKER not in document
    assert "deployed" in document
    assert MARKER not in json.dumps(unclean.document())  # the allow-list alone keeps it out of a cluster's


async def test_a_registry_is_recorded_without_its_credentials():
    class Registry:
        async def manifest(self, reference, secrets=()):
            return ImageFound(404, "no such thing")

    recorder = Recorder()
    registry = recorder.wrap(Context(target=TARGET, registry=Registry(), helm=HelmProgram())).registry
    assert isinstance(registry, RegistryTape)
    asked = ("registry.example/a:1", [SecretRef("ns", "pull")])
    assert await registry.manifest(*asked) == ImageFound(404, "no such thing")
    assert await replay(recorder.document()).registry.manifest(*asked) == ImageFound(404, "no such thing")


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 99},
        {"takenAt": "yesterday"},
        {"target": {"connectors": []}},
        {"readers": {"kube": {}}},
        {"absent": {"moon": "no"}},
    ],
)
def test_what_is_no_recording(change):
    recorder = Recorder()
    recorder.wrap(Context(target=TARGET, helm=HelmProgram()))
    with pytest.raises(UsageError):
        replay({**recorder.document(), **change})


def test_a_target_without_an_identity_comes_back():
    target = replace(TARGET, identity=IdentityRef(), connectors=())
    assert Target.from_document(json.loads(json.dumps(target.document()))) == target
