"""Each feature of container groups as a pod manifest that reaches its state, with kubectl as the client.

The cluster, the connector and the containers are real; Azure is the sandbox's emulator. All pods are made at
once, then each test looks at its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient
from support.sandboxes import Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

JSON = dict[str, Any]
NODE = f"aci-features-{os.getpid()}"
GROUP, REGION, NETWORK = "demo-aci", "eastus", "features"
ACI, STANDBY = "2025-09-01", "2025-03-01"
DEADLINE = 60.0
SLEEP = "exec sleep 3600"


@dataclass(frozen=True)
class Cloud:
    """The emulated subscription, behind its own API and its control API."""

    sandbox: Sandbox
    client: ResourceManagementClient

    def id(self, kind: str, name: str) -> str:
        subscription = self.sandbox.environment["AZURE_SUBSCRIPTION_ID"]
        return f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/{kind}/{name}"

    def send(self, method: str, path: str, version: str, body: Any = None) -> JSON:
        answer = self.client.send_request(HttpRequest(method, f"{path}?api-version={version}", json=body))
        assert answer.status_code < 300, answer.text()
        return answer.json() if answer.content else {}

    def control(self, path: str, body: Any) -> None:
        where = urlsplit(self.sandbox.environment["VNODECTL_EMULATOR_CONTROL"])
        with closing(HTTPConnection(where.netloc, timeout=30)) as connection:
            connection.request("POST", path, json.dumps(body))
            assert connection.getresponse().status == 200

    @property
    def subnet(self) -> str:
        return self.id("Microsoft.Network/virtualNetworks", f"{NETWORK}/subnets/aci")

    @property
    def identity(self) -> str:
        return self.id("Microsoft.ManagedIdentity/userAssignedIdentities", "features")

    @property
    def profile(self) -> str:
        return self.id("Microsoft.ContainerInstance/containerGroupProfiles", "features")

    @property
    def pool(self) -> str:
        return self.id("Microsoft.StandbyPool/standbyContainerGroupPools", "features")


@dataclass(frozen=True)
class Scene:
    sandbox: Sandbox
    cloud: Cloud

    def pod(self, name: str, wanted: Callable[[JSON], Any]) -> JSON:
        """The pod once it is as `wanted`; kubectl can wait for conditions only."""
        ends, pod = time.monotonic() + DEADLINE, {}
        while time.monotonic() < ends:
            pod = json.loads(self.sandbox.run("kubectl", "get", "pod", name, "-o", "json").stdout)
            if wanted(pod):
                return pod
            time.sleep(0.3)
        raise AssertionError(json.dumps(pod["status"], indent=1))

    def running(self, name: str) -> JSON:
        return self.pod(name, lambda pod: _phase(pod) == "Running" and _ready(pod))

    def failed(self, name: str) -> str:
        return str(self.pod(name, lambda pod: _phase(pod) == "Failed")["status"].get("message"))

    def group(self, name: str) -> JSON:
        """The container group of a running pod, as ARM shows it."""
        uid = self.running(name)["metadata"]["uid"]
        path = self.cloud.id("Microsoft.ContainerInstance", "containerGroups")
        listed = self.cloud.send("GET", path, ACI)["value"]
        (found,) = (one for one in listed if uid in json.dumps(one["tags"]))
        return found

    def logs(self, name: str, wanted: str, *options: str) -> str:
        ends, seen = time.monotonic() + DEADLINE, ""
        while wanted not in seen and time.monotonic() < ends:
            seen = self.sandbox.run("kubectl", "logs", name, *options).stdout
        return seen


def _phase(pod: JSON) -> str:
    return str(pod["status"].get("phase"))


def _ready(pod: JSON) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _containers(pod: JSON) -> list[JSON]:
    found: list[JSON] = pod["status"].get("containerStatuses") or []
    return found


# --- the manifests ---


def shell(script: str, name: str = "main", **more: Any) -> JSON:
    return {"name": name, "command": ["sh", "-c", script], **more}


def manifest(image: str, name: str, *containers: JSON, annotations: JSON | None = None, **spec: Any) -> JSON:
    filled = [{"image": image, **one} for one in containers or (shell(SLEEP),)]
    first = [{"image": image, **one} for one in spec.pop("initContainers", ())]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"suite": NODE},
            "annotations": {f"aci.vnodectl.io/{key}": value for key, value in (annotations or {}).items()},
        },
        "spec": {
            "nodeName": NODE,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "containers": filled,
            "initContainers": first,
            **spec,
        },
    }


def manifests(cloud: Cloud, image: str) -> list[JSON]:
    def pod(name: str, *containers: JSON, **more: Any) -> JSON:
        return manifest(image, name, *containers, **more)

    values = {"SECRET": {"secretKeyRef": {"name": "features", "key": "word"}}} | {
        "NAME": {"fieldRef": {"fieldPath": "metadata.name"}}
    }
    told = shell(
        f"echo $SECRET $NAME $PLAIN; cat /work/made /config/key /both/word /both/key; {SLEEP}",
        env=[
            *({"name": name, "valueFrom": source} for name, source in values.items()),
            {"name": "PLAIN", "value": "plain"},
        ],
        volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in ("work", "config", "both")],
    )
    maker = shell(
        "echo from-init > /work/made", "maker", volumeMounts=[{"name": "work", "mountPath": "/work"}]
    )
    sources = [{"secret": {"name": "features"}}, {"configMap": {"name": "features"}}]
    config, projected = {"configMap": {"name": "features"}}, {"projected": {"sources": sources}}
    volumes = [
        {"name": "work", "emptyDir": {}},
        {"name": "config", **config},
        {"name": "both", **projected},
    ]
    alive = {"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    share = {"azureFile": {"secretName": "features", "shareName": "data"}}
    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    return [
        pod("told", told, shell(SLEEP, "side"), initContainers=[maker], volumes=volumes),
        pod("job", shell("exit 3"), restartPolicy="Never"),
        pod("done", shell("exit 0"), restartPolicy="Never"),
        pod("crash", shell("exit 1"), restartPolicy="OnFailure"),
        pod("sick", shell("touch /tmp/alive; sleep 1; rm /tmp/alive; exec sleep 3600", livenessProbe=alive)),
        pod("no-image", shell(SLEEP) | {"image": "localhost/vnodectl-test/none:1"}),
        pod("public", shell(SLEEP, ports=[{"containerPort": 8080}]), annotations={"dns-label": "features"}),
        pod("spot", annotations={"priority": "Spot"}),
        pod(
            "placed",
            annotations={
                "subnet": cloud.subnet,
                "zones": "2",
                "tags": "team=features",
                "identity": cloud.identity,
                "encryption-vault": "https://vault.example/",
                "encryption-key": "key",
                "encryption-key-version": "1",
            },
        ),
        pod(
            "secret-host", annotations={"sku": "Confidential", "confidential-policy": "cGFja2FnZSBwb2xpY3k="}
        ),
        pod("pooled", annotations={"standby-pool": cloud.pool, "profile": cloud.profile}),
        pod("huge", shell(SLEEP, resources={"requests": {"cpu": "64"}}), restartPolicy="Never"),
        pod("no-gpu", shell(SLEEP, resources=gpu), annotations={"gpu-sku": "V100"}, restartPolicy="Never"),
        pod("misspelt", annotations={"colour": "red"}, restartPolicy="Never"),
        pod(
            "shared",
            shell(
                f"echo kept > /share/file; cat /share/file; {SLEEP}",
                volumeMounts=[{"name": "share", "mountPath": "/share"}],
            ),
            volumes=[{"name": "share", **share}],
        ),
        pod(
            "prepared",
            shell(f"pwd; cat /etc/hosts; {SLEEP}", workingDir="/var/tmp"),
            hostAliases=[{"ip": "10.9.8.7", "hostnames": ["ledger.example"]}],
        ),
    ]


def _objects() -> list[JSON]:
    """What the pods refer to in the cluster."""
    data = {"word": "hush", "azurestorageaccountname": "features", "azurestorageaccountkey": "a2V5"}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    meta = {"name": "features", "labels": {"suite": NODE}}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": "configured\n"}},
    ]


# --- the scene ---


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        cloud = _cloud(sandbox, stack)
        _furnish(cloud, sandbox.environment["VNODECTL_SMOKE_IMAGE"], stack)
        stack.enter_context(_Connector(sandbox, tmp_path_factory.mktemp("connector") / "log"))
        objects = [*_objects(), *manifests(cloud, sandbox.environment["VNODECTL_SMOKE_IMAGE"])]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        sandbox.run("kubectl", "apply", "-f", "-", stdin=document)
        chosen = ("pods,secrets,configmaps", "-l", f"suite={NODE}")
        stack.callback(sandbox.run, "kubectl", "delete", *chosen, "--timeout=60s", "--ignore-not-found")
        yield Scene(sandbox, cloud)


def _cloud(sandbox: Sandbox, stack: ExitStack) -> Cloud:
    env = sandbox.environment
    trust = {"connection_verify": env["VNODECTL_CA_BUNDLE"], "proxies": {}}
    credential = ClientSecretCredential(
        env["AZURE_TENANT_ID"],
        env["AZURE_CLIENT_ID"],
        env["AZURE_CLIENT_SECRET"],
        authority=env["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
        **trust,
    )
    client = ResourceManagementClient(
        credential,
        env["AZURE_SUBSCRIPTION_ID"],
        base_url=env["VNODECTL_ARM_ENDPOINT"],
        credential_scopes=["https://management.azure.com/.default"],
        **trust,
    )
    stack.enter_context(credential)
    stack.enter_context(client)
    return Cloud(sandbox, client)


def _furnish(cloud: Cloud, image: str, stack: ExitStack) -> None:
    """A network, an identity and a standby pool; the network goes again, as other tests have none."""
    network = cloud.id("Microsoft.Network/virtualNetworks", NETWORK)
    space = {"addressSpace": {"addressPrefixes": ["10.77.0.0/16"]}}
    delegation = {"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
    subnet = {"properties": {"addressPrefix": "10.77.1.0/24", "delegations": [delegation]}}
    cloud.send("PUT", network, "2024-05-01", {"location": REGION, "properties": space})
    stack.callback(cloud.send, "DELETE", network, "2024-05-01")
    cloud.send("PUT", cloud.subnet, "2024-05-01", subnet)
    link = f"{cloud.subnet}/providers/Microsoft.ContainerInstance/serviceAssociationLinks/default"
    stack.callback(cloud.send, "DELETE", link, ACI)
    cloud.send("PUT", cloud.identity, "2023-01-31", {"location": REGION})
    resources = {"requests": {"cpu": 1, "memoryInGB": 1}}
    container = {"image": image, "command": ["sh", "-c", SLEEP], "resources": resources}
    properties = {"osType": "Linux", "containers": [{"name": "main", "properties": container}]}
    cloud.send("PUT", cloud.profile, ACI, {"location": REGION, "properties": properties})
    pool = {
        "elasticityProfile": {"maxReadyCapacity": 1},
        "containerGroupProperties": {"containerGroupProfile": {"id": cloud.profile, "revision": 1}},
    }
    cloud.send("PUT", cloud.pool, STANDBY, {"location": REGION, "properties": pool})
    cloud.control("/clock", {"advance": 5})  # long enough for the pool to be full


class _Connector:
    """`vnodectl agent` as a process, for one node."""

    def __init__(self, sandbox: Sandbox, log: Path) -> None:
        self._sandbox = sandbox
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> None:
        settings = {
            "VNODECTL_NODE_NAME": NODE,
            "VNODECTL_PROVIDER": "aci",
            "VNODECTL_NODE_IP": "127.0.0.1",
            "VNODECTL_KUBELET_PORT": "0",
            "VNODECTL_ACI_RESOURCE_GROUP": GROUP,
            "VNODECTL_ACI_REGION": REGION,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vnodectl", "agent"],
                env={**self._sandbox.environment, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        ends = time.monotonic() + DEADLINE
        ready = ("wait", f"node/{NODE}", "--for=condition=Ready", "--timeout=5s")
        while self._sandbox.run("kubectl", *ready, check=False).returncode:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < ends, self._log.read_text()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(30) == 0, self._log.read_text()
        self._sandbox.run("kubectl", "delete", "node", NODE, "--ignore-not-found")


# --- the features ---


def test_several_containers_variables_and_volumes(scene: Scene) -> None:
    pod = scene.running("told")
    assert [one["name"] for one in _containers(pod)] == ["main", "side"]
    first = pod["status"]["initContainerStatuses"][0]
    assert first["state"]["terminated"]["exitCode"] == 0
    wanted = "hush told plain\nfrom-init\nconfigured\nhush"
    assert scene.logs("told", wanted, "-c", "main").startswith(wanted)
    group = scene.group("told")
    assert "hush" not in json.dumps(group["properties"])


def test_a_command_in_a_container_keeps_its_exit_code_and_its_streams(scene: Scene) -> None:
    scene.running("told")
    script = "echo out; echo err >&2; exit 7"
    done = scene.sandbox.run(
        *("kubectl", "exec", "told", "-c", "main", "--", "sh", "-c", script), check=False
    )
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")


def test_exit_codes(scene: Scene) -> None:
    pod = scene.pod("job", lambda pod: _phase(pod) == "Failed")
    ended = _containers(pod)[0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    pod = scene.pod("done", lambda pod: _phase(pod) == "Succeeded")
    assert _containers(pod)[0]["state"]["terminated"]["reason"] == "Completed"


def test_restarts_are_counted(scene: Scene) -> None:
    def restarted(pod: JSON) -> bool:
        return any(one["restartCount"] >= 1 for one in _containers(pod))

    crashed = _containers(scene.pod("crash", restarted))[0]
    assert crashed["lastState"]["terminated"]["exitCode"] == 1
    scene.pod("sick", restarted)


def test_an_image_that_cannot_be_pulled(scene: Scene) -> None:
    def waiting(pod: JSON) -> bool:
        reasons = [(one["state"].get("waiting") or {}).get("reason") for one in _containers(pod)]
        return any(reason in ("ErrImagePull", "ImagePullBackOff") for reason in reasons)

    pod = scene.pod("no-image", waiting)
    assert _phase(pod) == "Pending"


def test_a_public_name(scene: Scene) -> None:
    address = scene.group("public")["properties"]["ipAddress"]
    assert (address["type"], address["ports"]) == ("Public", [{"port": 8080, "protocol": "TCP"}])
    assert address["fqdn"] == f"features.{REGION}.azurecontainer.io"
    assert scene.running("public")["status"]["podIP"] == address["ip"]


def test_spot_and_confidential_groups(scene: Scene) -> None:
    assert scene.group("spot")["properties"]["priority"] == "Spot"
    properties = scene.group("secret-host")["properties"]
    assert properties["sku"] == "Confidential"
    assert properties["confidentialComputeProperties"]["ccePolicy"] == "cGFja2FnZSBwb2xpY3k="


def test_subnet_zone_identity_key_and_tags(scene: Scene) -> None:
    group = scene.group("placed")
    properties = group["properties"]
    assert [one["id"] for one in properties["subnetIds"]] == [scene.cloud.subnet]
    assert properties["ipAddress"]["type"] == "Private"
    assert group["zones"] == ["2"]
    assert list(group["identity"]["userAssignedIdentities"]) == [scene.cloud.identity]
    assert properties["encryptionProperties"]["keyName"] == "key"
    assert group["tags"]["team"] == "features"


def test_a_group_from_a_standby_pool(scene: Scene) -> None:
    assert scene.group("pooled")["properties"]["isCreatedFromStandbyPool"] is True


def test_a_file_share(scene: Scene) -> None:
    scene.running("shared")
    assert scene.logs("shared", "kept") == "kept\n"
    volumes = scene.group("shared")["properties"]["volumes"]
    assert volumes[0]["azureFile"] == {
        "shareName": "data",
        "storageAccountName": "features",
        "readOnly": False,
    }


def test_a_working_directory_and_host_aliases(scene: Scene) -> None:
    scene.running("prepared")
    seen = scene.logs("prepared", "ledger.example")
    assert seen.startswith("/var/tmp\n")
    assert re.search(r"10\.9\.8\.7\s+ledger\.example", seen)


def test_what_cannot_be_is_said_on_the_pod(scene: Scene) -> None:
    assert "aci.vnodectl.io/colour" in scene.failed("misspelt")
    for name in ("huge", "no-gpu"):
        pod = scene.pod(name, lambda pod: "message" in json.dumps(pod["status"]))
        assert re.search(r"not available|GPU|larger|at most|most", json.dumps(pod["status"])), pod["status"]


def test_a_deleted_pod_leaves_no_group(scene: Scene) -> None:
    uid = scene.running("spot")["metadata"]["uid"]
    scene.sandbox.run("kubectl", "delete", "pod", "spot", "--timeout=60s")
    listed = scene.cloud.send("GET", scene.cloud.id("Microsoft.ContainerInstance", "containerGroups"), ACI)
    assert uid not in json.dumps([one["tags"] for one in listed["value"]])
