"""The least that a node can do: one status patch when a pod comes, one delete when it must go, nothing else.

A program of its own that shares no code with vnodectl, so that both are measured alike: as processes that
talk to the API server. `python -m bench.floor KUBECONFIG NODE`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import yaml

JSON = dict[str, Any]

CONNECTIONS = 64
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PATCH = {"Content-Type": "application/strategic-merge-patch+json"}


class Floor:
    def __init__(self, session: aiohttp.ClientSession, node: str) -> None:
        self.session = session
        self.node = node
        self.started = now()
        self.patched: set[str] = set()
        self.deleted: set[str] = set()
        self.work: asyncio.Queue[JSON] = asyncio.Queue()

    async def run(self) -> None:
        await self.register()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.renew())
            group.create_task(self.watch())
            for _ in range(CONNECTIONS):
                group.create_task(self.serve())

    async def register(self) -> None:
        async with self.session.post("/api/v1/nodes", json={"metadata": {"name": self.node}}) as answer:
            if answer.status not in (201, 409):
                answer.raise_for_status()
        ready = {"type": "Ready", "status": "True", "reason": "Floor", "lastHeartbeatTime": now()}
        status = {"status": {"conditions": [ready]}}
        async with self.session.patch(
            f"/api/v1/nodes/{self.node}/status", data=json.dumps(status), headers=PATCH
        ) as answer:
            answer.raise_for_status()

    async def renew(self) -> None:
        """Without a Lease the cluster would mark the pods of a dead node."""
        lease = {"metadata": {"name": self.node}, "spec": {"leaseDurationSeconds": 40}}
        async with self.session.post(LEASES, json=lease) as answer:
            if answer.status not in (201, 409):
                answer.raise_for_status()
        while True:
            spec = {"spec": {"holderIdentity": self.node, "renewTime": now(micro=True)}}
            async with self.session.patch(
                f"{LEASES}/{self.node}", data=json.dumps(spec), headers=PATCH
            ) as answer:
                answer.raise_for_status()
            await asyncio.sleep(10)

    async def watch(self) -> None:
        while True:
            query = {"fieldSelector": f"spec.nodeName={self.node}"}
            async with self.session.get("/api/v1/pods", params=query) as answer:
                listed = await answer.json()
            for pod in listed["items"]:
                self.note(pod)
            query |= {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
            async with aclosing(self.events(query)) as events:
                async for event in events:
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self.note(event["object"])
                    elif event["type"] == "ERROR":
                        break

    async def events(self, query: dict[str, str]):
        async with self.session.get("/api/v1/pods", params=query) as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    def note(self, pod: JSON) -> None:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            if uid not in self.deleted:
                self.deleted.add(uid)
                self.work.put_nowait(pod)
        elif uid not in self.patched:
            self.patched.add(uid)
            self.work.put_nowait(pod)

    async def serve(self) -> None:
        while True:
            pod = await self.work.get()
            meta = pod["metadata"]
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            if "deletionTimestamp" in meta:
                body = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
                async with self.session.delete(path, json=body) as answer:
                    await answer.read()
            else:
                data = json.dumps({"status": self.status(pod)})
                async with self.session.patch(path + "/status", data=data, headers=PATCH) as answer:
                    await answer.read()

    def status(self, pod: JSON) -> JSON:
        at = now()
        names = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        return {
            "phase": "Running",
            "startTime": at,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": "198.18.0.1",
            "podIPs": [{"ip": "198.18.0.1"}],
            "conditions": [{"type": name, "status": "True", "lastTransitionTime": at} for name in names],
            "containerStatuses": [
                {
                    "name": one["name"],
                    "image": one["image"],
                    "imageID": "",
                    "containerID": "floor://1",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": at}},
                    "lastState": {},
                }
                for one in pod["spec"]["containers"]
            ],
        }


def now(*, micro: bool = False) -> str:
    moment = time.gmtime()
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z" if micro else "%Y-%m-%dT%H:%M:%SZ", moment)


def client(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """Server and TLS of a kubeconfig with one context and a client certificate in it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as pair:
        for key in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[key]) + b"\n")
        pair.flush()
        context.load_cert_chain(pair.name)
    return cluster["server"], context


async def main(kubeconfig: str, node: str) -> None:
    server, tls = client(Path(kubeconfig))
    connector = aiohttp.TCPConnector(ssl=tls, limit=2 * CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(server, connector=connector, timeout=timeout) as session:
        await Floor(session, node).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
