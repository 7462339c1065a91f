"""`vnodectl lint`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import azure_settings, gather, patterns
from vnodectl.cli.lint_files import read_files
from vnodectl.cli.options import CLUSTER, RUN, option
from vnodectl.cli.output import note, write_document, write_json, write_table
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError
from vnodectl.plain import one_line

if TYPE_CHECKING:
    from vnodectl.cli.lint_files import Files
    from vnodectl.connector.settings import Settings
    from vnodectl.kube.client import KubeClient
    from vnodectl.lint.clouds import Cloud, Placement
    from vnodectl.lint.engine import Input
    from vnodectl.lint.images import Images
    from vnodectl.lint.model import Finding, Report
    from vnodectl.lint.online import CloudSays

_PLACE = "The virtual node"
_OBJECTS = "What to look at"

Unread = tuple[tuple[str, str], ...]
"""What may not be read, and why."""


class LintFormat(StrEnum):
    """How findings are printed."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at and how, besides the settings that name cloud and cluster."""

    files: Files | None
    """What was read of files; None where a cluster is looked at."""
    namespace: str | None
    gpu_sku: str
    subnet: str
    ignore: frozenset[str]
    offline: bool
    images: bool


def lint(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE…", help="Files or directories of manifests; - is standard input."),
    ] = None,
    namespace: Annotated[
        str | None,
        option(_OBJECTS, "-n", "--namespace", metavar="NAME", help="The workloads of this namespace."),
    ] = None,
    everywhere: Annotated[
        bool, option(_OBJECTS, "-A", "--all-namespaces", help="The workloads of all namespaces.")
    ] = False,
    cloud: Annotated[
        str | None,
        option(
            _PLACE,
            "--cloud",
            metavar="CLOUD",
            help="azure or alibaba. (default: azure; env: VNODECTL_CLOUD)",
        ),
    ] = None,
    os_type: Annotated[
        str, option(_PLACE, "--os-type", metavar="OS", help="Linux or Windows. (default: Linux)")
    ] = "Linux",
    location: Annotated[
        str | None,
        option(_PLACE, "-l", "--location", metavar="REGION", help="Its region: what it offers is asked for."),
    ] = None,
    subnet_id: Annotated[
        str | None,
        option(
            _PLACE, "--subnet-id", metavar="ID", help="The connector's subnet. (env: VNODECTL_ACI_SUBNET_ID)"
        ),
    ] = None,
    gpu_sku: Annotated[
        str, option(_PLACE, "--gpu-sku", metavar="SKU", help="The connector's GPU SKU, if it has one.")
    ] = "",
    kubeconfig: options.Kubeconfig = None,
    context: Annotated[
        str | None,
        option(
            CLUSTER, "--context", metavar="NAME", help="A context of the kubeconfig, not its current one."
        ),
    ] = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    ignore: Annotated[
        list[str] | None,
        option(
            RUN, "--ignore", metavar="RULE", help="Leave out this code, glob of codes or name. (repeatable)"
        ),
    ] = None,
    images: Annotated[
        bool,
        option(
            RUN,
            "--check-images",
            help="In a cluster: ask registries for the images, with the pods' pull secrets.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        option(
            RUN,
            "--strict",
            help="Exit with 3 where there are warnings, or not everything could be looked at.",
        ),
    ] = False,
    offline: Annotated[bool, option(RUN, "--offline", help="Ask neither the cloud nor registries.")] = False,
    list_: Annotated[bool, option(RUN, "--list", help="List the rules; look at nothing.")] = False,
    config: options.Config = None,
    output: Annotated[
        LintFormat, option(RUN, "-o", "--output", help="How to print: table, json, sarif or junit.")
    ] = LintFormat.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Find what will not work on a virtual node, in files or in a cluster. Changes nothing.

    Exit codes: 1 with errors, 3 with warnings or a partial report and --strict, else 0.

    \b
    Examples:
      vnodectl lint deploy/ --cloud alibaba
      helm template web ./web | vnodectl lint - -o sarif > lint.sarif
      vnodectl lint -A --strict
    """
    log_to_stderr(verbose)
    from vnodectl.lint import catalogue

    if list_:
        _list(output)
        return
    live = everywhere or namespace is not None
    if live == bool(files) or (everywhere and namespace is not None):
        raise UsageError(
            "name files, or a namespace with -n, or all with -A", hint="see vnodectl lint --help"
        )
    if namespace == "":
        raise UsageError(
            "the namespace has no name", hint="an empty argument is often a variable that is not set"
        )
    settings = gather(
        {
            "cloud": cloud,
            "kubeconfig": kubeconfig,
            "context": context,
            "subscription": subscription,
            "tenant": tenant,
            "location": location,
            "subnet_id": subnet_id,
        },
        config,
    )
    name = (settings.cloud or "azure").lower()
    if name == "alibaba" and gpu_sku:
        raise UsageError("--gpu-sku is for the cloud azure only", hint="use --cloud azure")
    wanted = Wanted(
        files=None,
        namespace=namespace,
        gpu_sku=gpu_sku,
        subnet=(settings.subnet_id or "") if name == "azure" else "",
        ignore=catalogue.ignored(patterns(ignore)),
        offline=offline,
        images=images,
    )
    place = _placement(settings, wanted, name, os_type)
    with _no_search_for_garbage():
        if not live:
            wanted = replace(wanted, files=read_files(files or ()))
        report = run(_lint(settings, wanted, place))
    _show(report, output, wanted.files.notes if wanted.files is not None else ())
    code = report.exit_code(strict=strict)
    if code != EXIT_OK:
        raise typer.Exit(code)


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """What is read lives to the end of the program: to search it for cycles, again and again as it grows,
    takes two thirds of the time of a large file."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _placement(settings: Settings, wanted: Wanted, name: str, os_type: str) -> Placement:
    """Raises UsageError for a cloud or an operating system that there is not."""
    from vnodectl.lint.clouds import Placement, cloud

    region = (settings.region if name == "alibaba" else settings.location) or ""
    if name == "azure" and region:
        from vnodectl.connector.names import azure_region

        region = azure_region(region)
    place = Placement(name, os_type.capitalize(), region, wanted.subnet, wanted.gpu_sku)
    cloud(place)
    return place


