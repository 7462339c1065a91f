"""Foreign clients through the CONNECT proxy: they know only Microsoft's own host names."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from urllib.parse import urlsplit

import aiohttp
import pytest
from support.azure_clients import CLIENT, GROUP, SECRET, container_group, seed
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

FOREIGN = """
import json, os, sys
from azure.identity import ClientSecretCredential
from azure.mgmt.containerinstance import ContainerInstanceManagementClient

group, body = sys.argv[1], json.loads(sys.argv[2])
names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
credential = ClientSecretCredential(*(os.environ["AZURE_" + name] for name in names))
client = ContainerInstanceManagementClient(credential, os.environ["AZURE_SUBSCRIPTION_ID"])
groups = client.container_groups
made = groups.begin_create_or_update(group, "foreign", body, polling_interval=0.01).result()
listed = [one.name for one in groups.list()]
logs = client.containers.list_logs(group, "foreign", "web").content
groups.begin_delete(group, "foreign", polling_interval=0.01).result()
left = [one.name for one in groups.list_by_resource_group(group)]
told = {"id": made.id, "state": made.instance_view.state, "listed": listed, "logs": logs, "left": left}
print(json.dumps(told))
"""


async def test_an_unmodified_sdk_program_in_a_process_of_its_own() -> None:
    async with AzureEmulator(AzureConfig.from_json(seed()), engine=ScriptedEngine()) as emulator:
        env = {
            "PATH": os.environ["PATH"],
            "AZURE_TENANT_ID": emulator.world.tenant,
            "AZURE_SUBSCRIPTION_ID": emulator.world.subscription,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": SECRET,
            "HTTPS_PROXY": emulator.proxy_url,
            "REQUESTS_CA_BUNDLE": str(emulator.ca_file),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            FOREIGN,
            GROUP,
            json.dumps(container_group()),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        told = json.loads(output)
        assert told["id"].endswith(
            f"/resourceGroups/{GROUP}/providers/Microsoft.ContainerInstance/containerGroups/foreign"
        )
        assert (told["state"], told["listed"], told["left"]) == ("Running", ["foreign"], [])
        assert emulator.gateway.recorder.count("PUT", "containerGroups", 201) == 1
        # What it was told to follow had the name that it knows, so it followed it through the proxy.
        assert emulator.gateway.recorder.count("GET", "operations/{operationId}", 200) >= 1


async def test_graph_is_reached_under_its_own_name() -> None:
    async with AzureEmulator(AzureConfig.from_json(seed()), engine=ScriptedEngine()) as emulator:
        trust = ssl.create_default_context(cafile=str(emulator.ca_file))
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": SECRET,
            "scope": "https://graph.microsoft.com/.default",
        }
        async with aiohttp.ClientSession() as session:
            login = f"https://login.microsoftonline.com/{emulator.world.tenant}/oauth2/v2.0/token"
            async with session.post(login, data=form, ssl=trust, proxy=emulator.proxy_url) as answer:
                token = (await answer.json())["access_token"]
            path = f"https://graph.microsoft.com/v1.0/applications(appId='{CLIENT}')"
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(path, headers=headers, ssl=trust, proxy=emulator.proxy_url) as answer:
                assert (await answer.json())["appId"] == CLIENT


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        ("CONNECT example.com:443 HTTP/1.1", b"HTTP/1.1 403 "),
        ("CONNECT management.azure.com:80 HTTP/1.1", b"HTTP/1.1 403 "),
        ("CONNECT management.azure.com:443 HTTP/1.1", b"HTTP/1.1 200 "),
        ("GET http://management.azure.com/ HTTP/1.1", b"HTTP/1.1 405 "),
    ],
)
async def test_nothing_else_is_reached(request_line: str, answer: bytes) -> None:
    async with AzureEmulator(AzureConfig.from_json(seed()), engine=ScriptedEngine()) as emulator:
        address = urlsplit(emulator.proxy_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        assert (await reader.readline()).startswith(answer)
        writer.close()
        await writer.wait_closed()


async def test_open_tunnels_end_with_the_emulator() -> None:
    async with AzureEmulator(AzureConfig.from_json(seed()), engine=ScriptedEngine()) as emulator:
        address = urlsplit(emulator.proxy_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()
