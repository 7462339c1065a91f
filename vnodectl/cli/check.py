"""`vnodectl check`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnodectl.cli import complete, options
from vnodectl.cli.ask import confirm
from vnodectl.cli.check_context import Wishes, open_context
from vnodectl.cli.inputs import gather, patterns, selection
from vnodectl.cli.options import RUN, option
from vnodectl.cli.output import note, progress, warn, write_json, write_table
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError
from vnodectl.plain import printable

if TYPE_CHECKING:
    from vnodectl.checks.mending import Mended
    from vnodectl.checks.model import Outcome, Repair, Report
    from vnodectl.checks.runner import Selection
    from vnodectl.connector.settings import Settings

__all__ = ["check", "open_context"]

WISHES = "What is to run"
_ARRIVAL_SECONDS = 60.0
"""How long `--fix` asks again for what it mended: rights and registrations take their time to arrive."""

_FIX_SECONDS = 600.0
"""How long one repair may take; a registration takes minutes."""


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
    location: options.Location = None,
    gpu: Annotated[
        str | None, option(WISHES, "--gpu", metavar="SKU", help="A GPU that pods need, e.g. V100.")
    ] = None,
    zone: Annotated[
        str | None, option(WISHES, "--zone", metavar="ZONE", help="An availability zone that they need.")
    ] = None,
    size: Annotated[
        str | None,
        option(WISHES, "--size", metavar="CPU:GB", help="Of the largest of them, e.g. 8:32."),
    ] = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    aci_resource_group: options.AciResourceGroup = None,
    subnet_id: options.SubnetId = None,
    service_principal: options.ServicePrincipal = None,
    workload_identity: options.WorkloadIdentity = None,
    managed_identity: options.ManagedIdentity = None,
    vswitch: options.VSwitch = None,
    security_group: options.SecurityGroup = None,
    ram_role: options.RamRole = None,
    chart_url: options.ChartUrl = None,
    image_repository: options.ImageRepository = None,
    image_tag: options.ImageTag = None,
    only: Annotated[
        list[str] | None,
        option(
            RUN,
            "--only",
            metavar="CHECK",
            help="Ask only this check, glob (VN-AZ-*) or category; may be repeated.",
            offers=complete.checks,
        ),
    ] = None,
    skip: options.Skip = None,
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
    fix: Annotated[
        bool, option(RUN, "--fix", help="Mend what is safe to mend, after asking, and ask again.")
    ] = False,
    yes: Annotated[bool, option(RUN, "--yes", help="With --fix: do not ask.")] = False,
    from_sysdump: Annotated[
        str | None,
        option(
            RUN,
            "--from-sysdump",
            metavar="FILE",
            help="Ask again what an archive of `vnodectl sysdump` was told, without a network.",
        ),
    ] = None,
    role_definition: Annotated[
        bool,
        option(
            RUN, "--role-definition", help="Print a role (or RAM policy) of least rights for the connector."
        ),
    ] = False,
    list_: Annotated[bool, option(RUN, "--list", help="List the checks; ask none.")] = False,
    config: options.Config = None,
    output: Annotated[
        CheckFormat,
        option(
            RUN,
            "-o",
            "--output",
            metavar="FORMAT",
            help="How to print the report: table, short, json or junit. (default: table)",
        ),
    ] = CheckFormat.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Check tools, cluster and cloud for everything a connector needs. Changes nothing without --fix.

    \b
    Examples:
      vnodectl check -g my-group -n my-aks
      vnodectl check -g my-group -n my-aks --subnet-id ID --workload-identity ID \\
        --fix
      vnodectl check --only azure --wait 5m
      vnodectl check --cloud alibaba --cluster-id ID --vswitch ID
      vnodectl check --role-definition > role.json
      vnodectl check -o junit --strict > checks.xml
    """
    log_to_stderr(verbose)
    _exclude(
        from_sysdump,
        fix=fix,
        yes=yes,
        offline=offline,
        wait=wait,
        **{"--list": list_, "--role-definition": role_definition},
    )
    if list_:
        _list(output, patterns(only), patterns(skip))
        return
    settings = gather(
        {
            "cloud": cloud,
            "cluster_id": cluster_id,
            "release_name": release_name,
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
            "subnet_id": subnet_id,
            "service_principal": service_principal,
            "workload_identity": workload_identity,
            "managed_identity": managed_identity,
            "vswitch": vswitch,
            "security_group": security_group,
            "ram_role": ram_role,
            "chart_url": chart_url,
            "image_repository": image_repository,
            "image_tag": image_tag,
        },
        config,
    )
    if role_definition:
        _print_role(settings)
        return
    chosen = _Chosen(
        only=patterns(only),
        skip=patterns(skip),
        offline=offline,
        wait=wait,
        wishes=_wishes(gpu, zone, size),
        sysdump=from_sysdump or "",
    )
    report, mended = run(_mend(settings, chosen, yes) if fix else _ask(settings, chosen))
    code = _show(report, output, strict, mended if fix else None)
    if code != EXIT_OK:
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """How to ask."""

    only: tuple[str, ...]
    skip: tuple[str, ...]
    offline: bool
    wait: str | None
    wishes: Wishes
    sysdump: str


