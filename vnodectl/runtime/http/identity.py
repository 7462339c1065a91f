"""Who asks, what for, and whom to ask about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import KubeClient
from vnodectl.kube.errors import Throttled
from vnodectl.kube.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as Kubernetes knows one. `extra` holds what an authenticator added, e.g. the pod of a token."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Attributes:
    """A request to a kubelet as RBAC sees it: `verb` on `nodes/<subresource>` named `node`."""

    verb: str
    node: str
    subresource: str


class ReviewUnavailable(Exception):
    """The API server cannot be asked now; the answer is neither yes nor no."""


class Reviewer(Protocol):
    """Answers for the cluster. Raises ReviewUnavailable, or anything else where asking itself is refused."""

    async def token_review(self, token: str) -> Identity | None:
        """Whose token it is; None where it is nobody's."""

    async def access_review(self, identity: Identity, attributes: Attributes) -> bool:
        """Whether they may."""


@dataclass(frozen=True)
class KubeReviewer:
    """Asks the API server: TokenReview and SubjectAccessReview.

    The client needs `create` on both, as the ClusterRole `system:auth-delegator` gives it.
    """

    client: KubeClient
    timeout: float = field(default=10.0, kw_only=True)
    """Seconds for one review."""

    async def token_review(self, token: str) -> Identity | None:
        answer = await self._ask(
            TOKEN_REVIEWS.path(),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}},
        )
        status: JSON = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user: JSON = status.get("user") or {}
        extra: Mapping[str, list[str]] = user.get("extra") or {}
        return Identity(
            name=str(user.get("username", "")),
            groups=tuple(user.get("groups") or ()),
            uid=str(user.get("uid") or ""),
            extra=tuple(sorted((key, tuple(values)) for key, values in extra.items())),
        )

    async def access_review(self, identity: Identity, attributes: Attributes) -> bool:
        spec: JSON = {
            "user": identity.name,
            "groups": list(identity.groups),
            "uid": identity.uid,
            "extra": {key: list(values) for key, values in identity.extra},
            "resourceAttributes": {
                "verb": attributes.verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": attributes.subresource,
                "name": attributes.node,
            },
        }
        answer = await self._ask(
            SUBJECT_ACCESS_REVIEWS.path(),
            {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec},
        )
        status: JSON = answer.get("status") or {}
        return bool(status.get("allowed"))

    async def _ask(self, path: str, review: JSON) -> JSON:
        try:
            return await self.client.create(path, review, timeout=self.timeout)
        except (ClusterUnreachable, Throttled) as error:
            raise ReviewUnavailable(str(error)) from error
