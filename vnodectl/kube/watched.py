"""One object of the API, followed: what it is now, whenever that changes."""

from __future__ import annotations

from collections.abc import Callable

from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import Resource

Told = Callable[[JSON | None], None]
"""Is called with the object, None while there is none; once when it is first known, then at each change."""


class WatchedObject:
    """Needs `list` and `watch` of that one name: `resourceNames` in RBAC is enough."""

    def __init__(self, client: KubeClient, resource: Resource, namespace: str, name: str, told: Told) -> None:
        self._name = name
        self._told = told
        self._version: str | None = ""
        self._watch = ListWatch(
            client, resource.path(namespace), self, params={"fieldSelector": f"metadata.name={name}"}
        )
        self.synced = self._watch.synced
        """Set once it is known whether there is one."""

    async def run(self) -> None:
        """Until cancelled."""
        await self._watch.run()

    # --- what the watch says ----------------------------------------------------------------------

    def replaced(self, items: list[JSON]) -> None:
        self._tell(next((one for one in items if one["metadata"]["name"] == self._name), None))

    def changed(self, item: JSON) -> None:
        self._tell(item)

    def deleted(self, item: JSON) -> None:  # noqa: ARG002 — there is only the one
        self._tell(None)

    def _tell(self, item: JSON | None) -> None:
        """A list that is read anew repeats what is known."""
        version = None if item is None else str(item["metadata"]["resourceVersion"])
        if version != self._version:
            self._version = version
            self._told(item)