def _exclude(
    sysdump: str | None, *, fix: bool, yes: bool, offline: bool, wait: str | None, **instead: bool
) -> None:
    """UsageError for what does not go together; `instead` are the flags that ask nothing."""
    for flag in (flag for flag, given in instead.items() if given):
        others: dict[str, object] = {
            **instead,
            "--from-sysdump": sysdump,
            "--fix": fix,
            "--offline": offline,
            "--wait": wait,
        }
        for other, given in others.items():
            if given and other != flag:
                raise UsageError(f"{flag} and {other} exclude each other")
    if yes and not fix:
        raise UsageError("--yes is for --fix only")
    for flag, given in (("--fix", fix), ("--offline", offline), ("--wait", bool(wait))):
        if sysdump and given:
            raise UsageError(f"{flag} and --from-sysdump exclude each other", hint="an archive never changes")
    if fix and offline:
        raise UsageError("--fix and --offline exclude each other")
    if fix and not yes and not sys.stdin.isatty():
        raise UsageError(
            "--fix asks before it changes anything, and there is no terminal to ask on",
            hint="add --yes, or run it on a terminal",
        )


def _wishes(gpu: str | None, zone: str | None, size: str | None) -> Wishes:
    """UsageError for a size that is none."""
    cpu, memory = 0.0, 0.0
    if size:
        first, _, second = size.partition(":")
        try:
            cpu, memory = float(first), float(second)
        except ValueError:
            cpu = math.nan
        if not (0 < cpu < math.inf and 0 < memory < math.inf):
            raise UsageError(f"bad --size {size!r}", hint="write it as CPU:GB, e.g. 8:32")
    return Wishes(gpu or "", zone or "", cpu, memory)


async def _ask(settings: Settings, chosen: _Chosen) -> tuple[Report, list[Mended]]:
    from vnodectl.checks.runner import run_until
    from vnodectl.connector.plan import seconds

    if chosen.sysdump:
        return await _replay(chosen), []
    asked = selection(settings, only=chosen.only, skip=chosen.skip, offline=chosen.offline)
    patience = seconds(chosen.wait) if chosen.wait else 0.0
    with progress() as shown:
        shown.say("", "checking" + ("" if chosen.offline else " the cluster and the cloud"))
        report = await run_until(lambda: _once(settings, asked, chosen), wait=patience)
        shown.done("")
    return report, []


async def _mend(settings: Settings, chosen: _Chosen, yes: bool) -> tuple[Report, list[Mended]]:
    from vnodectl.checks.mending import mend
    from vnodectl.cli.inputs import open_account
    from vnodectl.connector import fixes
    from vnodectl.connector.clouds.azure_account import AzureAccount
    from vnodectl.connector.plan import seconds

    asked = selection(settings, only=chosen.only, skip=chosen.skip, offline=chosen.offline)
    patience = seconds(chosen.wait) if chosen.wait else _ARRIVAL_SECONDS

    async def ask() -> Report:
        with progress() as shown:
            shown.say("", "checking the cluster and the cloud")
            return await _once(settings, asked, chosen)

    async def apply(repair: Repair) -> None:
        async with open_account(settings) as account:
            if not isinstance(account, AzureAccount):
                raise VnodectlError("nobody is signed in to Azure")
            with progress() as shown:
                await fixes.apply(
                    account.session,
                    repair.kind,
                    repair.parameters,
                    timeout=_FIX_SECONDS,
                    say=lambda text: shown.say("", text),
                )

    return await mend(ask, lambda outcomes: _agree(outcomes, yes), apply, patience=patience)


