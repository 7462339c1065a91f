"""What groups use, from DescribeMultiContainerGroupMetric. Pure but for the reading of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from vnodectl.errors import VnodectlError
from vnodectl.providers.eci.failures import of_request
from vnodectl.providers.eci.groups import Groups
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import JSON, Interface, PodKey, PodStats, Usage

_NANO = 1e9


async def read(groups: Groups, ids: Mapping[str, PodKey]) -> list[PodStats]:
    """The newest sample of each group (by id) that has one. Raises Retryable."""
    try:
        found = await groups.metrics(list(ids))
    except VnodectlError as error:
        raise of_request(error) from error
    samples = (sample(ids, folded(data)) for data in found)
    return [one for one in samples if one is not None]


def sample(ids: Mapping[str, PodKey], data: JSON) -> PodStats | None:
    """From one folded `MonitorDatas` entry; None for an unknown group, or one that has no record yet."""
    key = ids.get(str(data.get("containergroupid") or ""))
    records: Sequence[JSON] = data.get("records") or ()
    timed = [(when, record) for record in records if (when := _time(record)) is not None]
    if key is None or not timed:
        return None
    when, record = max(timed, key=lambda one: one[0])
    interfaces = (record.get("network") or {}).get("interfaces") or ()
    return PodStats(
        key=key,
        containers={str(one.get("name") or ""): _usage(one, when) for one in record.get("containers") or ()},
        interfaces=tuple(
            Interface(
                str(one.get("name") or ""),
                rx_bytes=_number(one, "rxbytes"),
                rx_errors=_number(one, "rxerrors"),
                tx_bytes=_number(one, "txbytes"),
                tx_errors=_number(one, "txerrors"),
            )
            for one in interfaces
        ),
    )


def _usage(body: JSON, when: float) -> Usage:
    cpu, memory = body.get("cpu") or {}, body.get("memory") or {}
    return Usage(
        time=when,
        cpu_seconds=_number(cpu, "usagecorenanoseconds") / _NANO,
        working_set=_number(memory, "workingset"),
        memory=_number(memory, "usagebytes"),
    )


def _time(record: JSON) -> float | None:
    """Seconds since the epoch; None where the record does not say when it was taken."""
    try:
        when = datetime.fromisoformat(str(record.get("timestamp") or ""))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _number(body: JSON, name: str) -> int:
    return int(body.get(name) or 0)