async def _lint(settings: Settings, wanted: Wanted, place: Placement) -> Report:
    from vnodectl.lint import engine
    from vnodectl.lint.clouds import cloud
    from vnodectl.lint.online import ask

    async with AsyncExitStack() as stack:
        if wanted.files is None:
            from vnodectl.kube.config import connect

            kube = await stack.enter_async_context(await connect(settings.kubeconfig, settings.context))
            place, unread = await _as_installed(kube, place)
            given = await _live(kube, wanted, cloud(place), unread)
        else:
            given = _files(wanted.files, wanted, cloud(place))
        there = given.cloud
        judged = engine.judge(given)
        images: Images | None = None
        if wanted.files is None and wanted.images and judged and not wanted.offline:
            images = await _images(stack, settings, there)
            await images.look(judged)
            # What the images say of themselves decides about commands: everything is judged again with that.
            given = replace(given, cloud=cloud(replace(place, images=images.configs)))
            judged = engine.judge(given)
        says = await _azure(stack, settings) if there.name == "azure" and not wanted.offline else None
        asked = await ask(
            judged,
            given.cloud,
            says=says,
            registry=images,
            live=wanted.files is None,
            offline=wanted.offline,
            withheld=given.known.withheld,
        )
        return engine.report(given, judged, asked.notes, asked.skipped)


async def _images(stack: AsyncExitStack, settings: Settings, there: Cloud) -> Images:
    from vnodectl.clouds.http import http_session, tls_context
    from vnodectl.lint.images import Images
    from vnodectl.providers.image_registry import ImageRegistry
    from vnodectl.providers.timing import LoopTimer

    http = await stack.enter_async_context(http_session(tls_context(settings.ca_bundle or "")))
    return Images(ImageRegistry(lambda: http, LoopTimer()), there.os)


def _files(files: Files, wanted: Wanted, cloud: Cloud) -> Input:
    from vnodectl.lint.engine import Input
    from vnodectl.lint.landing import virtual_node

    node = virtual_node(cloud.taint, cloud.os)
    return Input(files.sources, cloud, node, wanted.ignore, files.findings)


