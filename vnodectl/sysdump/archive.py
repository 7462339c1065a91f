"""The archive itself: one `.tar.gz` with one folder, the same bytes for the same content.

It is written beside its place and put there whole, or not at all; only its owner may read it.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vnodectl.errors import UsageError, VnodectlError

MODE = 0o600
MANIFEST = "manifest.json"
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK})


def check_place(path: Path, *, force: bool) -> None:
    """UsageError where the archive cannot go there, before anybody has waited for it."""
    if path.exists() and (path.is_dir() or not force):
        hint = (
            "name another with -f" if path.is_dir() else "overwrite it with --force, or name another with -f"
        )
        raise UsageError(f"{path} exists", hint=hint)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no directory")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent} cannot be written to", hint="name another place with -f")


def write(path: Path, folder: str, members: Mapping[str, bytes], *, at: float, force: bool) -> int:
    """Write the archive; its size in bytes. `at`: seconds since the epoch, the time of everything in it.

    Raises UsageError where the file has appeared meanwhile and `force` is false, and VnodectlError where it
    cannot be written. Nothing is left behind where it is interrupted.
    """
    temporary = ""
    try:
        # mkstemp makes it with mode 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            _fill(file, folder, members, int(at))
            file.flush()
            os.fsync(file.fileno())
        size = Path(temporary).stat().st_size
        _place(temporary, path, force=force)
        return size
    except FileExistsError:
        raise UsageError(
            f"{path} exists", hint="overwrite it with --force, or name another with -f"
        ) from None
    except OSError as error:
        raise VnodectlError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()


def _fill(file: io.BufferedIOBase, folder: str, members: Mapping[str, bytes], at: int) -> None:
    """The manifest first, so that a reader finds it without reading all; the rest by name."""
    order = sorted(members, key=lambda name: (name != MANIFEST, name))
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=at) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in order:
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(members[name])
            entry.mtime = at
            entry.mode = MODE
            archive.addfile(entry, io.BytesIO(members[name]))


def _place(temporary: str, path: Path, *, force: bool) -> None:
    if force:
        os.replace(temporary, path)  # noqa: PTH105 - beside os.link, which Path has under another name
        return
    try:
        os.link(temporary, path)  # fails where the name is taken, unlike a rename
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)  # noqa: PTH105
