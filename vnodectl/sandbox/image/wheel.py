"""Our own wheel, made from the installed package: that needs no build tools and no checkout."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import vnodectl
from vnodectl.errors import VnodectlError

_PACKAGE = Path(vnodectl.__file__).parent
# Any fixed time will do (zip knows none before 1980): equal contents must give equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: vnodectl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def package_files() -> list[tuple[str, Path]]:
    """(name in the wheel, file) of everything in the package, sorted by name."""
    found = (path for path in _PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted((f"vnodectl/{path.relative_to(_PACKAGE).as_posix()}", path) for path in found)


def write_wheel(directory: Path) -> Path:
    """Write `vnodectl-<version>-py3-none-any.whl`. Raises VnodectlError where vnodectl is not installed."""
    try:
        distribution = metadata.distribution("vnodectl")
    except metadata.PackageNotFoundError as error:
        raise VnodectlError(
            "vnodectl runs from a directory without being installed",
            hint="python -m pip install --editable .",
        ) from error
    version = vnodectl.__version__
    info = f"vnodectl-{version}.dist-info"
    target = directory / f"vnodectl-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        record = []
        for name, content in _contents(distribution, info):
            archive.writestr(_entry(name), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}\n")
        record.append(f"{info}/RECORD,,\n")
        archive.writestr(_entry(f"{info}/RECORD"), "".join(record), zipfile.ZIP_DEFLATED)
    return target


def _contents(distribution: metadata.Distribution, info: str) -> Iterator[tuple[str, bytes]]:
    for name, path in package_files():
        yield name, path.read_bytes()
    for name in ("METADATA", "entry_points.txt"):
        yield f"{info}/{name}", (distribution.read_text(name) or "").encode()
    yield f"{info}/WHEEL", _WHEEL.encode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def digest(*more: bytes) -> str:
    """12 hex digits that change with any file of the package, and with `more`."""
    result = hashlib.sha256()
    for name, path in package_files():
        result.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for part in more:
        result.update(hashlib.sha256(part).digest())
    return result.hexdigest()[:12]
