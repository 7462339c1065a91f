"""The faults of the azure-aci virtual kubelet, each with the test that it is not ours.

Each is a scenario of its own here, small enough to be read beside the fault.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSCloseCode
from support.aci_cloud import Kubectl, TerminalEngine, aci_cloud
from support.aci_pods import make_pod
from support.azure_clients import GROUP, LOCATION
from support.scripted_engine import ScriptedEngine

from vnodectl.providers.aci.names import group_name
from vnodectl.providers.aci.preparing import Preparer
from vnodectl.providers.aci.settings import AciSettings, NodeIdentity
from vnodectl.providers.aci.translate import Known, translate
from vnodectl.providers.image_registry import ImageRegistry
from vnodectl.providers.images import ImageConfig
from vnodectl.providers.timing import LoopTimer
from vnodectl.runtime.provider import EnvVar, File, Files, Gone, Listed, PodKey, Seen

LINUX = NodeIdentity("node", "release")
POD = make_pod({"restartPolicy": "Never", "containers": [{"name": "main", "image": "nginx"}]})


async def names_collide() -> None:
    """It calls a group NAMESPACE-NAME: a-b/c and a/b-c are one."""
    first, second = PodKey("a-b", "c", "uid-1"), PodKey("a", "b-c", "uid-2")
    assert group_name(first) != group_name(second)


async def uid_is_never_checked() -> None:
    """A pod recreated under its name adopts the group of the one before."""
    again = make_pod(POD.pod["spec"], uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11")
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        await cloud.provider.create(again)
        await cloud.said.state(again.key, "running")
        assert len(await cloud.session.container_groups(GROUP)) == 2


async def exit_code_is_always_zero() -> None:
    """A container that ended with 3 is told as 0."""
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.end(3)
        status = await cloud.said.state(POD.key, "terminated")
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def operation_failures_are_unseen() -> None:
    """A group that could not be provisioned stays Pending for ever."""
    engine = ScriptedEngine()
    engine.refuses = "no room for this group"
    async with aci_cloud(engine) as cloud:
        await cloud.provider.create(POD)
        seen = await cloud.said.until(
            lambda one: isinstance(one, Seen) and one.status.get("phase") == "Failed"
        )
        assert isinstance(seen, Seen)
        assert "no room for this group" in seen.status["message"]


async def deleted_before_it_is_gone() -> None:
    """The pod's object goes while its group still runs, and costs."""
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.engine.holds_deletions = True
        await cloud.provider.delete(POD.key, grace=0)
        await cloud.said.listed()
        await cloud.said.listed()
        assert Gone(POD.key) not in cloud.said.all
        cloud.engine.vanish(next(iter(cloud.engine.seen)))
        await cloud.said.gone(POD.key)


async def args_without_a_command_are_refused() -> None:
    """Such a pod cannot run at all."""
    pod = make_pod({"containers": [{"name": "main", "image": "nginx", "args": ["-x"]}]})
    known = Known({"nginx": ImageConfig(("/entry",))})
    body = translate(pod, AciSettings("rg", "eastus"), LINUX, known)
    assert body["properties"]["containers"][0]["properties"]["command"] == ["/entry", "-x"]


async def secret_variables_are_sent_in_the_open() -> None:
    """Values from Secrets can be read back from ARM."""
    pod = make_pod(env={"main": (EnvVar("TOKEN", "planted", secret=True),)})
    async with aci_cloud() as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        (spec,) = cloud.engine.specs.values()
        assert spec.containers[0].env["TOKEN"] == "planted"
        assert "planted" not in json.dumps(await cloud.session.container_groups(GROUP))


async def items_modes_and_sub_paths_are_ignored() -> None:
    """The whole Secret is mounted, with its own names and one mode."""
    volume = Files((File("conf/run.sh", b"#!/bin/sh", 0o755),))
    mount = {"name": "v", "mountPath": "/app/run.sh", "subPath": "conf/run.sh"}
    main = {"name": "main", "image": "x", "command": ["/app/run.sh"], "volumeMounts": [mount]}
    pod = make_pod({"containers": [main], "volumes": [{"name": "v"}]}, volumes={"v": volume})
    body = translate(pod, AciSettings("rg", "eastus"), LINUX)
    command = body["properties"]["containers"][0]["properties"]["command"]
    assert "chmod 755 /app/run.sh" in command[2]


