"""Fetching official release files and verifying them. An offline machine finds that out within seconds."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import platform
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vnodectl.errors import Unreachable, VnodectlError
from vnodectl.sandbox.versions import HELM, ControlPlane

if TYPE_CHECKING:
    import aiohttp

_CONNECT_SECONDS = 4.0
_STALL_SECONDS = 30.0
_CHUNK = 1 << 18
CONTROL_PLANE_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


class ChecksumMismatch(VnodectlError):
    """What was downloaded is not what its publisher's checksum says. Nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Release:
    """A file to fetch, where its SHA-256 is published, and what to take from it.

    The checksum's file holds the digest alone or lines `<digest>  <file>`. `members` maps names in a
    tar archive to file names to write; empty: the file itself is the program, written as `name`.
    """

    name: str
    url: str
    checksum_url: str
    members: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the projects publish their releases (dl.k8s.io, etcd's GitHub releases, get.helm.sh)."""

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"
    helm: str = "https://get.helm.sh"

    def control_plane(self, version: ControlPlane, arch: str) -> tuple[Release, ...]:
        folder = f"{self.kubernetes}/{version.kubernetes}/bin/linux/{arch}"
        archive = f"etcd-{version.etcd}-linux-{arch}"
        return (
            *(
                Release(name, f"{folder}/{name}", f"{folder}/{name}.sha256")
                for name in CONTROL_PLANE_PROGRAMS
            ),
            Release(
                f"{archive}.tar.gz",
                f"{self.etcd}/{version.etcd}/{archive}.tar.gz",
                f"{self.etcd}/{version.etcd}/SHA256SUMS",
                ((f"{archive}/etcd", "etcd"),),
            ),
        )

    def helm_release(self, arch: str) -> tuple[Release, ...]:
        archive = f"helm-{HELM}-linux-{arch}.tar.gz"
        url = f"{self.helm}/{archive}"
        return (Release(archive, url, f"{url}.sha256sum", ((f"linux-{arch}/helm", "helm"),)),)


def machine() -> str:
    """This machine's architecture as Go names it: amd64, arm64, …"""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


async def fetch_all(
    releases: Sequence[Release], target: Path, *, progress: Callable[[int, int, str], None]
) -> None:
    """Fetch, verify and place executables in `target`; `progress` gets bytes done, bytes in all, a name.

    Raises Unreachable where a server does not answer or does not have the file, ChecksumMismatch where
    a file is not the published one.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(
        total=None, connect=_CONNECT_SECONDS, sock_connect=_CONNECT_SECONDS, sock_read=_STALL_SECONDS
    )
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True, raise_for_status=True) as session:
        sizes: dict[str, int] = {}
        done: dict[str, int] = {}

        def report(name: str, got: int, size: int) -> None:
            done[name], sizes[name] = got, size
            # Until every file's size is known the percentage would run backwards.
            total = sum(sizes.values()) if len(sizes) == len(releases) else 0
            progress(sum(done.values()), total, name)

        tasks = [
            asyncio.create_task(_fetch(session, release, target, report), name=f"download {release.name}")
            for release in releases
        ]
        try:
            await asyncio.gather(*tasks)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(
                f"cannot download {releases[0].url}: {error or type(error).__name__}"
            ) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _fetch(
    session: aiohttp.ClientSession,
    release: Release,
    target: Path,
    report: Callable[[str, int, int], None],
) -> None:
    async with session.get(release.checksum_url) as response:
        wanted = published_digest(await response.text(), release.name)
    path = target / release.name
    digest = hashlib.sha256()
    async with session.get(release.url) as response:
        size = response.content_length or 0
        with path.open("wb") as file:
            async for chunk in response.content.iter_chunked(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                report(release.name, file.tell(), size)
    if not hmac.compare_digest(digest.hexdigest(), wanted):
        path.unlink()
        raise ChecksumMismatch(
            f"{release.url} has the SHA-256 {digest.hexdigest()}, its publisher says {wanted}",
            hint="something between here and there changes downloads: check the proxy",
        )
    if release.members:
        await asyncio.to_thread(_unpack, path, target, release.members)
        path.unlink()
    else:
        path.chmod(0o755)


def published_digest(text: str, name: str) -> str:
    """The SHA-256 of `name` in a checksum file: a digest alone, or lines `<digest>  <file>`."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 1 or (len(fields) == 2 and PurePosixPath(fields[1].lstrip("*")).name == name):
            return fields[0].lower()
    raise ChecksumMismatch(f"no checksum is published for {name}")


def _unpack(archive: Path, target: Path, members: Sequence[tuple[str, str]]) -> None:
    with tarfile.open(archive) as tar:
        for member, name in members:
            source = None
            with suppress(KeyError):
                source = tar.extractfile(member)
            if source is None:
                raise ChecksumMismatch(f"{archive.name} has no file {member}")
            path = target / name
            with source, path.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
            path.chmod(0o755)
