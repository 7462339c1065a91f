"""The cluster's checks: on a real API server, and on one in memory where a real one cannot be made so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from support.canned_helm import CannedHelm, CannedRegistry, deployment
from support.check_cases.case import FAILED, PASSED, SKIPPED, WARNING, Case

from vnodectl.checks.readers import ImageFound, Signature
from vnodectl.checks.target import Target
from vnodectl.connector.names import Connector
from vnodectl.errors import Unreachable
from vnodectl.kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODE_LEASE_NAMESPACE,
    NODES,
    SECRETS,
    Resource,
)

QUOTAS = Resource("/api/v1", "resourcequotas")
NAMESPACE = "checks-here"
"""Stands for a namespace of the case's own."""

CONNECTOR = Connector("aci-connector", "Linux", "eastus")
TARGET = Target(connectors=(CONNECTOR,), namespace=NAMESPACE, region="eastus")
TAINT = "virtual-kubelet.io/provider"
Placed = tuple[Resource, str | None, dict[str, Any]]


def namespace(profile: str = "restricted") -> Placed:
    labels = {"pod-security.kubernetes.io/enforce": profile}
    return NAMESPACES, None, {"metadata": {"name": NAMESPACE, "labels": labels}}


def quota(**hard: str) -> Placed:
    return QUOTAS, NAMESPACE, {"metadata": {"name": "tight"}, "spec": {"hard": hard}}


def workload(kind: Resource, name: str, place: str = NAMESPACE, *, meta: Any = None, **spec: Any) -> Placed:
    container = {"name": "c", "image": "registry.example/agent:1"}
    body = {
        "metadata": {"name": name, **(meta or {})},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **spec}},
        },
    }
    if kind is DEPLOYMENTS:
        body["spec"]["replicas"] = 0
    return kind, place, body


def node(name: str = "checks-vnode", *, virtual: bool = True) -> Placed:
    taints = [{"key": TAINT, "value": "azure", "effect": "NoSchedule"}]
    labels = {"type": "virtual-kubelet"} if virtual else {}
    return NODES, None, {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}}


def lease(age: float, name: str = "checks-vnode") -> Placed:
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": timedelta(seconds=-age)}
    return LEASES, NODE_LEASE_NAMESPACE, {"metadata": {"name": name}, "spec": spec}


def record(state: str, revision: int = 1) -> Placed:
    labels = {"owner": "helm", "name": CONNECTOR.release, "version": str(revision), "status": state}
    name = f"sh.helm.release.v1.{CONNECTOR.release}.v{revision}"
    return SECRETS, NAMESPACE, {"metadata": {"name": name, "labels": labels}, "type": "helm.sh/release.v1"}


def case(
    id_: str,
    name: str,
    verdict: Any = FAILED,
    cause: str = "",
    evidence: str = "",
    *objects: Placed,
    target: Any = None,
    **options: Any,
) -> Case:
    """`fake` are attributes of the cluster in memory, for what a real one cannot be; `real` says that only a
    real one decides so; `helm` and `registry` stand for those."""
    return Case(
        id_, name, verdict, cause, evidence, target=target or {}, options={"objects": objects, **options}
    )


def placed(case: Case) -> list[Placed]:
    """The case's objects, with times that are told from now on: cases are made long before they are asked."""

    def told(value: Any) -> Any:
        if isinstance(value, timedelta):
            return (datetime.now(tz=UTC) + value).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if isinstance(value, dict):
            return {key: told(one) for key, one in value.items()}
        return [told(one) for one in value] if isinstance(value, list) else value

    return [(kind, where, told(body)) for kind, where, body in case.options["objects"]]


EVERYTHING = [{"operator": "Exists"}]
NOT_VIRTUAL = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]}]}
            ]
        }
    }
}
HOME = namespace()
PRIVILEGED = deployment(hostNetwork=True)

