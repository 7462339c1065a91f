"""The rights that installing and removing a connector takes, and those that its chart gives away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vnodectl.kube.resources import NODE_LEASE_NAMESPACE

RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one `resource[/subresource]`; an empty namespace or name means all of them."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def attributes(self) -> dict[str, str]:
        """The resourceAttributes of an access review."""
        resource, _, subresource = self.resource.partition("/")
        named = {
            "verb": self.verb,
            "resource": resource,
            "subresource": subresource,
            "group": self.group,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {key: value for key, value in named.items() if value}

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}{name}{where}"


PROFILE, PROFILE_NAMESPACE = "eci-profile", "kube-system"
"""The cluster's settings for Elastic Container Instance."""

EVERYTHING = Right("*", "*", "*")

_MANAGE = ("get", "create", "patch", "delete")


def own(namespace: str) -> tuple[Right, ...]:
    """What the caller does itself: Helm's objects, its release records (Secrets), the namespace, the wait."""
    return (
        *_rights(("get", "create"), ["namespaces"]),
        *_rights((*_MANAGE, "list", "update"), ["secrets"], namespace=namespace),
        *_rights(_MANAGE, ["configmaps", "serviceaccounts"], namespace=namespace),
        *_rights((*_MANAGE, "list", "watch"), ["deployments"], "apps", namespace),
        *_rights(_MANAGE, ["clusterroles", "clusterrolebindings"], RBAC),
        *_rights((*_MANAGE, "list"), ["poddisruptionbudgets"], "policy", namespace),
        *_rights(_MANAGE, ["roles", "rolebindings"], RBAC, namespace),
        *_rights(_MANAGE, ["roles", "rolebindings"], RBAC, NODE_LEASE_NAMESPACE),
        *_rights(_MANAGE, ["rolebindings"], RBAC, "kube-system"),
        *_rights(("get", "list", "watch", "delete"), ["nodes"]),
        *_rights(("get",), ["leases"], "coordination.k8s.io", NODE_LEASE_NAMESPACE),
        *_rights(("list", "delete"), ["leases"], "coordination.k8s.io", namespace),
    )


def granted(namespace: str) -> tuple[Right, ...]:
    """What the chart's roles grant: RBAC lets only those give a right away who hold it or may escalate."""
    return (
        *_rights(("create", "get", "list", "watch", "update", "patch"), ["nodes"]),
        *_rights(("update", "patch"), ["nodes/status"]),
        *_rights(("get", "list", "watch", "delete"), ["pods"]),
        *_rights(("update", "patch"), ["pods/status"]),
        *_rights(("get",), ["configmaps", "secrets", "serviceaccounts"]),
        *_rights(("get",), ["persistentvolumeclaims", "persistentvolumes"]),
        *_rights(("create",), ["serviceaccounts/token"]),
        *_rights(("get", "list", "watch"), ["services"]),
        *_rights(("create", "patch"), ["events"]),
        *_rights(("create", "patch"), ["events"], "events.k8s.io"),
        *_rights(("create",), ["tokenreviews"], "authentication.k8s.io"),
        *_rights(("create",), ["subjectaccessreviews"], "authorization.k8s.io"),
        *_rights(("create", "get"), ["certificatesigningrequests"], "certificates.k8s.io"),
        *_rights(
            ("create", "get", "update", "patch"), ["leases"], "coordination.k8s.io", NODE_LEASE_NAMESPACE
        ),
        *_rights(
            ("create", "get", "list", "watch", "update", "patch", "delete"),
            ["leases"],
            "coordination.k8s.io",
            namespace,
        ),
    )


def webhook(namespace: str) -> tuple[Right, ...]:
    """What the chart's admission webhook takes besides: its objects, and the rights that its roles grant."""
    kind = ["mutatingwebhookconfigurations"]
    return (
        *_rights(_MANAGE, kind, "admissionregistration.k8s.io"),
        *_rights(_MANAGE, ["services"], namespace=namespace),
        *_rights(("get", "update"), ["secrets"], namespace=namespace),
        *_rights(("get",), ["namespaces"]),
    )


def profile() -> tuple[Right, ...]:
    """What following `eci-profile` takes besides: a role for that one ConfigMap."""
    return _rights(_MANAGE, ["roles"], RBAC, PROFILE_NAMESPACE)


def profile_granted() -> tuple[Right, ...]:
    followed = Right("", "configmaps", namespace=PROFILE_NAMESPACE, name=PROFILE)
    return tuple(replace(followed, verb=verb) for verb in ("get", "list", "watch"))


def escalation(*namespaces: str) -> tuple[Right, ...]:
    """With these, rights can be given away in `namespaces` that the caller does not hold."""
    return (
        *_rights(("escalate", "bind"), ["clusterroles"], RBAC),
        *(
            right
            for namespace in (*namespaces, NODE_LEASE_NAMESPACE)
            for right in _rights(("escalate", "bind"), ["roles"], RBAC, namespace)
        ),
    )


def _rights(
    verbs: Iterable[str], resources: Iterable[str], group: str = "", namespace: str = ""
) -> tuple[Right, ...]:
    return tuple(Right(verb, resource, group, namespace) for resource in resources for verb in verbs)