async def _agree(outcomes: Sequence[Outcome], yes: bool) -> bool:
    for outcome in outcomes:
        if outcome.answer.repair is not None:
            note(f"{outcome.check.id}: {outcome.answer.cause}")
            note(f"  will {outcome.answer.repair.change}")
    return yes or await confirm("Go on?")


async def _once(settings: Settings, asked: Selection, chosen: _Chosen) -> Report:
    """One run, with sessions of its own: waiting may be for the very credentials or cluster."""
    from vnodectl.checks.catalog import checks_for
    from vnodectl.checks.runner import run as run_checks

    async with AsyncExitStack() as stack:
        context = await open_context(stack, settings, offline=chosen.offline, wishes=chosen.wishes)
        return await run_checks(checks_for(context.target.cloud), context, selection=asked)


async def _replay(chosen: _Chosen) -> Report:
    from vnodectl.checks import archive
    from vnodectl.checks.catalog import checks_for
    from vnodectl.checks.recording import replay
    from vnodectl.checks.runner import Selection
    from vnodectl.checks.runner import run as run_checks

    context = replay(archive.recording(chosen.sysdump))
    asked = Selection(chosen.only, chosen.skip)
    return await run_checks(checks_for(context.target.cloud), context, selection=asked)


def _print_role(settings: Settings) -> None:
    """One JSON document, as the cloud's own command line takes it."""
    from vnodectl.checks.alibaba import ram
    from vnodectl.checks.azure import roles
    from vnodectl.cli.inputs import azure_settings
    from vnodectl.connector.clouds import cloud_of

    if cloud_of(settings).name == "alibaba":
        document: dict[str, Any] = ram.policy()
    else:
        found = azure_settings(settings)
        named = settings.subscription or (found.subscription_id if found is not None else "")
        if not named:
            raise UsageError(
                "a role is defined in a subscription, and none is known",
                hint="give --subscription or AZURE_SUBSCRIPTION_ID (az account show)",
            )
        document = roles.custom_role(f"/subscriptions/{named}")
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _show(report: Report, output: CheckFormat, strict: bool, mended: list[Mended] | None) -> int:
    from vnodectl.checks import render

    for one in mended or ():
        if one.problem:
            warn(f"{one.id} could not be mended: {one.problem}")
            if one.hint:
                note(f"  {one.hint}")
        else:
            note(f"{one.id}: {'mended' if one.passes else 'changed, but not seen to work yet'}")
    if output is CheckFormat.JSON:
        fixes = {} if mended is None else {"fixes": [one.document() for one in mended]}
        write_json("CheckReport", {**report.document(), **fixes})
    else:
        texts = {
            CheckFormat.TABLE: render.table,
            CheckFormat.SHORT: render.short,
            CheckFormat.JUNIT: render.junit_xml,
        }
        sys.stdout.write(printable(texts[output](report)))
    return report.exit_code(strict=strict)


def _list(output: CheckFormat, only: tuple[str, ...], skip: tuple[str, ...]) -> None:
    from vnodectl.checks.catalog import all_checks
    from vnodectl.checks.render import listing
    from vnodectl.checks.runner import Selection

    left_out = Selection(only, skip).reasons(all_checks())
    rows = listing(one for one in all_checks() if one.id not in left_out)
    if output is CheckFormat.JSON:
        keys = ("id", "category", "severity", "needs", "title")
        write_json("CheckList", {"checks": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif output is CheckFormat.SHORT:
        sys.stdout.writelines(f"{row[0]}\n" for row in rows)
    elif output is CheckFormat.TABLE:
        write_table(("ID", "CATEGORY", "SEVERITY", "NEEDS", "QUESTION"), rows)
    else:
        raise UsageError("--list has no JUnit form", hint="use -o table, short or json")
