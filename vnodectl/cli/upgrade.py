"""`vnodectl upgrade-connector`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import gather, open_account, patterns, selection
from vnodectl.cli.installed import bearable, came_out, exit_code, tell_report, write_installed
from vnodectl.cli.options import CONNECTOR, RUN, option
from vnodectl.cli.output import Format, Progress, complain, note, progress, write_json
from vnodectl.cli.run import changes, log_to_stderr, run
from vnodectl.cli.show import choose
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError

if TYPE_CHECKING:
    from vnodectl.checks.model import Report
    from vnodectl.connector.clouds import Account
    from vnodectl.connector.cluster import Cluster
    from vnodectl.connector.inventory import Choice
    from vnodectl.connector.redact import Redactor
    from vnodectl.connector.release import Installed
    from vnodectl.connector.settings import Settings
    from vnodectl.connector.upgrade import Step, Upgrade

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: of the checks, and then a comparison or the upgrades."""

    steps: list[Step]
    report: Report
    dry_run: bool
    results: tuple[Installed, ...] = ()


def upgrade_connector(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    namespace: options.AnyNamespace = None,
    connector_name: options.ConnectorName = None,
    os_type: options.OsType = None,
    cloud: options.Cloud = None,
    release_name: options.ReleaseName = None,
    location: options.FoundLocation = None,
    replicas: Annotated[
        int | None,
        option(
            CONNECTOR,
            "--replicas",
            metavar="N",
            help="How many pods share its nodes. (default: as many as now)",
        ),
    ] = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    chart_url: options.ChartUrl = None,
    image_repository: Annotated[
        str | None,
        option(
            options.PACKAGE,
            "--image-repository",
            metavar="REPOSITORY",
            help="Where the connector's image is. (default: where it is now; env: VNODECTL_IMAGE_REPOSITORY)",
        ),
    ] = None,
    image_tag: Annotated[
        str | None,
        option(
            options.PACKAGE,
            "--image-tag",
            metavar="TAG",
            help=(
                "Its tag. "
                "(default: the chart's version; env: VNODECTL_IMAGE_TAG, or VNODECTL_IMAGE, a full reference)"
            ),
        ),
    ] = None,
    dry_run: Annotated[
        bool, option(RUN, "--dry-run", help="Print what would change, secrets masked; change nothing.")
    ] = False,
    wait: Annotated[
        bool,
        option(
            RUN,
            "--wait/--no-wait",
            help="Wait until every node is Ready with a fresh Lease. (default: --wait)",
        ),
    ] = True,
    rollback: Annotated[
        bool,
        option(
            RUN,
            "--rollback-on-failure",
            help="Go back to the revision before where the nodes do not come up.",
        ),
    ] = False,
    timeout: options.Timeout = None,
    skip: options.Skip = None,
    config: options.Config = None,
    output: options.Output = Format.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Upgrade connectors to this version: its chart and image, all else as it is.

    What an installation said, down to the identity and its secret, is kept. To say
    something else, run install-connector again: it upgrades, too. Pods on the nodes
    run on meanwhile: the new connector takes the nodes over.

    \b
    Examples:
      vnodectl upgrade-connector -g my-group -n my-aks --os-type Both --dry-run
      vnodectl upgrade-connector --connector-name my-aci --image-tag 0.2.0 \\
        --rollback-on-failure
    """
    log_to_stderr(verbose)
    if rollback and not wait:
        raise UsageError(
            "--rollback-on-failure and --no-wait exclude each other", hint="a failure is only seen by waiting"
        )
    settings = gather(
        {
            "cloud": cloud,
            "cluster_id": cluster_id,
            "subscription": subscription,
            "tenant": tenant,
            "resource_group": resource_group,
            "cluster_name": cluster_name,
            "kubeconfig": kubeconfig,
            "context": context,
            "namespace": namespace,
            "connector_name": connector_name,
            "release_name": release_name,
            "os_type": os_type,
            "location": location,
            "replicas": replicas,
            "image_repository": image_repository,
            "image_tag": image_tag,
            "chart_url": chart_url,
            "timeout": timeout,
        },
        config,
    )
    code = _show(
        run(_upgrade(settings, wait, rollback, dry_run, selection(settings, skip=patterns(skip)).skip)),
        output,
    )
    if code != EXIT_OK:
        raise typer.Exit(code)


async def _upgrade(
    settings: Settings, wait: bool, undo: bool, dry_run: bool, skip: tuple[str, ...]
) -> Outcome:
    from vnodectl.connector import names
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.image import image
    from vnodectl.connector.plan import seconds
    from vnodectl.connector.redact import redactor
    from vnodectl.connector.upgrade import Upgrade

    known = cloud_of(settings)
    choice = choose(settings)
    choice = replace(
        choice,
        name=choice.name or ("" if choice.release else known.connector_name),
        cloud=known.name,
        os_types=known.os_types(settings.os_type or "Linux"),
    )
    upgrade = Upgrade(
        image=image(settings),
        chart=settings.chart_url or "",
        replicas=names.count(settings.replicas, "--replicas", names.REPLICAS_MAX) if settings.replicas else 0,
        wait=wait,
        undo=undo,
        timeout=seconds(settings.timeout),
    )
    redact = redactor(settings.secrets)
    try:
        with progress() as shown:
            return await _carry_out(settings, choice, upgrade, dry_run, skip, shown, redact)
    except VnodectlError as error:
        error.message, error.hint = redact(error.message), redact(error.hint)
        raise


async def _carry_out(
    settings: Settings,
    choice: Choice,
    upgrade: Upgrade,
    dry_run: bool,
    skip: tuple[str, ...],
    shown: Progress,
    redact: Redactor,
) -> Outcome:
    from vnodectl.connector import chart
    from vnodectl.connector import upgrade as upgrading
    from vnodectl.connector.cluster import open_cluster
    from vnodectl.connector.helm import Helm
    from vnodectl.connector.inventory import installations

    chart.reference(upgrade.chart)
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(open_account(settings))
        shown.say("", "looking at the connectors")
        cluster = await stack.enter_async_context(open_cluster(settings, account))
        helm = await Helm.open(kubeconfig=cluster.kubeconfig, context=cluster.context, redact=redact)
        chosen = await installations(cluster.kube, helm, choice)
        if not chosen:
            raise VnodectlError(
                f"no {' or '.join(choice.os_types)} connector {choice.release or choice.name!r} is installed",
                hint="see what is: vnodectl show-connector",
            )
        steps = await upgrading.prepare(chosen, upgrade, helm)
        shown.say("", "checking what an upgrade needs")
        report = bearable(await _check(steps, upgrade.chart, account, cluster, skip))
        outcome = Outcome(steps, report, dry_run)
        shown.done("")
        if dry_run or not outcome.report.ok:
            return outcome
        with changes():
            results = await upgrading.carry_out(
                steps,
                upgrade,
                cluster.kube,
                helm,
                say=lambda connector, text: shown.say(connector.os_type, text),
                redact=redact,
            )
        return replace(outcome, results=results)


async def _check(
    steps: list[Step], chart: str, account: Account | None, cluster: Cluster, skip: tuple[str, ...]
) -> Report:
    from vnodectl.checks.catalog import run_upgrade_checks
    from vnodectl.checks.registry import open_registries
    from vnodectl.checks.target import Target
    from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
    from vnodectl.connector.clouds.azure_account import AzureAccount

    connectors = [step.connector for step in steps]
    azure = account.session if isinstance(account, AzureAccount) else None
    async with open_registries(cluster.kube) as registry:
        return await run_upgrade_checks(
            Target.from_values(connectors, steps[0].namespace, steps[0].values, chart=chart),
            [manifest for step in steps for manifest in step.after],
            kube=cluster.kube,
            azure=azure,
            alibaba=(
                await account.session(connectors[0].region) if isinstance(account, AlibabaAccount) else None
            ),
            registry=registry,
            caller=azure.settings.client_id if azure is not None else "",
            skip=skip,
        )


def _show(outcome: Outcome, output: Format) -> int:
    """Print the outcome and return the exit code."""
    tell_report(outcome.report)
    for result in outcome.results:
        if not result.ok:
            complain(f"{result.connector.os_type}: {result.message}", result.hint)
    if output is Format.JSON:
        write_json("ConnectorUpgrade", _document(outcome))
    elif outcome.dry_run:
        for step in outcome.steps:
            text = step.diff()
            sys.stdout.write(text)
            if not text:
                note(f"{step.connector.release}: nothing would change")
    elif outcome.results:
        write_installed(outcome.results)
    return exit_code(outcome.results) if outcome.report.ok else outcome.report.exit_code()


def _document(outcome: Outcome) -> JSON:
    results = {result.connector: result for result in outcome.results}
    return {
        "dryRun": outcome.dry_run,
        "connectors": [
            {
                "os": step.connector.os_type,
                "release": step.connector.release,
                "namespace": step.namespace,
                "nodes": list(step.connector.node_names),
                "fromVersion": step.old_version,
                "toVersion": step.new_version,
                **({"diff": step.diff()} if outcome.dry_run else came_out(results.get(step.connector))),
            }
            for step in outcome.steps
        ],
        "checks": outcome.report.document(),
    }
