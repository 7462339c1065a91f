"""Paths of the Kubernetes API for the kinds this project touches."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """A collection of the API: `PODS.path("default", "web-0", "log")`.

    `prefix` is `/api/v1` or `/apis/<group>/<version>`.
    """

    prefix: str
    plural: str
    namespaced: bool = True

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path; without a namespace, a namespaced collection means all namespaces."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


CONFIG_MAPS = Resource("/api/v1", "configmaps")
EVENTS = Resource("/api/v1", "events")
NAMESPACES = Resource("/api/v1", "namespaces", namespaced=False)
NODES = Resource("/api/v1", "nodes", namespaced=False)
PERSISTENT_VOLUMES = Resource("/api/v1", "persistentvolumes", namespaced=False)
PERSISTENT_VOLUME_CLAIMS = Resource("/api/v1", "persistentvolumeclaims")
PODS = Resource("/api/v1", "pods")
SECRETS = Resource("/api/v1", "secrets")
SERVICE_ACCOUNTS = Resource("/api/v1", "serviceaccounts")
SERVICES = Resource("/api/v1", "services")

DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
DAEMON_SETS = Resource("/apis/apps/v1", "daemonsets")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")
CLUSTER_ROLES = Resource("/apis/rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False
)

TOKEN_REVIEWS = Resource("/apis/authentication.k8s.io/v1", "tokenreviews", namespaced=False)
SUBJECT_ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    "/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False
)

NODE_LEASE_NAMESPACE = "kube-node-lease"
