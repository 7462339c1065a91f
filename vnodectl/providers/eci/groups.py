"""The calls to ECI that the provider makes, at the pace that each API allows, and nothing else.

All go through the SDK's pipeline as plain JSON. Nothing is retried here: whoever asks knows its own pace.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from vnodectl.clouds.alibaba import AlibabaError, AlibabaForbidden, AlibabaSession, AlibabaThrottled
from vnodectl.clouds.alibaba import tags as tag
from vnodectl.clouds.alibaba.session import ECI_API
from vnodectl.clouds.alibaba.tags import Owner
from vnodectl.providers.eci.limits import PER_MINUTE, ApiLimits
from vnodectl.providers.eci.status import folded
from vnodectl.runtime.provider import JSON

STATUS_PAGE = 200
DETAIL_PAGE = 20
"""Groups of one answer, and ids of one request, of DescribeContainerGroups (and ids of …GroupStatus)."""

LOG_LINES = 2000
LOG_BYTES = 1_048_576
SINCE_LEAST, SINCE_MOST = 60, 3600
"""Seconds that DescribeContainerGroupStatus looks back."""

_MAX_PAGES = 10_000
_NOTHING_NEW = "NoNeedUpdate"
_UNKNOWN_RESOURCE = "Forbidden.Unauthorized"
"""What some APIs answer for a group that is not there: it is not one's own."""


