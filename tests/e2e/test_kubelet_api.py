"""Real kubectl, through a real API server, against the kubelet API; pods are processes of this machine.

Everything runs twice: as API servers before 1.36 speak to a kubelet (SPDY/3.1), and as newer ones do to a
node that declares ExtendWebSocketsToKubelet (WebSocket).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.kubelet_api import Pods, client_tls, until_idle, until_running
from support.process_provider import ProcessProvider

from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.kube.resources import CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, NODES, PODS, SERVICE_ACCOUNTS
from vnodectl.runtime.http import remote
from vnodectl.runtime.http.identity import KubeReviewer
from vnodectl.runtime.http.server import KubeletServer, KubeletServerConfig
from vnodectl.runtime.http.serving import SelfSigned
from vnodectl.runtime.streams.session import SessionLimits

pytestmark = pytest.mark.e2e

WEBSOCKETS = "ExtendWebSocketsToKubelet"


@dataclass
class Node:
    """A node made of our server, and one pod on it."""

    name: str
    pod: str
    kube: KubeClient
    server: KubeletServer
    provider: ProcessProvider
    environment: dict[str, str]
    upgrades: list[str]

    @asynccontextmanager
    async def kubectl(self, *arguments: str, **pipes: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        """A kubectl that is killed at the end."""
        for pipe in ("stdin", "stdout", "stderr"):
            pipes.setdefault(pipe, asyncio.subprocess.PIPE)
        program = shutil.which("kubectl", path=self.environment["PATH"])
        assert program is not None
        process = await asyncio.create_subprocess_exec(program, *arguments, env=self.environment, **pipes)
        try:
            async with asyncio.timeout(60):
                yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]

    async def run(self, *arguments: str, stdin: bytes = b"") -> tuple[int | None, bytes, bytes]:
        async with self.kubectl(*arguments) as process:
            out, err = await process.communicate(stdin)
            return process.returncode, out, err


@pytest.fixture(params=["SPDY/3.1", "websocket"])
async def node(
    request: pytest.FixtureRequest, control_plane: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    upgrades: list[str] = []
    wants = remote.wants

    def note(upgrade: Any) -> str:
        upgrades.append(wants(upgrade))
        return upgrades[-1]

    monkeypatch.setattr(remote, "wants", note)
    features = [WEBSOCKETS] if request.param == "websocket" else []
    name = f"node-{uuid.uuid4().hex[:8]}"
    provider, pods = ProcessProvider(), Pods()
    async with await connect(control_plane.kubeconfig) as kube:
        published = await kube.get(CONFIG_MAPS.path("kube-system", "extension-apiserver-authentication"))
        client_ca = published["data"]["client-ca-file"].encode()
        config = KubeletServerConfig(
            name,
            SelfSigned(name, ["127.0.0.1"]),
            lambda: client_ca,
            address="127.0.0.1",
            port=0,
            limits=SessionLimits(heartbeat=1),
        )
        version = await kube.get("/version")
        # Before 1.36 there is no such feature: API servers speak SPDY whatever a node declares.
        spoken = request.param if int(version["minor"]) >= 36 else "SPDY/3.1"
        server = KubeletServer(config, pods, provider, KubeReviewer(kube), metrics=lambda: "up 1\n")
        await server.start()
        try:
            pods.items.append(await _register(kube, name, server.port, features))
            environment = dict(control_plane.environment)
            yield Node(name, name, kube, server, provider, environment, upgrades)
            assert set(upgrades) <= {spoken}
            await until_idle(provider)
        finally:
            await server.stop()
            await kube.delete(PODS.path("default", name), grace_seconds=0)
            await kube.delete(NODES.path(name=name))


async def _register(kube: KubeClient, name: str, port: int, features: list[str]) -> dict[str, Any]:
    await kube.create(NODES.path(), {"metadata": {"name": name}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "declaredFeatures": features,
    }
    await kube.patch(NODES.path(name=name, subresource="status"), {"status": status})
    containers = [{"name": "main", "image": "none", "stdin": True}]
    spec = {"nodeName": name, "containers": containers, "tolerations": [{"operator": "Exists"}]}
    await _service_account(kube)
    await kube.create(PODS.path("default"), {"metadata": {"name": name}, "spec": spec})
    running = {"name": "main", "image": "none", "imageID": "", "ready": True, "restartCount": 0}
    running["state"] = {"running": {}}
    return await kube.patch(
        PODS.path("default", name, "status"),
        {"status": {"phase": "Running", "containerStatuses": [running]}},
    )


async def _service_account(kube: KubeClient) -> None:
    """Pods are refused until the controller has made the namespace's account."""
    params = {"fieldSelector": "metadata.name=default", "timeoutSeconds": 60}
    async with aclosing(kube.watch(SERVICE_ACCOUNTS.path("default"), params)) as events:
        async for _ in events:
            return


