"""gRPC probes of the local node, which the runtime runs: a real server in a real container answers them."""

from __future__ import annotations

import json
import textwrap

import pytest
from support.sandboxes import Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

PYTHON = "/opt/vnodectl/bin/python3"
# grpc.health.v1.Health, for the services `ready` and `alive`: files of the container say how they are.
SERVER = textwrap.dedent(
    """
    import asyncio, pathlib
    from grpclib.const import Cardinality, Handler
    from grpclib.encoding.base import CodecBase
    from grpclib.server import Server

    READY, DEAD = pathlib.Path("/tmp/ready"), pathlib.Path("/tmp/dead")

    class Plain(CodecBase):
        __content_subtype__ = "proto"
        def encode(self, message, message_type): return message
        def decode(self, data, message_type): return data

    class Health:
        async def check(self, stream):
            well = {b"ready": READY.exists(), b"alive": not DEAD.exists()}
            asked = await stream.recv_message()
            await stream.send_message(bytes([8, 1 if well[asked[2:]] else 2]))
        def __mapping__(self):
            handler = Handler(self.check, Cardinality.UNARY_UNARY, bytes, bytes)
            return {"/grpc.health.v1.Health/Check": handler}

    async def main():
        for one in (READY, DEAD):
            one.unlink(missing_ok=True)
        server = Server([Health()], codec=Plain())
        await server.start("0.0.0.0", 9000)
        print("serving", flush=True)
        await server.wait_closed()

    asyncio.run(main())
    """
)


def manifest(image: str) -> str:
    def probe(service: str) -> dict[str, object]:
        return {"grpc": {"port": 9000, "service": service}, "periodSeconds": 1, "timeoutSeconds": 5}

    container = {
        "name": "c",
        "image": image,
        "imagePullPolicy": "Never",
        "command": [PYTHON, "-c", SERVER],
        "startupProbe": probe("alive") | {"failureThreshold": 60},
        "readinessProbe": probe("ready") | {"failureThreshold": 1},
        "livenessProbe": probe("alive") | {"failureThreshold": 1, "terminationGracePeriodSeconds": 1},
    }
    spec = {"nodeName": "sandbox", "terminationGracePeriodSeconds": 1, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "health"}, "spec": spec}
    return json.dumps(pod)


def test_grpc_probes_decide_of_a_real_server(sandbox: Sandbox) -> None:
    def touch(path: str) -> None:
        sandbox.run("kubectl", "exec", "health", "--", PYTHON, "-c", f"open({path!r}, 'w')")

    def wait(condition: str) -> None:
        sandbox.run("kubectl", "wait", "pod/health", f"--for={condition}", "--timeout=60s")

    if not (image := sandbox.environment.get("VNODECTL_IMAGE")):
        pytest.skip("no container engine works here")
    sandbox.run("kubectl", "create", "-f", "-", stdin=manifest(image))
    try:
        wait("jsonpath={.status.containerStatuses[0].started}=true")
        assert ready(sandbox) == "False"
        touch("/tmp/ready")
        wait("condition=Ready")
        touch("/tmp/dead")
        wait("jsonpath={.status.containerStatuses[0].restartCount}=1")
        wait("jsonpath={.status.containerStatuses[0].started}=true")
        assert ready(sandbox) == "False"  # the new one waits for its own word
        told = sandbox.run("kubectl", "get", "events", "--field-selector=involvedObject.name=health").stdout
        assert 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")' in told
        assert "Container c failed liveness probe, will be restarted" in told
    finally:
        sandbox.run("kubectl", "delete", "pod", "health", "--timeout=60s")


def ready(sandbox: Sandbox) -> str:
    form = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return sandbox.run("kubectl", "get", "pod", "health", "-o", form).stdout
