"""Each feature of container groups as a pod manifest that reaches its state, with kubectl as the client.

The cluster, the connector and the containers are real; Azure is `vnodectl emulator serve` with an engine that
runs them. All pods are made at once, then each test looks at its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient
from support.sandboxes import Sandbox
from support.shell_image import import_shell_image

pytestmark = [pytest.mark.e2e, pytest.mark.containers]

JSON = dict[str, Any]
NODE = f"aci-features-{os.getpid()}"
GROUP, REGION, NETWORK = "connectors", "eastus", "features"
CLIENT, SECRET = "11111111-2222-3333-4444-555555555555", "the-secret-of-the-connector"
ACI, STANDBY = "2025-09-01", "2025-03-01"
DEADLINE = 60.0
SLEEP = "exec sleep 3600"
PULLER = {"username": "puller", "password": "marker-of-a-pull-secret"}


@dataclass(frozen=True)
class Cloud:
    """The emulated subscription. `where` is what the emulator says of itself."""

    where: JSON
    client: ResourceManagementClient

    def id(self, kind: str, name: str) -> str:
        group = f"/subscriptions/{self.where['subscription']}/resourceGroups/{GROUP}"
        return f"{group}/providers/{kind}/{name}"

    def send(self, method: str, path: str, version: str, body: Any = None) -> JSON:
        answer = self.client.send_request(HttpRequest(method, f"{path}?api-version={version}", json=body))
        assert answer.status_code < 300, answer.text()
        return answer.json() if answer.content else {}

    @property
    def groups(self) -> list[JSON]:
        path = self.id("Microsoft.ContainerInstance", "containerGroups")
        found: list[JSON] = self.send("GET", path, ACI)["value"]
        return found

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


SEED: JSON = {
    "regions": [{"name": REGION, "zones": ["1", "2", "3"], "groupZones": ["1", "2"], "gpus": ["V100"]}],
    "quotas": {REGION: {"StandardV100Cores": 1}},
    "resourceGroups": [{"name": GROUP, "location": REGION}],
    "servicePrincipals": [{"clientId": CLIENT, "secret": SECRET}],
    "virtualNetworks": [{"name": NETWORK, "resourceGroup": GROUP, "subnets": [{"name": "aci"}]}],
    "managedIdentities": [
        {"name": "features", "resourceGroup": GROUP, "clientId": "11111111-2222-3333-4444-666666666666"}
    ],
    "timings": {"standbyRefill": 0, "terminationGrace": 1},
}


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
        uid = self.pod(name, lambda pod: _phase(pod) == "Running")["metadata"]["uid"]
        (found,) = (one for one in self.cloud.groups if uid in json.dumps(one["tags"]))
        return found

    def restarts(self, name: str) -> int:
        """Of the first container, as the cloud counts them, once there are some."""
        ends, seen, path = time.monotonic() + DEADLINE, 0, self.group(name)["id"]
        while not seen and time.monotonic() < ends:
            (container,) = self.cloud.send("GET", path, ACI)["properties"]["containers"]
            seen = int(container["properties"]["instanceView"]["restartCount"])
        return seen

    def events(self, name: str, wanted: str) -> str:
        ends, seen = time.monotonic() + DEADLINE, ""
        chosen = ("--field-selector", f"involvedObject.name={name}", "-o", "json")
        while wanted not in seen and time.monotonic() < ends:
            seen = self.sandbox.run("kubectl", "get", "events", *chosen).stdout
        return seen

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
    """Annotations without a prefix are ours."""
    filled = [{"image": image, **one} for one in containers or (shell(SLEEP),)]
    first = [{"image": image, **one} for one in spec.pop("initContainers", ())]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"suite": NODE},
            "annotations": {
                key if "/" in key or "." in key else f"aci.vnodectl.io/{key}": value
                for key, value in (annotations or {}).items()
            },
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
    alive = {"exec": {"command": ["cat", "/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    share = {"azureFile": {"secretName": "features", "shareName": "data"}}
    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    sizes = {"requests": {"cpu": "1105m", "memory": "1100Mi"}, "limits": {"cpu": "2"}}
    unheard = {"httpGet": {"port": 9, "path": "/"}, "periodSeconds": 1, "failureThreshold": 1}
    asked = {"exec": {"command": ["cat", "/dev/null"]}, "periodSeconds": 1}
    resolver = {
        "nameservers": ["10.0.0.10"],
        "searches": ["shop.svc.cluster.local"],
        "options": [{"name": "ndots", "value": "3"}],
    }
    source = {"repository": "https://git.example/site.git", "revision": "v1", "directory": "site"}
    return [
        pod("told", told, shell(SLEEP, "side"), initContainers=[maker], volumes=volumes),
        pod("job", shell("exit 3"), restartPolicy="Never"),
        pod("done", shell("exit 0"), restartPolicy="Never"),
        pod("crash", shell("exit 1"), restartPolicy="OnFailure"),
        pod("sick", shell("touch /alive; sleep 1; rm /alive; exec sleep 3600", livenessProbe=alive)),
        pod("no-image", shell(SLEEP) | {"image": "localhost/vnodectl-test/none:1"}),
        pod("public", shell(SLEEP, ports=[{"containerPort": 8080}]), annotations={"dns-label": "features"}),
        pod("spot", annotations={"priority": "Spot"}),
        pod("brief"),
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
        pod("no-gpu", shell(SLEEP, resources=gpu), annotations={"gpu-sku": "K80"}, restartPolicy="Never"),
        pod("gpu", shell(SLEEP, resources=gpu), annotations={"gpu-sku": "V100"}),
        pod("sized", shell(SLEEP, resources=sizes)),
        pod("unheard", shell(SLEEP, livenessProbe=unheard)),
        pod("asked", shell(SLEEP, readinessProbe=asked)),
        pod("resolver", annotations={"subnet": cloud.subnet}, dnsPolicy="None", dnsConfig=resolver),
        pod("private", imagePullSecrets=[{"name": "features-pull"}]),
        pod(
            "cloned",
            shell(SLEEP, volumeMounts=[{"name": "source", "mountPath": "/source"}]),
            volumes=[{"name": "source", "gitRepo": source}],
        ),
        pod(
            "moved",
            shell(SLEEP, ports=[{"containerPort": 8081}]),
            annotations={
                "virtualkubelet.io/dnsnamelabel": "moved",
                "microsoft.containerinstance.virtualnode.zones": "1",
                "microsoft.containerinstance.virtualnode.customtags": "team=moved",
                "microsoft.containerinstance.virtualnode.identity": cloud.identity,
            },
        ),
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
            shell(f"pwd; cat /etc/hosts; {SLEEP}", workingDir="/bin"),
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
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {**meta, "name": "features-pull"},
            "stringData": {".dockerconfigjson": json.dumps({"auths": {"localhost": PULLER}})},
        },
    ]


# --- the scene ---


@pytest.fixture(scope="module")
def scene(control_plane: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory, image = tmp_path_factory.mktemp("features"), import_shell_image()
    with ExitStack() as stack:
        cloud = _cloud(stack, directory)
        _make_pool(cloud, image)
        stack.callback(control_plane.run, "kubectl", "delete", "node", NODE, "--ignore-not-found")
        _connector(stack, control_plane, cloud, directory / "connector.log")
        objects = [*_objects(), *manifests(cloud, image)]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        control_plane.run("kubectl", "apply", "-f", "-", stdin=document)
        chosen = ("pods,secrets,configmaps", "-l", f"suite={NODE}")
        stack.callback(control_plane.run, "kubectl", "delete", *chosen, "--timeout=90s", "--ignore-not-found")
        yield Scene(control_plane, cloud)


def _cloud(stack: ExitStack, directory: Path) -> Cloud:
    seed, ready = directory / "seed.json", directory / "ready.json"
    seed.write_text(json.dumps(SEED))
    options = {"--seed": seed, "--ready-file": ready, "--engine": "podman", "--scope": NODE}
    argv = (sys.executable, "-m", "vnodectl", "emulator", "serve")
    process = _process(
        stack,
        [*argv, *(str(word) for option in options.items() for word in option)],
        {},
        directory / "cloud.log",
    )
    while not ready.exists():
        process.alive()
        time.sleep(0.1)
    where = json.loads(ready.read_text())
    trust = {"connection_verify": where["caFile"], "proxies": {}}
    identity = {"authority": where["authorityHost"], "disable_instance_discovery": True}
    credential = stack.enter_context(
        ClientSecretCredential(where["tenant"], CLIENT, SECRET, **identity, **trust)
    )
    client = ResourceManagementClient(
        credential,
        where["subscription"],
        base_url=where["armEndpoint"],
        credential_scopes=["https://management.azure.com/.default"],
        **trust,
    )
    return Cloud(where, stack.enter_context(client))


def _make_pool(cloud: Cloud, image: str) -> None:
    """A standby pool of one, and the profile that it is made from."""
    resources = {"requests": {"cpu": 1, "memoryInGB": 1}}
    container = {"image": image, "command": ["sh", "-c", SLEEP], "resources": resources}
    properties = {"osType": "Linux", "containers": [{"name": "main", "properties": container}]}
    cloud.send("PUT", cloud.profile, ACI, {"location": REGION, "properties": properties})
    pool = {
        "elasticityProfile": {"maxReadyCapacity": 1},
        "containerGroupProperties": {"containerGroupProfile": {"id": cloud.profile, "revision": 1}},
    }
    cloud.send("PUT", cloud.pool, STANDBY, {"location": REGION, "properties": pool})


def _connector(stack: ExitStack, cluster: Sandbox, cloud: Cloud, log: Path) -> None:
    """`vnodectl agent` as a process, for one node."""
    settings = {
        "VNODECTL_NODE_NAME": NODE,
        "VNODECTL_PROVIDER": "aci",
        "VNODECTL_NODE_IP": "127.0.0.1",
        "VNODECTL_KUBELET_PORT": "0",
        "VNODECTL_ACI_RESOURCE_GROUP": GROUP,
        "VNODECTL_ACI_REGION": REGION,
        "VNODECTL_ARM_ENDPOINT": cloud.where["armEndpoint"],
        "VNODECTL_CA_BUNDLE": cloud.where["caFile"],
        "AZURE_AUTHORITY_HOST": cloud.where["authorityHost"],
        "AZURE_SUBSCRIPTION_ID": cloud.where["subscription"],
        "AZURE_TENANT_ID": cloud.where["tenant"],
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_CLIENT_SECRET": SECRET,
    }
    argv = [sys.executable, "-m", "vnodectl", "agent"]
    process = _process(stack, argv, {**cluster.environment, **settings}, log)
    ready = ("wait", f"node/{NODE}", "--for=condition=Ready", "--timeout=5s")
    while cluster.run("kubectl", *ready, check=False).returncode:
        process.alive()


class _Process:
    """A program of ours; `alive` fails once it has ended, or did not do its part in time."""

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._ends = time.monotonic() + DEADLINE
        with log.open("wb") as out:
            self._process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=out, stderr=out)

    def alive(self) -> None:
        assert self._process.poll() is None, self._log.read_text()
        assert time.monotonic() < self._ends, self._log.read_text()

    def end(self) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0, self._log.read_text()


def _process(stack: ExitStack, argv: list[str], env: Mapping[str, str], log: Path) -> _Process:
    process = _Process(argv, env, log)
    stack.callback(process.end)
    return process


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
    # Of a pod that is meant to run for ever the connector looks at each container only now and then.
    assert scene.restarts("sick") >= 1


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
    (volume,) = scene.group("shared")["properties"]["volumes"]
    share = volume["azureFile"]
    assert (share["shareName"], share["storageAccountName"]) == ("data", "features")
    assert "storageAccountKey" not in share


def test_a_working_directory_and_host_aliases(scene: Scene) -> None:
    scene.running("prepared")
    seen = scene.logs("prepared", "ledger.example")
    assert seen.startswith("/bin\n")
    assert re.search(r"10\.9\.8\.7\s+ledger\.example", seen)


def test_resources_are_rounded_up_and_a_gpu_is_the_model_that_was_named(scene: Scene) -> None:
    (container,) = scene.group("sized")["properties"]["containers"]
    assert container["properties"]["resources"]["requests"] == {"cpu": 1.11, "memoryInGB": 1.2}
    assert container["properties"]["resources"]["limits"]["cpu"] == 1.11
    (container,) = scene.group("gpu")["properties"]["containers"]
    assert container["properties"]["resources"]["requests"]["gpu"] == {"count": 1, "sku": "V100"}


def test_probes_of_the_cloud(scene: Scene) -> None:
    """Outside of a subnet: a failed one restarts the container, a readiness probe is ACI's own affair."""
    assert scene.restarts("unheard") >= 1
    scene.running("asked")
    (container,) = scene.group("asked")["properties"]["containers"]
    assert container["properties"]["readinessProbe"]["exec"]["command"] == ["cat", "/dev/null"]


