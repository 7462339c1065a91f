"""Every check there is, and the ones that an installation asks first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vnodectl.checks import admission, alibaba, cluster, nodes, package, releases, tools
from vnodectl.checks import azure as azure_checks
from vnodectl.checks.context import Context
from vnodectl.checks.helm import HelmProgram
from vnodectl.checks.model import Check, Report
from vnodectl.checks.readers import JSON, AlibabaReader, AzureReader, KubeReader, RegistryReader
from vnodectl.checks.runner import Clock, Observer, Selection, run
from vnodectl.checks.target import Target

if TYPE_CHECKING:
    from vnodectl.connector.names import Connector
    from vnodectl.connector.plan import Plan


def all_checks() -> tuple[Check, ...]:
    """In the order of reports."""
    return (
        *tools.CHECKS,
        *cluster.CHECKS,
        *admission.CHECKS,
        *nodes.CHECKS,
        *azure_checks.CHECKS,
        *alibaba.CHECKS,
        *releases.CHECKS,
        *package.CHECKS,
    )


def checks_for(cloud: str) -> tuple[Check, ...]:
    """Those that concern a connector for `cloud` (azure or alibaba)."""
    foreign = {"azure", "alibaba"} - {cloud}
    return tuple(check for check in all_checks() if check.category not in foreign)


VALIDATION = ("VN-KUBE-001", "VN-KUBE-002", "VN-KUBE-006", "VN-KUBE-007", "VN-KUBE-008")
"""What concerns nodes that are there already."""


async def run_validation_checks(connectors: tuple[Connector, ...], *, kube: KubeReader) -> Report:
    """What may trouble the nodes of these connectors, whether they work or not. Only those are reported."""
    context = Context(target=Target(connectors=connectors), kube=kube)
    chosen = tuple(check for check in all_checks() if check.id in VALIDATION)
    return await run(chosen, context)


async def run_install_checks(
    plan: Plan,
    *,
    kube: KubeReader | None,
    azure: AzureReader | None,
    alibaba: AlibabaReader | None = None,
    helm_path: str | None = None,
    registry: RegistryReader | None = None,
    caller: str = "",
    skip: tuple[str, ...] = (),
    observer: Observer | None = None,
    clock: Clock = time.monotonic,
) -> Report:
    """What must be true before `plan` is carried out. Nothing is changed; `report.ok` says whether to go on.

    `helm_path` is the program or its name, looked up on PATH where it is not given. Without a session
    (`kube`, `azure`, `alibaba` or `registry` is None) the checks that need it are shown as skipped. `caller`
    is the client id that `azure` signs in with, where it is known. `skip` takes ids, globs or categories.
    Raises UsageError for a pattern that matches no check.
    """
    helm = HelmProgram(helm_path or "helm", plan)
    target = Target.from_plan(plan, caller=caller)
    context = Context(target=target, kube=kube, azure=azure, alibaba=alibaba, helm=helm, registry=registry)
    return await run(
        checks_for(plan.cloud), context, selection=Selection(skip=skip), observer=observer, clock=clock
    )


async def run_upgrade_checks(
    target: Target,
    manifests: Sequence[JSON],
    *,
    kube: KubeReader,
    azure: AzureReader | None,
    alibaba: AlibabaReader | None,
    registry: RegistryReader | None = None,
    caller: str = "",
    skip: tuple[str, ...] = (),
) -> Report:
    """What must be true before releases become `manifests`; as `run_install_checks`."""
    helm = HelmProgram(rendered=manifests)
    named = replace(target, caller=caller)
    context = Context(target=named, kube=kube, azure=azure, alibaba=alibaba, helm=helm, registry=registry)
    return await run(checks_for(target.cloud), context, selection=Selection(skip=skip))