async def test_logs(node: Node) -> None:
    node.provider.log = [b"one\n", b"two\n", b"three\n"]
    assert await node.run("logs", node.pod, "--tail=2") == (0, b"two\nthree\n", b"")
    code, _, err = await node.run("logs", node.pod, "--previous")
    assert (code, b"previous terminated container" in err) == (1, True)


async def test_logs_are_followed_until_kubectl_ends(node: Node) -> None:
    node.provider.log = [b"old\n"]
    async with node.kubectl("logs", "-f", node.pod) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"old\n"
        for number in range(3):
            node.provider.say(b"new %d\n" % number)
            assert await process.stdout.readline() == b"new %d\n" % number
        await until_running(node.provider, 1)
    await until_idle(node.provider)


async def test_exec_keeps_output_and_errors_apart_and_tells_the_exit_code(node: Node) -> None:
    # It waits for kubectl, which drops what comes before it is ready for it ("Unknown stream id 1").
    script = "read go; echo out; echo err >&2; exit 3"
    code, out, err = await node.run("exec", "-i", node.pod, "--", "sh", "-c", script, stdin=b"go\n")
    assert (code, out) == (3, b"out\n")
    assert b"err" in err.splitlines()
    assert b"exit code 3" in err
    assert (await node.run("exec", node.pod, "--", "true"))[0] == 0
    assert node.upgrades


async def test_exec_with_input(node: Node) -> None:
    payload = bytes(range(256)) * 12_000
    assert await node.run("exec", "-i", node.pod, "--", "cat", stdin=payload) == (0, payload, b"")


async def test_exec_of_what_is_not_there(node: Node) -> None:
    code, out, err = await node.run("exec", node.pod, "--", "no-such-program")
    assert (code, out) == (1, b"")
    assert b"no such command: no-such-program" in err


async def test_a_kubectl_that_is_killed_takes_its_command_along(node: Node) -> None:
    async with node.kubectl("exec", node.pod, "--", "sleep", "600"):
        await until_running(node.provider, 1)
    await until_idle(node.provider)


@pytest.fixture
def zeroes() -> Iterator[int]:
    """Input without end."""
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


async def test_input_that_nobody_reads_does_not_hold_a_dead_session(node: Node, zeroes: int) -> None:
    async with node.kubectl("exec", "-i", node.pod, "--", "sleep", "600", stdin=zeroes):
        await until_running(node.provider, 1)
    await until_idle(node.provider)


async def test_input_that_nobody_reads_does_not_harm_a_session(node: Node, zeroes: int) -> None:
    """Several heartbeats pass while nothing is read from the connection."""
    script = "sleep 3; echo still here"
    async with node.kubectl("exec", "-i", node.pod, "--", "sh", "-c", script, stdin=zeroes) as process:
        assert process.stdout is not None
        assert await process.stdout.read() == b"still here\n"
        assert await process.wait() == 0


async def test_the_end_of_the_output_reaches_a_slow_reader(node: Node) -> None:
    script = "head -c 5000000 /dev/zero; echo end"
    async with node.kubectl("exec", node.pod, "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        await until_running(node.provider, 1)
        await process.stdout.readexactly(4_000_000)
        await asyncio.sleep(0.5)  # a person who reads; not waiting for anything
        rest = await process.stdout.read()
        assert (len(rest), rest[-4:]) == (1_000_004, b"end\n")
        assert await process.wait() == 0


async def test_a_terminal(node: Node) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    reader = asyncio.StreamReader()
    screen, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(master), "rb", 0)
    )
    try:
        async with node.kubectl(
            "exec",
            "-it",
            node.pod,
            "--",
            "sh",
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        ) as process:
            os.write(master, b"echo size=$(stty size)=\n")
            await reader.readuntil(b"size=31 97=")
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 22, 77, 0, 0))
            process.send_signal(signal.SIGWINCH)
            os.write(master, b"until [ \"$(stty size)\" = '22 77' ]; do sleep 0.1; done; echo re''sized\n")
            await reader.readuntil(b"resized")
            os.write(master, b"echo be''fore; sleep 600; echo st''atus=$?=\n")
            await reader.readuntil(b"before")
            os.write(master, b"\x03")
            os.write(master, b"echo st''atus=$?=\n")
            await reader.readuntil(b"status=130=")
            os.write(master, b"exit 4\n")
            assert await process.wait() == 4
    finally:
        screen.close()
        os.close(master)
        os.close(slave)


