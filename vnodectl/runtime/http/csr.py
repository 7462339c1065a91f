"""A serving certificate from the cluster, by CertificateSigningRequest, renewed before it ends.

The signer is `kubernetes.io/kubelet-serving`: subject O=system:nodes, CN=system:node:<name>, usages
"digital signature" and "server auth". Nobody approves these by default; until somebody does, the node serves
with whatever stands in. One request at a time is open for a node, so that a cluster where nobody ever answers
does not fill up with them.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vnodectl.errors import ClusterUnreachable, VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import NotFound, Throttled
from vnodectl.kube.resources import Resource
from vnodectl.runtime.clock import Clock
from vnodectl.runtime.http.serving import CertificateSource, KeyPair, general_names

log = logging.getLogger(__name__)

CERTIFICATE_SIGNING_REQUESTS = Resource(
    "/apis/certificates.k8s.io/v1", "certificatesigningrequests", namespaced=False
)
SIGNER = "kubernetes.io/kubelet-serving"

_POLL_SECONDS = 2.0
_MOST_POLL_SECONDS = 60.0
_AGAIN_SECONDS = 300.0
_COMMON_NAME = "system:node:"
_COMMON_NAME_LIMIT = 64  # RFC 5280, ub-common-name


class Refused(Exception):
    """The request was denied, failed, or vanished; the text says which."""


@dataclass(frozen=True, slots=True)
class _Issued:
    pair: KeyPair
    renew_at: float
    ends_at: float


class ClusterCertificate:
    """A CertificateSource that gives the cluster's certificate once there is one, else `fallback`'s.

    Run `run` as a task once the Node exists, as approvers look at it. `addresses` are its IPs or DNS names,
    `uid` gives its uid: requests are its property, so that they go away with it.
    """

    def __init__(
        self,
        client: KubeClient,
        node: str,
        addresses: Sequence[str],
        fallback: CertificateSource,
        *,
        clock: Clock,
        uid: Callable[[], str] = str,
        poll: float = _POLL_SECONDS,
        again: float = _AGAIN_SECONDS,
    ) -> None:
        self._client = client
        self._node = node
        self._addresses = tuple(addresses)
        self._fallback = fallback
        self._clock = clock
        self._uid = uid
        self._poll = poll
        self._again = again
        self._issued: _Issued | None = None

    def __call__(self) -> KeyPair:
        if self._issued is None or self._clock() >= self._issued.ends_at:
            return self._fallback()
        return self._issued.pair

    async def run(self) -> None:
        """Ask, wait, and ask again at about 80 % of a certificate's life, until cancelled."""
        said = ""
        while True:
            delay = self._again
            try:
                issued = await self._ask()
                delay = max(self._poll, issued.renew_at - self._clock())
                log.info("node %s serves with a certificate of the cluster", self._node)
            except (Refused, VnodectlError) as error:
                level = logging.DEBUG if str(error) == said else logging.WARNING
                said = str(error)
                log.log(level, "node %s: no serving certificate from the cluster: %s", self._node, error)
            await asyncio.sleep(delay)

    async def _ask(self) -> _Issued:
        if len(_COMMON_NAME + self._node) > _COMMON_NAME_LIMIT:
            raise Refused(f"the node's name is too long for a certificate's common name: {self._node}")
        key, request = await asyncio.to_thread(_request, self._node, self._addresses)
        made = await self._client.create(
            CERTIFICATE_SIGNING_REQUESTS.path(),
            {
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "metadata": {"generateName": f"{self._node[:50]}-", **self._owned()},
                "spec": {
                    "request": base64.b64encode(request).decode(),
                    "signerName": SIGNER,
                    "usages": ["digital signature", "server auth"],
                },
            },
        )
        chain = await self._wait(made["metadata"]["name"])
        begins, ends = _validity(chain)
        renew_at = begins + (ends - begins) * random.uniform(0.7, 0.9)  # noqa: S311 - jitter
        self._issued = _Issued(KeyPair(chain, key), renew_at, ends)
        return self._issued

    def _owned(self) -> JSON:
        uid = self._uid()
        if not uid:
            return {}
        return {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": uid}]}

    async def _wait(self, name: str) -> bytes:
        """Its chain, however long that takes: kube-controller-manager removes a request that nobody answers
        after a day. An approver that is there answers in seconds, so it is asked often only at first."""
        path = CERTIFICATE_SIGNING_REQUESTS.path(name=name)
        delay = self._poll
        while True:
            try:
                seen = await self._client.get(path)
            except (ClusterUnreachable, Throttled) as error:
                log.debug("request %s: %s", name, error)
                seen = {}
            except NotFound:
                raise Refused(f"request {name} was removed before it was signed") from None
            status: JSON = seen.get("status") or {}
            if status.get("certificate"):
                return base64.b64decode(status["certificate"])
            for condition in status.get("conditions") or ():
                if condition["type"] in ("Denied", "Failed"):
                    raise Refused(f"request {name}: {condition['type']}: {condition.get('message') or ''}")
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MOST_POLL_SECONDS)


def _request(node: str, addresses: Sequence[str]) -> tuple[bytes, bytes]:
    """A new private key and its request, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, _COMMON_NAME + node),
        ]
    )
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName(general_names((node, *addresses))), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, request.public_bytes(serialization.Encoding.PEM)


def _validity(chain: bytes) -> tuple[float, float]:
    """Begin and end of the first certificate, in seconds since the epoch."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificates(chain)[0]
    return certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
