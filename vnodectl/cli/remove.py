"""`vnodectl remove-connector`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import gather, open_account
from vnodectl.cli.options import RUN, option
from vnodectl.cli.output import Format, Progress, complain, note, progress, warn, write_json, write_table
from vnodectl.cli.run import changes, log_to_stderr, run
from vnodectl.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from vnodectl.connector.removal import RemovalPlan, Removed
    from vnodectl.connector.settings import Settings

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `orphans` are container groups of connectors that are gone already."""

    plan: RemovalPlan
    results: tuple[Removed, ...]
    orphans: tuple[str, ...] = ()


def remove_connector(
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
    location: options.FoundLocation = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    aci_resource_group: Annotated[
        str | None,
        option(
            options.AZURE,
            "--aci-resource-group",
            metavar="GROUP",
            help="Where to look for container groups left. (default: where the connector made them)",
        ),
    ] = None,
    drain: Annotated[
        bool,
        option(RUN, "--drain", "--graceful", help="First evict the nodes' pods, heeding disruption budgets."),
    ] = False,
    force: Annotated[
        bool, option(RUN, "--force", help="Remove although pods run on the nodes; they are deleted.")
    ] = False,
    delete_groups: Annotated[
        bool, option(RUN, "--delete-groups", help="Delete container groups left in the cloud.")
    ] = False,
    timeout: options.Timeout = None,
    config: options.Config = None,
    output: options.Output = Format.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Remove connectors with everything that belongs to them.

    Refuses while pods still run on one of its nodes. Where there is nothing to remove, that is fine.

    \b
    Examples:
      vnodectl remove-connector -g my-group -n my-aks --os-type Both --drain
      vnodectl remove-connector --connector-name my-aci -l eastus \\
        --force --delete-groups
      vnodectl remove-connector --cloud alibaba --cluster-id c123 \\
        --region cn-hangzhou --drain
    """
    log_to_stderr(verbose)
    settings = gather(
        {
            "cloud": cloud,
            "release_name": release_name,
            "cluster_id": cluster_id,
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
            "timeout": timeout,
        },
        config,
    )
    code = _show(run(_remove(settings, drain, force, delete_groups)), output)
    if code != EXIT_OK:
        raise typer.Exit(code)


async def _remove(settings: Settings, drain: bool, force: bool, delete_groups: bool) -> Outcome:
    from vnodectl.connector.plan import aks_cluster
    from vnodectl.connector.removal import make_removal_plan

    plan = make_removal_plan(settings, drain=drain, force=force, delete_groups=delete_groups)
    aks_cluster(settings)
    with progress() as shown:
        return await _carry_out(settings, plan, shown)


async def _carry_out(settings: Settings, plan: RemovalPlan, shown: Progress) -> Outcome:
    from vnodectl.connector import removal
    from vnodectl.connector.clouds.facts import owner
    from vnodectl.connector.cluster import cluster_uid, open_cluster
    from vnodectl.connector.helm import Helm
    from vnodectl.connector.redact import redactor

    redact = redactor(settings.secrets)
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(open_account(settings))
        shown.say("", "looking for the connector")
        cluster = await stack.enter_async_context(open_cluster(settings, account))
        plan = replace(
            plan,
            fallback_resource_group=account.place(cluster.described) if account is not None else "",
            owner=owner(await cluster_uid(cluster.kube)),
        )
        helm = await Helm.open(kubeconfig=cluster.kubeconfig, context=cluster.context, redact=redact)
        found = await removal.find(plan, cluster.kube, helm)
        await removal.refuse_if_used(plan, found, cluster.kube)
        shown.done("")
        with changes():
            results = await removal.remove(
                plan,
                found,
                cluster.kube,
                helm,
                account,
                say=lambda connector, text: shown.say(connector.os_type, text),
                redact=redact,
            )
        seen = [result.connector for result in results]
        return Outcome(plan, results, await removal.orphans(plan, account, besides=seen))


def _show(outcome: Outcome, output: Format) -> int:
    """Print the outcome and return the exit code."""
    for result in outcome.results:
        if not result.ok:
            complain(f"{result.connector.os_type}: {result.message}", result.hint)
        elif result.note:
            note(f"{result.connector.os_type}: {result.note}")
    left = [name for result in outcome.results for name in result.groups or ()]
    deleted = [name for result in outcome.results for name in result.deleted_groups]
    (deleted if outcome.plan.delete_groups else left).extend(outcome.orphans)
    for name in deleted:
        note(f"deleted container group {name}")
    if left:
        from vnodectl.connector.clouds import CLOUDS

        title = CLOUDS[outcome.plan.cloud].title
        warn(f"{len(left)} container group{'s' if len(left) > 1 else ''} still in {title}: {', '.join(left)}")
        # By then nothing in the cluster says where the groups are.
        where = dict.fromkeys(result.resource_group for result in outcome.results if result.groups)
        flag = "--aci-resource-group" if outcome.plan.cloud == "azure" else "--region"
        named = "".join(f" {flag} {name}" for name in list(where)[:1] if name)
        note(f"  fix: run this again with --delete-groups{named}")
    if output is Format.JSON:
        write_json("ConnectorRemoval", _document(outcome))
    elif outcome.results:
        write_table(
            ("OS", "NODE", "RELEASE", "STATUS", "GROUPS LEFT", "TIME"),
            [
                (
                    result.connector.os_type,
                    node,
                    result.connector.release,
                    "removed" if result.gone else "failed",
                    "?" if result.groups is None else str(len(result.groups)),
                    f"{result.seconds:.0f}s",
                )
                for result in outcome.results
                for node in result.nodes or (result.connector.node,)
            ],
        )
    else:
        note(f"nothing to remove: no connector {outcome.plan.connector_name!r} is installed")
    codes = {result.exit_code for result in outcome.results if not result.ok}
    if not codes:
        return EXIT_OK
    return codes.pop() if len(codes) == 1 else EXIT_FAILED


def _document(outcome: Outcome) -> JSON:
    return {
        "connectors": [
            {
                "os": result.connector.os_type,
                "release": result.connector.release,
                "node": result.connector.node,
                "nodes": list(result.nodes),
                "region": result.connector.region,
                "status": "removed" if result.gone else "failed",
                "message": result.message or result.note,
                "hint": result.hint,
                "containerGroupsLeft": None if result.groups is None else list(result.groups),
                "containerGroupsDeleted": list(result.deleted_groups),
                "durationSeconds": round(result.seconds, 3),
            }
            for result in outcome.results
        ],
        "orphanedContainerGroups": {
            "left": [] if outcome.plan.delete_groups else list(outcome.orphans),
            "deleted": list(outcome.orphans) if outcome.plan.delete_groups else [],
        },
    }
