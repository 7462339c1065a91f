"""Authorization: kubelet paths as subresources of `nodes`, and SubjectAccessReviews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vnodectl.runtime.http.authn import Cache
from vnodectl.runtime.http.identity import Attributes, Identity, Reviewer

ALLOW_TTL: Final = 300.0
"""Seconds for which a yes holds (kubelet: authorization.webhook.cacheAuthorizedTTL)."""
DENY_TTL: Final = 30.0
"""Seconds for which a no holds (kubelet: authorization.webhook.cacheUnauthorizedTTL)."""

_VERBS: Final = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

# The fine-grained subresources (KubeletFineGrainedAuthz, on by default since 1.33) are tried before
# `proxy`, which older roles grant; the last three have replaced `proxy` from the beginning.
_FINE: Final = (("/pods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"), ("/runningpods", "pods"))
_INSTEAD: Final = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"))


def attributes(method: str, path: str, node: str) -> list[Attributes]:
    """What must be allowed for a request: any one of these, in this order."""
    subresources = [name for prefix, name in _FINE if _below(path, prefix)]
    subresources += [name for prefix, name in _INSTEAD if _below(path, prefix)] or ["proxy"]
    verb = _VERBS.get(method, "")
    return [Attributes(verb, node, subresource) for subresource in subresources]


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


class Authorizer:
    """Says whether somebody may do something, from memory where it was asked before."""

    def __init__(self, reviewer: Reviewer, clock: Callable[[], float]) -> None:
        self._reviewer = reviewer
        self._answers: Cache[tuple[Identity, Attributes], bool] = Cache(clock)

    async def allowed(self, identity: Identity, wanted: Attributes) -> bool:
        """Raises what the reviewer raises."""
        known = self._answers.get((identity, wanted))
        if known is not None:
            return known[0]
        answer = await self._reviewer.access_review(identity, wanted)
        self._answers.put((identity, wanted), answer, ALLOW_TTL if answer else DENY_TTL)
        return answer
