"""The command lines of the control plane. Pure: everything they name has been made before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vnodectl.sandbox.pki import Authority, Pair, signing_key

_SERVICE_RANGE = "10.96.0.0/16"
_FIRST_SERVICE = "10.96.0.1"
# Client-go's defaults (20 to 50 calls a second) are for clusters with many tenants; here they only slow
# a rollout of a few hundred pods down to minutes.
_CLIENT_LIMITS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
LOOPBACK = "127.0.0.1"
METRICS_HOST = "metrics-server.kube-system.svc"
"""The name that the API server wants to see in metrics-server's certificate."""


@dataclass(frozen=True, slots=True)
class Command:
    """A component to start. `health` is a URL that answers 200 once it works; "" if there is none."""

    name: str
    argv: tuple[str, ...]
    endpoint: str = ""
    health: str = ""


@dataclass(frozen=True, slots=True)
class Certificates:
    """All key material of a control plane, as files of one directory."""

    cluster: Pair
    etcd_authority: Pair
    front_proxy_authority: Pair
    etcd_server: Pair
    etcd_client: Pair
    api_server: Pair
    kubelet_client: Pair
    front_proxy_client: Pair
    admin: Pair
    node: Pair
    controller_manager: Pair
    scheduler: Pair
    metrics_server: Pair
    metrics_client: Pair
    service_accounts: Path


def make_certificates(directory: Path, address: str) -> Certificates:
    """Three authorities (cluster, etcd, front proxy) and a certificate for each role.

    The node's identity is an administrator's: NodeRestriction would forbid the labels of a virtual node.
    """
    cluster = Authority(directory, "cluster-ca")
    etcd = Authority(directory, "etcd-ca")
    front_proxy = Authority(directory, "front-proxy-ca")
    service = "kubernetes.default.svc"
    names = ("localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local")
    return Certificates(
        cluster=cluster.pair,
        etcd_authority=etcd.pair,
        front_proxy_authority=front_proxy.pair,
        etcd_server=etcd.server("etcd", (LOOPBACK, "localhost")),
        etcd_client=etcd.client("etcd-client", "kube-apiserver"),
        api_server=cluster.server(
            "kube-apiserver", (*names, *dict.fromkeys((address, LOOPBACK)), _FIRST_SERVICE)
        ),
        kubelet_client=cluster.client("kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]),
        front_proxy_client=front_proxy.client("front-proxy-client", "front-proxy-client"),
        admin=cluster.client("admin", "sandbox-admin", ["system:masters"]),
        node=cluster.client("node", "sandbox-node", ["system:masters"]),
        controller_manager=cluster.client("controller-manager", "system:kube-controller-manager"),
        scheduler=cluster.client("scheduler", "system:kube-scheduler"),
        metrics_server=cluster.server("metrics-server", (METRICS_HOST,)),
        metrics_client=cluster.client("metrics-client", "sandbox-metrics-server", ["system:masters"]),
        service_accounts=signing_key(directory, "service-accounts"),
    )


def token_keys(directory: Path) -> Path:
    """What verifies the cluster's service account tokens, once its certificates are made."""
    return directory / "service-accounts.pub"


def etcd(programs: Path, data: Path, certificates: Certificates, port: int) -> Command:
    """One member. Nothing needs to survive a crash of the machine, so nothing is flushed to disk."""
    url = f"https://{LOOPBACK}:{port}"
    pair = certificates.etcd_server
    # A single member speaks to no peer, but etcd wants an address that matches its member list.
    peer = f"http://{LOOPBACK}:0"
    return Command(
        "etcd",
        (
            str(programs / "etcd"),
            "--name=sandbox",
            f"--data-dir={data}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=sandbox={peer}",
            f"--cert-file={pair.certificate}",
            f"--key-file={pair.key}",
            f"--trusted-ca-file={certificates.etcd_authority.certificate}",
            "--client-cert-auth=true",
            "--socket-reuse-port=true",
            "--unsafe-no-fsync=true",
            "--log-level=warn",
        ),
        endpoint=url,
    )


def api_server(programs: Path, certificates: Certificates, etcd_url: str, address: str, port: int) -> Command:
    """The API server on `address`, where nodes, pods and people reach it alike."""
    cert = certificates
    reachable = address != LOOPBACK
    return Command(
        "kube-apiserver",
        (
            str(programs / "kube-apiserver"),
            f"--etcd-servers={etcd_url}",
            f"--etcd-cafile={cert.etcd_authority.certificate}",
            f"--etcd-certfile={cert.etcd_client.certificate}",
            f"--etcd-keyfile={cert.etcd_client.key}",
            f"--bind-address={address}",
            f"--secure-port={port}",
            "--permit-port-sharing=true",
            # Endpoints may not hold a loopback address: then nothing is published at all.
            *((f"--advertise-address={address}",) if reachable else ("--endpoint-reconciler-type=none",)),
            f"--tls-cert-file={cert.api_server.certificate}",
            f"--tls-private-key-file={cert.api_server.key}",
            f"--client-ca-file={cert.cluster.certificate}",
            f"--service-account-key-file={cert.service_accounts}",
            f"--service-account-signing-key-file={cert.service_accounts}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={cert.kubelet_client.certificate}",
            f"--kubelet-client-key={cert.kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={cert.front_proxy_authority.certificate}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={cert.front_proxy_client.certificate}",
            f"--proxy-client-key-file={cert.front_proxy_client.key}",
            # No kube-proxy: cluster IPs lead nowhere, so calls of Services go to their endpoints. On loopback
            # there are none; what serves this machine then has a Service that names it.
            f"--enable-aggregator-routing={str(reachable).lower()}",
            "--profiling=false",
        ),
        endpoint=f"https://{address}:{port}",
        health=f"https://{address}:{port}/readyz",
    )


def controller_manager(
    programs: Path, certificates: Certificates, kubeconfig: Path, port: int, *, metrics: bool = False
) -> Command:
    """`metrics`: there is a metrics-server, and autoscaling does not let people wait."""
    cert = certificates
    return Command(
        "kube-controller-manager",
        (
            str(programs / "kube-controller-manager"),
            *_kubernetes_client(kubeconfig, port),
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={cert.service_accounts}",
            f"--root-ca-file={cert.cluster.certificate}",
            f"--cluster-signing-cert-file={cert.cluster.certificate}",
            f"--cluster-signing-key-file={cert.cluster.key}",
            *(("--horizontal-pod-autoscaler-sync-period=5s",) if metrics else ()),
            f"--client-ca-file={cert.cluster.certificate}",
        ),
        endpoint=f"https://{LOOPBACK}:{port}",
    )


def scheduler(programs: Path, certificates: Certificates, kubeconfig: Path, port: int) -> Command:
    return Command(
        "kube-scheduler",
        (
            str(programs / "kube-scheduler"),
            *_kubernetes_client(kubeconfig, port),
            f"--client-ca-file={certificates.cluster.certificate}",
        ),
        endpoint=f"https://{LOOPBACK}:{port}",
    )


def _kubernetes_client(kubeconfig: Path, port: int) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--permit-port-sharing=true",
        "--leader-elect=false",  # there is only one
        "--profiling=false",
        *_CLIENT_LIMITS,
    )
