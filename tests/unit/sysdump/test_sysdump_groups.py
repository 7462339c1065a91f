"""Which container groups belong into a support archive."""

from __future__ import annotations

from typing import Any

import pytest

from vnodectl.clouds.ownership import CONNECTOR
from vnodectl.sysdump.clouds import azure_groups

JSON = dict[str, Any]


class Session:
    """A resource group that clusters share: groups by the tag that says whose they are."""

    async def container_groups(self, name: str) -> list[JSON]:
        owners = ("mine", "mine.here", "mine.elsewhere", "other.here", None)
        return [
            {"id": f"/{name}/{owner}", "name": str(owner), "tags": {CONNECTOR: owner} if owner else {}}
            for owner in owners
        ]

    async def arm(self, method: str, path: str, version: str) -> JSON:
        return {"id": path, "name": path.rpartition("/")[2]}


@pytest.mark.parametrize(
    ("releases", "names"),
    [
        (("mine",), ["mine", "mine.here"]),
        (("mine", "other"), ["mine", "mine.here", "other.here"]),
        ((), ["mine", "mine.elsewhere", "mine.here", "other.here"]),
    ],
)
async def test_the_groups_of_this_clusters_connectors(releases: tuple[str, ...], names: list[str]) -> None:
    azure: Any = Session()
    files, remarks = await azure_groups(azure, ["rg"], releases, "here")
    assert [one["name"] for one in files["cloud/azure/container-groups.json"]] == names
    assert remarks == []
