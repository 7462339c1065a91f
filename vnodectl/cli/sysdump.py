"""`vnodectl sysdump`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import gather, open_account
from vnodectl.cli.options import RUN, option
from vnodectl.cli.output import Format, complain, console, note, warn, write_json
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_OK, UsageError, VnodectlError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from vnodectl.connector.clouds import Account
    from vnodectl.connector.cluster import Cluster as OpenCluster
    from vnodectl.connector.redact import Redactor
    from vnodectl.connector.settings import Settings
    from vnodectl.sysdump.bundle import Bundle, Collected, Files, Section
    from vnodectl.sysdump.cluster import Where

_SIGN_IN = "nobody is signed in to the cloud"


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    path: Path
    size: int
    bundle: Bundle


def sysdump(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    connector_name: options.ConnectorName = None,
    os_type: options.OsType = None,
    cloud: options.Cloud = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    aci_resource_group: options.AciResourceGroup = None,
    location: options.Location = None,
    file: Annotated[
        str | None,
        option(
            RUN, "-f", "--file", metavar="FILE", help="The archive. (default: vnodectl-sysdump-<time>.tar.gz)"
        ),
    ] = None,
    force: Annotated[bool, option(RUN, "--force", help="Overwrite the archive if it is there.")] = False,
    strict: Annotated[
        bool, option(RUN, "--strict", help="Exit with 3 where anything could not be collected.")
    ] = False,
    config: options.Config = None,
    output: options.Output = Format.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Collect everything that helps to understand a connector into one archive, without secrets.

    What cannot be collected is named in the archive's manifest.json, and loses nothing of the rest.
    Changes nothing.

    \b
    Examples:
      vnodectl sysdump -g my-group -n my-aks
      vnodectl sysdump -f case-4711.tar.gz --force
    """
    log_to_stderr(verbose)
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
            "os_type": os_type,
            "aci_resource_group": aci_resource_group,
            "location": location,
        },
        config,
    )
    from vnodectl.connector import names
    from vnodectl.connector.clouds import cloud_of

    names.namespace_name(settings.namespace or cloud_of(settings).namespace)
    if file == "-":
        raise UsageError(
            "the archive is a file, and its name goes to standard output", hint="name it with -f"
        )
    now = datetime.now(UTC)
    path = Path(file or f"vnodectl-sysdump-{now:%Y%m%d-%H%M%S}.tar.gz")
    from vnodectl.sysdump.archive import check_place

    check_place(path, force=force)
    made = run(_make(settings, path, now, force))
    code = _show(made, output, strict)
    if code != EXIT_OK:
        raise typer.Exit(code)


async def _make(settings: Settings, path: Path, now: datetime, force: bool) -> Written:
    from vnodectl.sysdump import archive
    from vnodectl.sysdump.bundle import collect
    from vnodectl.sysdump.redaction import cleaner

    async with AsyncExitStack() as stack:
        watcher = stack.enter_context(_watching())
        watcher.say("looking at the cluster and the cloud")
        opened = await _open(stack, settings)
        clean = cleaner(opened.secrets)
        sections = await _sections(stack, settings, opened, clean)
        watcher.expect(len(sections))
        bundle = await collect(sections, clean=clean, taken_at=now, watcher=watcher)
    # Nothing is awaited from here on: an interruption comes before the file, or after it.
    size = archive.write(path, _folder(path), bundle.members(), at=now.timestamp(), force=force)
    return Written(path, size, bundle)


def _folder(path: Path) -> str:
    """The archive's top folder: its name without its endings."""
    name = path.name
    for ending in (".tar.gz", ".tgz"):
        name = name.removesuffix(ending)
    return name or "vnodectl-sysdump"


# --- what there is to ask -------------------------------------------------------------------------


@dataclass(slots=True)
class _Opened:
    """The sessions that could be opened; `errors` says why another could not. `secrets` are to be masked."""

    account: Account | None = None
    cluster: OpenCluster | None = None
    errors: dict[str, VnodectlError] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list, repr=False)


async def _open(stack: AsyncExitStack, settings: Settings) -> _Opened:
    """UsageError where the user named a kubeconfig or context that is wrong; any other trouble is noted."""
    from vnodectl.connector.cluster import open_cluster
    from vnodectl.sysdump import redaction

    opened = _Opened(secrets=[*redaction.of_settings(settings), *redaction.of_environment(os.environ)])
    try:
        opened.account = await stack.enter_async_context(open_account(settings))
    except VnodectlError as error:
        opened.errors["cloud"] = error
    try:
        cluster = await stack.enter_async_context(open_cluster(settings, opened.account))
        opened.cluster = cluster
        opened.secrets += redaction.of_kubeconfig(cluster.kube.configuration)
        for secret in await _where(settings, cluster).secrets():
            opened.secrets += redaction.of_secret(secret)
    except VnodectlError as error:
        if isinstance(error, UsageError) and (settings.kubeconfig or settings.context):
            raise
        opened.errors["cluster"] = error
    return opened


