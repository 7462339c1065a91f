from __future__ import annotations

from typing import Any

import pytest

from vnodectl.clouds.alibaba import AlibabaThrottled
from vnodectl.providers.eci.stats import Filesystem, Interface, Usage, read, sample
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import PodKey, Retryable

KEY = PodKey("default", "web-0", "u")
CPU = {"UsageNanoCores": 5, "UsageCoreNanoSeconds": 7, "Limit": 2000, "Load": 0}
MEMORY = {"WorkingSet": 1, "UsageBytes": 2, "Rss": 3, "AvailableBytes": 4, "Cache": 9}
RECORD = {
    "Timestamp": "2026-01-02T03:04:05Z",
    "CPU": CPU,
    "Memory": MEMORY,
    "Containers": [{"Name": "main", "CPU": CPU, "Memory": MEMORY}],
    "Network": {"Interfaces": [{"Name": "eth0", "RxBytes": 1, "RxErrors": 2, "TxBytes": 3, "TxErrors": 4}]},
    "Filesystem": [{"FsName": "/dev/root", "Capacity": 10, "Available": 6, "Usage": 4}],
}


def test_one_sample() -> None:
    older = {**RECORD, "Timestamp": "2026-01-02T03:03:05Z", "CPU": {}}
    data = folded({"ContainerGroupId": "eci-1", "Records": [RECORD, older]})
    found = sample({"eci-1": KEY}, data)
    assert found is not None
    usage = Usage(5, 7, 1, 2, 3, 4)
    assert (found.key, found.time, found.pod, found.containers) == (
        KEY,
        "2026-01-02T03:04:05Z",
        usage,
        {"main": usage},
    )
    assert found.interfaces == (Interface("eth0", 1, 2, 3, 4),)
    assert found.filesystems == (Filesystem("/dev/root", 10, 6, 4),)


@pytest.mark.parametrize(
    "data", [{}, {"ContainerGroupId": "eci-1"}, {"ContainerGroupId": "eci-2", "Records": [RECORD]}]
)
def test_nothing_to_say(data: dict[str, Any]) -> None:
    assert sample({"eci-1": KEY}, folded(data)) is None


def test_an_empty_record_is_zero() -> None:
    found = sample({"eci-1": KEY}, folded({"ContainerGroupId": "eci-1", "Records": [{}]}))
    assert found is not None
    assert found.pod == Usage(0, 0, 0, 0, 0, 0)


async def test_a_failed_read_may_work_later() -> None:
    class Failing:
        async def metrics(self, ids: list[str]) -> list[Any]:
            raise AlibabaThrottled(400, "Throttling.User", "slow", retry_after=2)

    with pytest.raises(Retryable) as caught:
        await read(Failing(), {"eci-1": KEY})  # type: ignore[arg-type]
    assert caught.value.retry_after == 2
