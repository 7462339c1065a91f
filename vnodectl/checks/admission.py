"""Whether the cluster would let the connector's pod in: a dry run, which stores nothing."""

from __future__ import annotations

import re

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Check, Resource, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON
from vnodectl.kube.errors import ApiError, Forbidden, NotFound
from vnodectl.kube.resources import PODS, SUBJECT_ACCESS_REVIEWS

_DRY = {"dryRun": "All"}
_NO_RIGHT = "cannot create resource"
_WEBHOOK = re.compile(r'admission webhook "([^"]+)"')
_BROKEN_WEBHOOK = re.compile(r'failed calling webhook "([^"]+)"')


async def rbac_on(context: Context) -> Answer:
    """Whether the cluster authorises at all: a user that nobody knows must not be allowed anything."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "vnodectl:nobody",
            "resourceAttributes": {"verb": "delete", "resource": "nodes", "name": "vnodectl-nothing"},
        },
    }
    try:
        answer = await context.kube.create(SUBJECT_ACCESS_REVIEWS.path(), review)
    except Forbidden:
        return not_applicable("the caller may not ask what others are allowed")
    try:
        await context.kube.get("/apis/rbac.authorization.k8s.io/v1")
    except NotFound:
        return failed(
            "the cluster does not serve RBAC, so the chart's roles cannot be made",
            evidence="/apis/rbac.authorization.k8s.io/v1 is not there",
            fix="kube-apiserver --authorization-mode=Node,RBAC",
        )
    if (answer.get("status") or {}).get("allowed"):
        return warned(
            "the cluster allows everybody everything: the connector's roles limit nothing",
            evidence="an unknown user may delete nodes",
            fix="kube-apiserver --authorization-mode=Node,RBAC",
        )
    return passed("an unknown user may not delete nodes")


async def admitted(context: Context) -> Answer:
    namespace = context.target.namespace
    pods = [pod for one in await context.helm.manifests() if (pod := _pod(one)) is not None]
    if not pods:
        return not_applicable("the plan is not complete, so the connector's pod is not known")
    try:
        found = await context.cluster_facts.namespace()
    except NotFound:
        return await _without_namespace(context, pods[0])
    except Forbidden:
        found = {"metadata": {}}
    if found["metadata"].get("deletionTimestamp"):
        return warned(
            f"the namespace {namespace} is being deleted: an installation waits for its end",
            evidence="it has a deletionTimestamp",
            fix=f"kubectl wait --for=delete namespace/{namespace} --timeout=5m",
        )
    for pod in pods:
        if (refusal := await _refusal(context, namespace, pod)) is not None:
            return refusal
    return passed(f"{namespace} admits the connector's pod")


async def _without_namespace(context: Context, pod: JSON) -> Answer:
    """The installation makes it; only what watches the whole cluster can be asked, from another one."""
    refusal = await _refusal(context, "default", pod)
    if refusal is not None and "webhook" in refusal.cause:
        return refusal
    return passed(f"{context.target.namespace} is made by the installation; no webhook refuses the pod")


async def _refusal(context: Context, namespace: str, pod: JSON) -> Answer | None:
    try:
        await context.kube.create(PODS.path(namespace), pod, _DRY)
    except ApiError as error:
        if _NO_RIGHT in error.message:
            return not_applicable("the caller may not create pods, not even in a dry run")
        return _cause(namespace, error)
    return None


def _cause(namespace: str, error: ApiError) -> Answer:
    text = error.message
    if broken := _BROKEN_WEBHOOK.search(text):
        return failed(
            f"the admission webhook {broken[1]} does not answer, so no pod is admitted",
            evidence=text,
            fix="kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations  # and mend it",
        )
    if isinstance(error, Forbidden) or _WEBHOOK.search(text):
        if "violates PodSecurity" in text:
            return failed(
                "pod security of the namespace refuses the connector's pod",
                evidence=text,
                fix=f"kubectl label namespace {namespace} --overwrite"
                " pod-security.kubernetes.io/enforce=restricted",
            )
        if "exceeded quota" in text or "failed quota" in text:
            return failed(
                "a quota of the namespace leaves no room for the connector's pod",
                evidence=text,
                fix=f"kubectl describe resourcequota -n {namespace}  # and raise it",
            )
        if hook := _WEBHOOK.search(text):
            return failed(
                f"the admission webhook {hook[1]} refuses the connector's pod",
                evidence=text,
                fix=f"exempt the namespace {namespace} from that policy",
            )
        return failed(
            "admission refuses the connector's pod",
            evidence=text,
            fix=f"kubectl describe namespace {namespace}",
        )
    if error.status >= 500 or error.status in {401, 429}:
        raise error
    return failed(
        "the API server does not accept the connector's pod", evidence=text, fix="use this version's chart"
    )


def _pod(manifest: JSON) -> JSON | None:
    """The pod that a Deployment would make, with the namespace's default service account.

    Its own does not exist before the installation, and a pod without one is refused.
    """
    if manifest.get("kind") != "Deployment":
        return None
    template = manifest["spec"]["template"]
    meta = template.get("metadata") or {}
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "vnodectl-check-",
            "labels": meta.get("labels") or {},
            "annotations": meta.get("annotations") or {},
        },
        "spec": {**spec, "serviceAccountName": "default"},
    }


CHECKS = (
    Check(
        "VN-KUBE-004",
        "cluster",
        "Does the cluster authorise by roles?",
        rbac_on,
        needs=("VN-KUBE-001",),
        resources=frozenset({Resource.KUBE}),
        why="The connector gets a role of its own; without RBAC it can be neither made nor kept to.",
    ),
    Check(
        "VN-KUBE-005",
        "cluster",
        "Would the cluster admit the connector's pod?",
        admitted,
        needs=("VN-KUBE-001", "VN-TOOL-002"),
        resources=frozenset({Resource.KUBE, Resource.HELM, Resource.PLAN}),
        why="Pod security, quotas and webhooks refuse pods after Helm has called the installation a success.",
    ),
)
