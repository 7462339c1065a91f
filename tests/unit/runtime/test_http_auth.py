"""Who may ask a kubelet what: the mapping of paths, identities, caches, and the API server's answers."""

from __future__ import annotations

from typing import Any

import pytest
from support.kubelet_api import Reviews

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import Forbidden, Throttled
from vnodectl.runtime.http.authn import (
    BAD_TOKEN_TTL,
    TOKEN_TTL,
    Authenticator,
    Cache,
    bearer_token,
    from_certificate,
)
from vnodectl.runtime.http.authz import ALLOW_TTL, DENY_TTL, Authorizer, attributes
from vnodectl.runtime.http.identity import Attributes, Identity, KubeReviewer, ReviewUnavailable

ALICE = Identity("alice", ("dev",), "1", (("k", ("v",)),))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "/containerLogs/ns/pod/c", "get", ["proxy"]),
        ("POST", "/exec/ns/pod/c", "create", ["proxy"]),
        ("GET", "/exec/ns/pod/c", "get", ["proxy"]),
        ("POST", "/portForward/ns/pod", "create", ["proxy"]),
        ("GET", "/pods", "get", ["pods", "proxy"]),
        ("GET", "/pods/", "get", ["pods", "proxy"]),
        ("GET", "/podsx", "get", ["proxy"]),
        ("GET", "/runningpods/", "get", ["pods", "proxy"]),
        ("GET", "/healthz/ping", "get", ["healthz", "proxy"]),
        ("GET", "/configz", "get", ["configz", "proxy"]),
        ("GET", "/metrics", "get", ["metrics"]),
        ("GET", "/metrics/resource", "get", ["metrics"]),
        ("GET", "/metrics/cadvisor", "get", ["metrics"]),
        ("GET", "/metrics/probes", "get", ["metrics"]),
        ("GET", "/healthz/syncloop", "get", ["healthz", "proxy"]),
        ("GET", "/stats/summary", "get", ["stats"]),
        ("GET", "/logs/", "get", ["log"]),
        ("PUT", "/", "update", ["proxy"]),
        ("PATCH", "/", "patch", ["proxy"]),
        ("DELETE", "/", "delete", ["proxy"]),
        ("HEAD", "/pods", "", ["pods", "proxy"]),
    ],
)
def test_paths_are_subresources_of_the_node(
    method: str, path: str, verb: str, subresources: list[str]
) -> None:
    assert attributes(method, path, "n1") == [Attributes(verb, "n1", name) for name in subresources]


def test_a_certificates_subject_is_the_user() -> None:
    subject = (
        (("organizationName", "system:masters"),),
        (("organizationName", "ops"),),
        (("commonName", "kube-apiserver-kubelet-client"),),
    )
    assert from_certificate({"subject": subject}) == Identity(
        "kube-apiserver-kubelet-client", ("system:masters", "ops", "system:authenticated")
    )
    assert from_certificate({"subject": ((("organizationName", "x"),),)}) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), (None, "")],
)
def test_bearer_tokens(header: str | None, token: str) -> None:
    assert bearer_token(header) == token


def test_a_cache_forgets_by_age_and_by_use() -> None:
    clock = Clock()
    cache: Cache[str, int | None] = Cache(clock, size=2)
    cache.put("a", None, 10)
    cache.put("b", 2, 20)
    assert cache.get("a") == (None,)
    cache.put("c", 3, 20)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ((None,), None, (3,))
    clock.now += 10
    assert (cache.get("a"), cache.get("c")) == (None, (3,))


async def test_tokens_are_asked_about_once_in_a_while() -> None:
    clock, reviews = Clock(), Reviews()
    reviews.tokens["good"] = ALICE
    authenticator = Authenticator(reviews, clock)
    assert await authenticator.identify(None, "Bearer good") == ALICE
    clock.now += TOKEN_TTL - 1
    assert await authenticator.identify(None, "Bearer good") == ALICE
    assert reviews.asked == ["token good"]
    del reviews.tokens["good"]
    clock.now += 1
    assert await authenticator.identify(None, "Bearer good") is None
    reviews.tokens["good"] = ALICE
    assert await authenticator.identify(None, "Bearer good") is None
    clock.now += BAD_TOKEN_TTL
    assert await authenticator.identify(None, "Bearer good") == ALICE
    assert len(reviews.asked) == 3


