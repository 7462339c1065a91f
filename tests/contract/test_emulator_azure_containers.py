"""Container groups of the emulated ACI as real containers: exit codes, restarts, logs and exec are theirs."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.azure_clients import GROUP, Clients, clients, container, container_group, seed
from support.shell_image import import_shell_image

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.engines.select import open_engine

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def image() -> str:
    return import_shell_image()


@asynccontextmanager
async def azure(state: Path) -> AsyncIterator[tuple[AzureEmulator, Clients]]:
    engine = open_engine("podman", scope=f"emulator-test-{os.getpid()}", state_dir=state)
    try:
        await engine.start()
        config = AzureConfig.from_json(seed())
        async with (
            AzureEmulator(config, engine=engine, state_dir=state) as emulator,
            clients(emulator) as sdk,
        ):
            yield emulator, sdk
    finally:
        await engine.aclose(remove=True)


async def create(sdk: Clients, name: str, body: dict[str, Any]) -> Any:
    return await (await sdk.aci.container_groups.begin_create_or_update(GROUP, name, body)).result()


async def reaches(emulator: AzureEmulator, name: str, condition: Callable[[Group], bool]) -> None:
    async with asyncio.timeout(60):
        await emulator.lifecycle.groups[GROUP, name].until(condition)


def script(image: str, text: str, **properties: Any) -> dict[str, Any]:
    return container(image=image, command=["/bin/sh", "-c", text], ports=[], **properties)


def private(*containers: dict[str, Any], **properties: Any) -> dict[str, Any]:
    body = container_group(containers=list(containers), **properties)
    del body["properties"]["ipAddress"]
    return body


async def test_exit_codes_and_restarts_are_the_containers_own(tmp_path: Path, image: str) -> None:
    async with azure(tmp_path) as (emulator, sdk):
        await create(sdk, "job", private(script(image, "echo once; exit 7"), restartPolicy="Never"))
        ended = await sdk.aci.container_groups.get(GROUP, "job")
        state = ended.containers[0].instance_view.current_state
        assert (ended.instance_view.state, state.state, state.exit_code) == ("Failed", "Terminated", 7)
        assert (await sdk.aci.containers.list_logs(GROUP, "job", "web")).content == "once\n"

        await create(sdk, "again", private(script(image, "exit 5"), restartPolicy="OnFailure"))
        await reaches(
            emulator,
            "again",
            lambda group: group.status is not None and group.status.containers[0].restarts >= 1,
        )
        view = (await sdk.aci.container_groups.get(GROUP, "again")).containers[0].instance_view
        assert view.restart_count >= 1
        assert view.previous_state.exit_code == 5
        assert {"Created", "Started"} <= {event.name for event in view.events}


async def test_secrets_files_and_init_containers_reach_the_containers(tmp_path: Path, image: str) -> None:
    first = {
        "name": "first",
        "properties": {
            "image": image,
            "command": ["/bin/sh", "-c", "echo from-init > /work/file"],
            "volumeMounts": [{"name": "work", "mountPath": "/work"}],
        },
    }
    web = script(
        image,
        'echo "$TOKEN"; cat /work/file /files/a.txt; echo stored > /share/b.txt',
        environmentVariables=[{"name": "TOKEN", "secureValue": "secure"}],
        volumeMounts=[
            {"name": "work", "mountPath": "/work"},
            {"name": "files", "mountPath": "/files"},
            {"name": "share", "mountPath": "/share"},
        ],
    )
    volumes = [
        {"name": "work", "emptyDir": {}},
        {"name": "files", "secret": {"a.txt": "c2VjcmV0Cg=="}},
        {"name": "share", "azureFile": {"shareName": "s", "storageAccountName": "acc"}},
    ]
    async with azure(tmp_path) as (emulator, sdk):
        body = private(web, initContainers=[first], volumes=volumes, restartPolicy="Never")
        await create(sdk, "files", body)
        await reaches(
            emulator, "files", lambda group: group.status is not None and group.status.phase == "Succeeded"
        )
        logs = await sdk.aci.containers.list_logs(GROUP, "files", "web")
        assert logs.content == "secure\nfrom-init\nsecret\n"
        assert (tmp_path / "shares" / "acc" / "s" / "b.txt").read_text() == "stored\n"
        view = (await sdk.aci.container_groups.get(GROUP, "files")).init_containers[0].instance_view
        assert view.current_state.exit_code == 0


async def test_exec_is_a_terminal_in_the_container(tmp_path: Path, image: str) -> None:
    async with azure(tmp_path) as (emulator, sdk):
        await create(sdk, "web", private(script(image, "while :; do sleep 1; done")))
        answer = await sdk.aci.containers.execute_command(
            GROUP, "web", "web", {"command": "/bin/sh", "terminalSize": {"rows": 24, "cols": 80}}
        )
        trust = ssl.create_default_context(cafile=str(emulator.ca_file))
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(answer.web_socket_uri, ssl=trust) as socket,
        ):
            await socket.send_str(answer.password)
            await socket.send_bytes(b"echo answer-$((40 + 2))\nexit\n")
            async with asyncio.timeout(30):
                output = b"".join([message.data async for message in socket])
        assert b"answer-42" in output
