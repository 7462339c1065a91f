"""`vnodectl validate`."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vnodectl.cli import complete, options
from vnodectl.cli.inputs import gather, open_account
from vnodectl.cli.options import CONNECTOR, RUN, option
from vnodectl.cli.output import Progress, complain, note, progress, warn, write_json, write_table
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_OK

if TYPE_CHECKING:
    from vnodectl.checks.model import Report
    from vnodectl.connector.settings import Settings
    from vnodectl.connector.validate import Options
    from vnodectl.connector.validation import NodeReport, NodeTarget, Step, Validation

_SMOKE = "The smoke pod"
_LINUX_IMAGE = "VNODECTL_SMOKE_IMAGE"
_WINDOWS_IMAGE = "VNODECTL_SMOKE_WINDOWS_IMAGE"


class ValidateFormat(StrEnum):
    """How a validation is printed."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


def validate(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    connector_name: options.ConnectorName = None,
    os_type: Annotated[
        str | None,
        option(
            CONNECTOR,
            "--os-type",
            metavar="OS",
            help="Linux, Windows or Both must be there. (default: whatever is installed)",
            offers=complete.os_types,
        ),
    ] = None,
    cloud: options.Cloud = None,
    release_name: options.ReleaseName = None,
    location: options.FoundLocation = None,
    namespace: Annotated[
        str,
        option(_SMOKE, "--namespace", metavar="NAME", help="Where the pod is made. (default: default)"),
    ] = "default",
    image: Annotated[
        str | None,
        option(
            _SMOKE,
            "--image",
            metavar="IMAGE",
            help=f"A Linux image with sh, echo and sleep. (default: a small BusyBox; env: {_LINUX_IMAGE})",
        ),
    ] = None,
    windows_image: Annotated[
        str | None,
        option(
            _SMOKE,
            "--windows-image",
            metavar="IMAGE",
            help=f"A Windows image with cmd. (default: Nano Server 2022; env: {_WINDOWS_IMAGE})",
        ),
    ] = None,
    keep: Annotated[
        bool, option(_SMOKE, "--keep", help="Leave the pod for a look (it ends after an hour).")
    ] = False,
    timeout: options.Timeout = None,
    config: options.Config = None,
    output: Annotated[
        ValidateFormat,
        option(
            RUN,
            "-o",
            "--output",
            metavar="FORMAT",
            help="How to print the result: table, json or junit. (default: table)",
        ),
    ] = ValidateFormat.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Prove that connectors work: their nodes are alive, and a pod runs, logs and answers on each.

    \b
    Examples:
      vnodectl validate -g my-group -n my-aks --os-type Both
      vnodectl validate --image my.azurecr.io/busybox --timeout 10m
      vnodectl validate --cloud alibaba
    """
    log_to_stderr(verbose)
    settings = gather(
        {
            "cloud": cloud,
            "release_name": release_name,
            "cluster_id": cluster_id,
            "resource_group": resource_group,
            "cluster_name": cluster_name,
            "kubeconfig": kubeconfig,
            "context": context,
            "connector_name": connector_name,
            "os_type": os_type,
            "location": location,
            "timeout": timeout,
        },
        config,
    )
    found, report = run(_validate(settings, _options(settings, namespace, image, windows_image, keep)))
    code = _show(found, report, output)
    if code != EXIT_OK:
        raise typer.Exit(code)


def _options(
    settings: Settings, namespace: str, image: str | None, windows_image: str | None, keep: bool
) -> Options:
    from vnodectl.connector import names
    from vnodectl.connector.plan import seconds
    from vnodectl.connector.validate import Options

    defaults = Options()
    return Options(
        namespace=names.namespace_name(namespace),
        linux_image=image or os.environ.get(_LINUX_IMAGE) or defaults.linux_image,
        windows_image=windows_image or os.environ.get(_WINDOWS_IMAGE) or defaults.windows_image,
        timeout=seconds(settings.timeout),
        keep=keep,
    )


async def _validate(settings: Settings, chosen: Options) -> tuple[Validation, Report]:
    from vnodectl.checks.catalog import run_validation_checks
    from vnodectl.connector import names
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.cluster import open_cluster
    from vnodectl.connector.validate import find_targets
    from vnodectl.connector.validate import validate as carry_out

    cloud = cloud_of(settings)
    name = names.connector_name(settings.connector_name or cloud.connector_name)
    os_types = cloud.os_types(settings.os_type) if settings.os_type else ()
    region = cloud.named_region(settings) or ""
    named = cloud.names_cluster(settings)
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(open_account(settings)) if named else None
        shown = stack.enter_context(progress())
        cluster = await stack.enter_async_context(open_cluster(settings, account))
        targets = await find_targets(
            cluster.kube, name, os_types=os_types, region=region, release=settings.release_name or ""
        )
        # A connector for each node, by the node's own name: what is asked is about nodes alone.
        nodes = tuple(
            names.Connector(name, one.os_type, region, node_name=one.node) for one in targets if one.node
        )
        shown.say("", "looking at the cluster")
        report = await run_validation_checks(nodes, kube=cluster.kube)
        shown.done("")
        return await carry_out(cluster.kube, targets, chosen, observer=_Watcher(shown)), report


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Tells people which step each node is at."""

    shown: Progress

    def started(self, target: NodeTarget, step: str) -> None:
        self.shown.say(target.node, step)

    def finished(self, target: NodeTarget, step: Step) -> None:
        if step.name == "removed":
            self.shown.done(target.node)


def _show(found: Validation, report: Report, output: ValidateFormat) -> int:
    """Print what was found and return the exit code: that of the nodes, else that of the cluster."""
    for problem in report.warnings:
        warn(f"{problem.check.id}: {problem.answer.cause}")
        if problem.answer.fix:
            note(f"  fix: {problem.answer.fix}")
    for problem in report.failures:
        complain(f"{problem.check.id}: {problem.answer.cause or problem.check.title}", problem.answer.fix)
    if output is ValidateFormat.JSON:
        write_json("ConnectorValidation", {**found.document(), "checks": report.document()})
    elif output is ValidateFormat.JUNIT:
        sys.stdout.write(_junit(found))
    else:
        write_table(("OS", "NODE", "STEP", "RESULT", "TIME", "DETAIL"), _rows(found))
    for pod in found.swept:
        note(f"removed a smoke pod left by an earlier run: {pod}")
    for node in found.nodes:
        for step in node.steps:
            if step.exit_code != EXIT_OK:
                complain(f"{node.target.node}: {step.name}: {step.cause}", step.fix)
    return found.exit_code or report.exit_code()


def _rows(found: Validation) -> list[tuple[str, ...]]:
    from vnodectl.connector.validation import Verdict

    return [
        (
            _system(node),
            node.target.node,
            step.name,
            step.verdict.value,
            "-" if step.verdict is Verdict.SKIPPED else f"{step.seconds:.1f}s",
            step.detail or step.cause,
        )
        for node in found.nodes
        for step in node.steps
    ]


def _system(node: NodeReport) -> str:
    return node.target.os_type + (" (simulated)" if node.simulated else "")


def _junit(found: Validation) -> str:
    from vnodectl.checks.junit import Case, document
    from vnodectl.connector.validation import Verdict

    def text(step: Step) -> str:
        return "\n".join(filter(None, (step.cause, step.fix and f"fix: {step.fix}")))

    cases = [
        Case(
            classname=node.target.node,
            name=step.name,
            seconds=step.seconds,
            failure=text(step) if step.verdict is Verdict.FAILED else "",
            error=text(step) if step.verdict is Verdict.TIMED_OUT else "",
            skipped=step.cause if step.verdict is Verdict.SKIPPED else "",
            output=step.detail,
        )
        for node in found.nodes
        for step in node.steps
    ]
    return document("vnodectl validate", cases, found.seconds)