async def kube_proxy_s_token_is_read_once(tmp_path: Any) -> None:
    """Groups made an hour later get a token that is no longer good."""
    settings = AciSettings(
        GROUP,
        LOCATION,
        cluster_cidr="10.0.0.0/8",
        api_server="https://api",
        kube_proxy_account=str(tmp_path),
    )
    registry = ImageRegistry(lambda: None, LoopTimer())  # type: ignore[arg-type, return-value]
    preparer = Preparer(settings, LINUX, registry)
    (tmp_path / "ca.crt").write_text("CA")
    for token in ("first", "second"):
        (tmp_path / "token").write_text(token)
        known = await preparer.known(POD)
        assert known.kube_proxy is not None
        assert json.loads(known.kube_proxy.kubeconfig)["users"][0]["user"]["token"] == token


async def a_failed_list_makes_groups_dangle() -> None:
    """An error while listing makes it delete what runs."""
    async with aci_cloud() as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        cloud.fault(method="GET", path="containerGroups$", status=500, code="InternalServerError")
        await cloud.said.health(False, after=len(cloud.said.all))
        assert Gone(POD.key) not in cloud.said.all
        assert all(POD.key in one.keys for one in cloud.said.all[2:] if isinstance(one, Listed))
        assert cloud.calls("DELETE") == 0


async def exec_without_arguments_or_exit_code() -> None:
    """kubectl exec runs the first word only."""
    async with aci_cloud(TerminalEngine()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        far = Kubectl()
        command = ["sh", "-c", "echo out; echo err >&2; exit 4"]
        code = await asyncio.wait_for(cloud.provider.exec(POD.key, "main", command, far), 20)  # type: ignore[arg-type]
        assert (code, far.output, far.errors) == (4, b"out\n", b"err\n")


async def exec_loses_its_authentication() -> None:
    """The WebSocket's password must come first, and only over TLS."""
    async with aci_cloud(TerminalEngine()) as cloud:
        await cloud.provider.create(POD)
        await cloud.said.state(POD.key, "running")
        (group,) = await cloud.session.container_groups(GROUP)
        from vnodectl.providers.aci.groups import Groups

        channel = await Groups(cloud.session, GROUP).exec(group["name"], "main", "/bin/sh", 80, 24)
        assert channel.uri.startswith("wss://")
        assert channel.password not in repr(channel)
        async with cloud.session.http.ws_connect(channel.uri) as socket:
            await socket.send_str("wrong")
            assert (await asyncio.wait_for(socket.receive(), 10)).data == WSCloseCode.POLICY_VIOLATION


async def it_is_cluster_admin() -> None:
    """Its service account may do everything; ours is asked for by rule."""
    from vnodectl.connector.chart import bundled

    text = (bundled() / "templates" / "rbac.yaml").read_text()
    assert "cluster-admin" not in text
    assert '"*"' not in text


FAULTS: tuple[Callable[..., Awaitable[None]], ...] = (
    names_collide,
    uid_is_never_checked,
    exit_code_is_always_zero,
    operation_failures_are_unseen,
    deleted_before_it_is_gone,
    args_without_a_command_are_refused,
    secret_variables_are_sent_in_the_open,
    items_modes_and_sub_paths_are_ignored,
    kube_proxy_s_token_is_read_once,
    a_failed_list_makes_groups_dangle,
    exec_without_arguments_or_exit_code,
    exec_loses_its_authentication,
    it_is_cluster_admin,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.__name__)
async def test_a_fault_of_azure_aci_is_not_ours(fault: Callable[..., Awaitable[None]], tmp_path: Any) -> None:
    await (fault(tmp_path) if fault.__code__.co_argcount else fault())