async def _as_installed(kube: KubeClient, place: Placement) -> tuple[Placement, Unread]:
    """The settings of the connector that is there, where there is one: its subnet, its GPUs, its profile; and
    what may not be read of them."""
    from vnodectl.lint import live
    from vnodectl.lint.clouds import cloud

    said = await live.settings(kube, place.cloud, place.os_type)
    if not said.connectors:
        return place, said.unread
    first, *others = said.connectors
    if others:
        names = ", ".join(one.name for one in others)
        note(f"{first.name} decides about pods here; not looked at: {names}")
    installed = replace(place, environment=first.environment, profile=said.profile)
    try:
        cloud(installed)
    except UsageError as error:
        note(f"the settings of {first.name} are not used: {error.message}")
        return place, said.unread
    return installed, said.unread


async def _live(kube: KubeClient, wanted: Wanted, there: Cloud, unread: Unread) -> Input:
    from vnodectl.lint import live
    from vnodectl.lint.engine import Input, namespaces
    from vnodectl.lint.landing import virtual_node

    found = await live.read(kube, wanted.namespace)
    node = virtual_node(there.taint, there.os, found.nodes)
    known = await live.at_hand(
        kube, found.sources, node, namespaces(found.sources), pull_secrets=wanted.images
    )
    return Input(found.sources, there, node, wanted.ignore, unread=(*found.unread, *unread), known=known)


async def _azure(stack: AsyncExitStack, settings: Settings) -> CloudSays | None:
    whom = azure_settings(settings)
    if whom is None:
        return None
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.clouds.azure.offers import Offers

    try:
        return Offers(await stack.enter_async_context(AzureSession(whom)))
    except VnodectlError as error:
        note(f"the cloud is not asked: {error.message}")
        return None


def _show(report: Report, output: LintFormat, notes: Sequence[str]) -> None:
    from vnodectl.lint import render

    for text in notes:
        note(one_line(text))
    for what, reason in report.unread if output is not LintFormat.TABLE else ():
        note(one_line(f"not looked at: {what}: {reason}"))
    for code, reason in report.skipped if report.pods else ():
        note(one_line(f"skipped {code}: {reason}"))
    if output is LintFormat.JSON:
        write_document(report.document())
    elif output is LintFormat.SARIF:
        write_document(render.sarif(report))
    elif output is LintFormat.JUNIT:
        sys.stdout.write(_junit(report))
    else:
        sys.stdout.write(render.table(report))


def _junit(report: Report) -> str:
    """Errors fail; warnings pass with their text. Without a finding there is one case, which passes."""
    from vnodectl.checks.junit import Case, document
    from vnodectl.lint.model import Severity

    def text(one: Finding) -> str:
        said = ": ".join(filter(None, (one.path, one.message)))
        return "\n".join(filter(None, (said, one.suggestion)))

    cases = [
        Case(
            classname=one.file,
            name=f"{one.code} {one.path}".rstrip() + (f":{one.line}" if one.line else ""),
            failure=text(one) if one.severity is Severity.ERROR else "",
            output="" if one.severity is Severity.ERROR else text(one),
        )
        for one in report.findings
    ]
    cases += [Case("vnodectl", what, skipped=f"not looked at: {reason}") for what, reason in report.unread]
    return document("vnodectl lint", cases or [Case("vnodectl", "lint")], 0.0)


def _list(output: LintFormat) -> None:
    from vnodectl.lint.catalogue import RULES

    if output is LintFormat.JSON:
        keys = ("code", "name", "severity", "title", "doc")
        rows = [(one.code, one.name, one.severity.value, one.title, one.doc) for one in RULES]
        write_json("LintRules", {"rules": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif output is LintFormat.TABLE:
        write_table(
            ("CODE", "NAME", "SEVERITY", "CLOUDS", "WHAT"),
            [(one.code, one.name, one.severity.value, ", ".join(one.clouds), one.title) for one in RULES],
        )
    else:
        raise UsageError(f"--list has no {output.value} form", hint="use -o table or json")