def test_a_resolver_of_one_s_own(scene: Scene) -> None:
    assert scene.group("resolver")["properties"]["dnsConfig"] == {
        "nameServers": ["10.0.0.10"],
        "searchDomains": "shop.svc.cluster.local",
        "options": "ndots:3",
    }


def test_a_pull_secret_reaches_the_registry_and_nobody_else(scene: Scene) -> None:
    scene.running("private")
    group = scene.group("private")
    (credential,) = group["properties"]["imageRegistryCredentials"]
    assert (credential["server"], credential["username"]) == ("localhost", PULLER["username"])
    assert PULLER["password"] not in json.dumps(group)


def test_a_repository(scene: Scene) -> None:
    scene.running("cloned")
    (volume,) = scene.group("cloned")["properties"]["volumes"]
    assert volume["gitRepo"] == {
        "repository": "https://git.example/site.git",
        "revision": "v1",
        "directory": "site",
    }


def test_annotations_of_the_go_provider_and_of_virtual_nodes_on_aci(scene: Scene) -> None:
    group = scene.group("moved")
    assert group["properties"]["ipAddress"]["fqdn"] == f"moved.{REGION}.azurecontainer.io"
    assert group["zones"] == ["1"]
    assert group["tags"]["team"] == "moved"
    assert list(group["identity"]["userAssignedIdentities"]) == [scene.cloud.identity]


def test_what_cannot_be_is_said_on_the_pod(scene: Scene) -> None:
    assert "aci.vnodectl.io/colour" in scene.failed("misspelt")
    assert "The GPU sku 'K80' is not available" in scene.failed("no-gpu")
    # What a region has not now it may have later: the pod waits, and an event says for what.
    wanted = "The requested resource is not available in the location"
    assert wanted in scene.events("huge", wanted)
    assert _phase(scene.pod("huge", bool)) == "Pending"


def test_a_deleted_pod_leaves_no_group(scene: Scene) -> None:
    uid = scene.running("brief")["metadata"]["uid"]
    assert uid in json.dumps([one["tags"] for one in scene.cloud.groups])
    scene.sandbox.run("kubectl", "delete", "pod", "brief", "--timeout=60s")
    assert uid not in json.dumps([one["tags"] for one in scene.cloud.groups])
