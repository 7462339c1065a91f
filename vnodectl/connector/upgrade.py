"""Upgrading: the chart and the image of this version, with the values that the release has now."""

from __future__ import annotations

import asyncio
import copy
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vnodectl.connector import chart as charts
from vnodectl.connector.image import Image
from vnodectl.connector.node import wait_connector
from vnodectl.connector.redact import MASK, Redactor
from vnodectl.connector.release import Installed, alone
from vnodectl.errors import EXIT_FAILED, EXIT_OK, UsageError, VnodectlError

if TYPE_CHECKING:
    from vnodectl.connector.helm import Helm
    from vnodectl.connector.inventory import Installation
    from vnodectl.connector.names import Connector
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[["Connector", str], None]

_UPGRADABLE = frozenset({"deployed", "failed", "pending-upgrade", "pending-rollback"})
"""A release of any other status has no revision to go on from."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is to become of releases. `timeout` in seconds, for each.

    An image of which nothing is said keeps its repository and gets the tag of the chart's version.
    `replicas` 0 leaves their number alone. `undo`: back to the revision before where the nodes do not come.
    """

    image: Image = field(default_factory=Image)
    chart: str = ""
    replicas: int = 0
    wait: bool = True
    undo: bool = False
    timeout: float = 300.0

    def values(self, stored: JSON) -> JSON:
        """The values of the next revision, from those of the current one. Pure."""
        made = copy.deepcopy(stored)
        before: JSON = made.get("image") or {}
        kept = {key: value for key, value in before.items() if key not in ("repository", "tag", "digest")}
        said = {
            "repository": self.image.repository or before.get("repository"),
            "tag": self.image.tag,
            "digest": self.image.digest,
        }
        image = kept | {key: value for key, value in said.items() if value}
        made.pop("image", None)
        if image:
            made["image"] = image
        if self.replicas:
            made["replicas"] = self.replicas
        return made


@dataclass(frozen=True, slots=True)
class Step:
    """One release, ready to be upgraded with `chart` (Helm's). `before` and `after` are its manifests."""

    connector: Connector
    namespace: str
    old_version: str
    new_version: str
    revision: int
    values: JSON = field(repr=False)
    before: tuple[JSON, ...] = field(repr=False)
    after: tuple[JSON, ...] = field(repr=False)
    chart: Any = field(default=None, repr=False)

    def diff(self) -> str:
        """What would change, as `diff -u` says it; what is in Secrets is masked. "" for nothing."""
        import yaml

        old, new = _by_name(self.before), _by_name(self.after)
        lines: list[str] = []
        for name in sorted({*old, *new}):
            texts = [
                yaml.safe_dump(one, sort_keys=False) if one else "" for one in (old.get(name), new.get(name))
            ]
            lines += difflib.unified_diff(
                texts[0].splitlines(), texts[1].splitlines(), f"{name} (now)", f"{name} (then)", lineterm=""
            )
        return "".join(f"{line}\n" for line in lines)


async def prepare(chosen: Sequence[Installation], upgrade: Upgrade, helm: Helm) -> list[Step]:
    """Everything that can be refused is refused here, with nothing changed.

    UsageError for a release that is newer than the chart, VnodectlError for one that is not there whole.
    """
    chart = await helm.chart(charts.reference(upgrade.chart))
    steps = []
    for one in chosen:
        if one.connector is None or one.release_status not in _UPGRADABLE:
            raise VnodectlError(
                f"release {one.release} cannot be upgraded: {'; '.join(one.problems)}",
                hint="install-connector makes it whole again",
            )
        steps.append(await _step(one.connector, one.namespace, chart, upgrade, helm))
    return steps


async def _step(connector: Connector, namespace: str, chart: Any, upgrade: Upgrade, helm: Helm) -> Step:
    release = connector.release
    current = await helm.current(release, namespace=namespace)
    _refuse_older(release, current.version, str(chart.metadata.version))
    values = upgrade.values(current.values)
    after = await helm.render(release, chart, values, namespace=namespace)
    return Step(
        connector,
        namespace,
        current.version,
        str(chart.metadata.version),
        current.revision,
        values,
        before=tuple(current.manifests),
        after=tuple(after),
        chart=chart,
    )


