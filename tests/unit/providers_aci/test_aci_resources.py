from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnodectl.providers.aci.resources import resources
from vnodectl.runtime.provider import Rejected


def _one(requests: dict[str, Any] | None = None, limits: dict[str, Any] | None = None) -> Any:
    section: dict[str, Any] = {}
    if requests is not None:
        section["requests"] = requests
    if limits is not None:
        section["limits"] = limits
    return {"name": "main", "image": "x", "resources": section}


def test_defaults() -> None:
    assert resources([{"name": "a"}], "") == [{"requests": {"cpu": 1, "memoryInGB": 1.5}}]


@pytest.mark.parametrize(
    ("cpu", "memory", "want_cpu", "want_memory"),
    [
        ("1500m", "2G", 1.5, 2),
        ("1.001", "1.01G", 1.01, 1.1),
        ("2", "2Gi", 2, 2.2),
        ("4", "1000000001", 4, 1.1),
    ],
)
def test_requests_are_rounded_up(cpu: str, memory: str, want_cpu: float, want_memory: float) -> None:
    body = resources([_one({"cpu": cpu, "memory": memory})], "")[0]
    assert body == {"requests": {"cpu": want_cpu, "memoryInGB": want_memory}}


def test_a_group_has_at_least_one_core_and_one_gb() -> None:
    small = _one({"cpu": "100m", "memory": "100M"})
    bodies = resources([small, small], "")
    assert [body["requests"] for body in bodies] == [
        {"cpu": 0.9, "memoryInGB": 0.9},
        {"cpu": 0.1, "memoryInGB": 0.1},
    ]


def test_a_limit_alone_is_the_request() -> None:
    body = resources([_one(limits={"cpu": "2", "memory": "4G"})], "")[0]
    assert body == {"requests": {"cpu": 2, "memoryInGB": 4}, "limits": {"cpu": 2, "memoryInGB": 4}}


def test_a_limit_above_what_the_group_has_is_cut_to_it() -> None:
    first = _one({"cpu": "1", "memory": "1G"}, {"cpu": "8", "memory": "64G"})
    second = _one({"cpu": "1", "memory": "2G"})
    assert resources([first, second], "")[0]["limits"] == {"cpu": 2, "memoryInGB": 3}


def test_a_limit_is_never_below_the_raised_request() -> None:
    body = resources([_one({"cpu": "100m", "memory": "100M"}, {"cpu": "200m", "memory": "200M"})], "")[0]
    assert body == {"requests": {"cpu": 1, "memoryInGB": 1}, "limits": {"cpu": 1, "memoryInGB": 1}}


def test_gpus_need_a_sku() -> None:
    container = _one(limits={"nvidia.com/gpu": "2"})
    with pytest.raises(Rejected) as caught:
        resources([container], "")
    assert caught.value.field == "spec.containers[0].resources.limits"
    assert resources([container], "V100")[0]["requests"]["gpu"] == {"count": 2, "sku": "V100"}


@pytest.mark.parametrize("section", ["requests", "limits"])
def test_other_extended_resources_are_rejected_by_name(section: str) -> None:
    container = {"name": "a", "resources": {section: {"example.com/fpga": "1"}}}
    with pytest.raises(Rejected) as caught:
        resources([container], "")
    assert caught.value.field == f"spec.containers[0].resources.{section}[example.com/fpga]"


def test_no_quantity() -> None:
    with pytest.raises(Rejected) as caught:
        resources([_one({"cpu": "lots"})], "")
    assert caught.value.field == "spec.containers[0].resources.requests.cpu"


amounts = st.tuples(st.integers(1, 8000), st.integers(1, 64_000))


@given(st.lists(st.tuples(amounts, st.none() | amounts), min_size=1, max_size=8))
def test_nobody_gets_less_than_asked_and_limits_fit_the_group(
    asked: list[tuple[tuple[int, int], tuple[int, int] | None]],
) -> None:
    containers = [
        _one(
            {"cpu": f"{cpu}m", "memory": f"{memory}M"},
            {"cpu": f"{limit[0]}m", "memory": f"{limit[1]}M"} if limit else None,
        )
        for (cpu, memory), limit in asked
    ]
    bodies = resources(containers, "")
    total_cpu = sum(Decimal(str(body["requests"]["cpu"])) for body in bodies)
    total_memory = sum(Decimal(str(body["requests"]["memoryInGB"])) for body in bodies)
    assert total_cpu >= 1
    assert total_memory >= 1
    for body, ((cpu, memory), _) in zip(bodies, asked, strict=True):
        got_cpu, got_memory = (Decimal(str(body["requests"][name])) for name in ("cpu", "memoryInGB"))
        assert got_cpu >= Decimal(cpu) / 1000
        assert got_memory >= Decimal(memory) / 1000
        assert got_cpu % Decimal("0.01") == 0
        assert got_memory % Decimal("0.1") == 0
        if "limits" in body:
            assert got_cpu <= Decimal(str(body["limits"]["cpu"])) <= total_cpu
            assert got_memory <= Decimal(str(body["limits"]["memoryInGB"])) <= total_memory