async def test_without_credentials_nobody_is_asked() -> None:
    reviews = Reviews()
    assert await Authenticator(reviews, Clock()).identify(None, None) is None
    assert await Authenticator(reviews, Clock()).identify({}, "Basic x") is None
    assert reviews.asked == []


async def test_a_review_that_failed_is_not_remembered() -> None:
    clock, reviews = Clock(), Reviews()
    reviews.tokens["good"] = ALICE
    authenticator, authorizer = Authenticator(reviews, clock), Authorizer(reviews, clock)
    reviews.fail()
    with pytest.raises(ReviewUnavailable):
        await authenticator.identify(None, "Bearer good")
    with pytest.raises(ReviewUnavailable):
        await authorizer.allowed(ALICE, Attributes("get", "n1", "proxy"))
    reviews.down = None
    assert await authenticator.identify(None, "Bearer good") == ALICE
    assert await authorizer.allowed(ALICE, Attributes("get", "n1", "proxy"))


@pytest.mark.parametrize(("answer", "ttl"), [(True, ALLOW_TTL), (False, DENY_TTL)])
async def test_answers_hold_for_their_time(answer: bool, ttl: float) -> None:
    clock, reviews = Clock(), Reviews()
    reviews.allow = lambda *_: answer
    authorizer = Authorizer(reviews, clock)
    wanted = Attributes("get", "n1", "proxy")
    assert await authorizer.allowed(ALICE, wanted) is answer
    clock.now += ttl - 1
    assert await authorizer.allowed(ALICE, wanted) is answer
    assert len(reviews.asked) == 1
    assert await authorizer.allowed(Identity("bob"), wanted) is answer
    assert await authorizer.allowed(ALICE, Attributes("create", "n1", "proxy")) is answer
    assert len(reviews.asked) == 3
    clock.now += 1
    await authorizer.allowed(ALICE, wanted)
    assert len(reviews.asked) == 4


class Api:
    """A KubeClient that answers reviews."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def create(self, path: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.asked.append((path, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_token_review_as_the_api_server_wants_it() -> None:
    user = {"username": "alice", "groups": ["dev"], "uid": "1", "extra": {"k": ["v"]}}
    api = Api({"status": {"authenticated": True, "user": user}})
    assert await KubeReviewer(api).token_review("t") == ALICE  # type: ignore[arg-type]
    path, body = api.asked[0]
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert body["spec"] == {"token": "t"}
    api.answer = {"status": {"error": "expired"}}
    assert await KubeReviewer(api).token_review("t") is None  # type: ignore[arg-type]


async def test_an_access_review_as_the_api_server_wants_it() -> None:
    api = Api({"status": {"allowed": True}})
    reviewer = KubeReviewer(api)  # type: ignore[arg-type]
    assert await reviewer.access_review(ALICE, Attributes("get", "n1", "metrics"))
    path, body = api.asked[0]
    assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert body["spec"] == {
        "user": "alice",
        "groups": ["dev"],
        "uid": "1",
        "extra": {"k": ["v"]},
        "resourceAttributes": {
            "verb": "get",
            "version": "v1",
            "resource": "nodes",
            "subresource": "metrics",
            "name": "n1",
        },
    }
    api.answer = {"status": {"allowed": False, "denied": True}}
    assert not await reviewer.access_review(ALICE, Attributes("get", "n1", "metrics"))


@pytest.mark.parametrize("error", [ClusterUnreachable("down"), Throttled(429, "TooManyRequests", "later")])
async def test_an_api_server_without_an_answer_is_no_answer(error: Exception) -> None:
    with pytest.raises(ReviewUnavailable):
        await KubeReviewer(Api(error)).token_review("t")  # type: ignore[arg-type]


async def test_being_refused_to_ask_is_another_matter() -> None:
    with pytest.raises(Forbidden):
        await KubeReviewer(Api(Forbidden(403, "Forbidden", "no"))).token_review("t")  # type: ignore[arg-type]
