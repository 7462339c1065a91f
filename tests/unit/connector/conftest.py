"""A Kubernetes API and a Helm of our own making: everything is in memory or in one directory."""

from __future__ import annotations

import json
import logging
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from vnodectl.checks.model import Check, Outcome, Report, failed
from vnodectl.clouds.azure import AzureNotFound
from vnodectl.kube.errors import AlreadyExists, NotFound, Throttled

JSON = dict[str, Any]


class FakeKube:
    """The part of KubeClient that is used, over a dictionary of paths. `hooks` run after a call."""

    server = "https://10.1.2.3:6443"
    context = "here"

    def __init__(self) -> None:
        self.objects: dict[str, JSON] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.logs: dict[str, str] = {}
        self.blocked: set[str] = set()
        self.hooks: list[Callable[[str, str], None]] = []
        self.closed = False

    async def __aenter__(self) -> FakeKube:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    def put(self, path: str, **body: Any) -> JSON:
        parts = path.split("/")
        meta: JSON = {"name": parts[-1], "uid": uuid4().hex, **body.pop("metadata", {})}
        if "namespaces" in parts[:-2]:
            meta["namespace"] = parts[parts.index("namespaces") + 1]
        self.objects[path] = {"metadata": meta, **body}
        return self.objects[path]

    def _called(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        for hook in list(self.hooks):
            hook(method, path)

    async def get(self, path: str, params: Any = None, *, timeout: float = 30) -> JSON:
        self._called("GET", path)
        if path not in self.objects:
            raise NotFound(404, "NotFound", f"{path} not found")
        return self.objects[path]

    async def list(
        self, path: str, params: Any = None, *, page: int = 500, timeout: float = 60
    ) -> tuple[list[JSON], str]:
        self._called("LIST", path)
        prefix, _, plural = path.rpartition("/")
        pattern = rf"{re.escape(prefix)}(/namespaces/[^/]+)?/{plural}/[^/]+"
        found = [one for where, one in self.objects.items() if re.fullmatch(pattern, where)]
        for term in (params or {}).get("labelSelector", "").split(","):
            key, _, value = term.partition("=")
            found = [
                one for one in found if not term or (one["metadata"].get("labels") or {}).get(key) == value
            ]
        node = (params or {}).get("fieldSelector", "").removeprefix("spec.nodeName=")
        return [one for one in found if not node or one["spec"].get("nodeName") == node], "1"

    async def create(self, path: str, body: JSON, params: Any = None, *, timeout: float = 30) -> JSON:
        name = body["metadata"]["name"]
        if f"{path}/{name}" in self.objects:
            raise AlreadyExists(409, "AlreadyExists", name)
        self.bodies.append(body)
        rest = {key: value for key, value in body.items() if key != "metadata"}
        made = self.put(f"{path}/{name}", metadata=body["metadata"], **rest)
        self._called("POST", f"{path}/{name}")
        return made

    async def patch(self, path: str, body: Any, params: Any = None, **_: Any) -> JSON:
        self._called("PATCH", path)
        if path not in self.objects:
            raise NotFound(404, "NotFound", path)
        self.bodies.append(body)
        _merge(self.objects[path], body)
        return self.objects[path]

    async def delete(self, path: str, **_: Any) -> None:
        if path not in self.objects:
            self._called("DELETE", path)
            raise NotFound(404, "NotFound", path)
        del self.objects[path]
        self._called("DELETE", path)

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[Any]:
        pod, _, action = path.rpartition("/")
        if action == "eviction":
            self._called("EVICT", pod)
            if pod in self.blocked:
                raise Throttled(429, "TooManyRequests", "it would violate the pod's disruption budget")
            if pod not in self.objects:
                raise NotFound(404, "NotFound", pod)
            del self.objects[pod]
            yield _Answer("{}")
        else:
            self._called("LOG", pod)
            text = self.logs.get(pod)
            if text is None or options["params"]["previous"]:
                raise NotFound(404, "NotFound", "no log")
            yield _Answer(text)


class _Answer:
    def __init__(self, text: str) -> None:
        self._text = text

    async def read(self) -> bytes:
        return self._text.encode()


def _merge(target: JSON, patch: JSON) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


_HELM = """#!{python}
import fcntl, json, os, pathlib, sys
home = pathlib.Path({home!r})
lock = (home / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)  # two releases at once share one file of state
argv = sys.argv[1:]
def flag(name):
    return argv[argv.index(name) + 1] if name in argv else None
stdin = sys.stdin.read() if "-" in argv else ""
with (home / "calls").open("a") as log:
    log.write(json.dumps({{"argv": argv, "stdin": stdin, "env": dict(os.environ)}}) + "\\n")
state_file = home / ("state-" + (flag("--namespace") or "all"))
state = json.loads(state_file.read_text()) if state_file.exists() else {{}}
def save():
    state_file.write_text(json.dumps(state))
def status(name):
    one = state[name]
    return {{"name": name, "namespace": flag("--namespace"), "version": one["version"],
            "manifest": json.dumps(made(name, one["values"])),
            "info": {{"status": one["status"], "last_deployed": "2026-01-01T00:00:00Z"}}}}
def made(name, values):
    return {{"kind": "Deployment", "metadata": {{"name": name}}, "values": values}}
failure = home / ("fail-" + argv[0])
if failure.exists():
    wanted, text = failure.read_text().split("\\n", 1)
    if wanted in argv or wanted == "*":
        if argv[0] == "upgrade":
            state[argv[1]] = {{"version": 1, "status": "failed", "values": {{}}}}
            save()
        sys.stderr.write(text)
        sys.exit(1)
if argv[0] == "version":
    sys.stdout.write((home / "version").read_text())
elif argv[:2] == ["show", "chart"]:
    sys.stdout.write("apiVersion: v2\\nname: vnode-connector\\nversion: 0.1.0\\n")
elif argv[0] == "template":
    sys.stdout.write(json.dumps(made(argv[1], json.loads(stdin))))
elif argv[0] == "list":
    where = {{"namespace": flag("--namespace")}}
    charts = {{name: one.get("chart", "vnode-connector-0.1.0") for name, one in state.items()}}
    print(json.dumps([{{"name": name, "status": one["status"], "chart": charts[name], **where}}
                      for name, one in state.items()]))
elif argv[0] == "status":
    if argv[1] not in state:
        sys.exit("Error: release: not found")
    print(json.dumps(status(argv[1])))
elif argv[0] == "upgrade":
    before = state.get(argv[1], {{}}).get("version", 0)
    state[argv[1]] = {{"version": before + 1, "status": "deployed", "values": json.loads(stdin)}}
    save()
    print(json.dumps(status(argv[1])))
elif argv[:2] == ["get", "values"]:
    print(json.dumps(state[argv[2]]["values"]))
elif argv[:2] == ["get", "all"]:
    version = (home / "chart-version").read_text() if (home / "chart-version").exists() else "0.1.0"
    print("apiVersion: v2\\nname: vnode-connector\\nversion: " + version)
elif argv[0] == "rollback":
    state[argv[1]]["status"] = "deployed"
    save()
elif argv[0] == "uninstall":
    if argv[1] not in state:
        sys.exit("Error: uninstall: Release not loaded: x: release: not found")
    del state[argv[1]]
    save()
"""


@dataclass
class FakeHelm:
    """A helm program on PATH that remembers each call and keeps its releases in a directory."""

    home: Path
    redacted: list[str] = field(default_factory=list)

    def calls(self, command: str = "") -> list[JSON]:
        log = self.home / "calls"
        made = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [call for call in made if not command or call["argv"][0] == command]

    def fail(self, command: str, text: str, only: str = "*") -> None:
        (self.home / f"fail-{command}").write_text(f"{only}\n{text}")

    def releases(self, namespace: str = "vnode-system") -> dict[str, JSON]:
        state = self.home / f"state-{namespace}"
        found: dict[str, JSON] = json.loads(state.read_text()) if state.exists() else {}
        return found

    def put(
        self,
        name: str,
        status: str,
        namespace: str = "vnode-system",
        values: JSON | None = None,
        chart: str = "vnode-connector-0.1.0",
        version: int = 1,
    ) -> None:
        state = self.releases(namespace)
        state[name] = {"version": version, "status": status, "values": values or {}, "chart": chart}
        (self.home / f"state-{namespace}").write_text(json.dumps(state))


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def helm_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHelm:
    home = tmp_path / "helm"
    home.mkdir()
    (home / "version").write_text("v4.3.1")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "helm"
    program.write_text(_HELM.format(python=sys.executable, home=str(home)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return FakeHelm(home)


class FakeAzure:
    """The part of AzureSession that the commands use; one subscription with a cluster and two groups."""

    subscription = "/subscriptions/sub"

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings
        self.clusters: dict[tuple[str, str], JSON] = {
            ("rg", "aks"): {"properties": {"nodeResourceGroup": "MC_rg"}}
        }
        self.groups: dict[str, str] = {"MC_rg": "eastus", "aci": "westeurope"}
        self.containers: dict[str, list[JSON]] = {}
        self.provider = "Registered"
        self.registered: list[str] = []
        self.kubeconfig = b"apiVersion: v1\n"

    async def __aenter__(self) -> FakeAzure:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def aks_cluster(self, resource_group: str, name: str) -> JSON:
        if (resource_group, name) not in self.clusters:
            raise AzureNotFound(404, "ResourceNotFound", "no such cluster")
        return self.clusters[resource_group, name]

    async def aks_kubeconfig(self, resource_group: str, name: str, *, admin: bool = False) -> bytes:
        return self.kubeconfig

    async def resource_group(self, name: str) -> JSON:
        if name not in self.groups:
            raise AzureNotFound(404, "ResourceGroupNotFound", "no such group")
        return {"name": name, "location": self.groups[name]}

    async def locations(self) -> list[str]:
        return ["eastus", "westeurope"]

    async def arm(self, method: str, path: str, api_version: str, **_: Any) -> JSON:
        if method == "DELETE":
            _, group, name = path.split("/")
            self.containers[group] = [one for one in self.containers[group] if one["name"] != name]
            return {}
        return {"tenantId": "found-tenant"}

    async def provider_state(self, namespace: str) -> str:
        return self.provider

    async def register_provider(self, namespace: str) -> None:
        self.registered.append(namespace)
        self.provider = "Registered"

    async def container_groups(self, resource_group: str) -> list[JSON]:
        return list(self.containers.get(resource_group, ()))


@dataclass
class Cloudless:
    """The world of a command: what it connects to, and with what."""

    kube: FakeKube
    azure: FakeAzure
    connected: list[tuple[str | None, str | None]] = field(default_factory=list)
    checked: list[Any] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def world(kube: FakeKube, helm_program: FakeHelm, monkeypatch: pytest.MonkeyPatch) -> Cloudless:
    """Commands that run in this process meet the fakes: no network, no real cluster, every check passes."""
    made = Cloudless(kube, FakeAzure())

    async def connect(kubeconfig: str | None = None, context: str | None = None) -> FakeKube:
        made.connected.append((kubeconfig, context))
        return kube

    async def run_install_checks(plan: Any, **options: Any) -> Report:
        made.checked.append(plan)
        outcomes = [
            Outcome(Check(check_id, "x", "A question?", ask), failed(cause, fix="mend it"), exit_code=1)
            for check_id, cause in made.failures
        ]
        return Report(tuple(outcomes), 0.1)

    async def ask(context: Any) -> Any:
        raise AssertionError

    def session(settings: Any) -> FakeAzure:
        made.azure.settings = settings
        return made.azure

    monkeypatch.setattr("vnodectl.kube.config.connect", connect)
    monkeypatch.setattr("vnodectl.checks.catalog.run_install_checks", run_install_checks)
    monkeypatch.setattr("vnodectl.clouds.azure.AzureSession", session)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(helm_program.home))
    return made


@pytest.fixture(autouse=True)
def _quiet_loggers() -> Iterator[None]:
    """What `-v` sets up in this process is taken back."""
    yield
    for name in ("vnodectl", "pyhelm3"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