def _where(settings: Settings, cluster: OpenCluster) -> Where:
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.names import namespace_name
    from vnodectl.sysdump.cluster import Where

    return Where(cluster.kube, namespace_name(settings.namespace or cloud_of(settings).namespace))


async def _sections(
    stack: AsyncExitStack, settings: Settings, opened: _Opened, clean: Redactor
) -> list[Section]:
    from vnodectl.checks.helm import HelmProgram
    from vnodectl.cli.check import open_context
    from vnodectl.sysdump import checking, plan
    from vnodectl.sysdump.bundle import Section

    async def checks() -> tuple[Files, Sequence[str]]:
        # Sessions of their own: what keeps them from opening is an answer, too.
        return await checking.checks(await open_context(stack, settings, offline=False), clean)

    found = [Section("versions", lambda: plan.versions(HelmProgram())), Section("checks", checks)]
    cluster = opened.cluster
    if cluster is None or "cluster" in opened.errors:
        error = opened.errors["cluster"]
        found.append(Section("cluster", lambda: _raise(error), needs_cluster=True))
    else:
        where = _where(settings, cluster)
        found += [
            Section("plan", lambda: plan.plan(settings, cluster, opened.account)),
            Section("cluster", where.version),
            *(Section(name, collect, needs_cluster=True) for name, collect in where.sections().items()),
        ]
    return [*found, *_clouds(settings, opened)]


def _clouds(settings: Settings, opened: _Opened) -> list[Section]:
    from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
    from vnodectl.connector.clouds.azure_account import AzureAccount
    from vnodectl.sysdump import clouds
    from vnodectl.sysdump.bundle import Section, Skipped

    account, cluster = opened.account, opened.cluster

    async def resource_groups(there: AzureAccount) -> list[str]:
        group = settings.aci_resource_group or there.place(cluster.described if cluster else None)
        known = [group] if group else []
        return known or (await _where(settings, cluster).resource_groups() if cluster is not None else [])

    async def releases() -> list[str]:
        return await _where(settings, cluster).releases_there() if cluster is not None else []

    async def groups() -> tuple[Files, Sequence[str]]:
        if isinstance(account, AzureAccount):
            return await clouds.azure_groups(
                account.session, await resource_groups(account), await releases(), await _owner(cluster)
            )
        if isinstance(account, AlibabaAccount):
            session = await account.session(account.place(cluster.described if cluster else None))
            return await clouds.alibaba_groups(session, await releases(), await _owner(cluster))
        raise opened.errors.get("cloud") or Skipped(_SIGN_IN)

    async def place() -> tuple[Files, Sequence[str]]:
        if isinstance(account, AzureAccount):
            return await clouds.azure_place(account.session, await resource_groups(account))
        if isinstance(account, AlibabaAccount):
            return await clouds.alibaba_place(
                await account.session(account.place(cluster.described if cluster else None))
            )
        raise opened.errors.get("cloud") or Skipped(_SIGN_IN)

    return [Section("container groups", groups), Section("cloud", place)]


async def _owner(cluster: OpenCluster | None) -> str:
    from vnodectl.connector.clouds.facts import owner
    from vnodectl.connector.cluster import cluster_uid

    return owner(await cluster_uid(cluster.kube)) if cluster is not None else ""


async def _raise(error: VnodectlError) -> tuple[Files, Sequence[str]]:
    raise error


# --- what people see ------------------------------------------------------------------------------


class _Watcher:
    """A bar on a terminal, else a line for each section."""

    def __init__(self, bar: Bar | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None) if bar is not None else None
        self._running: list[str] = []

    def say(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)
        else:
            note(text)

    def expect(self, total: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=total, completed=0)

    def started(self, name: str) -> None:
        self._running.append(name)
        self._refresh()

    def finished(self, one: Collected) -> None:
        self._running.remove(one.name)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
            self._refresh()
        else:
            skipped = one.outcome.value == "skipped"  # why anything failed is told at the end
            note(f"{one.name}: {one.outcome.value}" + (f" ({one.reason})" if skipped else ""))

    def _refresh(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=", ".join(self._running[:3]))


@contextmanager
def _watching() -> Iterator[_Watcher]:
    if not sys.stderr.isatty():
        yield _Watcher(None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        yield _Watcher(bar)


def _show(made: Written, output: Format, strict: bool) -> int:
    bundle = made.bundle
    for reason in dict.fromkeys(one.reason for one in bundle.failed):  # one right may be missing for several
        names = ", ".join(one.name for one in bundle.failed if one.reason == reason)
        warn(f"{names} could not be collected: {reason}")
    if bundle.lost:
        complain("nothing of the cluster could be read", "the archive holds what can be known without it")
    elif bundle.failed:
        note(f"{len(bundle.failed)} of {len(bundle.sections)} sections are missing in the archive")
    if output is Format.JSON:
        write_json(
            "Sysdump",
            {
                "path": str(made.path),
                "size": made.size,
                "complete": not bundle.failed,
                "sections": [one.document() for one in bundle.sections],
            },
        )
    else:
        sys.stdout.write(f"{made.path}\n")
    return bundle.exit_code(strict=strict)