async def test_attach(node: Node) -> None:
    code, out, _ = await node.run("attach", "-i", node.pod, stdin=b"hello\n")
    assert (code, out) == (0, b"attached\nHELLO\n")


async def test_cp_both_ways(node: Node, tmp_path: Path) -> None:
    source, there, back = tmp_path / "source", tmp_path / "pod" / "there", tmp_path / "back"
    there.parent.mkdir()
    source.write_bytes(bytes(range(256)) * 10_000)
    code, _, err = await node.run("cp", str(source), f"{node.pod}:{there}")
    assert code == 0, err
    assert there.read_bytes() == source.read_bytes()
    code, _, err = await node.run("cp", f"{node.pod}:{there}", str(back))
    assert code == 0, err
    assert back.read_bytes() == source.read_bytes()


async def _forwarded_port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("Forwarding from 127.0.0.1:"), line
    return int(line.split(":")[1].split()[0])


async def test_port_forward(node: Node) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()
        await writer.wait_closed()

    async def call(port: int, payload: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(payload)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    node.provider.ports[80] = server.sockets[0].getsockname()[1]
    async with server, node.kubectl("port-forward", "--address", "127.0.0.1", node.pod, ":80") as process:
        port = await _forwarded_port(process)
        payloads = [b"%d" % number * 100_000 + b"x" for number in range(5)]
        answers = await asyncio.gather(*(call(port, payload) for payload in payloads))
        assert answers == [payload.upper() for payload in payloads]
        assert node.upgrades
    await until_idle(node.provider)


async def test_port_forward_to_a_port_where_nobody_listens(node: Node) -> None:
    node.provider.ports[80] = 1
    async with node.kubectl("port-forward", "--address", "127.0.0.1", node.pod, ":80") as process:
        assert process.stderr is not None
        port = await _forwarded_port(process)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert b"cannot connect to port 80" in await process.stderr.readline()


async def test_tokens_and_rights_are_the_clusters(node: Node, tmp_path: Path) -> None:
    """Only who may read the node's metrics gets them; the rights are asked of the real API server."""
    account = f"scraper-{node.name}"
    await node.kube.create(SERVICE_ACCOUNTS.path("default"), {"metadata": {"name": account}})
    _, token, _ = await node.run("create", "token", account)
    url = f"https://127.0.0.1:{node.server.port}/metrics"
    async with aiohttp.ClientSession() as client:

        async def scrape(bearer: str) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            async with client.get(url, headers=headers, ssl=client_tls(tmp_path)) as answer:
                return answer.status, await answer.text()

        assert (await scrape(""))[0] == 401
        assert (await scrape("made.up.token"))[0] == 401
        status, text = await scrape(token.decode())
        assert (status, f"system:serviceaccount:default:{account}" in text) == (403, True)
    granted = await node.kube.create(SERVICE_ACCOUNTS.path("default"), {"metadata": {"name": f"{account}-2"}})
    await node.kube.create(
        CLUSTER_ROLE_BINDINGS.path(),
        {
            "metadata": {"name": account},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [
                {"kind": "ServiceAccount", "namespace": "default", "name": granted["metadata"]["name"]}
            ],
        },
    )
    try:
        _, token, _ = await node.run("create", "token", f"{account}-2")
        async with aiohttp.ClientSession() as client:
            headers = {"Authorization": f"Bearer {token.decode()}"}
            async with client.get(url, headers=headers, ssl=client_tls(tmp_path)) as answer:
                assert (answer.status, await answer.text()) == (200, "up 1\n")
    finally:
        await node.kube.delete(CLUSTER_ROLE_BINDINGS.path(name=account))
