"""The variables of Services: counted, they are what the runtime would give a container."""

from __future__ import annotations

from typing import Any

import pytest

from vnodectl.lint.links import links, taken
from vnodectl.runtime import env
from vnodectl.runtime.facts import Facts, NodeFacts

NODE = NodeFacts("node", ("10.0.0.1",), {})


def service(name: str, *ports: Any, ip: str = "10.0.0.10") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": list(ports)}}


SERVICES = [
    service("db", {"port": 5432, "name": "pg"}),
    service("kubernetes", {"port": 443}),
    service("headless", {"port": 80}, ip="None"),
    *(service(f"web-{number}", {"port": 80}, {"port": 443, "protocol": "UDP"}) for number in range(5)),
    service("db", {"port": 6000}, ip="10.0.0.11"),
]
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "a",
    "command": ["run", "$(WEB_2_SERVICE_HOST)", "$$(WEB_3_SERVICE_HOST)"],
    "env": [
        {"name": "OWN", "value": "$(DB_SERVICE_PORT) ü"},
        {"name": "WEB_1_SERVICE_HOST", "value": "elsewhere"},
        {"name": "NOTHING", "value": "$(NOWHERE_SERVICE_HOST)"},
    ],
}


@pytest.mark.parametrize("namespace", ["default", "web"])
@pytest.mark.parametrize("links_wanted", [True, None])
def test_what_is_counted_is_what_the_runtime_gives(namespace: str, links_wanted: bool | None) -> None:
    pod: dict[str, Any] = {
        "metadata": {"name": "p", "namespace": namespace, "uid": "u"},
        "spec": {"containers": [CONTAINER]},
    }
    if links_wanted is not None:
        pod["spec"]["enableServiceLinks"] = links_wanted
    made = links(namespace, SERVICES, NODE)
    whole, _ = env.resolve(pod, CONTAINER, Facts(node=NODE, services=tuple(SERVICES)))
    part, _ = env.resolve(pod, CONTAINER, Facts(node=NODE, services=made.of(pod)))
    more, size = made.besides({one.name for one in part})
    assert len(whole) == len(part) + more
    assert sum(taken(one.name, one.value) for one in whole) == size + sum(
        taken(one.name, one.value) for one in part
    )
    # What the pod refers to has its value, and few of the others are there.
    values = {one.name: one.value for one in whole}
    assert {one.name: one.value for one in part}.items() <= values.items()
    assert values["OWN"] == "6000 ü"
    assert [one["metadata"]["name"] for one in made.of(pod)] == ["web-2", "db"]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"metadata": {"name": 3}, "spec": {"clusterIP": "1", "ports": [{"port": 1}]}},
        {"metadata": {"name": "a"}, "spec": {"clusterIP": "1", "ports": [{}]}},
        {"metadata": {"name": "a"}, "spec": {"clusterIP": "1", "ports": "80"}},
        {"metadata": {"name": "a"}, "spec": "none"},
    ],
)
def test_a_service_that_is_none_adds_nothing(broken: dict[str, Any]) -> None:
    made = links("web", [broken, service("db", {"port": 1})], NODE)
    assert "DB_SERVICE_HOST" in made.values
    assert set(made.owners.values()) == {1}
