"""Container groups of the emulated ECI as real containers: exit codes, files, logs and exec are theirs."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from alibabacloud_eci20180808 import models as eci
from support.alibaba_clients import (
    REGION,
    Clients,
    clients,
    created,
    deleted,
    gone,
    reaches,
    script,
    seed,
    statuses,
    the_group,
    trust,
)
from support.shell_image import import_shell_image

from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.engines.select import open_engine

pytestmark = pytest.mark.containers
SECONDS = 60


@pytest.fixture(scope="module")
def image() -> str:
    return import_shell_image()


@asynccontextmanager
async def alibaba(state: Path) -> AsyncIterator[tuple[AlibabaEmulator, Clients]]:
    engine = open_engine("podman", scope=f"emulator-eci-{os.getpid()}", state_dir=state)
    try:
        await engine.start()
        async with AlibabaEmulator(config_of(seed()), engine=engine, state_dir=state) as emulator:
            yield emulator, clients(emulator)
    finally:
        await engine.aclose(remove=True)


async def log(sdk: Clients, group: str) -> str:
    request = eci.DescribeContainerLogRequest(
        region_id=REGION, container_group_id=group, container_name="web"
    )
    return str((await sdk.eci.describe_container_log_async(request)).body.content)


async def command(sdk: Clients, group: str, *words: str, **fields: Any) -> Any:
    request = eci.ExecContainerCommandRequest(
        region_id=REGION,
        container_group_id=group,
        container_name="web",
        command=json.dumps(words),
        **fields,
    )
    return (await sdk.eci.exec_container_command_async(request)).body


async def test_exit_codes_and_restarts_are_the_containers_own(tmp_path: Path, image: str) -> None:
    async with alibaba(tmp_path) as (emulator, sdk):
        says_why = script("echo once; echo why >/end; exit 7", image=image, termination_message_path="/end")
        job = await created(sdk, "job", container=[says_why], restart_policy="Never")
        await reaches(emulator, job, "Failed", seconds=SECONDS)
        ended = (await the_group(sdk, job)).containers[0].current_state
        assert (ended.state, ended.exit_code, ended.message) == ("Terminated", 7, "why\n")
        assert await log(sdk, job) == "once\n"

        again = await created(
            sdk, "again", container=[script("exit 5", image=image)], restart_policy="OnFailure"
        )
        await reaches(
            emulator,
            again,
            lambda group: bool(group.seen and group.seen.containers[0].restarts),
            seconds=SECONDS,
        )
        shown = await the_group(sdk, again)
        assert shown.containers[0].previous_state.exit_code == 5
        assert {"Created", "Started"} <= {event.reason for event in shown.events}
        pod = next(one for one in (await statuses(sdk)).data if one.name == "again")
        assert pod.pod_status.container_statuses[0].restart_count >= 1


async def test_files_shares_variables_and_init_containers(tmp_path: Path, image: str) -> None:
    def mount(kind: Any, name: str) -> Any:
        return kind(name=name, mount_path=f"/{name}")

    first = eci.CreateContainerGroupRequestInitContainer(
        name="first",
        image=image,
        command=["/bin/sh", "-c", "echo from-init > /work/file"],
        volume_mount=[mount(eci.CreateContainerGroupRequestInitContainerVolumeMount, "work")],
    )
    of_container = eci.CreateContainerGroupRequestContainerVolumeMount
    web = script(
        'echo "$TOKEN $ADDRESS"; cat /work/file /files/a.txt; echo stored > /share/b.txt',
        image=image,
        environment_var=[
            eci.CreateContainerGroupRequestContainerEnvironmentVar(key="TOKEN", value="a token"),
            eci.CreateContainerGroupRequestContainerEnvironmentVar(
                key="ADDRESS",
                field_ref=eci.CreateContainerGroupRequestContainerEnvironmentVarFieldRef(
                    field_path="status.podIP"
                ),
            ),
        ],
        volume_mount=[mount(of_container, name) for name in ("work", "files", "share")],
    )
    content = base64.b64encode(b"from-config\n").decode()
    volumes = [
        eci.CreateContainerGroupRequestVolume(name="work", type="EmptyDirVolume"),
        eci.CreateContainerGroupRequestVolume(
            name="files",
            type="ConfigFileVolume",
            config_file_volume=eci.CreateContainerGroupRequestVolumeConfigFileVolume(
                config_file_to_path=[
                    eci.CreateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(
                        path="a.txt", content=content
                    )
                ]
            ),
        ),
        eci.CreateContainerGroupRequestVolume(
            name="share",
            type="NFSVolume",
            nfsvolume=eci.CreateContainerGroupRequestVolumeNFSVolume(server="nas.example", path="/data"),
        ),
    ]
    async with alibaba(tmp_path) as (emulator, sdk):
        job = await created(
            sdk, container=[web], init_container=[first], volume=volumes, restart_policy="Never"
        )
        await reaches(emulator, job, "Succeeded", seconds=SECONDS)
        shown = await the_group(sdk, job)
        assert await log(sdk, job) == f"a token {shown.intranet_ip}\nfrom-init\nfrom-config\n"
        assert (tmp_path / "shares" / "nas" / "nas.example" / "data" / "b.txt").read_text() == "stored\n"
        assert shown.init_containers[0].current_state.exit_code == 0


async def test_commands_run_in_the_container(tmp_path: Path, image: str) -> None:
    async with alibaba(tmp_path) as (emulator, sdk):
        web = await created(sdk, container=[script("while :; do sleep 1; done", image=image)])
        await reaches(emulator, web, "Running", seconds=SECONDS)
        at_once = await command(sdk, web, "/bin/sh", "-c", "echo $((40 + 2))", sync=True)
        assert at_once.sync_response == "42\n"

        answer = await command(sdk, web, "/bin/sh", "-c", "read line; echo got $line; exit 9")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                answer.web_socket_uri, ssl=trust(emulator), protocols=["v4.channel.k8s.io"]
            ) as socket,
        ):
            await socket.send_bytes(b"\x00typed\n")
            messages = [message.data async for message in socket]
        assert b"".join(one[1:] for one in messages if one[0] == 1) == b"got typed\n"
        assert json.loads(messages[-1][1:])["details"]["causes"][0]["message"] == "9"

        request = eci.DescribeMultiContainerGroupMetricRequest(
            region_id=REGION, container_group_ids=json.dumps([web])
        )
        data = (await sdk.eci.describe_multi_container_group_metric_async(request)).body.monitor_datas
        assert data[0].records[0].containers[0].memory.working_set > 0
        await deleted(sdk, web)
        await gone(emulator, web)
