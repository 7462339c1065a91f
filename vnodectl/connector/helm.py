"""Helm, through pyhelm3: always with an explicit kubeconfig and context, never with a secret.

pyhelm3 sends values to Helm's standard input, so they are in no argument list and in no file.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vnodectl.connector.redact import Redactor
from vnodectl.errors import ClusterUnreachable, ToolMissing, UsageError, VnodectlError

JSON = dict[str, Any]

_INSTALL_HINT = "install Helm 3.16 or newer: https://helm.sh/docs/intro/install/"
_MAX_CAUSE = 2000
_NO_WAY_BACK = frozenset({"pending-install", "uninstalling"})
_STUCK = _NO_WAY_BACK | {"pending-upgrade", "pending-rollback"}


class HelmError(VnodectlError):
    """Helm failed; the message has its own words, without secrets."""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release as Helm lists it. `status` is Helm's, e.g. deployed, failed, pending-install."""

    name: str
    namespace: str
    status: str
    chart: str


@dataclass(frozen=True, slots=True)
class Current:
    """A release's current revision: the chart's version, the values that were given, what it made."""

    revision: int
    version: str
    values: JSON = field(repr=False)
    manifests: list[JSON] = field(repr=False)


class Helm:
    """Helm for one cluster. Make it with `Helm.open`; `redact` cleans every message that leaves here."""

    def __init__(self, client: Any, redact: Redactor) -> None:
        self._client = client
        self._redact = redact

    @classmethod
    async def open(
        cls, *, kubeconfig: str | None, context: str | None, redact: Redactor, executable: str = "helm"
    ) -> Helm:
        """Raises ToolMissing where Helm is not there, or does not say which version it is."""
        if shutil.which(executable) is None:
            raise ToolMissing("helm is not on PATH", hint=_INSTALL_HINT)
        import pyhelm3

        try:
            client = await asyncio.to_thread(
                pyhelm3.Client,
                executable=executable,
                kubeconfig=Path(kubeconfig) if kubeconfig else None,
                kubecontext=context or None,
            )
        except (ValueError, OSError, AssertionError) as error:
            raise ToolMissing("helm does not tell a usable version", hint=_INSTALL_HINT) from error
        except Exception as error:
            # subprocess.CalledProcessError, without its output: that is Helm's business.
            raise ToolMissing(f"helm cannot be run: {type(error).__name__}", hint=_INSTALL_HINT) from None
        return cls(client, redact)

    @property
    def version(self) -> str:
        return str(self._client.version)

    async def chart(self, reference: str | Path) -> Any:
        """The chart's metadata and place, for the other calls. Raises HelmError where there is none."""
        try:
            async with self._errors("the chart cannot be read"):
                return await self._client.get_chart(reference)
        except ClusterUnreachable as error:  # reading a chart asks no cluster: it is the chart's own server
            raise HelmError(error.message, hint=f"is {reference} right, and can it be reached?") from None

    async def render(self, release: str, chart: Any, values: JSON, *, namespace: str) -> list[JSON]:
        """The release's manifests, checked against the chart's schema; the cluster is not asked."""
        async with self._errors("the chart does not accept these values"):
            found: Iterable[JSON | None] = await self._client.template_resources(
                chart, release, values, namespace=namespace, no_hooks=True
            )
            return [manifest for manifest in found if manifest]

    async def install(self, release: str, chart: Any, values: JSON, *, namespace: str, timeout: float) -> int:
        """Install or upgrade; the new revision. Does not wait for anything to become ready."""
        async with self._errors(f"helm could not install {release}"):
            revision = await self._client.install_or_upgrade_release(
                release,
                chart,
                values,
                namespace=namespace,
                create_namespace=False,
                timeout=f"{int(timeout)}s",
            )
            return int(revision.revision)

    async def recover(self, release: str, *, namespace: str, timeout: float) -> str:
        """Make a release that an interrupted run left pending usable again; its status then, else "".

        A pending first install is uninstalled, a pending upgrade or rollback is rolled back.
        """
        async with self._errors(f"helm could not repair {release}"):
            found = [one for one in await self.releases(namespace) if one.name == release]
            status = found[0].status if found else ""
            if status not in _STUCK:
                return ""
            stuck = (await self._client.get_current_revision(release, namespace=namespace)).release
            if status in _NO_WAY_BACK:
                await stuck.uninstall(timeout=f"{int(timeout)}s", wait=True)
            else:
                await stuck.rollback(timeout=f"{int(timeout)}s")
            return status

    async def releases(self, namespace: str | None) -> list[ReleaseRecord]:
        """Every release in the namespace, whatever its status; None means all namespaces."""
        async with self._errors("helm could not list releases"):
            found = await self._client.list_release_definitions(
                namespace=namespace,
                all_namespaces=namespace is None,
                include_failed=True,
                include_pending=True,
                include_uninstalled=True,
                include_uninstalling=True,
            )
            return [
                ReleaseRecord(one["name"], one["namespace"], one["status"], one.get("chart", ""))
                for one in found
            ]

    async def current(self, release: str, *, namespace: str) -> Current:
        """The release as it is now. Raises HelmError where there is none."""
        async with self._errors(f"helm does not tell of {release}"):
            revision = await self._client.get_current_revision(release, namespace=namespace)
            metadata = await revision.chart_metadata()
            return Current(
                int(revision.revision),
                str(metadata.version),
                dict(await revision.values()),
                [manifest for manifest in await revision.resources() if manifest],
            )

    async def rollback(self, release: str, revision: int, *, namespace: str, timeout: float) -> None:
        """Back to an earlier revision; does not wait for anything to become ready."""
        async with self._errors(f"helm could not roll {release} back"):
            now = await self._client.get_current_revision(release, namespace=namespace)
            await now.release.rollback(revision, timeout=f"{int(timeout)}s")

    async def uninstall(self, release: str, *, namespace: str, timeout: float) -> None:
        """Uninstall. A release that does not exist is not an error."""
        async with self._errors(f"helm could not uninstall {release}"):
            await self._client.uninstall_release(release, namespace=namespace, timeout=f"{int(timeout)}s")

    @asynccontextmanager
    async def _errors(self, doing: str) -> AsyncIterator[None]:
        from pydantic import ValidationError
        from pyhelm3.errors import Error

        try:
            yield
        except Error as error:
            raise self._error(doing, error.stderr.decode(errors="replace")) from None
        except ValidationError:
            # The offending input may be among its words.
            raise HelmError(f"{doing}: helm's answer was not understood", hint=_INSTALL_HINT) from None

    def _error(self, doing: str, stderr: str) -> VnodectlError:
        cause = self._redact(_cause(stderr))
        lower = stderr.lower()
        if "provide credentials" in lower:
            return ClusterUnreachable(
                f"{doing}: the cluster does not accept these credentials",
                hint="log in again (az login, aliyun configure …), renew the kubeconfig, and retry",
            )
        if "kubernetes cluster unreachable" in lower or "connection refused" in lower:
            return ClusterUnreachable(f"{doing}: {cause}", hint="check the cluster: kubectl cluster-info")
        if "specifications of the schema" in stderr:
            return UsageError(
                f"{doing}: {cause}", hint="correct the named value, or use the chart of this version"
            )
        return HelmError(f"{doing}: {cause}")


_LOG_LINE = re.compile(r"^(time=\S+ )?(level=(INFO|WARN|DEBUG)|(WARNING|walk\.go).*:)", re.MULTILINE)


def _cause(stderr: str) -> str:
    """Helm's error without its log lines and its usual prefixes."""
    lines = [line for line in stderr.splitlines() if line.strip() and not _LOG_LINE.match(line)]
    text = "\n".join(lines).strip()
    for prefix in ("Error: ", "INSTALLATION FAILED: ", "UPGRADE FAILED: "):
        text = text.removeprefix(prefix)
    return text[:_MAX_CAUSE] or "no message"
