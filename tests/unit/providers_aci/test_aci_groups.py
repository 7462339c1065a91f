"""The calls to ARM, as they are on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.aci_pods import make_pod
from support.fake_arm import SUBSCRIPTION, fake_arm

from vnodectl.clouds.azure import AzureError, AzureSession
from vnodectl.providers.aci.groups import Accepted, Groups
from vnodectl.providers.aci.settings import AciSettings, LogAnalytics, NodeIdentity
from vnodectl.providers.aci.translate import translate

OPERATION = "https://arm/operations/1"
STANDBY = {
    "aci.vnodectl.io/standby-pool": "/subscriptions/S/resourceGroups/G/providers/Microsoft.StandbyPool/p/P",
    "aci.vnodectl.io/profile": "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerInstance/c/Q",
}
LINUX = NodeIdentity("node", "release")
GROUP = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ContainerInstance/containerGroups"
)


async def _accept(request: web.Request) -> web.StreamResponse:
    return web.json_response({}, status=201, headers={"Azure-AsyncOperation": OPERATION})


@pytest.mark.parametrize(
    ("annotations", "version"), [({}, "2023-05-01"), (STANDBY, "2025-09-01")], ids=["sdk", "newer"]
)
async def test_a_group_is_written_with_the_version_that_knows_its_fields(
    tmp_path: Path, annotations: dict[str, str], version: str
) -> None:
    body = translate(make_pod(annotations=annotations), AciSettings("rg", "eastus"), LINUX)
    async with fake_arm(tmp_path, _accept) as arm, AzureSession(arm.settings()) as session:
        assert await Groups(session, "rg").put("web", body) == Accepted(201, OPERATION)
        (request,) = arm.requests
        assert (request.method, request.path) == ("PUT", f"{GROUP}/web")
        assert request.query["api-version"] == version
        assert await request.json() == body


async def test_a_restart_is_one_request(tmp_path: Path) -> None:
    async with fake_arm(tmp_path, _accept) as arm, AzureSession(arm.settings()) as session:
        await Groups(session, "rg").restart("web")
        assert [(one.method, one.path) for one in arm.requests] == [("POST", f"{GROUP}/web/restart")]


async def test_no_error_repeats_a_secret_of_the_body(tmp_path: Path) -> None:
    async def repeat(request: web.Request) -> web.StreamResponse:
        text = f"these are wrong: {await request.text()}"
        return web.json_response({"error": {"code": "InvalidParameter", "message": text}}, status=400)

    settings = AciSettings("rg", "eastus", log_analytics=LogAnalytics("id", "planted-workspace-key"))
    body: dict[str, Any] = translate(make_pod(), settings, LINUX)
    body["properties"]["extensions"] = [
        {"properties": {"protectedSettings": {"kubeConfig": "planted-config"}}}
    ]
    async with fake_arm(tmp_path, repeat) as arm, AzureSession(arm.settings()) as session:
        with pytest.raises(AzureError) as caught:
            await Groups(session, "rg").put("web", body)
    assert "these are wrong" in str(caught.value)
    assert "planted" not in str(caught.value)
