"""Validation against a small cluster that plays scheduler, kubelet and garbage collector."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from support.fake_api import client, exec_answer, fake_cluster, status

from vnodectl.connector.smoke import LABEL
from vnodectl.connector.validate import Options, find_targets, validate
from vnodectl.connector.validation import NodeTarget, Verdict

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LINUX = NodeTarget("virtual-kubelet-aci-connector-linux-eastus", "Linux")
WINDOWS = NodeTarget("virtual-kubelet-aci-connector-windows-eastus", "Windows")


def stamp(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def node(name: str, *, ready: str = "True", **spec) -> dict:
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "KubeletReady" if ready == "True" else "CloudDown",
    }
    return {
        "metadata": {"name": name, "labels": {"type": "virtual-kubelet"}},
        "spec": spec,
        "status": {"conditions": [condition], "nodeInfo": {"kubeletVersion": "v1.36.3-vnodectl"}},
    }


def lease(name: str, age: float = 3) -> dict:
    return {"metadata": {"name": name}, "spec": {"renewTime": stamp(age)}}


class Cluster:
    """A healthy cluster. What a test breaks, it breaks by overriding a field."""

    def __init__(self, api):
        self.api = api
        self.log = lambda pod, marker: f"{marker}\n"
        self.answer = lambda marker, command: (f"{command[-1]}\n".encode(), 0)
        self.bind = True
        self.containers = {"state": {"running": {}}}
        self.phase = "Running"
        for target in (LINUX, WINDOWS):
            api.put("nodes", node(target.node))
            api.put("leases", lease(target.node), namespace="kube-node-lease")
        api.created = self.created
        api.execute = self.execute

    async def created(self, plural, pod):
        term = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (name,) = term["nodeSelectorTerms"][0]["matchFields"][0]["values"]
        if not self.bind:
            unbound = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
            self.update(pod, {}, {"phase": "Pending", "conditions": [unbound]})
            return
        self.update(pod, {"nodeName": name}, {"phase": "Pending"})
        script = " ".join(pod["spec"]["containers"][0]["command"])
        marker = next(
            word for word in script.replace(";", " ").replace("&", " ").split() if "vnodectl-" in word
        )
        self.api.logs[pod["metadata"]["name"]] = self.log(pod, marker)
        states = [{"name": "smoke", **self.containers}]
        self.update(
            pod, {"nodeName": name}, {"phase": self.phase, "podIP": "10.0.0.9", "containerStatuses": states}
        )

    def update(self, pod, spec, status):
        key = ("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        if key in self.api.objects:
            now = self.api.objects[key]
            self.api.put("pods", {**now, "spec": {**now["spec"], **spec}, "status": status})

    async def execute(self, pod, command, socket):
        stdout, code = self.answer(None, command)
        await exec_answer(socket, stdout, code)


@asynccontextmanager
async def cluster():
    async with fake_cluster() as (api, kube):
        yield Cluster(api), kube


class Watcher:
    def __init__(self):
        self.seen: list[str] = []
        self.reached: dict[str, asyncio.Event] = {}

    def event(self, step: str) -> asyncio.Event:
        return self.reached.setdefault(step, asyncio.Event())

    def started(self, target, step):
        self.seen.append(step)
        self.event(step).set()

    def finished(self, target, step):
        self.seen.append(f"{step.name} {step.verdict.value}")


async def check(kube, *targets, observer=None, **options):
    options.setdefault("timeout", 20)
    return await validate(kube, targets or (LINUX,), Options(**options), observer=observer, now=lambda: NOW)


def verdicts(found, number=0) -> dict[str, str]:
    return {step.name: step.verdict.value for step in found.nodes[number].steps}


def step(found, name):
    return next(one for one in found.nodes[0].steps if one.name == name)


PASSED = dict.fromkeys(("node", "lease", "scheduled", "running", "log", "exec", "removed"), "passed")


# --- what works -----------------------------------------------------------------------------------


async def test_a_connector_that_works():
    async with cluster() as (world, kube):
        found = await check(kube)
        assert world.api.names("pods") == []
    assert verdicts(found) == PASSED
    assert (found.ok, found.exit_code) == (True, 0)
    assert step(found, "node").detail == "Ready v1.36.3-vnodectl"
    assert step(found, "lease").detail == "renewed 3 s ago"
    assert step(found, "scheduled").detail == f"on {LINUX.node}"
    assert step(found, "log").detail == step(found, "exec").detail
    assert not found.nodes[0].simulated


async def test_both_systems_are_validated_at_once():
    together = asyncio.Barrier(2)

    async with cluster() as (world, kube):
        ordinary = world.execute

        async def execute(pod, command, socket):
            await together.wait()
            await ordinary(pod, command, socket)

        world.api.execute = execute
        found = await check(kube, LINUX, WINDOWS)
    assert [node.target.os_type for node in found.nodes] == ["Linux", "Windows"]
    assert found.ok


async def test_the_smoke_pod_goes_to_this_node_only_and_may_be_found_again():
    made = []
    async with cluster() as (world, kube):
        ordinary = world.created

        async def created(plural, pod):
            made.append(pod)
            await ordinary(plural, pod)

        world.api.created = created
        await check(kube, LINUX, WINDOWS, namespace="team", linux_image="l:1", windows_image="w:1")
    pods = {pod["spec"]["os"]["name"]: pod for pod in made}
    assert {pod["metadata"]["namespace"] for pod in made} == {"team"}
    assert {system: pod["spec"]["containers"][0]["image"] for system, pod in pods.items()} == {
        "linux": "l:1",
        "windows": "w:1",
    }
    for pod in made:
        assert pod["metadata"]["labels"][LABEL] == "true"
        assert pod["spec"]["tolerations"] == [{"key": "virtual-kubelet.io/provider", "operator": "Exists"}]
        assert "nodeName" not in pod["spec"] or pod["spec"]["nodeName"]  # the scheduler's to set
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert (
            pod["spec"]["containers"][0]["resources"]["limits"]
            == pod["spec"]["containers"][0]["resources"]["requests"]
        )


async def test_a_simulated_windows_node_says_so():
    async with cluster() as (world, kube):
        world.log = lambda *_: "simulated: nothing runs here\n"
        world.answer = lambda *_: (b"simulated answer\n", 0)
        found = await check(kube, WINDOWS)
    assert verdicts(found) == PASSED
    assert found.nodes[0].simulated
    assert step(found, "exec").detail == "simulated answer"


async def test_a_log_that_cannot_be_followed_is_read_again(mocker):
    mocker.patch("vnodectl.connector.smoke._PAUSE", 0)
    async with cluster() as (world, kube):
        world.log = lambda *_: ""
        names = []

        def refuse(method, plural, name):
            if world.api.requests[-1].endswith("/log"):
                names.append(name)
                if len(names) == 1:
                    return status(400, "BadRequest", "container is waiting to start")
                if len(names) == 3:
                    token = name.rpartition("-")[2]
                    world.api.logs[name] = f"starting\nvnodectl-{token}\n"
            return None

        world.api.refuse = refuse
        found = await check(kube)
    assert verdicts(found) == PASSED
    assert len(names) == 3


async def test_a_machine_whose_clock_differs_sees_the_lease_being_renewed():
    async with cluster() as (world, kube):
        world.api.put("leases", lease(LINUX.node, age=-3600), namespace="kube-node-lease")
        watcher = Watcher()
        running = asyncio.create_task(check(kube, observer=watcher))
        await watcher.event("lease").wait()
        await world.api.until(lambda: any("leases" in line for line in world.api.requests))
        world.api.put("leases", lease(LINUX.node, age=-3610), namespace="kube-node-lease")
        found = await running
    assert "clock differs" in step(found, "lease").detail
    assert found.ok


async def test_who_watches_sees_every_step():
    watcher = Watcher()
    async with cluster() as (_, kube):
        await check(kube, observer=watcher)
    assert watcher.seen == [line for name in PASSED for line in (name, f"{name} passed")]


# --- what does not --------------------------------------------------------------------------------


async def test_a_node_that_is_missing():
    async with cluster() as (world, kube):
        found = await check(
            kube, NodeTarget("virtual-kubelet-x-linux-*", "Linux", "there is no virtual node")
        )
        assert world.api.names("pods") == []
    assert verdicts(found) == {"node": "failed", **dict.fromkeys(list(PASSED)[1:], "skipped")}
    assert "vnodectl install-connector --os-type Linux" in step(found, "node").fix
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("state", "verdict", "cause", "code"),
    [
        (node(LINUX.node, ready="False"), "timed-out", "not Ready: CloudDown", 4),
        (node(LINUX.node, unschedulable=True), "failed", "cordoned", 1),
    ],
)
async def test_a_node_that_takes_no_pods(state, verdict, cause, code):
    async with cluster() as (world, kube):
        world.api.put("nodes", state)
        found = await check(kube, timeout=0.2)
    assert verdicts(found)["node"] == verdict
    assert cause in step(found, "node").cause
    assert found.exit_code == code


async def test_a_node_that_becomes_ready_meanwhile():
    async with cluster() as (world, kube):
        world.api.put("nodes", node(LINUX.node, ready="False"))
        watcher = Watcher()
        running = asyncio.create_task(check(kube, observer=watcher))
        await watcher.event("node").wait()
        world.api.put("nodes", node(LINUX.node))
        assert (await running).ok


async def test_a_lease_that_nobody_keeps(mocker):
    mocker.patch("vnodectl.connector.validate.LEASE_SECONDS", 0.1)
    async with cluster() as (_, kube):
        found = await check(kube)
    assert verdicts(found)["lease"] == "failed"
    assert "renewed 3 s ago, and not since" in step(found, "lease").cause
    assert verdicts(found)["scheduled"] == "skipped"


FORBIDDEN = 'pods "vnodectl-smoke" is forbidden: '
ENDING = "unable to create new content in namespace default because it is being terminated"


@pytest.mark.parametrize(
    ("code", "reason", "message", "cause", "fix"),
    [
        (403, "Forbidden", f"{FORBIDDEN}exceeded quota: few", "", "--namespace"),
        (403, "Forbidden", FORBIDDEN + ENDING, "NamespaceTerminating", "kubectl get namespace default"),
        (
            403,
            "Forbidden",
            f'{FORBIDDEN}User "me" cannot create',
            "",
            "kubectl auth can-i create pods -n default",
        ),
        (404, "NotFound", 'namespaces "default" not found', "", "kubectl create namespace default"),
        (401, "Unauthorized", "Unauthorized", "", "log in again"),
    ],
)
async def test_a_pod_that_is_refused(code, reason, message, cause, fix):
    """In kube-apiserver's words of 1.36."""
    async with cluster() as (world, kube):
        world.api.refuse = lambda method, plural, _: (
            status(code, reason, message, causes=[cause] if cause else ())
            if (method, plural) == ("POST", "pods")
            else None
        )
        found = await check(kube)
    refused = step(found, "scheduled")
    assert refused.cause.startswith("the smoke pod was refused: ")
    assert "Unknown" not in refused.cause
    assert fix in refused.fix
    assert ("can-i" in refused.fix) == ("User" in message)
    assert verdicts(found)["removed"] == "passed"


