"""`vnodectl check`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import azure_settings, gather
from vnodectl.cli.options import RUN, option
from vnodectl.cli.output import progress, write_json, write_table
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError

if TYPE_CHECKING:
    from vnodectl.checks.context import Context
    from vnodectl.checks.model import Report
    from vnodectl.checks.runner import Selection
    from vnodectl.checks.target import Target
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.connector.cluster import Cluster
    from vnodectl.connector.settings import Settings

_SIGN_IN = "no cloud session: az login, or set AZURE_SUBSCRIPTION_ID and credentials"


class CheckFormat(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    SHORT = "short"
    JSON = "json"
    JUNIT = "junit"


def check(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    connector_name: options.ConnectorName = None,
    os_type: options.OsType = None,
    cloud: options.Cloud = None,
    release_name: options.ReleaseName = None,
    vswitch: options.VSwitch = None,
    security_group: options.SecurityGroup = None,
    ram_role: options.RamRole = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    aci_resource_group: options.AciResourceGroup = None,
    location: options.Location = None,
    only: Annotated[
        list[str] | None,
        option(
            RUN, "--only", metavar="CHECK", help="Ask only this id, glob (VN-AZ-*) or category. (repeatable)"
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        option(RUN, "--skip", metavar="CHECK", help="Leave out this id, glob or category. (repeatable)"),
    ] = None,
    strict: Annotated[bool, option(RUN, "--strict", help="Exit with 3 where there are warnings.")] = False,
    offline: Annotated[
        bool, option(RUN, "--offline", help="Ask only what can be answered without the network.")
    ] = False,
    wait: Annotated[
        str | None,
        option(
            RUN, "--wait", metavar="TIME", help="Ask again until nothing fails, for so long: 300, 300s or 5m."
        ),
    ] = None,
    list_: Annotated[bool, option(RUN, "--list", help="List the checks; ask none.")] = False,
    config: options.Config = None,
    output: Annotated[
        CheckFormat,
        option(RUN, "-o", "--output", help="How to print the report: table, short, json or junit."),
    ] = CheckFormat.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Check tools, cluster and cloud for everything a connector needs. Changes nothing.

    \b
    Examples:
      vnodectl check -g my-group -n my-aks
      vnodectl check --only azure --wait 5m
      vnodectl check --cloud alibaba --cluster-id c123 --region cn-hangzhou
      vnodectl check -o junit --strict > checks.xml
    """
    log_to_stderr(verbose)
    if list_:
        _list(output)
        return
    settings = gather(
        {
            "cloud": cloud,
            "cluster_id": cluster_id,
            "release_name": release_name,
            "vswitch": vswitch,
            "security_group": security_group,
            "ram_role": ram_role,
            "subscription": subscription,
            "tenant": tenant,
            "resource_group": resource_group,
            "cluster_name": cluster_name,
            "kubeconfig": kubeconfig,
            "context": context,
            "namespace": namespace,
            "connector_name": connector_name,
            "os_type": os_type,
            "aci_resource_group": aci_resource_group,
            "location": location,
        },
        config,
    )
    code = _show(run(_check(settings, tuple(only or ()), tuple(skip or ()), offline, wait)), output, strict)
    if code != EXIT_OK:
        raise typer.Exit(code)


async def _check(
    settings: Settings, only: tuple[str, ...], skip: tuple[str, ...], offline: bool, wait: str | None
) -> Report:
    from vnodectl.checks.catalog import all_checks
    from vnodectl.checks.runner import Selection, run_until
    from vnodectl.connector.plan import seconds

    selection = Selection(_split(only), _split(skip), offline)
    selection.reasons(all_checks())  # a wrong pattern is said before anything is opened
    patience = seconds(wait) if wait else 0.0
    with progress() as shown:
        shown.say("", "checking" + ("" if offline else " the cluster and the cloud"))
        report = await run_until(lambda: _once(settings, selection), wait=patience)
        shown.done("")
    return report


async def _once(settings: Settings, selection: Selection) -> Report:
    """One run, with sessions of its own: waiting may be for the very credentials or cluster."""
    from vnodectl.checks.catalog import all_checks
    from vnodectl.checks.runner import run as run_checks

    async with AsyncExitStack() as stack:
        return await run_checks(
            all_checks(), await open_context(stack, settings, selection.offline), selection=selection
        )


