"""What groups use, from DescribeMultiContainerGroupMetric. Pure but for the reading of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vnodectl.errors import VnodectlError
from vnodectl.providers.eci.failures import of_request
from vnodectl.providers.eci.groups import Groups
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import JSON, PodKey


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_nano_cores` averaged over the sample, `cpu_nano_seconds` since the start; memory in bytes."""

    cpu_nano_cores: int
    cpu_nano_seconds: int
    memory_working_set: int
    memory_usage: int
    memory_rss: int
    memory_available: int


@dataclass(frozen=True, slots=True)
class Interface:
    """Totals since the start, in bytes and packets."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


@dataclass(frozen=True, slots=True)
class Filesystem:
    """In bytes."""

    name: str
    capacity: int
    available: int
    used: int


@dataclass(frozen=True, slots=True)
class PodStats:
    """One sample. `time` is RFC 3339; `containers` is by container name."""

    key: PodKey
    time: str
    pod: Usage
    containers: Mapping[str, Usage]
    interfaces: tuple[Interface, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()


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
    if key is None or not records:
        return None
    record = max(records, key=lambda one: str(one.get("timestamp") or ""))
    interfaces = (record.get("network") or {}).get("interfaces") or ()
    return PodStats(
        key=key,
        time=str(record.get("timestamp") or ""),
        pod=_usage(record),
        containers={str(one.get("name") or ""): _usage(one) for one in record.get("containers") or ()},
        interfaces=tuple(
            Interface(
                str(one.get("name") or ""),
                _number(one, "rxbytes"),
                _number(one, "rxerrors"),
                _number(one, "txbytes"),
                _number(one, "txerrors"),
            )
            for one in interfaces
        ),
        filesystems=tuple(
            Filesystem(
                str(one.get("fsname") or ""),
                _number(one, "capacity"),
                _number(one, "available"),
                _number(one, "usage"),
            )
            for one in record.get("filesystem") or ()
        ),
    )


def _usage(body: JSON) -> Usage:
    cpu, memory = body.get("cpu") or {}, body.get("memory") or {}
    return Usage(
        cpu_nano_cores=_number(cpu, "usagenanocores"),
        cpu_nano_seconds=_number(cpu, "usagecorenanoseconds"),
        memory_working_set=_number(memory, "workingset"),
        memory_usage=_number(memory, "usagebytes"),
        memory_rss=_number(memory, "rss"),
        memory_available=_number(memory, "availablebytes"),
    )


def _number(body: JSON, name: str) -> int:
    return int(body.get(name) or 0)
