"""The Kubernetes cluster: it answers, has a supported version, and lets the caller install."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from vnodectl.checks import rights
from vnodectl.checks.context import Context, gather
from vnodectl.checks.model import Answer, Check, Resource, failed, passed, warned
from vnodectl.checks.readers import KubeReader
from vnodectl.checks.rights import Right
from vnodectl.checks.target import Target
from vnodectl.kube.resources import SELF_SUBJECT_ACCESS_REVIEWS

OLDEST = (1, 31)
NEWEST = (1, 37)
"""Kubernetes minors that this release is tested with."""

_SHOWN = 8
_AT_ONCE = 16


async def reachable(context: Context) -> Answer:
    version = await context.cluster_facts.version()
    return passed(f"{context.kube.server} answers as {version.get('gitVersion', 'an unknown version')}")


async def supported_version(context: Context) -> Answer:
    version = await context.cluster_facts.version()
    found = (_number(version.get("major")), _number(version.get("minor")))
    evidence = str(version.get("gitVersion") or "no version given")
    window = f"{_text(OLDEST)} to {_text(NEWEST)}"
    if found < OLDEST:
        return failed(
            f"Kubernetes {_text(OLDEST)} or newer is needed",
            evidence=evidence,
            fix=_upgrade(context.target),
        )
    if found > NEWEST:
        return warned(
            f"newer than the versions that this release is tested with ({window})",
            evidence=evidence,
            fix="pip install --upgrade vnodectl",
        )
    return passed(f"{evidence}, within {window}")


def _upgrade(target: Target) -> str:
    """By the target's cloud. Neither goes over more than one minor at a time (AKS: `az aks upgrade`; ACK:
    UpgradeCluster of CS, 2015-12-15, whose versions are the cloud's own, as in 1.31.9-aliyun.1)."""
    if target.cloud == "alibaba":
        cluster = target.alibaba.cluster or "<cluster>"
        return (
            f"aliyun cs POST /api/v2/clusters/{cluster}/upgrade"
            """ --body '{"next_version":"<version>"}'"""
            f"  # one minor at a time: next_version of aliyun cs GET /clusters/{cluster}"
        )
    where = f"-g {target.cluster_resource_group or '<group>'} -n {target.cluster or '<cluster>'}"
    return (
        f"az aks upgrade {where} --kubernetes-version {_text(OLDEST)}"
        f"  # one minor at a time: az aks get-upgrades {where}"
    )


async def caller_rights(context: Context) -> Answer:
    if not await _refused(context.kube, (rights.EVERYTHING,)):
        return passed("the caller is an administrator of the cluster")
    namespace = context.target.namespace
    own, granted = rights.own(namespace), rights.granted(namespace)
    places = [namespace]
    if context.target.webhook:
        own = tuple(dict.fromkeys((*own, *rights.webhook(namespace))))
    if context.target.cloud == "alibaba":
        own, granted = (*own, *rights.profile()), (*granted, *rights.profile_granted())
        places.append(rights.PROFILE_NAMESPACE)
    refused = await _refused(context.kube, own)
    not_held = await _refused(context.kube, granted)
    if not_held and await _refused(context.kube, rights.escalation(*places)):
        refused += not_held
    if refused:
        shown = ", ".join(map(str, refused[:_SHOWN]))
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        return failed(
            "the caller may not do everything that an installation does",
            evidence=f"refused: {shown}{more}",
            fix=(
                "kubectl create clusterrolebinding vnodectl-installer --clusterrole=cluster-admin"
                ' --user="$(kubectl auth whoami -o jsonpath={.status.userInfo.username})"'
            ),
        )
    return passed(f"{len(own) + len(granted)} rights are granted")


async def _refused(kube: KubeReader, asked: Sequence[Right]) -> list[Right]:
    """Those of `asked` that the caller does not have; a few reviews at a time."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def allowed(right: Right) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": right.attributes()},
        }
        async with slots:
            review = await kube.create(SELF_SUBJECT_ACCESS_REVIEWS.path(), body)
        return bool((review.get("status") or {}).get("allowed"))

    answers = await gather(*(allowed(right) for right in asked))
    return [right for right, yes in zip(asked, answers, strict=True) if not yes]


def _number(text: object) -> int:
    """Some clouds write the minor as `31+`."""
    match = re.match(r"\d+", str(text or ""))
    return int(match[0]) if match else 0


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


_KUBE = frozenset({Resource.KUBE})

CHECKS = (
    Check(
        "VN-KUBE-001",
        "cluster",
        "Does the Kubernetes API answer?",
        reachable,
        resources=_KUBE,
        why="Nothing can be installed into a cluster that is out of reach or refuses the credentials.",
    ),
    Check(
        "VN-KUBE-002",
        "cluster",
        "Is the Kubernetes version supported?",
        supported_version,
        needs=("VN-KUBE-001",),
        resources=_KUBE,
        why="A release is tested with a window of versions; outside it the node may not be accepted.",
    ),
    Check(
        "VN-KUBE-003",
        "cluster",
        "May the caller create what the chart needs?",
        caller_rights,
        needs=("VN-KUBE-001",),
        resources=_KUBE,
        why="Helm stops half-way where a right is missing; a role can only be given by who holds its rights.",
    ),
)