CASES = (
    case("VN-TOOL-001", "it is there", PASSED, "", "/usr/bin/helm"),
    case("VN-TOOL-001", "it is not", FAILED, "not on PATH", helm="/nowhere/helm"),
    case("VN-TOOL-002", "new", PASSED, "", "v4.3.1"),
    case("VN-TOOL-002", "old", FAILED, "older than 3.16.0", "v3.7.9", helm=CannedHelm(version="v3.7.9")),
    case(
        "VN-TOOL-002",
        "of an older Kubernetes",
        FAILED,
        "older than 3.16.0",
        helm=CannedHelm(version="v3.15.4"),
    ),
    case("VN-KUBE-001", "it answers", PASSED, "", "answers as v1."),
    case("VN-KUBE-001", "refused credentials", FAILED, "does not accept", refused=True, fake={}),
    case("VN-KUBE-002", "supported", PASSED, "", "within 1.31"),
    case("VN-KUBE-002", "too old", FAILED, "1.31 or newer", fake={"version": {"major": "1", "minor": "30"}}),
    case("VN-KUBE-002", "too new", WARNING, "newer than", fake={"version": {"major": "1", "minor": "99"}}),
    case("VN-KUBE-003", "an administrator", PASSED, "", "administrator"),
    case("VN-KUBE-003", "a nobody", FAILED, "may not do everything", "create secrets", HOME, somebody=True),
    case("VN-KUBE-004", "roles", PASSED, "", "may not delete nodes"),
    case("VN-KUBE-004", "no roles", FAILED, "does not serve RBAC", fake={"documents": {}}),
    case("VN-KUBE-004", "no limits", WARNING, "everybody everything", fake={"anybody": lambda _: True}),
    case("VN-KUBE-005", "admitted", PASSED, "", "admits", HOME),
    case("VN-KUBE-005", "no namespace yet", PASSED, "", "made by the installation"),
    case(
        "VN-KUBE-005",
        "pod security",
        FAILED,
        "pod security of the namespace",
        "violates PodSecurity",
        HOME,
        helm=CannedHelm(PRIVILEGED),
        real=True,
    ),
    case("VN-KUBE-005", "a quota", FAILED, "a quota", "exceeded quota", HOME, quota(pods="0"), real=True),
    case(
        "VN-KUBE-005",
        "a quota that wants limits",
        FAILED,
        "a quota",
        "must specify limits.cpu",
        HOME,
        quota(**{"limits.cpu": "4"}),
        real=True,
    ),
    case("VN-KUBE-005", "the plan is not complete", SKIPPED, "plan is not complete", helm=CannedHelm({})),
    case("VN-KUBE-006", "alive", PASSED, "", "1 virtual node", node(), lease(1), fake={}),
    case("VN-KUBE-006", "none", PASSED, "", "no virtual node yet", fake={}),
    case("VN-KUBE-006", "dead", WARNING, "left over", "checks-vnode", node(), lease(300)),
    case("VN-KUBE-006", "dead without a Lease", WARNING, "left over", "checks-vnode", node()),
    case(
        "VN-KUBE-007",
        "one that tolerates nothing",
        PASSED,
        "",
        "",
        namespace("privileged"),
        workload(DAEMON_SETS, "agent"),
    ),
    case(
        "VN-KUBE-007",
        "one that keeps off",
        PASSED,
        "",
        "",
        namespace("privileged"),
        workload(DAEMON_SETS, "agent", tolerations=EVERYTHING, affinity=NOT_VIRTUAL),
    ),
    case(
        "VN-KUBE-007",
        "one that tolerates everything",
        WARNING,
        "1 DaemonSet would land",
        "/agent",
        namespace("privileged"),
        workload(DAEMON_SETS, "agent", tolerations=EVERYTHING),
        runs_fix=True,
    ),
    case("VN-KUBE-008", "the same time", PASSED, "", ""),
    case("VN-KUBE-008", "an hour ahead", WARNING, "behind", fake={"ahead": 3600.0}),
    case("VN-KUBE-009", "nobody", PASSED, "", "nobody else", HOME),
    case(
        "VN-KUBE-009",
        "azure-aci",
        WARNING,
        "virtual-kubelet (azure-aci)",
        "",
        namespace("privileged"),
        workload(DEPLOYMENTS, "vk", meta={"labels": {"app": "virtual-kubelet"}}),
    ),
    case(
        "VN-KUBE-009",
        "Terraform",
        FAILED,
        "managed by Terraform",
        "",
        namespace("privileged"),
        workload(
            DEPLOYMENTS, CONNECTOR.release, meta={"labels": {"app.kubernetes.io/managed-by": "Terraform"}}
        ),
    ),
    case("VN-REL-001", "they fit", PASSED, "", CONNECTOR.release),
    case(
        "VN-REL-001",
        "too long",
        FAILED,
        "Helm allows 53",
        target={"connectors": (Connector("a" * 50, "Linux", "eastus"),)},
    ),
    case("VN-REL-002", "no release", PASSED, "", "no such release yet", HOME),
    case("VN-REL-002", "installed", PASSED, "", "installed:", HOME, record("deployed")),
    case(
        "VN-REL-002",
        "interrupted",
        FAILED,
        "is pending-install",
        "revision 1",
        HOME,
        record("pending-install"),
    ),
    case("VN-REL-003", "free", PASSED, "", "1 free", HOME),
    case(
        "VN-REL-003",
        "somebody's node",
        FAILED,
        "is not a virtual one",
        "",
        HOME,
        node(CONNECTOR.node, virtual=False),
    ),
    case(
        "VN-REL-003",
        "another connector's",
        FAILED,
        "keeps the node",
        "",
        HOME,
        node(CONNECTOR.node),
        lease(1, CONNECTOR.node),
    ),
    case("VN-REL-003", "a dead one's", WARNING, "left over", "", HOME, node(CONNECTOR.node)),
    case("VN-REL-004", "built in", PASSED, "", "built into this release"),
    case(
        "VN-REL-004",
        "a digest",
        PASSED,
        "",
        "digest",
        target={"chart": f"oci://charts.example/vnode@sha256:{'0' * 64}"},
    ),
    case(
        "VN-REL-004",
        "a version",
        WARNING,
        "pinned by a version",
        target={"chart": "https://a.example/v-1.2.3.tgz"},
    ),
    case(
        "VN-REL-004",
        "an archive without a signature",
        PASSED,
        "",
        "not verified",
        target={"chart": "./v-1.tgz"},
    ),
    case(
        "VN-REL-004",
        "a good signature",
        PASSED,
        "",
        "signed by Somebody",
        target={"chart": "./v-1.tgz"},
        helm=CannedHelm(signature=Signature("Somebody <s@example.org>")),
    ),
    case(
        "VN-REL-004",
        "a bad signature",
        FAILED,
        "signature is not good",
        "sha256 sum does not match",
        target={"chart": "./v-1.tgz"},
        helm=CannedHelm(signature=Signature(problem="sha256 sum does not match for v-1.tgz")),
    ),
    case("VN-REL-004", "whatever", WARNING, "newest", target={"chart": "oci://charts.example/vnode"}),
    case("VN-REL-005", "it is there", PASSED, "", "registry.example/connector:1.0"),
    case(
        "VN-REL-005",
        "private",
        WARNING,
        "does not give",
        registry=CannedRegistry(ImageFound(401, "HTTP 401")),
    ),
    case(
        "VN-REL-005",
        "not there",
        WARNING,
        "there is no image",
        registry=CannedRegistry(ImageFound(404, "no tag")),
    ),
    case("VN-REL-005", "no version", WARNING, "no fixed version", helm=CannedHelm(deployment("a.example/b"))),
    case(
        "VN-REL-005", "out of reach", SKIPPED, "cannot be asked", registry=CannedRegistry(Unreachable("no"))
    ),
)
