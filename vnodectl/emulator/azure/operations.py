"""Long-running operations: started by a PUT, POST or DELETE, followed through two kinds of URL."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from vnodectl.emulator.azure.calls import Answer, ArmRoute, Call
from vnodectl.emulator.azure.errors import ArmError, error_body
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.clock import iso
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.router import Route

IN_PROGRESS, SUCCEEDED, FAILED, CANCELED = "InProgress", "Succeeded", "Failed", "Canceled"


@dataclass(slots=True)
class Operation:
    """`base` is the path under which it is followed, without the last two segments.

    One with `due` (seconds of the clock) succeeds by itself at that moment, unless it has failed before.
    """

    id: str
    base: str
    started: float
    due: float | None = None
    status: str = IN_PROGRESS
    ended: float | None = None
    code: str = ""
    message: str = ""

    def at(self, now: float) -> tuple[str, float | None]:
        """Its status and its end (None: not yet) as they are at `now`."""
        if self.ended is None and self.due is not None and now >= self.due:
            return SUCCEEDED, self.due
        return self.status, self.ended


KEPT = 20_000
"""So many of the latest operations can be followed; ARM forgets them after a week."""


class Operations:
    """The operations of one subscription since the start or the last reset."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: dict[str, Operation] = {}

    def start(self, base: str, *, lasts: float | None = None) -> Operation:
        """Until somebody says how it ended; one that `lasts` seconds of the clock ends by itself."""
        now = self._world.clock.now()
        operation = Operation(str(uuid.uuid4()), base, now, None if lasts is None else now + lasts)
        self._all[operation.id] = operation
        if len(self._all) > KEPT:
            del self._all[next(iter(self._all))]
        return operation

    def succeed(self, operation: Operation) -> None:
        self._end(operation, SUCCEEDED)

    def fail(self, operation: Operation, code: str, message: str) -> None:
        operation.code, operation.message = code, message
        self._end(operation, FAILED)

    def cancel(self, operation: Operation) -> None:
        """What it was doing was overtaken, e.g. by a deletion."""
        self._end(operation, CANCELED)

    def clear(self) -> None:
        self._all.clear()

    def headers(self, operation: Operation, call: Call, *, location: bool) -> dict[str, str]:
        """Azure-AsyncOperation, Retry-After, and with `location` also Location."""
        url = f"{call.base_url}{operation.base}/{{}}/{operation.id}?api-version={call.api_version}"
        headers = {"Azure-AsyncOperation": url.format("operations")} | self._retry_after()
        return headers | {"Location": url.format("operationresults")} if location else headers

    def location_header(self, operation: Operation, call: Call) -> dict[str, str]:
        """Only Location and Retry-After, as ARM does for resource groups."""
        url = f"{call.base_url}{operation.base}/operationresults/{operation.id}"
        return {"Location": f"{url}?api-version={call.api_version}"} | self._retry_after()

    def routes(self, base: str, versions: tuple[str, ...]) -> list[ArmRoute]:
        """`base` is the template of the path that operations were started with."""
        note = "long-running operations"
        status, result = f"{base}/operations/{{operationId}}", f"{base}/operationresults/{{operationId}}"
        return [
            Route("GET", status, "Operations_Get", self.get_status, versions, note),
            Route("GET", result, "Operations_GetResult", self.get_result, versions, note),
        ]

    async def get_status(self, call: Call) -> Answer:
        operation = self._find(call)
        status, ended = operation.at(self._world.clock.now())
        body: JSON = {
            "id": call.path,
            "name": operation.id,
            "status": status,
            "startTime": iso(operation.started),
        }
        if ended is None:
            return Answer(200, body, self._retry_after())
        body["endTime"] = iso(ended)
        if status == FAILED:
            body["error"] = error_body(operation.code, operation.message)
        return Answer(200, body)

    async def get_result(self, call: Call) -> Answer:
        operation = self._find(call)
        status, _ = operation.at(self._world.clock.now())
        if status == IN_PROGRESS:
            return Answer(202, None, self.location_header(operation, call))
        if status == FAILED:
            raise ArmError(409, operation.code, operation.message)
        return Answer(200 if status == SUCCEEDED else 204)

    def _find(self, call: Call) -> Operation:
        operation = self._all.get(call.params["operationId"])
        if operation is None or not call.path.casefold().startswith(operation.base.casefold() + "/"):
            raise ArmError(404, "NotFound", f"The operation '{call.params['operationId']}' was not found.")
        return operation

    def _retry_after(self) -> dict[str, str]:
        seconds = self._world.timings.retry_after
        return {"Retry-After": str(max(1, round(seconds)))} if seconds else {}

    def _end(self, operation: Operation, status: str) -> None:
        if operation.ended is None:
            operation.status, operation.ended = status, self._world.clock.now()
