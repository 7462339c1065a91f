"""Random lives of a node under random faults, by seeds, in virtual time: whatever happens, the API server and
the cloud end up agreeing, and on the way nothing is done that must never be."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from support import virtual_time
from support.flaky_cloud import FlakyCloud, FlakyProvider
from support.memory_api import MemoryApi, broken

from vnodectl.kube.errors import ApiError
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import PODS
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.pods import PodController
from vnodectl.runtime.provider import PodKey

JSON = dict[str, Any]

NODE = "vn-1"
NAMES = [f"p{number}" for number in range(6)]
TERMINAL = ("Succeeded", "Failed")


class Violation(AssertionError):
    """Something that must never be done was done."""


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.api = MemoryApi()
        self.cloud = FlakyCloud(random.Random(seed + 1), deleting=self._deleting)  # noqa: S311
        self.api.releasing = self._releasing
        self.violations: list[str] = []
        self.story: list[str] = []
        self._phases: dict[str, str] = {}
        for number in range(3):
            self.api.put("pods", pod(f"other-{number}", node="another-node"), "default")

    # --- rules that hold at every moment ----------------------------------------------------------

    def _deleting(self, key: PodKey) -> None:
        """Nobody may take the group of a pod that is wanted."""
        found = self.api.find("pods", key.name, key.namespace)
        if found is None or found["metadata"]["uid"] != key.uid or found["metadata"].get("deletionTimestamp"):
            return
        if found["status"].get("phase") not in TERMINAL:
            self.violations.append(f"the group of {key} was deleted though the pod is wanted")

    def _releasing(self, body: JSON) -> None:
        """The object stays until the group is gone, so that nothing is paid for that nobody sees."""
        key = PodKey("default", body["metadata"]["name"], body["metadata"]["uid"])
        self.cloud.sweep()
        if key in self.cloud.groups:
            self.violations.append(f"{key} was let go while its group was there")

    def watch_phases(self) -> None:
        for body in self.api.all("pods"):
            uid, phase = body["metadata"]["uid"], body["status"].get("phase", "Pending")
            before = self._phases.get(uid)
            if before in TERMINAL and phase != before:
                self.violations.append(f"{body['metadata']['name']} went from {before} to {phase}")
            self._phases[uid] = phase
            if body["spec"]["nodeName"] != NODE and body["status"].get("containerStatuses"):
                self.violations.append(f"{body['metadata']['name']} of another node was written to")

    # --- the node ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def runtime(self):
        facts = NodeFacts(NODE, ("10.1.1.1",), {})
        client: Any = self.api.client()
        lookups = Lookups(client, lambda: facts)
        events = EventRecorder(client, "test", NODE, virtual_time.clock)
        controller = PodController(
            client,
            FlakyProvider(self.cloud),
            lookups,
            events,
            node=lambda: facts,
            clock=virtual_time.clock,
            on_health=lambda _: None,
        )
        watch = ListWatch(client, PODS.path(), controller, params={"fieldSelector": f"spec.nodeName={NODE}"})
        works = [controller.observe(), controller.refresh(), events.run(), watch.run()]
        works += [controller.work() for _ in range(4)]
        tasks = [asyncio.create_task(work, name=f"runtime {number}") for number, work in enumerate(works)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await controller.aclose()
            await lookups.aclose()
            assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends

    # --- what people, controllers and clouds do ---------------------------------------------------

    def create(self, name: str) -> None:
        if self.api.find("pods", name, "default") is None:
            policy = self.random.choice(["Always", "Never", "OnFailure"])
            self.api.put("pods", pod(name, restartPolicy=policy), "default")

    def delete(self, name: str, grace: int | None = None) -> None:
        try:
            self.api.delete(PODS.path("default", name), None, grace)
        except ApiError:
            return

    def step(self) -> str:
        name, rand = self.random.choice(NAMES), self.random
        action = rand.choice(
            ["create"] * 6 + ["delete"] * 3 + ["force", "recreate", "cut", "compact", "api", "cloud", "calm"]
            + ["vanish", "exit", "finalizer", "label"]
        )  # fmt: skip
        groups = list(self.cloud.groups)
        match action:
            case "create":
                self.create(name)
            case "delete":
                self.delete(name)
            case "force":
                self.delete(name, 0)
            case "recreate":
                self.delete(name, 0)
                self.create(name)
            case "cut":
                self.api.cut_watches()
            case "compact":
                self.api.compact()
                self.api.cut_watches()
            case "api":
                self.api.down = not self.api.down
                self.api.cut_watches()
            case "cloud":
                self.cloud.down = not self.cloud.down
            case "calm":
                self.api.down = self.cloud.down = False
            case "vanish" if groups:
                self.cloud.vanish(rand.choice(groups))
            case "exit" if groups:
                self.cloud.groups[rand.choice(groups)].exit_code = rand.choice([0, 0, 3])
            case "finalizer" if (found := self.api.find("pods", name, "default")) is not None:
                self.api.patch(PODS.path("default", name), {"metadata": {"finalizers": ["test/hold"]}})
                return f"{action} {found['metadata']['uid']}"
            case "label" if self.api.find("pods", name, "default") is not None:
                labels = {"stamp": str(rand.random())}
                self.api.patch(PODS.path("default", name), {"metadata": {"labels": labels}})
        return f"{action} {name}"

    def release(self) -> None:
        """Everybody does their duty: finalizers are taken away, faults end."""
        self.api.down = self.cloud.down = False
        self.cloud.chaos = 0.0
        self.api.trouble = lambda *_: None
        for body in self.api.all("pods"):
            if body["metadata"].get("finalizers"):
                self.api.patch(
                    PODS.path("default", body["metadata"]["name"]), {"metadata": {"finalizers": None}}
                )

    def faults(self, probability: float) -> None:
        def trouble(verb: str, path: str) -> tuple[str, Exception] | None:
            if self.random.random() >= probability:
                return None
            return self.random.choice(["before", "after"]), self.random.choice(broken())

        self.api.trouble = trouble
        self.cloud.chaos = probability

    # --- how it must end --------------------------------------------------------------------------

    def disagreements(self) -> list[str]:
        found = list(self.violations)
        pods = {
            PodKey("default", body["metadata"]["name"], body["metadata"]["uid"]): body
            for body in self.api.all("pods")
            if body["spec"]["nodeName"] == NODE
        }
        self.cloud.sweep()
        found += [f"an orphan stays: {key} {key.uid}" for key in self.cloud.groups.keys() - pods.keys()]
        for key, body in pods.items():
            status, group = body["status"], self.cloud.groups.get(key)
            if body["metadata"].get("deletionTimestamp"):
                found.append(f"{key} is still being deleted")
            elif status.get("phase") in TERMINAL:
                continue
            elif group is None:
                found.append(f"{key} has no group and is {status.get('phase')}")
            elif group.exit_code is None and (status.get("phase"), status.get("podIP")) != (
                "Running",
                group.ip,
            ):
                found.append(
                    f"{key} is {status.get('phase')} at {status.get('podIP')}, its group at {group.ip}"
                )
            elif group.exit_code is not None and body["spec"]["restartPolicy"] == "Never":
                found.append(f"{key} ended with {group.exit_code} and is {status.get('phase')}")
        if self.cloud.foreign != {"somebody-elses-group"}:
            found.append("foreign groups were touched")
        return found


def pod(name: str, *, node: str = NODE, **spec: Any) -> JSON:
    return {
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "enableServiceLinks": False,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "c", "image": "i"}],
            **spec,
        },
        "status": {"phase": "Pending"},
    }


async def life(seed: int) -> None:
    world = World(seed)
    rand = world.random
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.runtime())
        for _ in range(rand.randint(20, 60)):
            world.faults(rand.choice([0.0, 0.0, 0.1, 0.4]))
            world.story.append(f"{asyncio.get_running_loop().time():.1f} {world.step()}")
            if rand.random() < 0.1:
                world.story.append("restart")
                await stack.aclose()
                await asyncio.sleep(rand.choice([0, 30]))
                await stack.enter_async_context(world.runtime())
            await asyncio.sleep(rand.choice([0, 0, 0.01, 0.5, 3, 20]))
            world.watch_phases()
        world.release()
        for _ in range(60):
            await asyncio.sleep(20)
            world.watch_phases()
        quiet = len(world.api.requests)
        await asyncio.sleep(120)
        written = [one for one in world.api.requests[quiet:] if one[0] in ("PATCH", "POST", "DELETE")]
    wrong = world.disagreements()
    assert not wrong, "\n".join([f"seed {seed}", *wrong, *world.story])
    assert not written, f"seed {seed}: a node at rest writes: {written[:5]}"


@pytest.mark.parametrize("seed", range(60))
def test_the_api_server_and_the_cloud_end_up_agreeing(seed: int):
    virtual_time.run(life(seed))
