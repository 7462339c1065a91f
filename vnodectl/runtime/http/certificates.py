"""Which serving certificate a node has: the user's, the cluster's, or one of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vnodectl.kube.client import KubeClient
from vnodectl.runtime.clock import Clock
from vnodectl.runtime.http.csr import ClusterCertificate
from vnodectl.runtime.http.serving import CertificateSource, FileKeyPair, KeyPair, NoCertificate, SelfSigned


class CertificateMode(StrEnum):
    """CSR asks the cluster and serves nothing before it has signed. AUTO asks too, and serves with a
    self-signed certificate until it has: API servers that were not told a kubelet CA accept either."""

    AUTO = "auto"
    CSR = "csr"
    SELF_SIGNED = "self-signed"


@dataclass(frozen=True, slots=True)
class Serving:
    """`renew`, where there is one, keeps `source` fresh: run it as a task."""

    source: CertificateSource
    renew: Callable[[], Coroutine[Any, Any, None]] | None = None


def serving(
    mode: CertificateMode,
    files: tuple[Path, Path] | None,
    client: KubeClient,
    node: str,
    addresses: Sequence[str],
    *,
    clock: Clock,
    uid: Callable[[], str] = str,
) -> Serving:
    """`files`, a certificate and its key, win over `mode` and are read again when they change. `uid` gives
    that of the Node, once there is one."""
    if files is not None:
        return Serving(FileKeyPair(*files))
    own = SelfSigned(node, addresses)
    if mode is CertificateMode.SELF_SIGNED:
        return Serving(own)
    stand_in: CertificateSource = own if mode is CertificateMode.AUTO else _none
    cluster = ClusterCertificate(client, node, addresses, stand_in, clock=clock, uid=uid)
    return Serving(cluster, cluster.run)


def _none() -> KeyPair:
    raise NoCertificate("the cluster has not signed a certificate yet")