async def test_a_pod_that_fits_nowhere_is_removed():
    async with cluster() as (world, kube):
        world.bind = False
        found = await check(kube, timeout=0.5)
        assert world.api.names("pods") == []
    assert verdicts(found)["scheduled"] == "timed-out"
    assert "0/1 nodes are available" in step(found, "scheduled").cause
    assert found.exit_code == 4


async def test_a_pod_that_waits_says_why_with_its_events():
    async with cluster() as (world, kube):
        world.phase = "Pending"
        world.containers = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
        ordinary = world.created

        async def created(plural, pod):
            await ordinary(plural, pod)
            name = pod["metadata"]["name"]
            event = {
                "metadata": {"name": "e"},
                "involvedObject": {"name": name},
                "reason": "Failed",
                "message": "429",
            }
            world.api.put("events", event, namespace="default")

        world.api.created = created
        found = await check(kube, timeout=0.5)
    cause = step(found, "running").cause
    assert "ErrImagePull: no such image" in cause
    assert "Failed: 429" in cause
    assert verdicts(found) == {
        **PASSED,
        "running": "timed-out",
        "log": "skipped",
        "exec": "skipped",
    }


async def test_a_pod_that_ends_fails_at_once():
    async with cluster() as (world, kube):
        world.phase = "Failed"
        world.containers = {"state": {"terminated": {"exitCode": 127, "reason": "Error"}}}
        found = await check(kube)
    assert "exit code 127 Error" in step(found, "running").cause
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((b"something else\n", 0), "instead of the marker"),
        ((b"", 0), "instead of the marker"),
        ((b"sh: not found\n", 127), "ended with code 127: sh: not found"),
    ],
)
async def test_an_exec_with_a_wrong_answer(answer, cause):
    async with cluster() as (world, kube):
        world.answer = lambda *_: answer
        found = await check(kube)
        assert world.api.names("pods") == []
    assert cause in step(found, "exec").cause
    assert verdicts(found)["removed"] == "passed"