async def carry_out(
    steps: Sequence[Step], upgrade: Upgrade, kube: KubeClient, helm: Helm, *, say: Say, redact: Redactor
) -> tuple[Installed, ...]:
    """Upgrade every release, concurrently, and report on each. Raises nothing but what cancels it."""

    async def one(step: Step) -> Installed:
        loop = asyncio.get_running_loop()
        began = loop.time()
        revision, seen = 0, ""
        connector = step.connector
        try:
            async with alone(kube, connector, step.namespace, timeout=upgrade.timeout, say=say):
                step = await _again(step)
                say(connector, f"upgrading release {connector.release} to {step.new_version}")
                revision = await helm.install(
                    connector.release,
                    step.chart,
                    step.values,
                    namespace=step.namespace,
                    timeout=upgrade.timeout,
                )
                if upgrade.wait:
                    seen = await _ready(step, revision)
        except VnodectlError as error:
            return Installed(
                connector,
                error.exit_code or EXIT_FAILED,
                revision,
                message=redact(error.message),
                hint=redact(error.hint),
                seconds=loop.time() - began,
            )
        return Installed(connector, EXIT_OK, revision, node=seen, seconds=loop.time() - began)

    async def _again(step: Step) -> Step:
        """The step as it is now that nobody else works on the release, which must not be pending."""
        release, where = step.connector.release, step.namespace
        if (await helm.current(release, namespace=where)).revision != step.revision:
            step = await _step(step.connector, where, step.chart, upgrade, helm)
        stuck = await helm.recover(release, namespace=where, timeout=upgrade.timeout)
        if not stuck:
            return step
        say(step.connector, f"an earlier run left release {release} {stuck}: repaired")
        # The way back leads to what was there before that run; forward, to what it was meant to become.
        return replace(step, revision=(await helm.current(release, namespace=where)).revision)

    async def _ready(step: Step, revision: int) -> str:
        try:
            return await _wait(step)
        except VnodectlError as error:
            back = f"helm rollback {step.connector.release} {step.revision} -n {step.namespace}"
            if not upgrade.undo:
                error.hint = f"go back with: {back}"
                raise
            say(step.connector, f"revision {revision} does not come up: back to {step.revision}")
            await helm.rollback(
                step.connector.release, step.revision, namespace=step.namespace, timeout=upgrade.timeout
            )
            try:
                await _wait(step)
            except VnodectlError as worse:
                raise VnodectlError(
                    f"{error.message}\nback at revision {step.revision}, which does not come up either: "
                    f"{worse.message}",
                    hint=worse.hint,
                ) from error
            error.message += f"\nback at revision {step.revision}, which works"
            raise

    async def _wait(step: Step) -> str:
        states = await wait_connector(
            kube,
            step.connector,
            namespace=step.namespace,
            timeout=upgrade.timeout,
            say=lambda text: say(step.connector, text),
        )
        return "; ".join(map(str, states))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(step), name=f"upgrade {step.connector.release}") for step in steps]
    return tuple(task.result() for task in tasks)


def _refuse_older(release: str, now: str, then: str) -> None:
    from semver import Version

    try:
        older = Version.parse(then) < Version.parse(now)
    except ValueError:
        return  # a chart of somebody's own: nothing can be said of its version
    if older:
        raise UsageError(
            f"release {release} is of chart version {now}, newer than {then}",
            hint="upgrade vnodectl, or go back with helm rollback",
        )


def _by_name(manifests: Sequence[JSON]) -> dict[str, JSON]:
    found = {}
    for one in manifests:
        meta = one.get("metadata") or {}
        where = f"{meta['namespace']}/" if meta.get("namespace") else ""
        found[f"{one.get('kind')} {where}{meta.get('name')}"] = _masked(one)
    return found


def _masked(manifest: JSON) -> JSON:
    if manifest.get("kind") != "Secret":
        return manifest
    masked = dict(manifest)
    for key in ("data", "stringData"):
        if manifest.get(key):
            masked[key] = dict.fromkeys(manifest[key], MASK)
    return masked
