"""Where the chart is: in the wheel, in a checkout, or where the user says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from vnodectl.errors import UsageError, VnodectlError
from vnodectl.settings import expanded

NAME = "vnode-connector"


def made(name: str) -> bool:
    """Whether a release's chart, as Helm names it (`vnode-connector-0.1.0`), is a connector's. "" may be."""
    return not name or name.startswith(f"{NAME}-")


def bundled() -> Path:
    """The chart that belongs to this version of the program."""
    package = Path(__file__).resolve().parent.parent
    for home in (package, package.parent):
        chart = home / "charts" / NAME
        if (chart / "Chart.yaml").is_file():
            return chart
    raise VnodectlError("the chart is missing from this installation", hint="reinstall vnodectl")


def reference(url: str) -> str | Path:
    """What Helm is given: an https or oci URL, a directory or archive on disk, or the bundled chart for "".

    Raises UsageError for anything else, as Helm would take it for a chart of one of the user's repositories.
    """
    if not url:
        return bundled()
    if urlsplit(url).scheme in {"http", "https", "oci"}:
        return url
    path = expanded(url.removeprefix("file://"))
    if path.is_dir() and not (path / "Chart.yaml").is_file():
        raise UsageError(f"no Chart.yaml in {path}", hint="name the chart's own directory")
    if path.exists():
        return path.resolve()
    raise UsageError(f"no chart at {url!r}", hint="give an https or oci URL, a directory or a .tgz file")
