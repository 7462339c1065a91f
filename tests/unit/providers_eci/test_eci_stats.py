from __future__ import annotations

from typing import Any

import pytest

from vnodectl.clouds.alibaba import AlibabaThrottled
from vnodectl.providers.eci.stats import read, sample
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import Interface, PodKey, Retryable, Usage

KEY = PodKey("default", "web-0", "u")
CPU = {"UsageNanoCores": 5, "UsageCoreNanoSeconds": 7_500_000_000, "Limit": 2000, "Load": 0}
MEMORY = {"WorkingSet": 1, "UsageBytes": 2, "Rss": 3, "AvailableBytes": 4, "Cache": 9}
RECORD = {
    "Timestamp": "2026-01-02T03:04:05Z",
    "CPU": CPU,
    "Memory": MEMORY,
    "Containers": [{"Name": "main", "CPU": CPU, "Memory": MEMORY}],
    "Network": {"Interfaces": [{"Name": "eth0", "RxBytes": 1, "RxErrors": 2, "TxBytes": 3, "TxErrors": 4}]},
}
AT = 1767323045.0


def test_the_newest_sample() -> None:
    older = {**RECORD, "Timestamp": "2026-01-02T03:03:05Z", "Containers": []}
    data = folded({"ContainerGroupId": "eci-1", "Records": [RECORD, older]})
    found = sample({"eci-1": KEY}, data)
    assert found is not None
    assert (found.key, found.containers) == (KEY, {"main": Usage(AT, 7.5, 1, 2)})
    assert found.interfaces == (Interface("eth0", 1, 2, 3, 4),)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"ContainerGroupId": "eci-1"},
        {"ContainerGroupId": "eci-2", "Records": [RECORD]},
        {"ContainerGroupId": "eci-1", "Records": [{**RECORD, "Timestamp": "yesterday"}]},
    ],
)
def test_nothing_to_say(data: dict[str, Any]) -> None:
    assert sample({"eci-1": KEY}, folded(data)) is None


def test_what_a_record_leaves_out_is_zero() -> None:
    record = {"Timestamp": RECORD["Timestamp"], "Containers": [{"Name": "main"}]}
    found = sample({"eci-1": KEY}, folded({"ContainerGroupId": "eci-1", "Records": [record]}))
    assert found is not None
    assert found.containers == {"main": Usage(AT, 0, 0, 0)}
    assert found.interfaces == ()


async def test_a_failed_read_may_work_later() -> None:
    class Failing:
        async def metrics(self, ids: list[str]) -> list[Any]:
            raise AlibabaThrottled(400, "Throttling.User", "slow", retry_after=2)

    with pytest.raises(Retryable) as caught:
        await read(Failing(), {"eci-1": KEY})  # type: ignore[arg-type]
    assert caught.value.retry_after == 2