@pytest.mark.parametrize("subresource", ["log", "exec"])
@pytest.mark.parametrize(("patience", "verdict"), [(10, "passed"), (0, "failed")])
async def test_a_node_that_does_not_answer_at_first(mocker, subresource, patience, verdict):
    mocker.patch("vnodectl.connector.smoke._PAUSE", 0.001)
    mocker.patch("vnodectl.connector.smoke._PATIENCE_SECONDS", patience)
    async with cluster() as (world, kube):
        refused = []

        def refuse(*_):
            if world.api.requests[-1].endswith(f"/{subresource}") and len(refused) < 2:
                refused.append(True)
                return status(500, "InternalError", "dial tcp: connection refused")
            return None

        world.api.refuse = refuse
        found = await check(kube)
    assert verdicts(found)[subresource] == verdict
    assert found.ok or "dial tcp" in step(found, subresource).cause


async def test_windows_must_answer_something():
    async with cluster() as (world, kube):
        world.answer = lambda *_: (b"\n", 0)
        found = await check(kube, WINDOWS)
    assert verdicts(found)["exec"] == "failed"


async def test_a_pod_that_somebody_else_removes():
    async with cluster() as (world, kube):
        world.phase = "Pending"
        watcher = Watcher()
        running = asyncio.create_task(check(kube, observer=watcher))
        await watcher.event("running").wait()
        (name,) = world.api.names("pods")
        world.api.remove("pods", name, "default")
        found = await running
    assert "somebody else removed" in step(found, "running").cause


