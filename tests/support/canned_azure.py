"""An Azure in memory for checks: what ARM and Microsoft Graph would answer, by path."""

from __future__ import annotations

from typing import Any

from vnodectl.clouds.azure import AzureNotFound

SUBSCRIPTION = "/subscriptions/sub-1"
ACI = "Microsoft.ContainerInstance"


class CannedAzure:
    """`bodies` by path, in any case; one that is an exception is raised. `calls` are the paths asked for."""

    subscription = SUBSCRIPTION

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {}
        self.calls: list[str] = []
        self.skew: float | None = 0.0

    def put(self, path: str, body: Any) -> None:
        self.bodies[path.lower()] = body

    def _say(self, path: str) -> Any:
        self.calls.append(path)
        body = self.bodies.get(path.lower())
        if body is None:
            raise AzureNotFound(404, "ResourceNotFound", f"{path} was not found")
        if isinstance(body, Exception):
            raise body
        return body

    async def arm(self, method, path, api_version, *, params=None, body=None):
        assert (method, body) == ("GET", None)
        assert api_version
        return self._say(path)

    async def pages(self, path, api_version, *, params=None):
        assert api_version
        return self._say(path)["value"]

    async def graph(self, path, *, params=None):
        return self._say(f"graph:{path}")

    async def clock_skew(self):
        return self.skew