class Groups:
    """The container groups of one virtual node. Every method raises `AlibabaError` or `CloudUnreachable`."""

    def __init__(self, session: AlibabaSession, owner: Owner, limits: ApiLimits) -> None:
        self.session = session
        self._limits = limits
        self._owned = tag.as_list({tag.NODE: owner.node, tag.CONNECTOR: owner.connector})

    # --- what changes something -------------------------------------------------------------------

    async def create(self, parameters: JSON, hide: Iterable[str]) -> str:
        """The new group's id. Errors name none of `hide`."""
        answer = await self._write("CreateContainerGroup", parameters, hide)
        found = answer.get("ContainerGroupId")
        if not found:
            raise AlibabaError(0, "NoContainerGroupId", "ECI accepted a container group but named none")
        return str(found)

    async def delete(self, group_id: str, *, force: bool) -> None:
        """`force` does not wait for the containers' grace. Raises `AlibabaNotFound`."""
        parameters: JSON = {"ContainerGroupId": group_id}
        if force:
            parameters["Force"] = True
        await self._write("DeleteContainerGroup", parameters)

    async def update_files(self, group_id: str, volumes: Sequence[JSON], hide: Iterable[str]) -> None:
        """New contents for config files of a group. Errors name none of `hide`."""
        parameters: JSON = {
            "ContainerGroupId": group_id,
            "UpdateType": "IncrementalUpdate",
            "Volume": list(volumes),
        }
        try:
            await self._write("UpdateContainerGroup", parameters, hide)
        except AlibabaError as error:
            if error.code != _NOTHING_NEW:
                raise

    async def restart(self, group_id: str) -> None:
        """All containers of a group. Raises `AlibabaNotFound`."""
        await self._write("RestartContainerGroup", {"ContainerGroupId": group_id})

    # --- reads ------------------------------------------------------------------------------------

    async def rows(self) -> list[JSON]:
        """A folded row for every group of the node. All or an error."""
        return await self._rows({"Tag": self._owned})

    async def changed(self, since: int) -> list[JSON]:
        """Folded rows of the groups whose status changed in the last `since` seconds (60 to 3,600)."""
        return await self._rows({"Tag": self._owned, "SinceSecond": since})

    async def rows_of(self, ids: Sequence[str]) -> list[JSON]:
        """Folded rows of these groups; one that does not exist has none."""
        found: list[JSON] = []
        for start in range(0, len(ids), DETAIL_PAGE):
            found += await self._rows({"ContainerGroupIds": json.dumps(ids[start : start + DETAIL_PAGE])})
        return found

    async def rows_of_pod(self, uid: str) -> list[JSON]:
        """Folded rows of every group that was made for a pod."""
        return await self._rows({"Tag": [*self._owned, {"Key": tag.UID, "Value": uid}]})

    async def describe(self, ids: Sequence[str]) -> list[JSON]:
        """These groups with their tags, init containers and events, as the API has them (not folded)."""
        found: list[JSON] = []
        for start in range(0, len(ids), DETAIL_PAGE):
            part = ids[start : start + DETAIL_PAGE]
            parameters = {"ContainerGroupIds": json.dumps(part), "Limit": DETAIL_PAGE, "WithEvent": True}
            answer = await self._read("DescribeContainerGroups", parameters)
            found += answer.get("ContainerGroups") or ()
        return found

    async def events(self, since: int) -> list[JSON]:
        """Folded rows of the groups that had events in the last `since` seconds (60 to 3,600)."""
        parameters: JSON = {"Tag": self._owned, "SinceSecond": min(since, SINCE_MOST)}
        return await self._rows(parameters, "DescribeContainerGroupEvents")

    async def check_right_to_read(self, group_id: str) -> None:
        """Raises `AlibabaForbidden` where the identity may not read groups (any more).

        Lists do not tell: to an identity without the right they are empty.
        """
        parameters = {"ContainerGroupId": group_id, "ContainerName": "none", "Tail": 1}
        try:
            await self._read("DescribeContainerLog", parameters)
        except AlibabaForbidden as error:
            if error.code != _UNKNOWN_RESOURCE:
                raise
        except AlibabaThrottled:
            raise
        except AlibabaError as error:
            if error.status >= 500:
                raise

    async def _rows(self, parameters: JSON, action: str = "DescribeContainerGroupStatus") -> list[JSON]:
        query = {**parameters, "Limit": STATUS_PAGE}
        found: list[JSON] = []
        for _ in range(_MAX_PAGES):
            answer = await self._read(action, query)
            found += [folded(row) for row in answer.get("Data") or ()]
            token = answer.get("NextToken")
            if not token:
                return found
            query["NextToken"] = token
        raise AlibabaError(0, "EndlessList", f"a list did not end after {_MAX_PAGES} pages")

    # --- kubectl ----------------------------------------------------------------------------------

    async def logs(self, group_id: str, container: str, *, tail: int, previous: bool) -> str:
        """The container's last `tail` lines (at most 2,000, and 1 MiB), each with its time."""
        parameters: JSON = {
            "ContainerGroupId": group_id,
            "ContainerName": container,
            "Tail": min(tail, LOG_LINES),
            "LimitBytes": LOG_BYTES,
            "Timestamps": True,
        }
        if previous:
            parameters["LastTime"] = True
        return str((await self._read("DescribeContainerLog", parameters)).get("Content") or "")

    async def exec(
        self, group_id: str, container: str, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> str:
        """The address of a WebSocket to the command, good for half a minute; it is a secret."""
        parameters = {
            "ContainerGroupId": group_id,
            "ContainerName": container,
            "Command": json.dumps(list(command)),
            "TTY": tty,
            "Stdin": stdin,
        }
        return str((await self._write("ExecContainerCommand", parameters)).get("WebSocketUri") or "")

    async def metrics(self, ids: Sequence[str]) -> list[JSON]:
        """The newest record of each of these groups: `ContainerGroupId` and `Records`."""
        found: list[JSON] = []
        for start in range(0, len(ids), DETAIL_PAGE):
            part = json.dumps(ids[start : start + DETAIL_PAGE])
            answer = await self._read(
                "DescribeMultiContainerGroupMetric", {"ContainerGroupIds": part, "MetricType": "summary"}
            )
            found += answer.get("MonitorDatas") or ()
        return found

    # --- pace -------------------------------------------------------------------------------------

    async def _read(self, action: str, parameters: JSON) -> JSON:
        """Waits for its turn: reads belong to nobody's pod."""
        await self._limits.take(action)
        return await self._call(action, parameters)

    async def _write(self, action: str, parameters: JSON, hide: Iterable[str] = ()) -> JSON:
        """Never waits: what has to is said to whoever asked, and delays nobody else."""
        wait = self._limits.take_now(action)
        if wait > 0:
            limit = PER_MINUTE[action]
            raise AlibabaThrottled(
                0, "Throttling", f"{limit} calls a minute of {action} are used up", retry_after=wait
            )
        return await self._call(action, parameters, hide)

    async def _call(self, action: str, parameters: JSON, hide: Iterable[str] = ()) -> JSON:
        answer: dict[str, Any] = await self.session.call(
            "eci", action, ECI_API, parameters, retries=False, hide=hide
        )
        return answer