async def test_a_pod_that_does_not_go_away(mocker):
    mocker.patch("vnodectl.connector.validate._REMOVAL_SECONDS", 0.2)
    async with cluster() as (world, kube):
        world.api.deleting = lambda *_: False
        found = await check(kube)
    assert verdicts(found)["removed"] == "timed-out"
    assert found.exit_code == 4


async def test_a_cluster_that_does_not_answer():
    async with client("http://127.0.0.1:1") as kube:
        found = await check(kube)
    assert verdicts(found)["node"] == "failed"
    assert found.exit_code == 5


# --- what is left behind --------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["scheduled", "running", "log", "exec"])
async def test_a_cancelled_run_leaves_no_pod(at):
    async with cluster() as (world, kube):
        if at == "scheduled":
            world.bind = False
        if at == "running":
            world.phase = "Pending"
        if at == "log":
            world.log = lambda *_: ""

        async def silent(pod, command, socket):
            await socket.receive()

        world.api.execute = silent
        watcher = Watcher()
        running = asyncio.create_task(check(kube, observer=watcher))
        await watcher.event(at).wait()
        await world.api.until(lambda: world.api.names("pods"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert world.api.names("pods") == []


async def test_an_impatient_user_does_not_stop_the_removal():
    async with cluster() as (world, kube):
        world.phase = "Pending"
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def before(request):
            if request.startswith("DELETE"):
                asked.set()
                await go_on.wait()

        world.api.before = before
        watcher = Watcher()
        running = asyncio.create_task(check(kube, observer=watcher))
        await watcher.event("running").wait()
        running.cancel()
        await asked.wait()
        running.cancel()  # Ctrl-C again, while the removal is under way
        done, _ = await asyncio.wait({running}, timeout=0.1)
        assert not done
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert world.api.names("pods") == []


async def test_a_run_cancelled_while_the_pod_is_being_created_leaves_none():
    async with cluster() as (world, kube):
        arrived, go_on = asyncio.Event(), asyncio.Event()
        ordinary = world.api._create

        async def slow(request, plural, namespace):
            response = await ordinary(request, plural, namespace)
            arrived.set()
            await go_on.wait()  # the pod exists, but nobody has heard so
            return response

        world.api._create = slow
        running = asyncio.create_task(check(kube))
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        go_on.set()
        assert world.api.names("pods") == []


async def test_keep_leaves_the_pod_and_says_which():
    async with cluster() as (world, kube):
        found = await check(kube, keep=True)
        (name,) = world.api.names("pods")
    assert step(found, "removed").verdict is Verdict.SKIPPED
    assert step(found, "removed").cause == f"kept: pod default/{name}"
    assert found.ok


async def test_pods_of_killed_runs_are_swept():
    def old(name, seconds, **labels):
        return {"metadata": {"name": name, "labels": labels, "creationTimestamp": stamp(seconds)}, "spec": {}}

    async with cluster() as (world, kube):
        world.api.put("pods", old("killed", 3700, **{LABEL: "true"}), namespace="default")
        world.api.put("pods", old("at-work", 60, **{LABEL: "true"}), namespace="default")
        world.api.put("pods", old("foreign", 9999), namespace="default")
        world.api.put("pods", old("elsewhere", 9999, **{LABEL: "true"}), namespace="other")
        found = await check(kube)
        assert sorted(world.api.names("pods")) == ["at-work", "elsewhere", "foreign"]
    assert found.swept == ("killed",)


# --- which nodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [("linux-eastus", ""), ("linux-westeurope", ""), ("windows-eastus", "")]),
        ({"os_types": ("Linux",)}, [("linux-eastus", ""), ("linux-westeurope", "")]),
        ({"region": "eastus"}, [("linux-eastus", ""), ("windows-eastus", "")]),
        (
            {"os_types": ("Linux", "Windows"), "region": "westeurope"},
            [("linux-westeurope", ""), ("windows-westeurope", "missing")],
        ),
        ({"region": "moon"}, [("linux-moon", "missing")]),
    ],
)
async def test_the_nodes_of_a_connector(options, wanted):
    async with fake_cluster() as (api, kube):
        for name in (
            "aci-linux-eastus",
            "aci-linux-westeurope",
            "aci-windows-eastus",
            "aci-two-linux-eastus",
        ):
            api.put("nodes", node(f"virtual-kubelet-{name}"))
        api.put("nodes", {"metadata": {"name": "real-node"}})
        found = await find_targets(kube, "aci", **options)
    assert [(one.node, "missing" if one.missing else "") for one in found] == [
        (f"virtual-kubelet-aci-{rest}", missing) for rest, missing in wanted
    ]


