"""A directory whose files change all at once.

The layout is the kubelet's AtomicWriter's, which programs that watch their configuration know:

    ..2f3k1x/token        the files
    ..data -> ..2f3k1x    replaced by one rename
    token -> ..data/token
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vnodectl.engines.api import EngineError, FileContent

DATA = "..data"
GROUP_READ = 0o440


def write_payload(root: Path, files: Sequence[FileContent], *, group: int | None = None) -> None:
    """Make `root` hold exactly these files; whoever reads it sees the old set or the new, never a mix.

    A numeric `group` owns the files and may read them. Raises EngineError for a path that leaves the
    directory and OSError.
    """
    for file in files:
        check_relative(file.path)
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=root))
    try:
        _fill(fresh, files, group)
        old = _current(root)
        staged = root / "..data_tmp"
        staged.unlink(missing_ok=True)
        staged.symlink_to(fresh.name)
        staged.rename(root / DATA)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link_names(root, {PurePosixPath(file.path).parts[0] for file in files})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def check_relative(path: str) -> None:
    """Raises EngineError unless `path` is relative and stays inside its volume."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or path.startswith(".."):
        raise EngineError(f"path {path!r} is not inside its volume")


def _fill(directory: Path, files: Sequence[FileContent], group: int | None) -> None:
    directory.chmod(0o755)
    for file in files:
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        mode = file.mode
        if group is not None:
            os.chown(target, -1, group)
            mode |= GROUP_READ
        target.chmod(mode)


def _current(root: Path) -> Path | None:
    try:
        return root / (root / DATA).readlink()
    except OSError:
        return None


def _link_names(root: Path, names: set[str]) -> None:
    for name in names:
        link = root / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for entry in root.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
