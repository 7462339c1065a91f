from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.eci import specs
from vnodectl.providers.eci.specs import Spec
from vnodectl.runtime.provider import EnvVar, Rejected

REGION, ELSEWHERE = "cn-hangzhou", "eu-central-1"


def _spec(cpu: str, memory: str) -> Spec:
    return Spec(Decimal(cpu), Decimal(memory))


@pytest.mark.parametrize(
    ("cpu", "memory", "region", "preemptible", "expected"),
    [
        ("7", "13", REGION, False, "8-14Gi"),  # the documents' own example
        ("7", "13", ELSEWHERE, False, "8-16Gi"),
        ("4.25", "8.5", REGION, False, "6-10Gi"),  # another of theirs
        ("0.1", "0.1", REGION, False, "0.25-0.5Gi"),
        ("0.25", "2", REGION, False, "0.5-2Gi"),
        ("0.5", "3", REGION, False, "1-4Gi"),
        ("1", "16", ELSEWHERE, False, "2-16Gi"),
        ("2", "5", ELSEWHERE, False, "2-8Gi"),
        ("2", "5", REGION, False, "2-6Gi"),
        ("2", "5", REGION, True, "2-8Gi"),
        ("0.5", "1", REGION, True, "2-2Gi"),
        ("33", "100", REGION, False, "52-192Gi"),
        ("64", "512", REGION, False, "64-512Gi"),
    ],
)
def test_wishes_are_rounded_up_to_what_is_sold(
    cpu: str, memory: str, region: str, preemptible: bool, expected: str
) -> None:
    assert str(specs.size(_spec(cpu, memory), region, preemptible=preemptible)) == expected


def test_no_wish_gets_the_default() -> None:
    assert str(specs.size(_spec("0", "0"), REGION, preemptible=False)) == "2-4Gi"


@pytest.mark.parametrize(("cpu", "memory"), [("65", "1"), ("1", "513")])
def test_what_nobody_sells_is_rejected(cpu: str, memory: str) -> None:
    with pytest.raises(Rejected, match="64-512Gi"):
        specs.size(_spec(cpu, memory), REGION, preemptible=False)


numbers = st.decimals("0.001", "64", places=3)


@given(numbers, st.decimals("0.001", "512", places=3), st.sampled_from([REGION, ELSEWHERE]), st.booleans())
def test_the_next_pair_has_it_all_and_no_smaller_one_does(
    cpu: Decimal, memory: Decimal, region: str, preemptible: bool
) -> None:
    found = specs.size(Spec(cpu, memory), region, preemptible=preemptible)
    sold = specs.pairs(region, preemptible=preemptible)
    assert found in sold
    assert found.cpu >= cpu
    assert found.memory >= memory
    assert not any(one < found and one.cpu >= cpu and one.memory >= memory for one in sold)


def test_the_tables_are_the_documented_ones() -> None:
    everywhere = specs.pairs(ELSEWHERE, preemptible=False)
    assert len(everywhere) == 2 + 2 + 3 + 5 + 5 + 5 + 4 + 4 + 4 + 4 + 3 + 3
    assert len(specs.pairs(REGION, preemptible=False)) == len(everywhere) + 4 + 11 + 22 + 25


def _container(name: str = "c", **resources: Any) -> dict[str, Any]:
    return {"name": name, "resources": resources}


def _total(*containers: dict[str, Any], init: list[dict[str, Any]] | None = None, **env: Any) -> str:
    return str(specs.total(containers, init or [], env))


def test_limits_count_before_requests() -> None:
    both = _container(limits={"cpu": "2", "memory": "4Gi"}, requests={"cpu": "1", "memory": "1Gi"})
    assert _total(both) == "2-4Gi"
    assert _total(_container(requests={"cpu": "500m", "memory": "512Mi"})) == "0.5-0.5Gi"
    mixed = _container(limits={"cpu": "2"}, requests={"cpu": "1", "memory": "1Gi"})
    assert _total(mixed) == "2-1Gi"


def test_containers_add_up_and_the_largest_init_container_must_fit() -> None:
    one = _container(requests={"cpu": "1", "memory": "1Gi"})
    assert _total(one, one) == "2-2Gi"
    assert _total(one, init=[_container(requests={"cpu": "3", "memory": "512Mi"})]) == "3-1Gi"


def test_a_side_car_may_ask_not_to_count() -> None:
    one = _container("main", requests={"cpu": "2", "memory": "4Gi"})
    aside = _container("aside", requests={"cpu": "1", "memory": "1Gi"})
    env = {"aside": (EnvVar(specs.IGNORE, "TRUE"),)}
    assert _total(one, aside, **env) == "2-4Gi"
    assert _total(one, aside, aside=(EnvVar(specs.IGNORE, "FALSE"),)) == "3-5Gi"


def test_limits_hold_for_a_container_and_requests_do_not() -> None:
    (need,) = specs.needs(
        [_container(limits={"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": 2}, requests={"cpu": "250m"})],
        "spec.containers",
    )
    assert need.parameters() == {"Cpu": "0.5", "Memory": "1", "Gpu": 2}
    (free,) = specs.needs([_container(requests={"cpu": "1"})], "spec.containers")
    assert free.parameters() == {}


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"limits": {"amd.com/gpu": "1"}}, "spec.containers[0].resources.limits[amd.com/gpu]"),
        ({"requests": {"cpu": "lots"}}, "spec.containers[0].resources.requests.cpu"),
    ],
)
def test_resources_that_eci_does_not_have(resources: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        specs.needs([_container(**resources)], "spec.containers")
    assert caught.value.field == field


def test_named_specifications() -> None:
    assert specs.instance_types("2-4Gi, ecs.c6.large") == ["2-4Gi", "ecs.c6.large"]
    for wrong in ("", "2x4", "2-4", ",".join(["2-4Gi"] * 6)):
        with pytest.raises(Rejected) as caught:
            specs.instance_types(wrong)
        assert caught.value.field == "metadata.annotations[k8s.aliyun.com/eci-use-specs]"