async def test_every_node_of_a_connector_counts_even_one_that_is_not_registered():
    async with fake_cluster() as (api, kube):
        for name in ("aci-linux-eastus", "aci-linux-eastus-10", "aci-linux-eastus-2"):
            api.put("nodes", node(f"virtual-kubelet-{name}"))
        template = {"metadata": {"labels": {"vnodectl.io/nodes": "3"}}}
        labels = {"app.kubernetes.io/part-of": "vnodectl", "vnodectl.io/connector": "aci"}
        for name in ("aci-linux-eastus", "something-else"):
            deployment = {"metadata": {"name": name, "labels": labels}, "spec": {"template": template}}
            api.put("deployments", deployment, namespace="vnode-system")
        found = await find_targets(kube, "aci")
    assert [one.node.removeprefix("virtual-kubelet-aci-linux-eastus") for one in found] == [
        "",
        "-2",
        "-3",
        "-10",
    ]


async def test_who_may_not_see_deployments_validates_what_is_registered():
    async with fake_cluster() as (api, kube):
        api.put("nodes", node("virtual-kubelet-aci-linux-eastus"))
        api.refuse = lambda method, plural, _: (
            status(403, "Forbidden", "no") if plural == "deployments" else None
        )
        found = await find_targets(kube, "aci")
    assert [one.node for one in found] == ["virtual-kubelet-aci-linux-eastus"]


async def test_a_connector_that_is_nowhere():
    async with fake_cluster() as (_, kube):
        (found,) = await find_targets(kube, "aci")
    assert (found.os_type, found.node) == ("Linux", "virtual-kubelet-aci-linux-*")
    assert found.missing


async def test_the_document_is_one_and_complete():
    async with cluster() as (world, kube):
        world.answer = lambda *_: (b"", 3)
        document = (await check(kube)).document()
    assert {key: document[key] for key in ("schemaVersion", "ok", "sweptPods")} == {
        "schemaVersion": 1,
        "ok": False,
        "sweptPods": [],
    }
    (entry,) = document["nodes"]
    assert entry["osType"] == "Linux"
    assert [one["name"] for one in entry["steps"]] == list(PASSED)
    assert len({frozenset(one) for one in entry["steps"]}) == 1