async def open_context(stack: AsyncExitStack, settings: Settings, offline: bool) -> Context:
    """Whatever can be opened. UsageError where the user named a kubeconfig or context that is wrong."""
    from vnodectl.checks.context import Context
    from vnodectl.checks.helm import HelmProgram
    from vnodectl.checks.model import Resource
    from vnodectl.cli import check_alibaba
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.cluster import open_cluster

    if cloud_of(settings).name == "alibaba":
        return await check_alibaba.context(stack, settings, offline=offline)
    target = _target(settings, "", "")
    if offline:
        return Context(target=target, helm=HelmProgram())
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.connector.clouds.azure_account import AzureAccount

    broken: dict[Resource, VnodectlError] = {}
    azure: AzureSession | None = None
    whom = azure_settings(settings)
    if whom is not None:
        azure = await stack.enter_async_context(AzureSession(whom))
    cluster: Cluster | None = None
    try:
        account = AzureAccount(azure) if azure is not None else None
        cluster = await stack.enter_async_context(open_cluster(settings, account))
    except VnodectlError as error:
        if isinstance(error, UsageError) and (settings.kubeconfig or settings.context):
            raise
        broken[Resource.KUBE] = error
    group = settings.aci_resource_group or _node_group(cluster)
    return Context(
        target=_target(settings, group, settings.location or await _location(azure, group)),
        kube=cluster.kube if cluster is not None else None,
        azure=azure,
        helm=HelmProgram(),
        absent={} if azure is not None else {Resource.AZURE: _SIGN_IN},
        broken=broken,
    )


def _target(settings: Settings, group: str, location: str) -> Target:
    """What would be installed. Without a region nothing can be named; UsageError for names that are wrong."""
    from vnodectl.checks.target import Target
    from vnodectl.connector import names
    from vnodectl.connector.names import Connector
    from vnodectl.connector.plan import DEFAULT_NAMESPACE, aks_cluster
    from vnodectl.settings import DEFAULT_CONNECTOR_NAME

    name = names.connector_name(settings.connector_name or DEFAULT_CONNECTOR_NAME)
    os_types = names.os_types(settings.os_type or "Linux")
    place = location or settings.location or ""
    region = names.azure_region(place) if place else ""
    aks = aks_cluster(settings)
    return Target(
        connectors=tuple(Connector(name, os_type, region) for os_type in os_types) if region else (),
        namespace=names.namespace_name(settings.namespace or DEFAULT_NAMESPACE),
        cluster_resource_group=aks.resource_group if aks else "",
        cluster=aks.name if aks else "",
        resource_group=group,
        region=region,
    )


def _node_group(cluster: Cluster | None) -> str:
    properties = ((cluster.described if cluster is not None else None) or {}).get("properties") or {}
    return str(properties.get("nodeResourceGroup") or "")


async def _location(azure: AzureSession | None, group: str) -> str:
    """Where the resource group is; "" where nobody says: a check of its own asks for the group."""
    if azure is None or not group:
        return ""
    try:
        return str((await azure.resource_group(group)).get("location") or "")
    except VnodectlError:
        return ""


def _split(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for pattern in patterns for part in pattern.split(",") if part.strip())


def _show(report: Report, output: CheckFormat, strict: bool) -> int:
    from vnodectl.checks import render

    if output is CheckFormat.JSON:
        write_json("CheckReport", report.document())
    else:
        texts = {
            CheckFormat.TABLE: render.table,
            CheckFormat.SHORT: render.short,
            CheckFormat.JUNIT: render.junit_xml,
        }
        sys.stdout.write(texts[output](report))
    return report.exit_code(strict=strict)


def _list(output: CheckFormat) -> None:
    from vnodectl.checks.catalog import all_checks
    from vnodectl.checks.render import listing

    rows = listing(all_checks())
    if output is CheckFormat.JSON:
        keys = ("id", "category", "severity", "needs", "title")
        write_json("CheckList", {"checks": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif output is CheckFormat.SHORT:
        sys.stdout.writelines(f"{row[0]}\n" for row in rows)
    elif output is CheckFormat.TABLE:
        write_table(("ID", "CATEGORY", "SEVERITY", "NEEDS", "QUESTION"), rows)
    else:
        raise UsageError("--list has no JUnit form", hint="use -o table, short or json")
