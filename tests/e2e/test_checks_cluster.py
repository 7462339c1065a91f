"""The cluster's checks on a real API server: admission, rights, quotas and patches as Kubernetes has them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.canned_helm import CannedHelm, CannedRegistry
from support.check_cases.case import Case
from support.check_cases.cluster import CASES, NAMESPACE, QUOTAS, TARGET, placed
from support.sandboxes import Sandbox

from vnodectl.checks.catalog import all_checks
from vnodectl.checks.context import Context
from vnodectl.checks.model import Outcome, Verdict
from vnodectl.checks.recording import Recorder, replay
from vnodectl.checks.runner import Selection, run
from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource

pytestmark = pytest.mark.e2e

REAL = [one for one in CASES if one.id.startswith(("VN-KUBE", "VN-REL-00")) and "fake" not in one.options]
POLICIES = Resource("/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies", namespaced=False)
BINDINGS = Resource(
    "/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", namespaced=False
)
HOOKS = Resource("/apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", namespaced=False)


@asynccontextmanager
async def arranged(kube: KubeClient, case: Case) -> AsyncIterator[str]:
    """The case's objects, in a namespace of its own; gone afterwards."""
    own = f"checks-{uuid.uuid4().hex[:8]}"
    made: list[str] = []
    try:
        for kind, namespace, body in placed(case):
            content = json.loads(json.dumps(body).replace(NAMESPACE, own).replace("checks-vnode", own))
            place = own if namespace == NAMESPACE else namespace
            await kube.create(kind.path(place), content)
            made.append(kind.path(place, content["metadata"]["name"]))
            if kind is QUOTAS:
                await counted(kube, made[-1])
            if kind is NAMESPACES:
                await peopled(kube, own)
        yield own
    finally:
        for path in reversed(made):
            try:
                await kube.delete(path)
            except NotFound:
                continue


async def counted(kube: KubeClient, path: str) -> None:
    """Until the controller has counted what the quota is about: before that, nothing is admitted."""
    params = {"fieldSelector": "metadata.name=tight", "timeoutSeconds": 30}
    async with aclosing(kube.watch(path.rpartition("/")[0], params)) as events:
        async for event in events:
            if (event["object"].get("status") or {}).get("hard"):
                return
    raise AssertionError("the quota was never counted")


async def peopled(kube: KubeClient, namespace: str) -> None:
    """Until the namespace has its default service account: pods without one are refused."""
    async with aclosing(kube.watch(SERVICE_ACCOUNTS.path(namespace), {"timeoutSeconds": 30})) as events:
        async for event in events:
            if event["object"].get("metadata", {}).get("name") == "default":
                return
    raise AssertionError("the namespace has no default service account")


async def outcome(kube: KubeClient, case: Case, namespace: str) -> list[Outcome]:
    """What the check says, and what its replay does."""
    recorder = Recorder()
    context = Context(
        target=replace(TARGET, namespace=namespace, **case.target),
        kube=kube,
        helm=case.options.get("helm") or CannedHelm(),
        registry=case.options.get("registry") or CannedRegistry(),
    )
    selection = Selection(only=(case.id,))
    first = await run(all_checks(), recorder.wrap(context), selection=selection)
    again = await run(all_checks(), replay(json.loads(json.dumps(recorder.document()))), selection=selection)
    return [next(one for one in report.outcomes if one.check.id == case.id) for report in (first, again)]


@asynccontextmanager
async def seen_by(control_plane: Sandbox, case: Case, namespace: str) -> AsyncIterator[KubeClient]:
    """A client as the case wants it: an administrator, or somebody without rights."""
    token = ""
    if case.options.get("somebody"):
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        async with await connect(control_plane.kubeconfig) as kube:
            made = await kube.create(SERVICE_ACCOUNTS.path(namespace, "default", "token"), request)
        token = made["status"]["token"]
    async with await connect(control_plane.kubeconfig) as kube:
        if token:
            kube.configuration.cert_file = kube.configuration.key_file = None
            kube.configuration.api_key["BearerToken"] = f"Bearer {token}"
        yield kube


@pytest.mark.parametrize("case", REAL, ids=str)
async def test_each_case_on_a_real_cluster(control_plane: Sandbox, case: Case) -> None:
    async with await connect(control_plane.kubeconfig) as kube, arranged(kube, case) as namespace:
        async with seen_by(control_plane, case, namespace) as mine:
            for found in await outcome(mine, case, namespace):
                assert found.verdict is case.verdict, found.answer
                assert case.cause in found.answer.cause
                wanted = case.evidence.replace("checks-vnode", namespace)
                assert wanted in found.answer.evidence
        if case.options.get("runs_fix"):
            command = found.answer.fix
            done = control_plane.run("sh", "-c", command)
            assert "patched" in done.stdout
            (after, _) = await outcome(kube, case, namespace)
            assert after.verdict is Verdict.PASSED, after.answer


def policy(name: str, namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """One that refuses every pod of a namespace."""
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "false", "message": "no pods today"}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    return {"metadata": {"name": name}, "spec": spec}, {"metadata": {"name": name}, "spec": binding}


async def admission(kube: KubeClient, namespace: str) -> Outcome:
    case = Case("VN-KUBE-005", "whatever", options={"objects": ()})
    return (await outcome(kube, case, namespace))[0]


async def test_a_webhook_that_does_not_answer(control_plane: Sandbox) -> None:
    case = next(one for one in CASES if str(one) == "VN-KUBE-005 admitted")
    async with await connect(control_plane.kubeconfig) as kube, arranged(kube, case) as namespace:
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
        hook = {
            "name": "broken.checks.example",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": rules,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }
        await kube.create(HOOKS.path(), {"metadata": {"name": namespace}, "webhooks": [hook]})
        try:
            # The API server learns of a new webhook within a moment.
            async with asyncio.timeout(30):
                while (found := await admission(kube, namespace)).verdict is Verdict.PASSED:
                    continue
        finally:
            await kube.delete(HOOKS.path(name=namespace))
    assert "broken.checks.example does not answer" in found.answer.cause


async def test_a_policy_that_refuses_the_pod(control_plane: Sandbox) -> None:
    case = next(one for one in CASES if str(one) == "VN-KUBE-005 admitted")
    async with await connect(control_plane.kubeconfig) as kube, arranged(kube, case) as namespace:
        made, bound = policy(namespace, namespace)
        await kube.create(POLICIES.path(), made)
        await kube.create(BINDINGS.path(), bound)
        try:
            async with asyncio.timeout(30):
                while (found := await admission(kube, namespace)).verdict is Verdict.PASSED:
                    continue
        finally:
            await kube.delete(BINDINGS.path(name=namespace))
            await kube.delete(POLICIES.path(name=namespace))
    assert found.verdict is Verdict.FAILED
    assert "no pods today" in found.answer.evidence
